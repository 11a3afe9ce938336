"""A bundle: one archive that installs the course, and shows it, in a room without a network."""

from dmlteach.course.bundle.bundle import Bundle, make, place, plan
from dmlteach.course.bundle.wheels import TORCH_INDEX

__all__ = ["TORCH_INDEX", "Bundle", "make", "place", "plan"]
