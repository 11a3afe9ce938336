"""Collects an assignment: every hand-in in a process of its own, watched for time and memory."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

import psutil

from dmlteach.course.assignments.assignment import Assignment
from dmlteach.course.assignments.hand_ins import HandIn
from dmlteach.course.assignments.rerun import Answer, rerun
from dmlteach.course.exercises.answers import LIMIT, PATIENCE
from dmlteach.course.exercises.replies import NOT_YET

PER_ANSWER, PER_HAND_IN = LIMIT, 60.0  # seconds of work; PATIENCE times as many may pass
GRACE = 5.0  # beyond the first, in which an answer is told by the check itself that it took too long
MEMORY = 2 * 1024**3  # bytes that a process and its children may hold
LOOKS = 0.1  # seconds between two looks at a process
START = "fork" if hasattr(os, "fork") else "spawn"  # forked, a process need not import anything
OF_ALL = f"stopped: its notebook took more than {PER_HAND_IN:g} s"
NO_TIME = f"its notebook had taken its {PER_HAND_IN:g} s before"
ENDED = "its code ended Python"


class Spent(NamedTuple):
    """Seconds of work on all processors, and seconds that have passed."""

    work: float = 0.0
    passed: float = 0.0

    def __add__(self, other: "Spent") -> "Spent":  # type: ignore[override]
        return Spent(self.work + other.work, self.passed + other.passed)

    def __sub__(self, other: "Spent") -> "Spent":
        return Spent(self.work - other.work, self.passed - other.passed)

    def is_more_than(self, seconds: float) -> bool:
        """Whether so much was worked, or has passed with all the patience there is for a busy computer."""
        return self.work > seconds or self.passed > PATIENCE * seconds


NOTHING = Spent()


@dataclass
class _Running:
    """A hand-in that runs."""

    assignment: Assignment
    hand_in: HandIn
    answers: dict[str, Answer] = field(default_factory=dict)
    process: Any = None
    results: Connection | None = None
    asked: list[str] = field(default_factory=list)  # of the process
    current: str = ""
    began: Spent = NOTHING  # with the answer
    earlier: Spent = NOTHING  # by processes of the hand-in that have ended
    started: float = 0.0  # when the process did

    def left(self) -> list[str]:
        """Exercises without an answer so far."""
        return [id for id in self.assignment.notebooks[self.hand_in.notebook] if id not in self.answers]

    def start(self) -> None:
        """Begin with the answers that are not there yet."""
        context: Any = multiprocessing.get_context(START)
        self.results, theirs = context.Pipe(duplex=False)
        self.asked = self.left()
        what = (self.hand_in.cells, self.assignment, self.hand_in.student, self.asked)
        self.process = context.Process(target=rerun, args=(*what, theirs))
        self.started = time.monotonic()
        self.process.start()
        theirs.close()
        self.current, self.began = "", NOTHING

    def spent(self) -> Spent:
        """What the process has spent so far."""
        return Spent(sum(map(_worked, _family(self.process.pid))), time.monotonic() - self.started)

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
                self.began = self.spent()
        except EOFError:
            return True
        return False

    def too_much(self) -> str:
        """What the hand-in takes too much of; "" while it does not."""
        spent = self.spent()
        if (self.earlier + spent).is_more_than(PER_HAND_IN):
            return OF_ALL
        if (since := spent - self.began).is_more_than(PER_ANSWER + GRACE):
            seconds = PER_ANSWER if since.work > PER_ANSWER + GRACE else PATIENCE * PER_ANSWER
            return f"your code was stopped after {seconds:g} s; does a loop end?"
        if _held(self.process.pid) > MEMORY:
            return f"stopped: it took more than {MEMORY / 1024**3:g} GB of memory"
        return ""

    def stop(self, words: str) -> None:
        """End the process, and note why the answer it was at is not right; all, if it had begun none."""
        self.earlier += self.spent()
        _kill(self.process.pid)
        self.process.join()
        self.take()  # what it had sent before
        not_begun = self.asked if self.left() == self.asked else []
        stopped = [self.current] if self.current else not_begun
        self.answers |= {id: Answer(id, NOT_YET, words, mistake=words) for id in stopped}
        if words == OF_ALL:
            self.answers |= {id: Answer(id, NOT_YET, NO_TIME, mistake=NO_TIME) for id in self.left()}

    def goes_on(self) -> bool:
        """After its process has ended: begin anew with what is left; whether there is anything."""
        self.process.join()
        assert self.results is not None
        self.results.close()
        if self.current:  # it took Python with it
            self.answers[self.current] = Answer(self.current, NOT_YET, ENDED, mistake=ENDED)
        if self.left() == self.asked:  # it has not even begun
            self.answers |= {id: Answer(id, NOT_YET, ENDED, mistake=ENDED) for id in self.asked}
        elif self.left():
            self.start()
        return bool(self.left())


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
    every = [_Running(assignment, one) for one in hand_ins]
    waiting = [one for one in every if one.hand_in.cells]
    running: list[_Running] = []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                running.append(waiting.pop(0))
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


def _still(one: _Running) -> bool:
    """Whether a hand-in goes on running."""
    ended = one.take()
    if not ended and (words := one.too_much()):
        one.stop(words)
        one.current = ""
        ended = True
    return not ended or one.goes_on()


def _held(pid: int) -> int:
    """Bytes of memory that a process and those that it has started hold alone.

    What a forked process shares with this one costs nothing, however much this one holds.
    """
    return sum(_its_own(process) for process in _family(pid))


def _its_own(process: psutil.Process) -> int:
    try:
        return process.memory_full_info().uss
    except psutil.Error:  # it has ended
        return 0


def _worked(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:  # it has ended
        return 0.0
    return times.user + times.system


def _kill(pid: int) -> None:
    for process in reversed(list(_family(pid))):
        with suppress(psutil.Error):
            process.kill()


def _family(pid: int) -> Iterator[psutil.Process]:
    with suppress(psutil.Error):
        parent = psutil.Process(pid)
        yield parent
        yield from parent.children(recursive=True)
