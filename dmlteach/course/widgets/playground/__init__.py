"""A triplet to drag."""

from dmlteach.course.widgets.playground.widget import TripletPlayground

__all__ = ["TripletPlayground"]
