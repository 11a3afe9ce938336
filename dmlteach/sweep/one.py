"""One run of a sweep: what its process does, and what it tells of it. The program of a worker."""

import json
import os
import platform
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from dmlteach.errors import DMLTeachError
from dmlteach.files import is_free
from dmlteach.train import TrainConfig


class Outcome(NamedTuple):
    """What has become of a run in one start.

    Attributes:
        state: "done"; "failed", where trying again would not help; "interrupted", where it was asked to
            stop; "died", where its process ended otherwise.
        error: why it failed or died.
        metrics: what a finished run measured: untrained, val (after its last epoch), final, made_with.
        seconds: that its process took.
        peak_memory: the most bytes that its process held; None where the system does not tell.
        host: where it ran.
    """

    state: str
    error: str | None = None
    metrics: dict[str, Any] | None = None
    seconds: float = 0.0
    peak_memory: int | None = None
    host: str | None = None


def train_one(config: dict[str, Any], stop: threading.Event) -> Outcome:
    """Train, and say what has become of it.

    Args:
        config: fields of `TrainConfig`.
        stop: ends the training in good order once it is set.
    """
    started = time.perf_counter()
    state, error, metrics = "done", None, None
    try:
        metrics = _train(config, stop)
    except DMLTeachError as refused:
        elsewhere = not is_free(Path(config["output"]))  # the worker of a killed sweep is still saving it
        state, error = "died" if elsewhere else "failed", str(refused)
        print(f"error: {error}", file=sys.stderr)
    except KeyboardInterrupt as asked:
        state = "interrupted" if stop.is_set() else "died"
        error = None if stop.is_set() else "its process was asked to end."
        print(asked, file=sys.stderr)
    seconds = time.perf_counter() - started
    return Outcome(state, error, metrics, seconds, peak_memory(), platform.node())


def _train(config: dict[str, Any], stop: threading.Event) -> dict[str, Any]:
    from dmlteach.device import choose_device, environment
    from dmlteach.train import fit

    if stop.is_set():  # while torch was imported
        raise KeyboardInterrupt("stopped before it had begun")
    asked = TrainConfig(**config)
    metrics = fit(asked, stop=stop).metrics
    last = metrics["epochs"][-1].get("val") if metrics["epochs"] else None
    kept = {"untrained": metrics.get("untrained"), "val": last, "final": metrics["final"]}
    return kept | {"made_with": environment(choose_device(asked.device, asked.precision == "fp64"))}


def peak_memory() -> int | None:
    """The most bytes of main memory that this process has held; None where the system does not tell."""
    with suppress(OSError):  # Linux: `getrusage` there begins with what the process that started this one had
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    """Train what the one argument says, as JSON; the outcome goes to standard output, the rest to the log.

    Standard input is the line to the driver: the training stops in good order when it ends, because the
    driver closes it or because the driver is gone.
    """
    answer = os.dup(1)
    os.dup2(2, 1)  # whatever prints, prints into the log
    stop = threading.Event()

    def watch() -> None:
        while os.read(0, 1):
            pass
        stop.set()

    threading.Thread(target=watch, daemon=True).start()
    outcome = train_one(json.loads(sys.argv[1]), stop)
    with suppress(BrokenPipeError), os.fdopen(answer, "w") as file:
        file.write(json.dumps(outcome._asdict()))


if __name__ == "__main__":
    main()
