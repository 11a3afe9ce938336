"""The reference: pages of all that is public, made from the package when the site is assembled."""
