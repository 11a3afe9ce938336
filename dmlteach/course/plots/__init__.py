"""Drawings that explain: gradients on the ternary plane, the method at a glance."""
