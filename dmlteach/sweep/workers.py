"""Workers that train: a process for each run, one thread each, as many side by side as asked for."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Protocol, TypeVar

from dmlteach.sweep.one import Outcome
from dmlteach.train.config import TrainConfig

PROGRAM = ("-m", "dmlteach.sweep.one")  # of a worker, for Python
LOG = "log.txt"
LAST_LINES = 5  # of it are told where a worker died
PAUSE = 0.5  # seconds after which a driver looks whether it is to stop, or whether a run has become free
SAVING = 120.0  # seconds for which workers whose driver is gone may take to save what they have
_Name = TypeVar("_Name")


class AtWork(Protocol):
    """Whoever trains a run."""

    def outcome(self) -> Outcome:
        """Wait until the training has ended, and say what has become of the run."""

    def stop(self) -> None:
        """Let it save and end; may be called again."""

    def kill(self) -> None:
        """End it at once; its run goes on from its last checkpoint."""


def run_all(
    take: Callable[[], tuple[_Name, TrainConfig] | None],
    jobs: int,
    report: Callable[[_Name, Outcome], None],
    stop: threading.Event,
    begin: Callable[[TrainConfig], AtWork],
) -> None:
    """Train until nothing is left to take and all that was taken has ended.

    Args:
        take: gives the next run, by a name, or None where there is none at the moment.
        jobs: runs side by side.
        report: told of each run that has ended, in the thread of the caller, as `take` is called there.
        stop: takes no more once it is set, and ends what is running in good order.
        begin: gives a run to who trains it.
    """
    running: dict[Future, tuple[_Name, AtWork]] = {}
    with ThreadPoolExecutor(jobs) as pool:
        try:
            while True:
                while len(running) < jobs and not stop.is_set() and (taken := take()):
                    worker = begin(taken[1])
                    running[pool.submit(worker.outcome)] = taken[0], worker
                if not running:
                    return
                for future in wait(running, PAUSE, FIRST_COMPLETED).done:
                    report(running.pop(future)[0], future.result())
                if stop.is_set():
                    for _, worker in running.values():
                        worker.stop()
        finally:
            for _, worker in running.values():  # only after an error, or a second Ctrl-C
                worker.kill()


class Worker:
    """A process that trains one run. It stops in good order when this one is gone.

    Args:
        config: of the run, whose folder is made; what its process says goes to log.txt there.
        program: that it runs, for Python; None: the usual one.
    """

    def __init__(self, config: TrainConfig, program: Sequence[str] | None = None):
        folder = Path(config.output or ".")
        folder.mkdir(parents=True, exist_ok=True)
        self.log, self.started, self._stopped = folder / LOG, time.perf_counter(), False
        command = [sys.executable, *(program or PROGRAM), json.dumps(asdict(config))]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                start_new_session=True,  # Ctrl-C is for the driver, which tells its workers
            )  # fmt: skip

    def outcome(self) -> Outcome:
        """Wait until the process has ended, and say what has become of the run."""
        assert self.process.stdout is not None
        said = self.process.stdout.read()
        code = self.process.wait()
        self._close()
        self.process.stdout.close()
        with suppress(ValueError, TypeError):
            return Outcome(**json.loads(said))
        seconds = time.perf_counter() - self.started
        if self._stopped:
            return Outcome("interrupted", seconds=seconds)
        return Outcome(
            "died", f"its process {_in_words(code)}; {self.log} {_end_of(self.log)}", seconds=seconds
        )

    def stop(self) -> None:
        """Let it save and end."""
        self._stopped = True
        self._close()

    def kill(self) -> None:
        """End it at once; its run goes on from its last checkpoint."""
        self._stopped = True
        self.process.kill()

    def _close(self) -> None:
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.close()


def usual_jobs(device: str) -> int:
    """Processes side by side where nobody says how many: one a core, or one for a GPU.

    Args:
        device: as `TrainConfig` has it.
    """
    from dmlteach.device import choose_device  # torch, which what only starts processes does without

    if choose_device(device).type != "cpu":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _in_words(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    with suppress(ValueError):
        name = signal.Signals(-code).name
        reason = ", as by a system that is out of memory" if name == "SIGKILL" else ""
        return f"was ended by {name}{reason}"
    return f"was ended by signal {-code}"


def _end_of(log: Path) -> str:
    with suppress(OSError), open(log, "rb") as file:
        file.seek(max(0, log.stat().st_size - 4000))
        lines = file.read().decode(errors="replace").split("\n")
        if shown := [line.strip() for line in lines if line.strip()][-LAST_LINES:]:
            return "ends: " + " / ".join(shown)
    return "says nothing."
