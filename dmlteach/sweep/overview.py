"""Where a sweep stands: how much is done, the best so far, and how long the rest will take, in words."""

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from dmlteach.errors import counted
from dmlteach.sweep.index import Row
from dmlteach.sweep.one import Outcome

MEASURE = "recall@1"


class Overview:
    """What is known of the runs of a sweep while it goes on.

    Args:
        rows: of the index, as the sweep found it.
        jobs: processes side by side.
        stop: set where the sweep is to end.

    Attributes:
        states: state of each run, by its hash.
        running: when each run that this sweep trains was begun, by its folder.
        best: name of the best run so far, the classes it was measured on (val or test), its numbers there.
        failed: why runs have failed, by their folder.
    """

    def __init__(self, rows: Iterable[Row], jobs: int, stop: threading.Event | None = None):
        self.jobs, self.stop = jobs, stop
        self.states: dict[str, str] = {}
        self.running: dict[str, float] = {}
        self.failed: dict[str, str] = {}
        self.best: tuple[str, str, dict[str, Any]] | None = None
        self._seconds: dict[str, float] = {}
        self._rows: dict[str, Row] = {}
        self.update(rows)

    def update(self, rows: Iterable[Row]) -> None:
        """Learn what has become of all runs, those of other sweeps at the same index included.

        Args:
            rows: of the index.
        """
        for row in rows:
            self._rows[row.hash] = row
            self._enter(row, row.state, row.error, row.metrics, row.seconds)

    def open(self) -> Iterator[Row]:
        """Rows of the runs that are still to be trained."""
        return (row for hash, row in self._rows.items() if self.states[hash] not in ("done", "failed"))

    def begun(self, row: Row) -> None:
        """A run has been taken.

        Args:
            row: of the run.
        """
        self.states[row.hash] = "running"
        self.running[row.folder] = time.monotonic()

    def ended(self, row: Row, outcome: Outcome, state: str) -> str:
        """A run has ended.

        Args:
            row: of the run.
            outcome: of its process.
            state: what the index says of it now.

        Returns:
            What has become of it, in a sentence.
        """
        self.running.pop(row.folder, None)
        self._enter(row, state, outcome.error, outcome.metrics, row.seconds + outcome.seconds)
        if state == "done" and outcome.metrics:
            on, numbers = measured(outcome.metrics)
            return f"{row.folder} is done: Recall@1 {numbers[MEASURE]:.3f} {_among(on, numbers)}"
        if state == "failed":
            return f"{row.folder} has failed: {outcome.error}"
        again = f"; it is tried again: {outcome.error}" if outcome.state == "died" else ""
        return f"{row.folder} was interrupted{again}"

    def line(self) -> str:
        """The overview in one line."""
        counts = Counter(self.states.values())
        parts = [f"{counts['done']:,} of {counted(len(self.states), 'run')} done"]
        if counts["failed"]:
            parts.append(f"{counts['failed']:,} failed")
        elsewhere = counts["running"] - len(self.running)
        if elsewhere > 0:
            parts.append(f"{elsewhere:,} running elsewhere")
        if self.best:
            name, on, numbers = self.best
            parts.append(f"best so far {name}, Recall@1 {numbers[MEASURE]:.3f} {_among(on, numbers)}")
        left = self.seconds_left()
        if self.stop and self.stop.is_set() and self.running:
            parts.append("stopping, once what runs is saved")
        elif left is not None:
            parts.append(f"about {duration(left)} left")
        return "; ".join(parts)

    def at_work(self) -> list[str]:
        """The runs that this sweep trains at the moment, and for how long it has."""
        now = time.monotonic()
        return [f"{folder}, {duration(now - begun)}" for folder, begun in self.running.items()]

    def seconds_left(self) -> float | None:
        """How long the rest will take, told from runs that are done; None where nothing tells it."""
        left = sum(state in ("waiting", "interrupted", "running") for state in self.states.values())
        if not (left and self._seconds):
            return None
        each, now = sum(self._seconds.values()) / len(self._seconds), time.monotonic()
        spent = sum(min(now - begun, each) for begun in self.running.values())
        return max(left * each - spent, 0.0) / max(min(self.jobs, left), 1)

    def _enter(
        self, row: Row, state: str, error: str | None, metrics: dict[str, Any] | None, seconds: float
    ) -> None:
        self.states[row.hash] = state
        if state == "failed":
            self.failed[row.folder] = error or "no reason is known."
        if state == "done" and metrics:
            self._seconds[row.hash] = seconds
            on, numbers = measured(metrics)
            # One chooses on val; where no classes were held out there, the best on test is only named.
            if self.best is None or _rank(on, numbers) > _rank(*self.best[1:]):
                self.best = row.folder, on, numbers


def measured(metrics: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The classes on which runs may be chosen, val or else test, and the numbers there.

    Args:
        metrics: of a run that is done.
    """
    on = "val" if metrics.get("val") else "test"
    return on, metrics["val" if on == "val" else "final"]


def _rank(on: str, numbers: dict[str, Any]) -> tuple[bool, float]:
    return on == "val", numbers[MEASURE]


def _among(on: str, numbers: dict[str, Any]) -> str:
    return f"among {numbers['num_classes']:,} {on} classes"


def duration(seconds: float) -> str:
    """ "40 s", "12 min" or "3 h 20 min".

    Args:
        seconds: how many.
    """
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
