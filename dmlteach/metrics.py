"""Exact retrieval and clustering metrics: Recall@K, R-precision, MAP@R, NMI, F1 of clusters.

Embeddings may be tensors or arrays; labels are integers in a tensor, an array, a list or a pandas column.
"""

import warnings
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from dmlteach.errors import DMLTeachError
from dmlteach.inputs import as_embeddings, as_labels, check_finite
from dmlteach.neighbors import kmeans, spread_rows
from dmlteach.options import at_least, one_of
from dmlteach.ranks import Sets, query_order, rank_matches

MOST_STARTS, STARTS_FOR = 10, 10_000  # k-means starts of so many embeddings; of more, fewer
ITERATIONS = 50  # of k-means, at most: it has mostly settled by then


def retrieval_metrics(
    embeddings: Tensor,
    labels: Tensor,
    ks: Sequence[int] = (1, 2, 4, 8),
    gallery_embeddings: Tensor | None = None,
    gallery_labels: Tensor | None = None,
) -> dict[str, float | int]:
    """Recall@K, MAP@R and R-precision in one pass over all distances.

    One set is searched by each of its items (which never finds itself); with a gallery, each
    query searches the gallery. Queries without a match are left out of the means.

    Args:
        embeddings: (Q, D), compared by Euclidean distance.
        labels: (Q,) class of each.
        ks: the K of Recall@K, e.g. (1,), each at most the number of items searched.
        gallery_embeddings: (M, D), where the queries search another set.
        gallery_labels: (M,).

    Returns:
        "recall@K" for each K, "map@r", "r_precision" (fractions), "num_queries" (those that count),
        "num_left_out", and "num_classes", those of all queries.

    Raises:
        DMLTeachError: shapes do not fit, values are not finite, a K is out of range, or no query
            has a match.
    """
    sets = _check_sets(embeddings, labels, gallery_embeddings, gallery_labels)
    _check_ks(ks, sets)
    parts = [_score(*ranks) for ranks in rank_matches(sets, max(ks, default=0))]
    number, first_rank, precision, average_precision = (torch.cat(p) for p in zip(*parts, strict=True))
    counts = number > 0
    left_out = int((~counts).sum())
    _check_left_out(left_out, len(counts))
    recalls = {f"recall@{k}": (first_rank[counts] <= k).double().mean().item() for k in ks}
    return recalls | {
        "map@r": average_precision[counts].mean().item(),
        "r_precision": precision[counts].mean().item(),
        "num_queries": len(counts) - left_out,
        "num_left_out": left_out,
        "num_classes": len(sets.query_labels.unique()),
    }


def _score(number: Tensor, ranks: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """R, rank of the first match, R-precision and average precision at R of each query, all (q,).

    Args:
        number: (q,) R, the number of matches.
        ranks: (q, most) of the matches, nearest first.
    """
    hits = torch.arange(1, ranks.shape[1] + 1, device=ranks.device)  # (most,) matches up to this one
    counted = (hits <= number[:, None]) & (ranks <= number[:, None])  # (q, most)
    divisor = number.clamp_min(1)
    precision = counted.sum(1).double() / divisor
    average_precision = (hits.double() / ranks).masked_fill(~counted, 0).sum(1) / divisor
    first_rank = ranks[:, 0] if ranks.shape[1] else torch.zeros_like(number)
    return number, first_rank, precision, average_precision


def first_match_ranks(
    embeddings: Tensor,
    labels: Tensor,
    gallery_embeddings: Tensor | None = None,
    gallery_labels: Tensor | None = None,
) -> Tensor:
    """At which place each query finds its first match; Recall@K is the share of places up to K.

    Args:
        embeddings: (Q, D), compared by Euclidean distance.
        labels: (Q,) class of each.
        gallery_embeddings: (M, D), where the queries search another set.
        gallery_labels: (M,).

    Returns:
        (Q,) places from 1, in the order of the queries; 0 where a query has no match to find.

    Raises:
        DMLTeachError: as `retrieval_metrics`.
    """
    sets = _check_sets(embeddings, labels, gallery_embeddings, gallery_labels)
    found = [_score(*ranks) for ranks in rank_matches(sets, len(sets.gallery))]
    places = torch.cat([first_rank.masked_fill(number == 0, 0) for number, first_rank, _, _ in found])
    return torch.empty_like(places).index_copy_(0, query_order(sets), places)


def recall_at_k(
    embeddings: Tensor,
    labels: Tensor,
    ks: Sequence[int],
    gallery_embeddings: Tensor | None = None,
    gallery_labels: Tensor | None = None,
) -> dict[int, float]:
    """Recall@K: share of queries with at least one match among their K nearest.

    Args:
        embeddings: (Q, D), compared by Euclidean distance.
        labels: (Q,) class of each.
        ks: the values of K.
        gallery_embeddings: (M, D), where the queries search another set.
        gallery_labels: (M,).

    Returns:
        {K: fraction}.

    Raises:
        DMLTeachError: as `retrieval_metrics`.
    """
    scores = retrieval_metrics(embeddings, labels, ks, gallery_embeddings, gallery_labels)
    return {k: scores[f"recall@{k}"] for k in ks}


def mean_average_precision_at_r(
    embeddings: Tensor,
    labels: Tensor,
    gallery_embeddings: Tensor | None = None,
    gallery_labels: Tensor | None = None,
) -> float:
    """MAP@R: mean over queries of 1/R Σ_{i ≤ R} P(i)·rel(i), where R is the query's number of matches.

    Args:
        embeddings: (Q, D), compared by Euclidean distance.
        labels: (Q,) class of each.
        gallery_embeddings: (M, D), where the queries search another set.
        gallery_labels: (M,).

    Raises:
        DMLTeachError: as `retrieval_metrics`.

    Source: Musgrave, Belongie, Lim, "A Metric Learning Reality Check", ECCV 2020.
    """
    return retrieval_metrics(embeddings, labels, (), gallery_embeddings, gallery_labels)["map@r"]


def r_precision(
    embeddings: Tensor,
    labels: Tensor,
    gallery_embeddings: Tensor | None = None,
    gallery_labels: Tensor | None = None,
) -> float:
    """R-precision: mean over queries of the share of matches among the R nearest, R the number of matches.

    Args:
        embeddings: (Q, D), compared by Euclidean distance.
        labels: (Q,) class of each.
        gallery_embeddings: (M, D), where the queries search another set.
        gallery_labels: (M,).

    Raises:
        DMLTeachError: as `retrieval_metrics`.
    """
    return retrieval_metrics(embeddings, labels, (), gallery_embeddings, gallery_labels)["r_precision"]


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
        DMLTeachError: shapes do not fit, values are not finite, or restarts is below 1.

    Source: NMI and F1 are those of Song et al., CVPR 2016.
    """
    embeddings, labels = _check_set(embeddings, labels, "embeddings")
    k = len(labels.unique()) if num_clusters is None else num_clusters
    if not 1 <= k <= len(labels):
        raise DMLTeachError(f"{k} clusters of {len(labels)} embeddings: choose 1 to {len(labels)}.")
    starts = number_of_starts(len(labels), restarts)
    best_spread, best = float("inf"), torch.zeros_like(labels)
    for start in spread_rows(embeddings, k, starts, seed):
        centroids, clusters = kmeans(embeddings, k, seed, ITERATIONS, start)
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


def _check_sets(queries, query_labels, gallery, gallery_labels) -> Sets:
    if (gallery is None) != (gallery_labels is None):
        raise DMLTeachError("give gallery_embeddings and gallery_labels together, or neither.")
    queries, query_labels = _check_set(queries, query_labels, "embeddings")
    if gallery is None:
        classes = query_labels.unique(return_inverse=True)[1]
        return Sets(queries, classes, queries, classes, single=True)
    gallery, gallery_labels = _check_set(gallery, gallery_labels, "gallery_embeddings")
    if queries.shape[1] != gallery.shape[1]:
        raise DMLTeachError(
            f"queries have {queries.shape[1]} dimensions, the gallery {gallery.shape[1]}; "
            "embed both with the same model."
        )
    gallery, gallery_labels = gallery.to(queries), gallery_labels.to(queries.device)
    classes = torch.cat([query_labels, gallery_labels]).unique(return_inverse=True)[1]
    return Sets(queries, classes[: len(queries)], gallery, classes[len(queries) :], single=False)


def _check_set(embeddings, labels, name: str) -> tuple[Tensor, Tensor]:
    embeddings = as_embeddings(embeddings, name)
    labels = as_labels(labels, name.replace("embeddings", "labels"))
    if not len(embeddings) or labels.shape != embeddings.shape[:1]:
        raise DMLTeachError(
            f"{name} {tuple(embeddings.shape)} with labels {tuple(labels.shape)}: "
            "give at least one row (N, D) and one label per row (N,)."
        )
    if embeddings.device.type == "mps":  # which has no float64
        embeddings = embeddings.cpu()
    check_finite(embeddings, name)
    return embeddings, labels.to(embeddings.device)


def _check_ks(ks: Sequence[int], sets: Sets) -> None:
    searched = len(sets.gallery) - sets.single
    if not isinstance(ks, Iterable) or any(k != int(k) for k in ks):
        raise DMLTeachError(f"ks are whole numbers, the K of Recall@K, e.g. (1, 2, 4, 8), not {ks!r}.")
    for k in ks:
        if not 1 <= k <= searched:
            raise DMLTeachError(f"Recall@{k} of {searched} items searched: choose K from 1 to {searched}.")


def _check_left_out(left_out: int, total: int) -> None:
    if left_out == total:
        raise DMLTeachError("no query has another item of its class to find; check the labels.")
    if left_out:
        warnings.warn(
            f"{left_out} of {total} queries have no other item of their class and are left out.",
            stacklevel=3,
        )
