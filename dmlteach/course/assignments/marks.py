"""What a class has reached: marks, every answer, and what the teacher should look at."""

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from dmlteach import files
from dmlteach.course import exercises
from dmlteach.course.assignments.assignment import Assignment
from dmlteach.course.assignments.hand_ins import HandIn
from dmlteach.course.assignments.rerun import Answer
from dmlteach.course.exercises.kinds import Reflection
from dmlteach.course.exercises.replies import RIGHT

Collected = Sequence[tuple[HandIn, Mapping[str, Answer]]]
# As nbgrader exports marks; what it knows of a student beside the id is not known here.
MARKS = (
    "assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email", "raw_score",
    "late_submission_penalty", "score", "max_score",
)  # fmt: skip
ANSWERS = ("student_id", "exercise", "title", "status", "words", "seconds", "text", "teacher")
NOTES = ("student_id", "file", "what", "note")
MISSING, COPIED, WAITED = "missing", "same wrong code", "stopped by the clock"
STOPPED_EARLY = (
    "before it had worked its time: this computer was busy, or the code waits; collect again with --jobs 1"
)


def marked(assignment: Assignment) -> list[str]:
    """Ids of the exercises that count: a point each. Reflections are for the teacher to read."""
    return [id for id in assignment.ids() if not isinstance(exercises.get(id), Reflection)]


def students(assignment: Assignment, collected: Collected) -> list[str]:
    """All of the class, and whoever else has handed in."""
    return list(dict.fromkeys([*assignment.students, *(hand_in.student for hand_in, _ in collected)]))


def by_student(collected: Collected) -> dict[str, dict[str, Answer]]:
    """Each student's answers by exercise, from all of their notebooks."""
    found: dict[str, dict[str, Answer]] = defaultdict(dict)
    for hand_in, answers in collected:
        found[hand_in.student] |= answers
    return found


def marks(assignment: Assignment, collected: Collected, due: datetime | None) -> Iterator[dict[str, Any]]:
    """A row for each student; whoever has handed in nothing that was run has 0 of all points.

    Args:
        assignment: what was asked.
        collected: hand-ins and their answers.
        due: until when.
    """
    counts, answers = marked(assignment), by_student(collected)
    for student in students(assignment, collected):
        when = [hand_in.when for hand_in, _ in collected if hand_in.student == student]
        score = sum(one.status == RIGHT for id, one in answers[student].items() if id in counts)
        yield dict.fromkeys(MARKS, "") | {
            "assignment": assignment.name,
            "duedate": due.isoformat() if due else "",
            "timestamp": max(when).isoformat(timespec="seconds") if when else "",
            "student_id": student,
            "raw_score": score,
            "late_submission_penalty": 0,
            "score": score,
            "max_score": len(counts),
        }


def every_answer(assignment: Assignment, collected: Collected) -> Iterator[dict[str, Any]]:
    """A row for each answer, with an empty column for the teacher's words on a reflection.

    Args:
        assignment: what was asked.
        collected: hand-ins and their answers.
    """
    answers = by_student(collected)
    for student in students(assignment, collected):
        for id, one in answers[student].items():
            row = {
                "student_id": student,
                "exercise": id,
                "title": exercises.get(id).title,
                "status": one.status,
            }
            yield row | {"words": one.words, "seconds": one.seconds, "text": one.text, "teacher": ""}


def notes(assignment: Assignment, collected: Collected) -> Iterator[dict[str, str]]:
    """What the teacher should look at: odd files, missing ones, answers that are somebody else's.

    Args:
        assignment: what was asked.
        collected: hand-ins and their answers.
    """
    for hand_in, answers in collected:
        about = {"student_id": hand_in.student, "file": str(hand_in.file)}
        for what, note in hand_in.notes:
            yield about | {"what": what, "note": note}
        for id, one in answers.items():
            if one.right_for:
                whose = ", ".join(one.right_for)
                yield about | {
                    "what": "right for another",
                    "note": f"{id}: the answer to the numbers of {whose}",
                }
            if one.waited:
                yield about | {"what": WAITED, "note": f"{id}: {STOPPED_EARLY}"}
    has = {(hand_in.student, hand_in.notebook) for hand_in, _ in collected if hand_in.cells}
    for student in assignment.students:
        for name in assignment.notebooks:
            if (student, name) not in has:
                file = f"{student}/{assignment.name}/{name}.ipynb"
                yield {
                    "student_id": student,
                    "file": file,
                    "what": MISSING,
                    "note": "nothing that can be run",
                }
    for id, group in _same_wrong(collected):
        for student in group:
            others = ", ".join(one for one in group if one != student)
            yield {"student_id": student, "file": "", "what": COPIED, "note": f"{id}: as {others} wrote it"}


def _same_wrong(collected: Collected) -> Iterator[tuple[str, list[str]]]:
    """Functions that are wrong and written alike, and by whom; right ones may well be alike."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for hand_in, answers in collected:
        for id, one in answers.items():
            if one.fingerprint:
                found[id, one.fingerprint].append(hand_in.student)
    return ((id, group) for (id, _), group in found.items() if len(set(group)) > 1)


def mistakes(collected: Collected) -> dict[str, Counter[str]]:
    """How often each mistake was recognised, by exercise."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for _, answers in collected:
        for id, one in answers.items():
            if one.mistake:
                found[id][one.mistake] += 1
    return found


def write(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """A CSV file, whole or not at all.

    Args:
        path: of the file.
        columns: in their order.
        rows: a value for each column.
    """
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows({name: _harmless(value) for name, value in row.items()} for row in rows)
    files.write_text(path, text.getvalue())


def _harmless(value: Any) -> Any:
    """A text of a student's that a spreadsheet would take for a formula gets a quote before it."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value
