"""Runs of a sweep as tasks of a Ray cluster: Ray decides where, and a process there trains."""

import logging
import os
import platform
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from dmlteach.errors import DMLTeachError, need
from dmlteach.files import is_free
from dmlteach.sweep import workers
from dmlteach.sweep.one import Outcome
from dmlteach.train.config import TrainConfig

LOCAL = "local"  # the address of a cluster that is started here, and stopped in the end
STORE = 80 * 2**20  # bytes in which that one keeps what tasks answer; it takes no less
TRIES = 3  # to start it: Ray gives its parts 15 seconds, in which a machine that is busy may not start them
PATIENCE = 10.0  # seconds in which a cluster answers
# The sweep says what there is to say. Ray reads these when it starts; what the user has set stays.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}
# Else Ray kills what its workers have started, as soon as the driver is gone.
LET_THEM_SAVE = {"RAY_kill_child_processes_on_worker_exit": "0"}


class Cluster:
    """A Ray cluster that this process is connected to.

    Args:
        ray: the package.
    """

    def __init__(self, ray: Any):
        self.ray = ray

    def room(self, device: str) -> int:
        """How many runs there is room for at the moment: a CPU each, and a GPU where they train on one.

        Args:
            device: as `TrainConfig` has it.

        Raises:
            DMLTeachError: there is room for none.
        """
        has, wants = self.ray.cluster_resources(), self._wants(device)
        room = min(int(has.get(name, 0)) for name in wants)
        if room < 1:
            raise DMLTeachError(
                f"the Ray cluster has no {' or no '.join(n for n in wants if has.get(n, 0) < 1)} for a run; "
                "add machines that have one (ray start --address=…), or say with --jobs how many runs are "
                "to wait for them."
            )
        return room

    def beginner(self, mark: Path) -> Callable[[TrainConfig], "Task"]:
        """What gives a run to the cluster.

        Args:
            mark: a folder that only those see who share the sweep's.
        """
        there = self.ray.remote(num_cpus=1, max_retries=0)(train_there)  # the index counts the tries

        def begin(config: TrainConfig) -> Task:
            gpus = self._wants(config.device).get("GPU", 0)
            config = replace(config, device="cuda") if gpus else config
            task = there.options(num_gpus=gpus)
            return Task(self.ray, task.remote(workers.PROGRAM, asdict(config), os.getcwd(), str(mark)))

        return begin

    def _wants(self, device: str) -> dict[str, int]:
        """What a run takes: "auto" is a GPU where the cluster has any."""
        gpu = device == "cuda" or (device == "auto" and self.ray.cluster_resources().get("GPU", 0) >= 1)
        return {"CPU": 1, "GPU": 1} if gpu else {"CPU": 1}


@contextmanager
def connected(address: str, jobs: int | None) -> Iterator[Cluster]:
    """A Ray cluster, while the body lasts.

    Args:
        address: HOST:PORT of its head, or "local" for one of its own.
        jobs: CPUs of its own one; None: the cores there are.

    Raises:
        DMLTeachError: Ray is not installed, or there is no such cluster.
    """
    need("ray", "ray")
    given: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": logging.CRITICAL}
    given["runtime_env"] = {"env_vars": LET_THEM_SAVE}
    if address == LOCAL:
        cpus = jobs or workers.usual_jobs("cpu")
        given |= {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": STORE}
    else:
        _check_address(address)
    os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
    import ray

    for left in reversed(range(TRIES if address == LOCAL else 1)):
        try:
            ray.init(**given)
            break
        except Exception as error:  # of many kinds, also a plain Exception
            ray.shutdown()
            if not left:
                raise DMLTeachError(_no_cluster(address, str(error))) from error
    try:
        yield Cluster(ray)
    finally:
        ray.shutdown()


class Task:
    """A run that Ray trains, or has in its queue.

    Args:
        ray: the package.
        answer: reference to what the task will answer.
    """

    def __init__(self, ray: Any, answer: Any):
        self.ray, self.answer, self._stopped = ray, answer, False

    def outcome(self) -> Outcome:
        """Wait until the task has ended, and say what has become of the run.

        Raises:
            DMLTeachError: a machine of the cluster cannot train any run of this sweep.
        """
        errors = self.ray.exceptions
        try:
            return self.ray.get(self.answer)
        except errors.RayError as error:
            if self._stopped:
                return Outcome("interrupted")
            if not isinstance(error, errors.RayTaskError):  # its machine is gone, or its process there
                return Outcome("died", f"its place in the Ray cluster is gone ({type(error).__name__}).")
            if isinstance(error.cause, DMLTeachError):
                raise DMLTeachError(str(error.cause)) from error
            raise DMLTeachError(
                f"a machine of the Ray cluster cannot train: {_last_line(str(error))}; the same dmlteach has "
                "to be installed on all of them."
            ) from error

    def stop(self) -> None:
        """Let it save and end; may be called again."""
        if not self._stopped:
            self._stopped = True
            self.ray.cancel(self.answer)  # as Ctrl-C there

    def kill(self) -> None:
        """End it at once; its run goes on from its last checkpoint."""
        self._stopped = True
        self.ray.cancel(self.answer, force=True)


def train_there(program: Sequence[str], config: dict[str, Any], here: str, mark: str) -> Outcome:
    """What a task does on its machine: a process that trains, as a local sweep has it.

    Args:
        program: of that process.
        config: fields of `TrainConfig`.
        here: folder in which the sweep was started.
        mark: folder that its driver has made for itself.

    Raises:
        DMLTeachError: this machine does not see these folders.
    """
    with suppress(OSError):
        os.chdir(here)  # paths are relative to it
    if not (os.path.isdir(here) and os.path.isdir(mark)):
        unseen = Path(here) if not os.path.isdir(here) else Path(here, mark).parent.parent
        raise DMLTeachError(
            f"{platform.node()}, a machine of the Ray cluster, does not see {unseen}; start the sweep in a "
            "folder, and with an --output, that all machines share under the same path."
        )
    ray_here = os.getppid()  # where that is gone, the driver has given the run up, or soon will
    with _asked_to_stop() as stop:
        _wait_until_free(Path(config["output"]), stop)
        worker = workers.Worker(TrainConfig(**config), program)
        with ThreadPoolExecutor(1) as waiting:
            answer = waiting.submit(worker.outcome)
            while not wait([answer], workers.PAUSE).done:
                if stop.is_set() or os.getppid() != ray_here:
                    worker.stop()
        outcome = answer.result()
        if outcome.state == "interrupted" and not stop.is_set():
            return outcome._replace(state="died", error=f"Ray has ended on {platform.node()}.")
        return outcome


@contextmanager
def _asked_to_stop() -> Iterator[threading.Event]:
    """Set by what Ctrl-C sends, and Ray where `Task.stop` asks for it."""
    stop = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: stop.set())  # Ray may have begun with it ignored
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def _wait_until_free(folder: Path, stop: threading.Event) -> None:
    """Let a training that has lost its machine's Ray save what it has: it goes on from there."""
    until = time.monotonic() + workers.SAVING
    while not is_free(folder) and time.monotonic() < until and not stop.is_set():
        time.sleep(0.2)


def _check_address(address: str) -> None:
    """Ask whether anything is there: Ray itself would ask for minutes, and then end the program."""
    host, _, port = address.rpartition(":")
    if not (host and port.isdigit()) or "/" in host:
        raise DMLTeachError(
            f"--ray takes HOST:PORT of a cluster's head, or {LOCAL}, not {address!r}; the sweep is "
            "to be started on a machine of the cluster."
        )
    try:
        socket.create_connection((host, int(port)), PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise DMLTeachError(_no_cluster(address, str(error))) from error


def _no_cluster(address: str, reason: str) -> str:
    if address == LOCAL:
        return (
            f"Ray could not be started here: {_last_line(reason)}; try again when less is at work on this "
            "machine, or leave --ray out."
        )
    return (
        f"no Ray cluster can be used at {address}: {_last_line(reason)}; start one (ray start --head), and "
        f"the sweep on a machine of it, or take --ray {LOCAL}."
    )


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].rstrip(".;") if lines else "it does not say why"
