"""Trainings in forked processes, to which something happens at a moment of one's choice (Linux, macOS).

The parent imports everything once and starts no thread, so a child is a whole training for half a second.
"""

import contextlib
import os
import re
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Before NumPy and torch are there: their threads would not live on in a child.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

import torch

from dmlteach import data, files, neighbors, train
from dmlteach.errors import DMLTeachError
from dmlteach.train import held_out, plan

FINISHED, MISTAKE, INTERRUPTED, CRASHED = 0, 2, 130, 1  # exit codes of a training
PATIENCE = 300  # seconds after which a training hangs
Act = Callable[[files.Writer | None], None]  # what happens; the file is the one that is being written


class Lost(Exception):
    """A run that did not survive, and what was done to it."""


def prepare() -> None:
    """Load what a training loads late, once for all children; nothing may have started a thread."""
    torch.set_num_threads(1)
    torch.optim.Adam([torch.zeros(1)])  # imports torch's compiler
    neighbors.import_faiss()
    for split in ("fit", "val", "test"):
        data.load("omniglot", split)
    threads = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1
    assert threads == 1, "a process with threads must not be forked"


@dataclass(frozen=True)
class Training:
    """A training that has been started, in one process or several.

    Attributes:
        processes: ids, by rank.
        log: what all of them have said.
    """

    processes: list[int]
    log: Path
    codes: dict[int, int] = field(default_factory=dict)

    def wait(self) -> list[int]:
        """Exit codes by rank, negative after a signal.

        Raises:
            Lost: one of them does not end.
        """
        end = time.monotonic() + PATIENCE
        while len(self.codes) < len(self.processes):
            self.look()
            if time.monotonic() > end:
                self.kill()
                raise Lost(f"it hangs: {self.said()}")
            time.sleep(0.005)
        return [self.codes[process] for process in self.processes]

    def kill(self) -> None:
        """End all processes at once, as when the power goes."""
        self.look()
        for process in self.processes:
            if process not in self.codes:
                os.kill(process, signal.SIGKILL)

    def said(self) -> str:
        return self.log.read_text()

    def moments(self, rank: int = 0) -> list[str]:
        """Names of what it has come past, in order."""
        trace = self.log.with_suffix(f".{rank}")
        return trace.read_text().splitlines() if trace.exists() else []

    def look(self) -> None:
        """Take note of processes that have ended."""
        for process in self.processes:
            if process not in self.codes:
                ended, status = os.waitpid(process, os.WNOHANG)
                if ended:
                    self.codes[process] = os.waitstatus_to_exitcode(status)


def start(
    config: dict[str, Any], log: Path, act: Act | None = None, at: int = -1, ranks: int = 1, who: int = 0
) -> Training:
    """Train in child processes.

    Args:
        config: of `TrainConfig`.
        log: file for what they say; the moments of each rank are written beside it.
        act: what happens.
        at: the moment at which it happens, counted from 0; -1 never.
        ranks: processes that train together.
        who: the rank to which it happens.
    """
    log.unlink(missing_ok=True)
    log.touch()
    environment = _environment(ranks)
    processes = []
    for rank in range(ranks):
        process = os.fork()
        if not process:
            _child(config, log, rank, environment, act if rank == who else None, at)
        processes.append(process)
    return Training(processes, log)


def _environment(ranks: int) -> dict[str, str]:
    """As torchrun describes the processes to each other."""
    if ranks == 1:
        return {}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    return {"WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}


def _child(
    config: dict[str, Any], log: Path, rank: int, environment: dict[str, str], act: Act | None, at: int
) -> None:
    """Train, and end this process; nothing of the parent's program runs on in it."""
    code = CRASHED
    try:
        os.environ |= {**environment, "RANK": str(rank)}
        with open(log, "a") as said, open(log.with_suffix(f".{rank}"), "w") as trace:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            _watch(trace, act, at)
            train.fit(train.TrainConfig(**config))
            code = FINISHED
    except DMLTeachError as error:
        code = MISTAKE
        sys.stderr.write(f"error: {error}\n")  # in one piece: several processes write there
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _watch(trace: Any, act: Act | None, at: int) -> None:
    """Write the name of every moment to `trace` as it comes, and let `act` happen at one of them."""
    count = 0

    def moment(name: str, file: files.Writer | None = None) -> None:
        nonlocal count
        trace.write(name + "\n")
        trace.flush()
        count += 1
        if act is not None and count - 1 == at:
            act(file)

    def around(owner: Any, name: str, before: str = "", after: str = "") -> None:
        original = getattr(owner, name)

        def watched(*given: Any, **options: Any) -> Any:
            if before:
                moment(before)
            result = original(*given, **options)
            if after:
                moment(f"{after} {given[0].epoch}.{given[0].step}" if after == "step" else after)
            return result

        setattr(owner, name, watched)

    around(train.Run, "__init__", "building", "built")
    around(train.Run, "plan_epoch", "planning", "planned")
    around(train.Run, "train_on", after="step")
    around(train.Run, "end_epoch", "ending the epoch", "ended the epoch")
    around(train.Run, "finish", "finishing", "finished")
    around(plan, "embed", "embedding", "embedded")
    around(held_out.HeldOut, "measure", "evaluating", "evaluated")
    _watch_files(moment)


def _watch_files(moment: Callable[..., None]) -> None:
    """Moments at the beginning of each file, in its middle, before it takes its name, and after."""
    write, replace = files.Writer.write, os.replace

    def watched_write(self: files.Writer, data: Any) -> int:
        first = self.tell() == 0
        if first:
            moment(f"opening {_name(self.name)}", self)
        count = write(self, data)
        if first:
            self.flush()
            moment(f"writing {_name(self.name)}", self)
        return count

    def watched_replace(part: Any, path: Any) -> None:
        of_run = str(part).endswith(".part")  # the cache of images is there once, for all trainings
        if of_run:
            moment(f"written {_name(path)}")
        replace(part, path)
        if of_run:
            moment(f"named {_name(path)}")

    files.Writer.write = watched_write  # type: ignore[method-assign]
    os.replace = watched_replace


def _name(path: Any) -> str:
    return re.sub(r"\.\w{8}\.part$", "", Path(path).name)


# ── what may happen ───────────────────────────────────────────────────────────────────────────────────


def signalled(number: int) -> Act:
    """The process gets a signal."""
    return lambda file: os.kill(os.getpid(), number)


def full(file: files.Writer | None) -> None:
    """From now on the disk has no room for the file that is being written."""
    assert file is not None
    os.dup2(os.open("/dev/full", os.O_WRONLY), file.fileno())


def wait(file: files.Writer | None) -> None:
    """Nothing goes on."""
    time.sleep(10 * PATIENCE)
