"""A training in a thread of its own: the notebook and the figure go on answering meanwhile."""

import atexit
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace

import torch

from dmlteach.course.recordings import replay
from dmlteach.train import Run, TrainConfig, fit

EPOCHS: int = replay.COMMON["epochs"]


class _CompleteError(Exception):
    """The last epoch is over. The test of the whole test set, which would follow, nobody looks at."""


class LiveRun:
    """One training under the conditions of the recorded runs; starting another ends it.

    Args:
        config: of the run; its folder is a temporary one.
        report: called in the thread with this object, after every epoch and at the end.

    Attributes:
        run: what has been recorded; None before the first report.
        status: "starting", "training", and at the end "finished", "stopped" or "failed".
        error: what made it fail.
    """

    _newest: "LiveRun | None" = None  # of this process

    def __init__(self, config: TrainConfig, report: Callable[["LiveRun"], None]):
        self.config, self._report = config, report
        self.run: replay.RecordedRun | None = None
        self.status = "starting"
        self.error: Exception | None = None
        self._stopping = threading.Event()
        # A daemon: it must not keep a process that ends.
        self._thread = threading.Thread(target=self._train, name="train live", daemon=True)

    @staticmethod
    @atexit.register
    def end_newest() -> None:
        """End what trains; a process that ends while a thread is inside torch would abort."""
        if LiveRun._newest is not None:
            LiveRun._newest.stop()
            LiveRun._newest.wait()

    @property
    def epoch(self) -> int:
        """The newest epoch, 0 before training."""
        return len(self.run.loss) - 1 if self.run else 0

    def start(self) -> None:
        """Begin, once the training before has ended."""
        LiveRun.end_newest()
        LiveRun._newest = self
        self._thread.start()

    def stop(self) -> None:
        """Ask for the end, which comes after the current step; returns at once."""
        self._stopping.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Whether the thread has ended, within so many seconds.

        Args:
            seconds: to wait at most; None: until it ends.
        """
        if threading.current_thread() is not self._thread:
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def _train(self) -> None:
        before = torch.get_num_threads()
        torch.set_num_threads(1)  # of this thread: the other cores stay free for the notebook
        try:
            self._fit()
        except _CompleteError:
            self.status = "finished"
        except KeyboardInterrupt:
            self.status = "stopped"
        except Exception as error:
            self.status, self.error = "failed", error
        torch.set_num_threads(before)  # what threads to come start with
        self._report(self)

    def _fit(self) -> None:
        recorder = replay.Measured(self.config)

        def watch(run: Run) -> None:
            if self._stopping.is_set():
                raise KeyboardInterrupt
            recorder(run)
            self.run, self.status = recorder.so_far(), "training"
            if run.over():
                raise _CompleteError
            self._report(self)

        with tempfile.TemporaryDirectory() as folder:
            fit(replace(self.config, output=f"{folder}/run"), watch, self._stopping)
