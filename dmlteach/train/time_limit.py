"""Time: how long a run has trained, when it saves, and what a limit on its minutes allows."""

import math
import time

import torch

from dmlteach.data.cache import CachedImages
from dmlteach.embeddings import embed
from dmlteach.errors import DMLTeachError
from dmlteach.models import Model
from dmlteach.train.build import Parts

ONE_BATCH = 256  # images that are embedded to tell how fast the machine is
LARGEST_SHARE = 0.5  # of the limit, for the first plan; the rest is for steps


class Clock:
    """Seconds of training, of this start and of all together, and those since the last checkpoint.

    Args:
        max_minutes: limit of this start, or None.
        save_every: seconds between checkpoints.

    Attributes:
        kept: seconds of training of all starts, up to the last checkpoint.
    """

    def __init__(self, max_minutes: float | None, save_every: float):
        self.limit = math.inf if max_minutes is None else 60 * max_minutes
        self.save_every = save_every
        self.earlier = self.kept = 0.0
        self.begun: float | None = None
        self.last_save = time.perf_counter()

    def begin(self) -> None:
        """Training begins now, unless it has begun in this start already."""
        self.begun = self.begun or time.perf_counter()

    def resume(self, seconds: float) -> None:
        """Add the seconds for which earlier starts have trained."""
        self.earlier = self.kept = seconds

    def here(self) -> float:
        """Seconds of training in this start."""
        return 0.0 if self.begun is None else time.perf_counter() - self.begun

    def total(self) -> float:
        """Seconds of training of all starts together."""
        return self.earlier + self.here()

    def is_over(self, needed: float = 0.0) -> bool:
        """Whether the limit leaves no time for what needs so many seconds."""
        return self.here() + needed >= self.limit

    def is_due(self) -> bool:
        """Whether it is time for a checkpoint; having said so, it waits as long again."""
        due = time.perf_counter() - self.last_save > self.save_every
        if due:
            self.last_save = time.perf_counter()
        return due

    def saved(self) -> None:
        """Note that a checkpoint has just been written."""
        self.last_save, self.kept = time.perf_counter(), self.total()


def check_time_to_plan(parts: Parts, epoch: int) -> None:
    """Refuse a limit most of which would go into planning the epoch with which this start begins.

    Args:
        parts: of the run.
        epoch: which one.

    Raises:
        DMLTeachError: the plan takes more than half of the limit.
    """
    minutes = parts.config.max_minutes
    if minutes is None or not parts.needs_space:
        return
    rows = parts.rows_to_embed(epoch)
    count = len(parts.images) if rows is None else len(rows)
    share = -(-count // parts.world.size)
    seconds = parts.world.share(seconds_to_embed(parts.model, parts.images, share, parts.device.type))
    who, cure = f"the {parts.recipe.sampler} sampler", "take one that needs none: --sampler class_balanced"
    if parts.objective.loss.needs_space:
        who, cure = f"the {parts.recipe.loss} loss", "take a method that needs none, e.g. multi_similarity"
    check_first_plan(minutes, seconds, count, who, cure)


def seconds_to_embed(model: Model, images: CachedImages, count: int, device: str) -> float:
    """How long this machine takes to embed so many images, estimated from one batch of them.

    Args:
        model: the network.
        images: the first of them are embedded.
        count: how many are to be embedded.
        device: "cpu", "cuda" or "mps".
    """
    rows = torch.arange(min(ONE_BATCH, len(images)))
    embed(model, images, device, rows=rows)  # the first pass of a process also prepares
    started = time.perf_counter()
    embed(model, images, device, rows=rows)
    return (time.perf_counter() - started) * count / len(rows)


def check_first_plan(minutes: float, seconds: float, count: int, who: str, cure: str) -> None:
    """Refuse a limit of which the first plan would take more than half.

    Args:
        minutes: the limit.
        seconds: that the plan takes, at least.
        count: images that are embedded for it.
        who: what needs them, e.g. "the local sampler".
        cure: what needs fewer, a clause.

    Raises:
        DMLTeachError: the plan takes more than half of the limit.
    """
    if seconds <= LARGEST_SHARE * 60 * minutes:
        return
    enough = math.ceil(seconds / 60 / LARGEST_SHARE) + 1
    raise DMLTeachError(
        f"{who} needs the embeddings of {count:,} images before the first step, which takes about "
        f"{seconds:,.0f} s on this machine: more than half of --max-minutes {minutes:g}. "
        f"Give --max-minutes {enough:,}, or {cure}."
    )
