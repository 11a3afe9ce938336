"""How well clusters of embeddings agree with the classes: NMI, and F1 of pairs."""

import numpy as np
import torch
from torch import Tensor

from dmlteach.errors import DMLTeachError
from dmlteach.inputs import as_labels
from dmlteach.metrics.sets import checked_set
from dmlteach.neighbors import kmeans, spread_rows
from dmlteach.options import at_least, one_of

MOST_STARTS, STARTS_FOR = 10, 10_000  # k-means starts of so many embeddings; of more, fewer
ITERATIONS = 50  # of k-means, at most: it has mostly settled by then


def clustering_metrics(
    embeddings: Tensor,
    labels: Tensor,
    num_clusters: int | None = None,
    restarts: int | None = None,
    seed: int = 0,
) -> dict[str, float | int]:
    """NMI and F1 of the classes and a k-means clustering: k-means++, the tightest of several starts.

    With one start from random rows NMI can be several points lower: that says more of k-means than of
    the embeddings. So beside a result say how many starts it has.

    Args:
        embeddings: (M, D).
        labels: (M,) class of each.
        num_clusters: of k-means; as many as there are classes, if not given.
        restarts: k-means starts, of which the tightest (smallest sum of squared distances from the
            centroids) counts; default: ten up to 10,000 embeddings, of more in proportion fewer.
        seed: of all starts; equal seeds give equal results.

    Returns:
        "nmi", see `nmi_from_assignments`; "f1", see `pairwise_f1`; "nmi_starts", how many starts there were.

    Raises:
        DMLTeachError: shapes do not fit, values are not finite, num_clusters is not from 1 to M, or restarts
            is below 1.

    Source: NMI and F1 are those of Song et al., CVPR 2016.
    """
    embeddings, labels = checked_set(embeddings, labels, "embeddings")
    k = len(labels.unique()) if num_clusters is None else num_clusters
    if not 1 <= k <= len(labels):
        raise DMLTeachError(f"{k} clusters of {len(labels)} embeddings: choose 1 to {len(labels)}.")
    starts = number_of_starts(len(labels), restarts)
    best_spread, best = float("inf"), torch.zeros_like(labels)
    rows = embeddings.float()  # faiss knows no more, and is many times as fast
    for start in spread_rows(rows, k, starts, seed):
        centroids, clusters = kmeans(rows, k, seed, ITERATIONS, start)
        spread = (embeddings - centroids[clusters]).square().sum().item()
        if spread < best_spread:
            best_spread, best = spread, clusters
    return {
        "nmi": nmi_from_assignments(labels, best), "f1": pairwise_f1(labels, best), "nmi_starts": starts,
    }  # fmt: skip


def number_of_starts(size: int, restarts: int | None = None) -> int:
    """k-means starts for so many embeddings: those asked for, or ten up to 10,000 and of more fewer.

    Args:
        size: M.
        restarts: asked for, or None.

    Raises:
        DMLTeachError: restarts is below 1.
    """
    if restarts is None:
        return max(1, MOST_STARTS * STARTS_FOR // max(size, STARTS_FOR))
    at_least("restarts", restarts, 1, because="they are the starts of k-means")
    return restarts


def nmi(
    embeddings: Tensor,
    labels: Tensor,
    num_clusters: int | None = None,
    restarts: int | None = None,
    seed: int = 0,
) -> float:
    """Normalised mutual information of the classes and a k-means clustering, arithmetic averaging.

    Args:
        embeddings, labels, num_clusters, restarts, seed: of `clustering_metrics`.

    Raises:
        DMLTeachError: as `clustering_metrics`.
    """
    return clustering_metrics(embeddings, labels, num_clusters, restarts, seed)["nmi"]


def pairwise_f1(labels: Tensor, clusters: Tensor) -> float:
    """F1 of the pairs of items: 2PR / (P + R).

    P is the share of pairs in one cluster that are of one class, R that of the pairs of one class that are in
    one cluster. 1 if there is no pair of either kind.

    Args:
        labels: (M,) class of each item.
        clusters: (M,) cluster of each item.

    Raises:
        DMLTeachError: unequal lengths, or no items.
    """
    a, b = _partitions(labels, clusters)
    of_class, in_cluster, both = (_pairs(part) for part in (a, b, a * (b.max() + 1) + b))
    return 2 * both / (of_class + in_cluster) if of_class + in_cluster else 1.0


def _pairs(parts: np.ndarray) -> int:
    """How many pairs of items share a part."""
    sizes = np.unique(parts, return_counts=True)[1]
    return int((sizes * (sizes - 1) // 2).sum())


def nmi_from_assignments(labels: Tensor, clusters: Tensor, average: str = "arithmetic") -> float:
    """Mutual information of two partitions over the mean of their entropies; 1 if both have one part.

    Args:
        labels: (M,) class of each item.
        clusters: (M,) cluster of each item.
        average: mean of the two entropies, "arithmetic" or "geometric".

    Raises:
        DMLTeachError: unequal lengths, no items, or an unknown average.
    """
    one_of("average", average, ("arithmetic", "geometric"))
    a, b = _partitions(labels, clusters)
    h_a, h_b, h_ab = _entropy(a), _entropy(b), _entropy(a * (b.max() + 1) + b)
    if h_a == 0 or h_b == 0:
        return float(h_a == h_b)
    mean = (h_a + h_b) / 2 if average == "arithmetic" else np.sqrt(h_a * h_b)
    return float(np.clip((h_a + h_b - h_ab) / mean, 0, 1))


def _partitions(labels, clusters) -> tuple[np.ndarray, np.ndarray]:
    """Both partitions numbered from 0, each (M,)."""
    a, b = as_labels(labels).cpu().numpy(), as_labels(clusters, "clusters").cpu().numpy()
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise DMLTeachError(f"{len(a)} labels with {len(b)} clusters; give one of each per item.")
    return np.unique(a, return_inverse=True)[1], np.unique(b, return_inverse=True)[1]


def _entropy(parts: np.ndarray) -> float:
    p = np.unique(parts, return_counts=True)[1] / len(parts)
    return float(-(p * np.log(p)).sum())
