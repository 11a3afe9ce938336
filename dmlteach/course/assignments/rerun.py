"""Runs the answers of one hand-in, in a process of its own; what is found is sent as soon as it is there.

This keeps a mistake from harming the marks of others. It is no security boundary: the code of a hand-in can
do all that the teacher's account can.
"""

import contextlib
import os
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from multiprocessing.connection import Connection
from typing import Any

import torch
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from dmlteach.course import exercises
from dmlteach.course.assignments import cells
from dmlteach.course.assignments.assignment import Assignment
from dmlteach.course.exercises import answers as limits
from dmlteach.course.exercises import progress
from dmlteach.course.exercises.kinds import Choice, Exercise, Function, Number, Reflection, letters_of
from dmlteach.course.exercises.replies import NOT_YET, RIGHT, UNANSWERED, Reply

NO_CELL = "no cell checks it"
FAILED = re.compile(r"your code raised \w+|(?:your code|the check) was stopped after ([\d.]+) s")


@dataclass(frozen=True)
class Asked:
    """An exercise as a student has it, and as others have it.

    Attributes:
        exercise: the student's.
        others: the same exercise with other numbers, by who has them; only where numbers are asked for.
    """

    exercise: Exercise
    others: Mapping[str, Exercise]


@dataclass(frozen=True)
class Answer:
    """What running an answer has shown.

    Attributes:
        id: of the exercise.
        status: of its reply.
        words: of the reply.
        mistake: the known one that was recognised, or the letters that were wrong; "" where none is.
        text: of a reflection, for the teacher to read.
        right_for: students for whom it would be right, where no mistake explains it.
        fingerprint: of the code of a wrong function: equal where only names of the file and blanks differ.
        seconds: it took.
    """

    id: str
    status: str
    words: str = ""
    mistake: str = ""
    text: str = ""
    right_for: tuple[str, ...] = ()
    fingerprint: str = ""
    seconds: float = 0.0

    @property
    def waited(self) -> bool:
        """Whether it was stopped before it had worked its time: this computer was busy, or the code waits."""
        failed = FAILED.match(self.words)
        return bool(failed and failed[1] and float(failed[1]) > limits.LIMIT)


def rerun(
    code: Sequence[str], assignment: Assignment, student: str, ids: Sequence[str], results: Connection
) -> None:
    """Run what answers each exercise, one after the other, each as if the others were not there.

    Args:
        code: of the hand-in's cells.
        assignment: what was asked of whom.
        student: who has handed in.
        ids: of the exercises to run.
        results: receives the id of an exercise when it begins, and its `Answer`.
    """
    torch.set_num_threads(1)
    exercises.use_own(*assignment.own)  # the teacher's file, whatever a student has made of theirs
    exercises.use_own = lambda *files: None
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w", encoding="utf-8") as nowhere:
        os.chdir(folder)  # files that it writes go with the process
        os.environ[progress.VARIABLE] = os.path.join(folder, "progress.json")
        os.environ["MPLBACKEND"] = "agg"
        with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            read = [cells.read(source) for source in code]
            for id, one in _asked(assignment, student, ids).items():
                results.send(id)
                began = time.monotonic()
                answer = _answer(read, id, one)
                seconds = round(time.monotonic() - began, 2)
                results.send(Answer(**{**vars(answer), "seconds": seconds}))
        os.chdir(os.sep)
    results.close()


def _asked(assignment: Assignment, student: str, ids: Sequence[str]) -> dict[str, Asked]:
    """Exercises with the numbers of a student, and with those of others."""
    found = {}
    for exercise in ids:
        own = assignment.asked(student, exercise)
        others = {} if not own.has_own_numbers else {
            one: other
            for one in assignment.students
            if one != student and (other := assignment.asked(one, exercise)).text != own.text
        }  # fmt: skip
        found[exercise] = Asked(own, others)
    return found


def _answer(read: Sequence[cells.Cell], asked_for: str, asked: Asked) -> Answer:
    found: dict[str, tuple[Reply, Any]] = {}

    def check(id: str, answer: Any) -> Reply:
        exercise = asked.exercise if id == asked_for else exercises.get(id)
        reply = exercises.judged(exercise, answer)
        found[id] = reply, answer
        return reply

    needed = cells.needed(read, asked_for)
    if not needed:
        return Answer(asked_for, UNANSWERED, NO_CELL)
    exercises.check = check  # in this process alone
    problem = _run(needed)
    if asked_for not in found:
        words = problem or "its cell ran, and its check did not"
        return Answer(asked_for, NOT_YET, words, failed[0] if (failed := FAILED.match(words)) else "")
    reply, answer = found[asked_for]
    return _told(asked_for, asked, reply, answer, needed[-1])


def _run(needed: Sequence[cells.Cell]) -> str:
    """Run cells as one does in a notebook, also after one that failed; what the first of those has raised.

    Some are run only because they might change what the answer uses: that they fail need not harm it.
    """
    shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
    problem = ""
    for cell in needed:
        result = shell.run_cell(cell.source, store_history=False)
        if error := result.error_before_exec or result.error_in_exec:
            said = f"your code raised {type(error).__name__}: {' '.join(str(error).split())[:200]}"
            problem = problem or said
    return problem


def _told(id: str, asked: Asked, reply: Reply, answer: Any, cell: cells.Cell) -> Answer:
    exercise = asked.exercise
    text = answer if isinstance(exercise, Reflection) and isinstance(answer, str) else ""
    if reply.status != NOT_YET:
        return Answer(id, reply.status, reply.words, text=text)
    mistake = _mistake(exercise, reply, answer)
    others = {} if mistake else asked.others  # a known mistake is explained, whosever numbers it meets
    right_for = tuple(who for who, other in others.items() if other.judge(answer).status == RIGHT)
    written = sha256(_without_blanks(cell.source).encode()).hexdigest()[:16] if callable(answer) else ""
    return Answer(id, NOT_YET, reply.words, mistake, text, right_for, written)


def _mistake(exercise: Exercise, reply: Reply, answer: Any) -> str:
    """The mistake that the exercise knows, where the answer is one, or what the code did instead."""
    if failed := FAILED.match(reply.words):
        return failed[0]
    if isinstance(exercise, Function | Number):
        return reply.words if reply.words in {words for _, words in exercise.mistakes} else ""
    if isinstance(exercise, Choice) and (chosen := letters_of(answer)) is not None:
        right = {letter for letter, option in exercise.options.items() if option.right}
        added, missing = sorted(chosen - right), sorted(right - chosen)
        return "; ".join(
            f"{what} {', '.join(letters)}"
            for what, letters in (("chose", added), ("left out", missing))
            if letters
        )
    return ""


def _without_blanks(source: str) -> str:
    lines = (line.split("#")[0].split() for line in source.splitlines())
    return "\n".join(" ".join(words) for words in lines if words)
