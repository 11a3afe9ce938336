"""Recorded weights of pairs against their distance: every pair loss, on the same batches of three embeddings.

Made by `python -m dmlteach.course.widgets.weight_explorer.record`; opened by `load()`.
"""

from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dmlteach import losses
from dmlteach.distances import normalize
from dmlteach.errors import DMLTeachError
from dmlteach.options import one_of

FILE = "curves.npz"
EMBEDDINGS = ("uniform", "untrained", "trained")
BATCHES, CLASSES, PER_CLASS, DIM = 8, 16, 4, 128
EDGES = np.linspace(0, 2, 41)  # of bins of distance
FEWEST = 8  # a bin with fewer pairs has no mean weight


class Family(NamedTuple):
    """A loss, and the one option of it that has a slider.

    Attributes:
        label: as readers know it.
        loss: our id.
        option: its name; "length" is that of the embeddings, for a loss of plain distances.
        values: of the slider.
        fixed: options that stay.
    """

    label: str
    loss: str
    option: str
    values: tuple[float, ...]
    fixed: dict[str, Any] = {}


FAMILIES = {
    "contrastive": Family("contrastive", "contrastive", "margin", (0.4, 0.6, 0.8, 1.0, 1.2, 1.4)),
    "triplet": Family("triplet, all", "triplet_all", "margin", (0.05, 0.1, 0.2, 0.4, 0.8), {"squared": True}),
    "semihard": Family("triplet, semi-hard", "triplet_semihard", "margin", (0.05, 0.1, 0.2, 0.4, 0.8)),
    "batch_hard": Family("triplet, batch-hard", "triplet_hard", "margin", (0.05, 0.1, 0.2, 0.4, 0.8)),
    "margin": Family("margin, distance-weighted", "margin", "alpha", (0.05, 0.1, 0.2, 0.3, 0.4)),
    "lifted": Family("lifted structured", "lifted", "length", (1.0, 2.0, 4.0, 8.0)),
    "binomial_deviance": Family("binomial deviance", "binomial_deviance", "alpha", (2.0, 5.0, 10.0, 20.0)),
    "multi_similarity": Family("multi-similarity", "multi_similarity", "base", (0.3, 0.5, 0.7, 0.9)),
    "sst": Family("SST", "sst", "length", (1.0, 2.0, 4.0, 8.0, 16.0)),
}  # fmt: skip


class Curve(NamedTuple):
    """What a loss makes of the pairs of one embedding, by bins of distance.

    Attributes:
        negative: (40,) mean weight of a negative pair, above 0: pushed; NaN where there are too few pairs.
        positive: (40,) mean weight of a positive pair, above 0: pulled.
        active: share of the negative pairs that have any weight.
        half: the distance within which half of all the push comes from.
    """

    negative: np.ndarray
    positive: np.ndarray
    active: float
    half: float


class Recording(NamedTuple):
    """The batches, and what was measured on them.

    Attributes:
        points: of each embedding, (8, 64, 128) float64 of length 1.
        labels: (64,), the same in every batch: 16 classes of four.
        negatives, positives: of each embedding, how many pairs each bin holds, (40,).
        curves: by family, value and embedding.
        recall: Recall@1 of the trained network, and of the untrained one, among the 659 test characters.
    """

    points: dict[str, Tensor]
    labels: Tensor
    negatives: dict[str, np.ndarray]
    positives: dict[str, np.ndarray]
    curves: dict[tuple[str, float, str], Curve]
    recall: dict[str, float]


def loss_of(family: str, value: float) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss at one place of its slider, a function of embeddings and labels.

    Args:
        family: one of FAMILIES.
        value: of its option.

    Raises:
        DMLTeachError: no such family, or a value that its slider has not.
    """
    one_of("loss", family, FAMILIES)
    _, name, option, values, fixed = FAMILIES[family]
    if value not in values:
        shown = ", ".join(f"{v:g}" for v in values)
        raise DMLTeachError(f"{option} {value!r} of {family} is not recorded; choose one of {shown}.")
    if option == "length":
        plain = losses.create(name, **fixed)
        return lambda z, labels: plain(value * z, labels)
    return losses.create(name, **fixed, **{option: value})


def uniform() -> Tensor:
    """Points drawn uniformly on the sphere, (8, 64, 128) float64."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(BATCHES, CLASSES * PER_CLASS, DIM, generator=generator, dtype=torch.float64)
    return normalize(drawn.flatten(0, 1)).view_as(drawn)


def points_of(stored: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Batches of each embedding, (8, 64, 128) of length 1.

    Args:
        stored: of each network, whole numbers in 8 bits.
    """
    points = {"uniform": uniform()}
    for name in EMBEDDINGS[1:]:
        whole = torch.from_numpy(stored[name]).double()
        points[name] = normalize(whole.flatten(0, 1)).view_as(whole)
    return points


def labels_of_batch() -> Tensor:
    """Classes of the 64 examples of every batch: 16 classes, four of each."""
    return torch.arange(CLASSES).repeat_interleave(PER_CLASS)


@cache
def load() -> Recording:
    """The recording that comes with the package."""
    with resources.as_file(resources.files(__package__) / FILE) as file, np.load(file) as stored:
        points = points_of(stored)
        order = [(f, value, e) for f in FAMILIES for value in FAMILIES[f].values for e in EMBEDDINGS]
        parts = zip(stored["negative"], stored["positive"], stored["active"], stored["half"], strict=True)
        curves = {
            key: Curve(n, p, float(a), float(h)) for key, (n, p, a, h) in zip(order, parts, strict=True)
        }
        recall = dict(zip(("trained", "untrained"), stored["recall"].tolist(), strict=True))
    counted = {name: count(z) for name, z in points.items()}
    negatives, positives = ({name: of[i] for name, of in counted.items()} for i in (0, 1))
    return Recording(points, labels_of_batch(), negatives, positives, curves, recall)


def count(points: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """How many negative and how many positive pairs lie in each bin of distance.

    Args:
        points: (B, N, D) of length 1.
    """
    d, is_positive, is_negative = pairs(points)
    return np.histogram(d[is_negative], EDGES)[0], np.histogram(d[is_positive], EDGES)[0]


def pairs(points: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances of all pairs of all batches, and which are positive and which negative, each (B · N²,).

    Args:
        points: (B, N, D) of length 1.
    """
    labels = labels_of_batch()
    same = labels[:, None] == labels
    d = (2 - 2 * points @ points.mT).clamp_min(0).sqrt()
    others = ~torch.eye(len(labels), dtype=torch.bool)
    is_positive, is_negative = (mask.expand_as(d).flatten().numpy() for mask in (same & others, ~same))
    return d.flatten().numpy(), is_positive, is_negative
