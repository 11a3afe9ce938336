"""How a training ends: by a signal, out of batches, out of time, or with nothing left to train."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from dmlteach import foreign
from dmlteach.errors import counted
from dmlteach.methods import Method
from dmlteach.models import Model


class Result(NamedTuple):
    """A finished run: its folder, the content of metrics.json, and the model in evaluation mode."""

    path: Path
    metrics: dict[str, Any]
    model: Model


@contextmanager
def stop_on_signal(stop: threading.Event) -> Iterator[threading.Event]:
    """Let Ctrl-C (or SIGTERM) set the event; a second Ctrl-C interrupts at once.

    Args:
        stop: the event; outside of the main thread, which alone gets signals, only others set it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(signum, frame):
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def nothing_left(recipe: Method, epochs: int, stopped_early: bool) -> str | None:
    """Why training ends after an epoch; None where it does not.

    Args:
        recipe: of the run.
        epochs: that are whole.
        stopped_early: whether early stopping says so.
    """
    if epochs >= recipe.epochs:
        only = recipe.epochs == 1
        return "its one epoch is trained." if only else f"all {recipe.epochs} epochs are trained."
    if stopped_early:
        waited = counted(recipe.early_stopping or 0, "epoch")
        return f"early stopping: no better training loss in the last {waited}."
    return None


def no_triplet_left(recipe: Method, epochs: int) -> str:
    """Why training ends where the sampler has no batch for an epoch.

    Args:
        recipe: of the run.
        epochs: that are whole.
    """
    after = f"after {counted(epochs, 'epoch')}" if epochs else "before the first step"
    size = recipe.batch_size
    if foreign.is_foreign(recipe.sampler):
        return f"{after} the sampler {recipe.sampler} gave no batch."
    return (
        f"{after} no batch of the {recipe.sampler} sampler held a triplet: in each neighbourhood of "
        f"about {size} images all are of one class, or no two are. A --batch-size above {size} or "
        "--sampler local_classes or class_balanced brings several classes together."
    )


def time_is_up(minutes: float | None, steps: int, epochs: int, step: int, batches: int) -> str:
    """Why training ends, until it is resumed, where --max-minutes are over.

    Args:
        minutes: of the limit.
        steps: in all.
        epochs: that are whole.
        step, batches: of the epoch that is not: steps done, and all.
    """
    done = f"{counted(steps, 'step')} ({counted(epochs, 'epoch')}"
    done += f" and {step:,} of the {batches:,} of the next)" if step else ")"
    return f"--max-minutes {minutes:g} ended it after {done}; --resume goes on from there."
