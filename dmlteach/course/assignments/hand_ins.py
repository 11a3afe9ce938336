"""What was handed in: which file is whose, and what is odd about it before anything is run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import nbformat

import dmlteach
from dmlteach.course.assignments.assignment import Assignment
from dmlteach.course.assignments.handing_out import METADATA
from dmlteach.errors import DMLTeachError

SUBMITTED = "submitted"  # nbgrader's name for what is handed in
TIMESTAMP = "timestamp.txt"  # in which nbgrader keeps when


@dataclass
class HandIn:
    """A notebook of a student.

    Attributes:
        student: whose folder it lies in.
        notebook: the chapter that it answers, "" where that cannot be told.
        file: where it lies.
        when: it was handed in, UTC.
        cells: source of its code cells; none where it is not to be run.
        notes: (what is odd, a sentence), for the teacher.
    """

    student: str
    notebook: str
    file: Path
    when: datetime
    cells: list[str] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)


def hand_ins(folder: Path, assignment: Assignment, due: datetime | None = None) -> list[HandIn]:
    """Every notebook that was handed in; the newest of each student and chapter is to be run.

    Args:
        folder: of the assignment, with `submitted/STUDENT/ASSIGNMENT/NAME.ipynb`.
        assignment: that was handed out.
        due: what comes later is late; default: nothing is.

    Raises:
        DMLTeachError: no notebook of the assignment lies there.
    """
    root = folder / SUBMITTED
    files = sorted(root.glob("*/*/*.ipynb")) + sorted(root.glob("*/*.ipynb")) + sorted(root.glob("*.ipynb"))
    files = [file for file in files if ".ipynb_checkpoints" not in file.parts]
    found = [hand_in for file in files if (hand_in := _read(root, file, assignment))]
    if not found:
        raise DMLTeachError(
            f"no notebook of {assignment.name} lies below {root}; put hand-ins in "
            f"{SUBMITTED}/STUDENT/{assignment.name}/."
        )
    for hand_in in found:
        hand_in.notes += _odd(hand_in, assignment, due)
    return _newest(found)


def _read(root: Path, file: Path, assignment: Assignment) -> HandIn | None:
    """A hand-in as it lies there; None for one of another assignment."""
    place = file.relative_to(root).parts
    if len(place) == 3 and place[1] != assignment.name:
        return None
    hand_in = HandIn(place[0] if len(place) > 1 else "", "", file, _handed_in(file))
    if len(place) != 3:
        where = f"STUDENT/{assignment.name}/{file.name}"
        hand_in.notes.append(("misplaced", f"it lies at {'/'.join(place)}, and not at {where}"))
    try:
        page = nbformat.read(file, as_version=4)
        about = dict(page.metadata.get(METADATA, {}))
        hand_in.cells = [cell.source for cell in page.cells if cell.cell_type == "code"]
    except Exception as error:  # nbformat raises whatever its parts raise
        reason = " ".join(str(error).split())[:200]
        hand_in.notes.append(("unreadable", f"it cannot be read as a notebook: {reason}"))
        hand_in.notebook = file.stem if file.stem in assignment.notebooks else ""
        return hand_in
    hand_in.student = hand_in.student or str(about.get("student", ""))
    hand_in.notebook = _notebook(file.stem, about, hand_in.cells, assignment)
    hand_in.notes += _about(hand_in, about)
    return hand_in


def _notebook(stem: str, about: Mapping, cells: list[str], assignment: Assignment) -> str:
    """Which chapter it answers: by what it says of itself, its name, or else what it checks."""
    for name in (about.get("notebook"), stem):
        if name in assignment.notebooks:
            return str(name)
    checked = {n: sum(f'"{id}"' in c for id in ids for c in cells) for n, ids in assignment.notebooks.items()}
    best = max(checked, key=lambda name: checked[name])
    return best if checked[best] else ""


def _about(hand_in: HandIn, about: Mapping) -> Iterator[tuple[str, str]]:
    """What a notebook says of itself that does not fit; one of another version is not run."""
    made_for, version = str(about.get("student", "")), str(about.get("version", ""))
    if made_for and made_for != hand_in.student:
        yield (
            "another's notebook",
            f"it was made for {made_for}, and its answers are compared with those of the folder",
        )
    if not about:
        yield (
            "unmarked origin",
            "it does not say which assignment it is; it is taken for one by what it holds",
        )
    elif version.split(".")[:2] != dmlteach.__version__.split(".")[:2]:
        yield (
            "other version",
            f"it was made by dmlteach {version or '?'}, this is {dmlteach.__version__}: not run",
        )
        hand_in.cells = []
    elif version != dmlteach.__version__:
        yield "older version", f"it was made by dmlteach {version}; marked by {dmlteach.__version__}"


def _odd(hand_in: HandIn, assignment: Assignment, due: datetime | None) -> Iterator[tuple[str, str]]:
    """What is odd about its time, its name and its student."""
    if due and hand_in.when > due:
        minutes = (hand_in.when - due).total_seconds() / 60
        yield "late", f"by {minutes / 60:.1f} hours" if minutes >= 90 else f"by {max(minutes, 1):.0f} minutes"
    if not hand_in.notebook:
        if hand_in.cells:
            yield "unknown", "it holds no exercise of this assignment: not run"
            hand_in.cells = []
    elif hand_in.file.stem != hand_in.notebook:
        yield "renamed", f"it is {hand_in.notebook}.ipynb"
    if assignment.students and hand_in.student not in assignment.students:
        yield (
            "unknown student",
            f"{hand_in.student or 'nobody'} is not in the list, and has no numbers: not run",
        )
        hand_in.cells = []


def _newest(found: list[HandIn]) -> list[HandIn]:
    """Of several that answer one chapter the newest is run; the others are told."""
    found = sorted(found, key=lambda one: one.when, reverse=True)
    taken: set[tuple[str, str]] = set()
    for hand_in in found:
        if hand_in.cells and (key := (hand_in.student, hand_in.notebook)) in taken:
            hand_in.notes.append(("older", "a newer one of the same chapter is marked instead"))
            hand_in.cells = []
        elif hand_in.cells:
            taken.add(key)
    return sorted(found, key=lambda one: (one.student, one.notebook, one.file))


def _handed_in(file: Path) -> datetime:
    """By the timestamp that nbgrader keeps beside it, else by the file's last change."""
    stamp = file.parent / TIMESTAMP
    if stamp.exists():
        try:
            when = datetime.fromisoformat(stamp.read_text(encoding="utf-8").strip().removesuffix(" UTC"))
            return when if when.tzinfo else when.replace(tzinfo=UTC)
        except (ValueError, UnicodeDecodeError):
            pass  # as good as none
    return datetime.fromtimestamp(file.stat().st_mtime, UTC)
