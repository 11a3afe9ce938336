"""Draw a character: the nearest of 659, found by a network that runs in the page."""

from dmlteach.course.widgets.draw_character.widget import DrawCharacter

__all__ = ["DrawCharacter"]
