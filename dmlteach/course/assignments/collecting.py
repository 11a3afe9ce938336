"""Collects an assignment: every hand-in in a process of its own, watched for time and memory."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

import psutil

from dmlteach.course.assignments.assignment import Assignment
from dmlteach.course.assignments.hand_ins import HandIn
from dmlteach.course.assignments.rerun import Answer, Asked, rerun
from dmlteach.course.exercises.replies import NOT_YET

PER_ANSWER, PER_HAND_IN = 20.0, 60.0  # seconds
GRACE = 5.0  # beyond the first, in which an answer is told by the check itself that it took too long
MEMORY = 2 * 1024**3  # bytes that a process and its children may hold
LOOKS = 0.1  # seconds between two looks at a process
NO_TIME = f"its notebook had taken its {PER_HAND_IN:g} s before"
ENDED = "its code ended Python"


@dataclass
class _Running:
    """A hand-in that runs."""

    hand_in: HandIn
    asked: dict[str, Asked]
    answers: dict[str, Answer] = field(default_factory=dict)
    process: Any = None
    results: Connection | None = None
    current: str = ""
    began: float = 0.0  # of the answer
    started: float = field(default_factory=time.monotonic)  # of the hand-in

    def start(self) -> None:
        """Begin with the answers that are not there yet."""
        context: Any = multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn")
        self.results, theirs = context.Pipe(duplex=False)
        left = {id: asked for id, asked in self.asked.items() if id not in self.answers}
        self.process = context.Process(target=rerun, args=(self.hand_in.cells, left, theirs), daemon=False)
        self.process.start()
        theirs.close()
        self.current, self.began = "", time.monotonic()

    def take(self) -> bool:
        """Take what has come; whether the process has ended."""
        assert self.results is not None
        try:
            while self.results.poll():
                come = self.results.recv()
                if isinstance(come, Answer):
                    self.answers[come.id], self.current = come, ""
                else:
                    self.current = come
                self.began = time.monotonic()
        except EOFError:
            return True
        return False

    def too_much(self) -> str:
        """What the hand-in takes too much of; "" while it does not."""
        now = time.monotonic()
        if now - self.started > PER_HAND_IN:
            return f"stopped: its notebook took more than {PER_HAND_IN:g} s"
        if now - self.began > PER_ANSWER + GRACE:
            return f"stopped after {PER_ANSWER:g} s; does a loop end?"
        if _held(self.process.pid) > MEMORY:
            return f"stopped: it took more than {MEMORY / 1024**3:g} GB of memory"
        return ""

    def stop(self, words: str) -> None:
        """End the process, and note why the answer it was at is not right."""
        _kill(self.process.pid)
        self.process.join()
        self.take()  # what it had sent before
        if self.current:
            self.answers[self.current] = Answer(self.current, NOT_YET, words, mistake=words)
        if time.monotonic() - self.started > PER_HAND_IN:
            for id in self.asked.keys() - self.answers.keys():
                self.answers[id] = Answer(id, NOT_YET, NO_TIME, mistake=NO_TIME)

    def goes_on(self) -> bool:
        """After its process has ended: begin anew with what is left; whether there is anything."""
        self.process.join()
        assert self.results is not None
        self.results.close()
        if self.current:  # it took Python with it
            self.answers[self.current] = Answer(self.current, NOT_YET, ENDED, mistake=ENDED)
        if left := self.asked.keys() - self.answers.keys():
            if not self.current and not self.answers:  # it cannot even begin
                self.answers |= {id: Answer(id, NOT_YET, ENDED, mistake=ENDED) for id in left}
                return False
            self.start()
        return bool(left)


def collect(
    assignment: Assignment,
    hand_ins: Sequence[HandIn],
    jobs: int = 1,
    report: Callable[[HandIn], None] = lambda hand_in: None,
) -> list[tuple[HandIn, dict[str, Answer]]]:
    """Run the answers of all hand-ins that have cells to run, some side by side.

    Args:
        assignment: what was asked of whom.
        hand_ins: as `hand_ins.hand_ins` finds them.
        jobs: processes at a time, one thread each.
        report: is called with each hand-in that is done.

    Returns:
        The hand-ins in their order, with the answers by exercise; none where nothing was run.
    """
    every = [_Running(one, asked_of(assignment, one) if one.cells else {}) for one in hand_ins]
    waiting = [one for one in every if one.asked]
    running: list[_Running] = []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                running.append(waiting.pop(0))
                running[-1].started = time.monotonic()
                running[-1].start()
            wait([one.results for one in running if one.results], timeout=LOOKS)
            for one in list(running):
                if not _still(one):
                    running.remove(one)
                    report(one.hand_in)
    finally:  # also after Ctrl-C
        for one in running:
            _kill(one.process.pid)
    return [(one.hand_in, one.answers) for one in every]


def asked_of(assignment: Assignment, hand_in: HandIn) -> dict[str, Asked]:
    """The exercises of a hand-in with its student's numbers, and with those of others.

    Args:
        assignment: what was asked of whom.
        hand_in: of a student.
    """
    found = {}
    for exercise in assignment.notebooks[hand_in.notebook]:
        own = assignment.asked(hand_in.student, exercise)
        others = {} if not own.has_own_numbers else {
            student: other
            for student in assignment.students
            if student != hand_in.student and (other := assignment.asked(student, exercise)).text != own.text
        }  # fmt: skip
        found[exercise] = Asked(own, others)
    return found


def _still(one: _Running) -> bool:
    """Whether a hand-in goes on running."""
    ended = one.take()
    if not ended and (words := one.too_much()):
        one.stop(words)
        one.current = ""
        ended = True
    return not ended or one.goes_on()


def _held(pid: int) -> int:
    """Bytes of memory that a process and those that it has started hold."""
    return sum(_resident(process) for process in _family(pid))


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:  # it has ended
        return 0


def _kill(pid: int) -> None:
    for process in reversed(list(_family(pid))):
        with suppress(psutil.Error):
            process.kill()


def _family(pid: int) -> Iterator[psutil.Process]:
    with suppress(psutil.Error):
        parent = psutil.Process(pid)
        yield parent
        yield from parent.children(recursive=True)
