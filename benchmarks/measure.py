"""Timing in turns, and memory high-water marks in a fresh process."""

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import median

import psutil
import torch


def in_turns(functions: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each function in each round; one after the other, so that all meet the same machine.

    Args:
        functions: by name.
        rounds: of calling each once.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def ratio(seconds: dict[str, list[float]], of: str, to: str) -> float:
    """Median over rounds of the ratio of two timings."""
    return median(a / b for a, b in zip(seconds[of], seconds[to], strict=True))


def wait(device: torch.device) -> None:
    """Return when the device has done what it was given; a GPU works on while Python goes on."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def extra_memory_on_gpu(run: Callable[..., object], *given) -> float:
    """GiB of the GPU that `run(*given)` takes at most beyond what is there."""
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run(*given)
    return (torch.cuda.max_memory_allocated() - before) / 2**30


def extra_memory(prepare: Callable[..., tuple], run: Callable[..., object], *args) -> float:
    """GiB that `run(*prepare(*args))` takes at most beyond what `prepare` left, in a process of its own.

    Args:
        prepare: module-level function that makes the input.
        run: module-level function to measure.
        args: of `prepare`.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(sender, prepare, run, args))
    process.start()
    sender.close()
    extra = receiver.recv()
    process.join()
    return extra / 2**30


def _measure(sender, prepare, run, args) -> None:
    given = prepare(*args)
    before = psutil.Process().memory_info().rss
    _forget_high_water()
    run(*given)
    sender.send(_high_water() - before)


def _forget_high_water() -> None:
    with suppress(OSError):  # elsewhere than on Linux the mark includes the making of the input
        Path("/proc/self/clear_refs").write_text("5")


def _high_water() -> int:
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
