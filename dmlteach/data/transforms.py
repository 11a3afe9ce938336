"""The SST recipe's transforms in plain torchvision, for your own DataLoader.

The trainer does the same on the device: `cached(dataset, resize)` once, then `Augmentation("crop", size)`
in training and `Augmentation("none", size)` in testing.

Source: Nguyen, De Baets, "Improved deep embedding learning based on stochastic symmetric triplet loss
and local sampling", Neurocomputing 2020.
"""

from collections.abc import Sequence

import torch
from torchvision.transforms import v2

from dmlteach.data.augment import IMAGENET_MEAN, IMAGENET_STD


def train_transform(
    size: int = 224,
    resize: int = 256,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> v2.Compose:
    """Squash to a square, random crop, random horizontal flip, normalise.

    Args:
        size: side of the crop.
        resize: side of the square before it.
        mean: per channel, for images in 0 … 1.
        std: per channel.

    Returns:
        A transform of a PIL image or uint8 (C, H, W) to float (C, size, size).
    """
    return v2.Compose([
        v2.Resize((resize, resize), antialias=True),
        v2.RandomCrop(size),
        v2.RandomHorizontalFlip(),
        *_to_normalised(mean, std),
    ])  # fmt: skip


def test_transform(
    size: int = 224,
    resize: int = 256,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> v2.Compose:
    """Squash to a square, centre crop, normalise.

    Args:
        size: side of the crop.
        resize: side of the square before it.
        mean: per channel, for images in 0 … 1.
        std: per channel.

    Returns:
        A transform of a PIL image or uint8 (C, H, W) to float (C, size, size).
    """
    return v2.Compose([
        v2.Resize((resize, resize), antialias=True),
        v2.CenterCrop(size),
        *_to_normalised(mean, std),
    ])  # fmt: skip


test_transform.__test__ = False  # type: ignore[attr-defined]  # pytest, this is no test


def _to_normalised(mean: Sequence[float], std: Sequence[float]) -> list:
    return [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(list(mean), list(std))]
