"""Exact retrieval metrics: Recall@K, R-precision and MAP@R, all from the ranks of a query's matches."""

import warnings
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from dmlteach.errors import DMLTeachError
from dmlteach.metrics.ranks import Sets, query_order, rank_matches
from dmlteach.metrics.sets import checked_sets


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
    sets = checked_sets(embeddings, labels, gallery_embeddings, gallery_labels)
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
    sets = checked_sets(embeddings, labels, gallery_embeddings, gallery_labels)
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
