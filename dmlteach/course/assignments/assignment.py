"""What was handed out: exercises, to whom, and with which numbers."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import dmlteach
from dmlteach import files
from dmlteach.course import exercises
from dmlteach.course.exercises.kinds import Exercise
from dmlteach.errors import DMLTeachError

FILE = "assignment.json"
OWN = "own"  # folder beside it, of the teacher's own exercises
ID = re.compile(r"[\w.@+-]*[\w@+-]")  # of a student or an assignment: the name of a folder on every system
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # by Windows, with any ending


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """Exercises that a class has to answer. The teacher keeps it: it holds the salt.

    Attributes:
        name: of the assignment, and of the folder of each hand-in.
        notebooks: ids of exercises, by the name of the notebook that asks them.
        version: of the package that made it.
        students: their ids; with none, all have the same numbers.
        salt: makes the numbers of the students others than those of another class.
        own: files with exercises of the teacher's own.
    """

    name: str
    notebooks: Mapping[str, Sequence[str]]
    version: str = dmlteach.__version__
    students: Sequence[str] = ()
    salt: str = ""
    own: Sequence[str] = ()

    def __post_init__(self) -> None:
        for kind, given in (("an assignment", [self.name]), ("a student", self.students)):
            if strange := [one for one in given if not ID.fullmatch(one)]:
                raise DMLTeachError(
                    f"{strange[0]!r} cannot be the id of {kind}: it names a folder; use letters, digits and "
                    "any of . _ - + @, and no dot at the end."
                )
            if reserved := [one for one in given if RESERVED.fullmatch(one)]:
                raise DMLTeachError(
                    f"{reserved[0]!r} cannot be the id of {kind}: Windows lets no folder have this name; use "
                    "another one."
                )
        one_folder: dict[str, str] = {}  # on systems that take A for a
        for student in self.students:
            if (other := one_folder.setdefault(student.casefold(), student)) != student:
                raise DMLTeachError(
                    f"the students {other!r} and {student!r} would have one folder on some systems; tell "
                    "them apart by more than capitals."
                )
        if twice := [one for one in self.students if list(self.students).count(one) > 1]:
            raise DMLTeachError(f"the student {twice[0]!r} is listed twice; list each once.")

    def ids(self) -> list[str]:
        """All exercises, in the order in which they are asked."""
        return [id for asked in self.notebooks.values() for id in asked]

    def variant(self, student: str, id: str) -> int | None:
        """The number from which an exercise's numbers follow; None where all have the same.

        Args:
            student: one of the class.
            id: of the exercise.
        """
        if not self.students:
            return None
        digest = hashlib.sha256("\n".join([self.salt, student, id]).encode()).digest()
        return int.from_bytes(digest[:4], "big")

    def asked(self, student: str, id: str) -> Exercise:
        """The exercise as this student has it.

        Args:
            student: one of the class.
            id: of the exercise.
        """
        exercise, variant = exercises.get(id), self.variant(student, id)
        return exercise if variant is None else exercise.variant(variant)

    def write(self, folder: Path) -> None:
        """Keep it in a folder of the teacher's, with a copy of their own exercises.

        Args:
            folder: where `assignment.json` goes.
        """
        for file in map(Path, self.own):
            files.write_text(folder / OWN / file.name, file.read_text(encoding="utf-8"))
        kept = asdict(self) | {"own": [f"{OWN}/{Path(file).name}" for file in self.own]}
        files.write_json(folder / FILE, kept)


def read(folder: Path) -> Assignment:
    """The assignment that a folder was made for.

    Args:
        folder: with `assignment.json`.

    Raises:
        DMLTeachError: there is none, it is damaged, or it names an exercise that does not exist or, if it
            is the teacher's own, cannot be used.
    """
    path = folder / FILE
    cure = "it is written by `dmlteach assignment make`, and collecting needs it: give its folder."
    if not path.exists():
        raise DMLTeachError(f"there is no {path}; {cure}")
    content: Any = files.read_json(path, cure)
    try:
        own = [str(folder.resolve() / name) for name in content.get("own", [])]
        found = Assignment(**content | {"own": own})
        ids = found.ids()
    except (TypeError, AttributeError) as error:
        raise files.damaged(path, str(error), cure) from error
    exercises.use_own(*found.own)
    for id in ids:
        exercises.get(id)
    return found
