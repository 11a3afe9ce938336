"""What a limit on the minutes of a run allows, told before the time is spent."""

import math
import time

import torch

from dmlteach.data.cache import CachedImages
from dmlteach.errors import DMLTeachError
from dmlteach.evaluate import embed
from dmlteach.models import Model

ONE_BATCH = 256  # images that are embedded to tell how fast the machine is
LARGEST_SHARE = 0.5  # of the limit, for the first plan; the rest is for steps


def seconds_to_embed(model: Model, images: CachedImages, count: int, device: str) -> float:
    """How long this machine takes to embed so many images, told from one batch of them.

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
