"""What lies behind a mean over queries: how far it can be trusted, and which images are hubs."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dmlteach.errors import DMLTeachError

AT_ONCE = 2**20  # classes drawn at a time: 16 MB


def mean_interval(
    values: Tensor, labels: Tensor, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Interval of a mean over queries, by a bootstrap over their classes.

    Queries of one class succeed or fail together, so they are not independent trials: an interval over
    queries (Wilson's, or a bootstrap of queries) is too narrow. Here as many classes as there are get drawn
    with replacement, with all their queries, and the mean is taken again: the interval holds the middle
    share of these means. It says how much the mean depends on which classes were tested, and nothing about
    another training. Of few classes, below some twenty, it tends to be too narrow.

    Args:
        values: (Q,) one number of each query: whether its nearest image is right, for Recall@1; the
            difference of two networks, to compare them.
        labels: (Q,) class of each query.
        confidence: share of the means between the two ends.
        resamples: how often classes are drawn.
        seed: of the drawing; equal seeds give equal intervals.

    Returns:
        Its lower and upper end; both are the mean where all classes have the same.

    Raises:
        DMLTeachError: no query, or not one label for each.

    Source: Field & Welsh, "Bootstrapping clustered data", JRSS B 2007 (the cluster bootstrap); percentiles
    as in Efron & Tibshirani, "An Introduction to the Bootstrap", 1993.
    """
    if not len(values) or len(values) != len(labels):
        raise DMLTeachError(f"{len(values)} values with {len(labels)} labels; give one label each.")
    classes = np.unique(np.asarray(labels), return_inverse=True)[1]
    sums = np.bincount(classes, weights=np.asarray(values, float))
    sizes = np.bincount(classes)
    rng = np.random.default_rng(seed)
    means: list[np.ndarray] = []
    step = max(1, AT_ONCE // len(sizes))
    for start in range(0, resamples, step):
        drawn = rng.integers(len(sizes), size=(min(step, resamples - start), len(sizes)))
        means.append(sums[drawn].sum(1) / sizes[drawn].sum(1))
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(means), (tail, 1 - tail))
    return float(low), float(high)


class Hubness(NamedTuple):
    """How unequally images are found.

    Attributes:
        never: share of images that are among no other's neighbours.
        most: how often the image found most often is.
        mean: how often an image is found on average.
        skewness: of the counts; 0 for a symmetric distribution, large where few images are found by many.
    """

    never: float
    most: int
    mean: float
    skewness: float


def hubness(counts: Tensor) -> Hubness:
    """Summary of how often images are found.

    Args:
        counts: (M,) how often each image is found, see `dmlteach.plots.retrieval.occurrences`.

    Source: Radovanović, Nanopoulos, Ivanović, "Hubs in space", JMLR 2010.
    """
    x = counts.double()
    centered = x - x.mean()
    spread = centered.square().mean().sqrt()
    skewness = (centered**3).mean() / spread**3 if spread > 0 else torch.zeros(())
    return Hubness((x == 0).double().mean().item(), int(x.max()), x.mean().item(), skewness.item())
