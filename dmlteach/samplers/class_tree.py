"""A tree of the training classes: which resemble each other, and at which level they merge.

From the hierarchical triplet loss: Ge, Huang, Dong & Scott, "Deep metric learning with hierarchical
triplet loss", ECCV 2018. Features are scaled to length 1, so that d², the measure of everything
here, is at most 4.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dmlteach.distances import normalize, squared_distances_to, wide
from dmlteach.errors import DMLTeachError
from dmlteach.interfaces import Space
from dmlteach.neighbors import means_of

LARGEST = 4.0  # d² between opposite features
BLOCK = 1024  # classes whose distances to all others are computed at once
ROUNDING = 1e-6  # classes this much farther apart than a threshold still merge at it


class Classes(NamedTuple):
    """Where the classes are and how wide, all in unit features."""

    sizes: Tensor  # (C,) embedded images
    means: Tensor  # (C, D) fp32, or float64 as the embeddings are; so are the others
    variances: Tensor  # (C,) mean d² of a class's features from their mean
    spreads: Tensor  # (C,) s_c, mean d² between two different features of a class; 0 with one image


class ClassTree(NamedTuple):
    """Leaves are the classes; level l merges what is nearer than threshold d_l."""

    levels: Tensor  # (C, C) uint8: the level at which two classes merge, 0 … L
    thresholds: Tensor  # (L + 1,) d_l, in d²
    spreads: Tensor  # (C,) s_c


def measure_classes(space: Space) -> Classes:
    """Means and spreads of all classes.

    Args:
        space: embeddings (M, D), any scale, and labels (M,) 0 … C-1. A row that begins with NaN was
            not embedded and does not count.

    Raises:
        DMLTeachError: a class without an embedding, or an embedding that is not finite.
    """
    embeddings, labels = wide(space.embeddings.detach().cpu()), space.labels.cpu()
    num_classes, known = int(labels.max()) + 1, ~embeddings[:, 0].isnan()
    r, y = normalize(embeddings[known].double()), labels[known]  # (M, D), (M,)
    sizes = torch.bincount(y, minlength=num_classes)
    if not r.isfinite().all():
        raise DMLTeachError("the class tree was given embeddings that are not finite: training has diverged.")
    if not sizes.all():
        raise DMLTeachError(
            f"class {int(sizes.argmin())} has no embedding; embed at least one image of every class."
        )
    means = means_of(r, y, num_classes)
    variances = r.new_zeros(num_classes).index_add_(0, y, (r - means[y]).square().sum(1)) / sizes
    # Over all ordered pairs the mean d² is 2 v; n(n − 1) of the n² pairs are of different features.
    spreads = 2 * variances * sizes / (sizes - 1).clamp_min(1)
    return Classes(sizes, *(measured.to(embeddings) for measured in (means, variances, spreads)))


def class_distances(classes: Classes, rows: Tensor) -> Tensor:
    """d(p, q), the mean d² between the features of two classes: ‖μ_p − μ_q‖² + v_p + v_q.

    Args:
        classes: their means μ and variances v.
        rows: (R,) classes p.

    Returns:
        (R, C). No feature is compared with another.
    """
    means, variances = classes.means, classes.variances
    return squared_distances_to(means[rows], means) + variances[rows, None] + variances


def class_tree(space: Space, num_levels: int = 16) -> ClassTree:
    """The classes merged by average linkage on d(p, q), cut at L + 1 thresholds.

    d_l = d_0 + l (4 − d_0) / L, where d_0 is the mean spread of the classes with two images or more.
    Two classes merge at the first level whose threshold reaches the height of their lowest common
    node. (The paper merges nodes nearer than d_l and leaves open how a node's distance is
    measured; here it is the mean over its pairs of classes.)

    Args:
        space: embeddings (M, D), any scale, and labels (M,) 0 … C-1.
        num_levels: L.

    Returns:
        The tree, on the CPU. Its levels are symmetric and ultrametric, 0 on the diagonal.

    Raises:
        DMLTeachError: a class without an embedding, or an embedding that is not finite.
    """
    classes = measure_classes(space)
    several = classes.spreads[classes.sizes > 1].double()
    d_0 = float(several.mean()) if len(several) else 0.0
    thresholds = np.linspace(d_0, LARGEST, num_levels + 1)
    levels = np.zeros((len(classes.sizes), len(classes.sizes)), dtype=np.uint8)
    for one, other, height in average_linkage(_all_distances(classes)):
        level = min(int(np.searchsorted(thresholds, height - ROUNDING)), num_levels)
        levels[np.ix_(one, other)] = level
        levels[np.ix_(other, one)] = level
    spreads = classes.spreads
    return ClassTree(torch.from_numpy(levels), torch.from_numpy(thresholds).to(spreads), spreads)


def _all_distances(classes: Classes) -> np.ndarray:
    """(C, C), in blocks of rows: with many classes this matrix is what needs memory."""
    everyone = torch.arange(len(classes.sizes))
    d = classes.means.new_empty(len(everyone), len(everyone))
    for rows in everyone.split(BLOCK):
        d[rows] = class_distances(classes, rows)
    return d.numpy()


def average_linkage(distances: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
    """Merges of average linkage: the leaves of both nodes and the height, not sorted by height.

    By chains of nearest neighbours, in O(C²): from any node go to its nearest, and on, until two are each
    other's nearest; they merge, in whatever order the chains find them (Murtagh, Computer Journal
    1983).

    Args:
        distances: (C, C) between the leaves; overwritten.
    """
    d = np.maximum(distances, distances.T, out=distances)  # exactly symmetric, or chains could go in circles
    np.fill_diagonal(d, np.inf)
    members = [np.array([leaf]) for leaf in range(len(d))]
    chain: list[int] = []
    first = 0
    for _ in range(len(d) - 1):
        while not len(members[first]):
            first += 1
        chain = chain or [first]
        while True:
            nearest = int(d[chain[-1]].argmin())
            if len(chain) > 1 and d[chain[-1], chain[-2]] <= d[chain[-1], nearest]:
                break  # a tie goes back
            chain.append(nearest)
        a, b = chain.pop(), chain.pop()
        yield members[a], members[b], float(d[a, b])

        size_a, size_b = len(members[a]), len(members[b])
        d[b] = d[:, b] = (size_a * d[a] + size_b * d[b]) / (size_a + size_b)
        d[a] = d[:, a] = np.inf
        members[a], members[b] = members[a][:0], np.concatenate([members[a], members[b]])
