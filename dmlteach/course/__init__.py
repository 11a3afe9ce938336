"""The course: exercises, explorables, recordings, figures, reports, and how chapters become a site."""

from dmlteach.course.chapter import Text, conventions, covered, look_inside
from dmlteach.course.material import CHECKOUT

__all__ = ["CHECKOUT", "Text", "conventions", "covered", "look_inside"]
