"""Drawings for trainings of a few seconds, decoded once."""

import functools

from torch import Tensor

from dmlteach import data


@functools.cache
def training_drawings(classes: int) -> tuple[Tensor, Tensor]:
    """Pixels (M, 1, 28, 28) uint8 and labels (M,) of the first training characters.

    Args:
        classes: how many characters.
    """
    chosen = data.load("omniglot", "train", classes=classes)
    pixels = data.cached(chosen, size=28, progress=False).gather(range(len(chosen)))
    assert isinstance(pixels, Tensor)
    return pixels, chosen.labels
