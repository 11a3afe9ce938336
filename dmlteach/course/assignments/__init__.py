"""Assignments: exercises handed out as notebooks, collected again, and marked by running them anew."""

from dmlteach.course.assignments.assignment import Assignment
from dmlteach.course.assignments.collecting import collect
from dmlteach.course.assignments.handing_out import make

__all__ = ["Assignment", "collect", "make"]
