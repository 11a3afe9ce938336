"""Draw a character: the nearest of 659, found by a network that runs in the page."""
