"""What a class did not understand, as one page: by exercise, by mistake; students by their ids alone."""

import html
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import median

from dmlteach.course import exercises
from dmlteach.course.assignments import marks
from dmlteach.course.assignments.assignment import Assignment
from dmlteach.course.assignments.hand_ins import SUBMITTED
from dmlteach.course.exercises import five_questions, progress
from dmlteach.course.exercises.kinds import letters_of
from dmlteach.course.exercises.progress import Record
from dmlteach.course.exercises.replies import NOT_YET, RIGHT, TO_COMPARE, UNANSWERED
from dmlteach.errors import DMLTeachError

STYLE = """
:root { color-scheme: light dark; --line: #8886; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid var(--line); }
td:first-child { min-width: 10rem; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.bar { display: flex; height: 1rem; min-width: 8rem; border: 1px solid currentColor; }
.bar > i { display: block; }
.bar > .right { background: #0072b2; }
.bar > .wrong { background: repeating-linear-gradient(45deg, #d55e00 0 4px, transparent 4px 8px); }
ul { margin: .2rem 0; padding-left: 1.2rem; }
.say { margin: .3rem 0; font-style: italic; }
.wide { overflow-x: auto; }
"""
HEAD = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
"""
LONGEST_GAP = 60  # minutes: a longer one was a pause
OFTEN = 0.25  # of the answers: where so many are not right, what to say stands beside the exercise


def page(assignment: Assignment, collected: marks.Collected, kept: Mapping[str, Mapping[str, Record]]) -> str:
    """The overview of a class.

    Args:
        assignment: what was asked.
        collected: hand-ins and their answers.
        kept: progress by exercise, of each student who has handed in that file, too.
    """
    title = f"{assignment.name}: what the class has answered"
    parts = [*_class(assignment, collected), *_by_exercise(assignment, collected, kept)]
    parts += [*_questions(kept), *_notes(assignment, collected)]
    body = "\n".join([f"<h1>{_text(title)}</h1>", *parts])
    return f"{HEAD}<title>{_text(title)}</title>\n<style>{STYLE}</style>\n<main>\n{body}\n</main>\n</html>\n"


def progress_files(folder: Path, assignment: Assignment) -> dict[str, dict[str, Record]]:
    """Exported progress that lies beside hand-ins: information for the teacher, and never marked.

    Args:
        folder: as that of the hand-ins.
        assignment: that was handed out.
    """
    root = folder / SUBMITTED
    found = {}
    for path in sorted(root.glob(f"*/{assignment.name}/*.json")):
        try:
            found[path.relative_to(root).parts[0]] = progress.exported(path)
        except DMLTeachError:
            continue  # another JSON file: progress is no part of a hand-in
    return found


def _class(assignment: Assignment, collected: marks.Collected) -> Iterator[str]:
    rows = list(marks.marks(assignment, collected, None))
    scores, ran = (
        [row["score"] for row in rows],
        {hand_in.student for hand_in, answers in collected if answers},
    )
    yield (
        f"<p>{len(rows)} students, {len(ran)} of whom handed in what could be run. Of {rows[0]['max_score']} "
        f"points they have {median(scores):g} in the median, {min(scores)} to {max(scores)}.</p>"
    )


def _by_exercise(
    assignment: Assignment, collected: marks.Collected, kept: Mapping[str, Mapping[str, Record]]
) -> Iterator[str]:
    """A row for each exercise: how often it was right, and the mistakes that were recognised."""
    answers, known = marks.by_student(collected), marks.mistakes(collected)
    minutes = _minutes(kept)
    rows = []
    for id in assignment.ids():
        counted = Counter(one[id].status for one in answers.values() if id in one)
        exercise, number = exercises.get(id), sum(counted.values())
        about = (
            f"<b>{_text(exercise.number)} {_text(exercise.title)}</b>{_mistakes(known.get(id, Counter()))}"
        )
        median_minutes = f"{median(minutes[id]):.0f}" if minutes.get(id) else ""
        counts = [counted[s] for s in (RIGHT, NOT_YET, UNANSWERED)]
        if counted[TO_COMPARE]:
            about += f"<br>{counted[TO_COMPARE]} texts to read"
        if (
            exercise.teaching.say
            and counted[NOT_YET]
            and counted[NOT_YET] >= OFTEN * (counted[RIGHT] + counted[NOT_YET])
        ):
            about += f'<p class="say">Ask: {_text(exercise.teaching.say)}</p>'
        rows.append([about, _bar(counts, number), *map(str, counts), median_minutes])
    head = ["exercise, and mistakes that were recognised", "right, not yet", RIGHT, NOT_YET, "no answer"]
    yield "<h2>By exercise</h2>"
    if not minutes:
        yield _table(head, [row[:-1] for row in rows], numbers=3)
    else:
        yield _table([*head, "minutes"], rows, numbers=4)
        yield (
            "<p>Minutes are the median over students who handed in their progress, too: the time since their "
            f"exercise before, where that is no more than {LONGEST_GAP}.</p>"
        )


def _mistakes(counted: Counter[str]) -> str:
    items = "".join(f"<li>{number} × {_text(words)}</li>" for words, number in counted.most_common())
    return f"<ul>{items}</ul>" if items else ""


def _bar(counts: Sequence[int], number: int) -> str:
    right, wrong = (100 * count / max(number, 1) for count in counts[:2])
    words = f"{counts[0]} of {number} right, {counts[1]} not yet"
    return (
        f'<div class="bar" role="img" aria-label="{words}"><i class="right" style="width: {right:.0f}%"></i>'
        f'<i class="wrong" style="width: {wrong:.0f}%"></i></div>'
    )


def _minutes(kept: Mapping[str, Mapping[str, Record]]) -> dict[str, list[float]]:
    """Minutes between an exercise's last change and that of the one before, by exercise."""
    found: dict[str, list[float]] = {}
    for records in kept.values():
        timed = sorted((datetime.fromisoformat(r.when), id) for id, r in records.items() if r.when)
        for (before, _), (after, id) in pairwise(timed):
            minutes = (after - before).total_seconds() / 60
            if minutes <= LONGEST_GAP:
                found.setdefault(id, []).append(minutes)
    return found


def _questions(kept: Mapping[str, Mapping[str, Record]]) -> Iterator[str]:
    """How many chose what is right when the course opened, and when it closed."""
    rows = []
    for opening, closing in five_questions.QUESTIONS:
        right = {letter for letter, option in opening.options.items() if option.right}
        counts = [_right(kept, question.id, right) for question in (opening, closing)]
        if any(of for _, of in counts):
            rows.append([_text(opening.title), *(f"{n} of {of}" for n, of in counts)])
    if rows:
        yield "<h2>The five questions</h2>"
        yield _table(["question", "right at the beginning", "right at the end"], rows, numbers=2)


def _right(kept: Mapping[str, Mapping[str, Record]], id: str, right: set[str]) -> tuple[int, int]:
    answers = [records[id].answer for records in kept.values() if id in records and records[id].answer]
    return sum(letters_of(json.loads(answer)) == right for answer in answers), len(answers)


def _notes(assignment: Assignment, collected: marks.Collected) -> Iterator[str]:
    rows = [
        [_text(note["student_id"]), _text(note["what"]), _text(note["note"])]
        for note in marks.notes(assignment, collected)
    ]
    yield "<h2>To look at</h2>"
    yield _table(["student", "what", "note"], rows) if rows else "<p>Nothing.</p>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 0) -> str:
    """A table; its last columns hold numbers."""

    def line(tag: str, cells: Sequence[str]) -> str:
        kinds = ["" if i < len(cells) - numbers else ' class="number"' for i in range(len(cells))]
        return "<tr>" + "".join(f"<{tag}{k}>{c}</{tag}>" for k, c in zip(kinds, cells, strict=True)) + "</tr>"

    body = "\n".join(line("td", row) for row in rows)
    return (
        f'<div class="wide"><table><thead>{line("th", head)}</thead><tbody>\n{body}\n</tbody></table></div>'
    )


def _text(words: str) -> str:
    return html.escape(words)
