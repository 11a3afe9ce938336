"""Exercises of a teacher's own: a Python file outside of this package, with a tuple `EXERCISES`."""

import inspect
from pathlib import Path

from dmlteach import foreign
from dmlteach.course.exercises.kinds import Exercise
from dmlteach.course.exercises.replies import RIGHT, TO_COMPARE
from dmlteach.errors import DMLTeachError

NAME = "EXERCISES"


def read(file: Path) -> tuple[str, tuple[Exercise, ...]]:
    """Title and exercises of a file: the first line of its docstring, and what its `EXERCISES` holds.

    Args:
        file: of Python code, whose name is that of a notebook: letters, digits and underscores.

    Raises:
        DMLTeachError: it cannot be run, or does not hold exercises with ids of their own.
    """
    if not file.stem.isidentifier() or file.suffix != ".py":
        raise DMLTeachError(
            f"{file}: a file of exercises ends in .py, and its name has letters, digits and _ alone."
        )
    module = foreign.module_of_file(str(file), "list of exercises")
    found = getattr(module, NAME, None)
    if not isinstance(found, tuple | list) or not found or not all(isinstance(e, Exercise) for e in found):
        raise DMLTeachError(
            f"{file}: give a tuple {NAME} of exercises, as dmlteach.course.exercises.kinds has them."
        )
    ids = [exercise.id for exercise in found]
    if twice := [id for id in ids if ids.count(id) > 1]:
        raise DMLTeachError(f"{file}: two exercises have the id {twice[0]!r}; each has its own.")
    return (inspect.getdoc(module) or file.stem).partition("\n")[0].rstrip("."), tuple(found)


def try_solution(exercise: Exercise) -> None:
    """See that an exercise takes its own solution for right: otherwise nobody could be.

    Args:
        exercise: a teacher's.

    Raises:
        DMLTeachError: it does not, or its code fails.
    """
    try:
        reply = exercise.judge(exercise.reference())
    except Exception as error:
        raise foreign.failed(f"the exercise {exercise.id} fails on its own solution", error) from error
    if reply.status not in (RIGHT, TO_COMPARE):
        raise DMLTeachError(
            f"the exercise {exercise.id} does not take its own solution for right: {reply.words}"
        )
