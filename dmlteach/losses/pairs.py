"""What an anchor is compared with, pair by pair: the others of its batch, or the rows of a memory."""

import torch
from torch import Tensor

from dmlteach.distances import (
    cosine_to,
    distance,
    pairwise_cosine,
    pairwise_distances,
    pairwise_squared_distances,
    squared_distances_to,
)
from dmlteach.errors import DMLTeachError
from dmlteach.losses.batch import check_batch
from dmlteach.losses.tuples import has_any, raised, sunk


def pair_masks(labels: Tensor, reference_labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Which pairs are positive, and which negative.

    Args:
        labels: (N,) class of each anchor.
        reference_labels: (M,) class of each row of a memory, -1 where it is empty; default: the
            others are the batch itself, and nothing is paired with itself.

    Returns:
        Two boolean masks, (N, N) or (N, M).
    """
    if reference_labels is None:
        is_positive = labels[:, None] == labels[None, :]
        is_negative = ~is_positive
        return is_positive.fill_diagonal_(False), is_negative
    is_positive = labels[:, None] == reference_labels[None, :]
    return is_positive, ~is_positive & (reference_labels >= 0)[None, :]


def has_both(is_positive: Tensor, is_negative: Tensor) -> Tensor:
    """Which anchors have a positive and a negative, (N,)."""
    return has_any(is_positive) & has_any(is_negative)


def squared_distance_pairs(
    embeddings: Tensor, labels: Tensor, reference: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """d² of each anchor to what it is compared with, and which of these pairs are positive, which negative.

    Args:
        embeddings: (N, D), the anchors.
        labels: (N,) their classes.
        reference: embeddings (M, D) and labels (M,) of a memory, -1 where it is empty; the anchors
            are compared with its rows. Default: with the others of the batch.

    Returns:
        d² and two boolean masks, all (N, N) or (N, M).

    Raises:
        DMLTeachError: shapes or dtypes do not fit.
    """
    labels = check_batch(embeddings, labels)
    if reference is None:
        return pairwise_squared_distances(embeddings), *pair_masks(labels)
    others, their_labels = _checked(reference, embeddings)
    return squared_distances_to(embeddings, others), *pair_masks(labels, their_labels)


def distance_pairs(
    embeddings: Tensor, labels: Tensor, reference: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """d of each anchor to what it is compared with, and the masks: see `squared_distance_pairs`."""
    if reference is None:
        labels = check_batch(embeddings, labels)
        return pairwise_distances(embeddings), *pair_masks(labels)
    d2, is_positive, is_negative = squared_distance_pairs(embeddings, labels, reference)
    return distance(d2), is_positive, is_negative


def cosine_pairs(
    embeddings: Tensor, labels: Tensor, reference: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """cos of each anchor with what it is compared with, and the masks: see `squared_distance_pairs`."""
    labels = check_batch(embeddings, labels)
    if reference is None:
        return pairwise_cosine(embeddings), *pair_masks(labels)
    others, their_labels = _checked(reference, embeddings)
    return cosine_to(embeddings, others), *pair_masks(labels, their_labels)


@torch.no_grad()
def mine_pairs(
    cosine: Tensor, is_positive: Tensor, is_negative: Tensor, epsilon: float
) -> tuple[Tensor, Tensor]:
    """Keep a negative with S > min over positives of S − ε, a positive with S < max over negatives of S + ε.

    An anchor without positives keeps no negative, and the other way round.

    Returns:
        Masks of the kept positives and negatives, (N, M) as the inputs.
    """
    hardest_positive = raised(cosine, is_positive).amin(1, keepdim=True)  # (N, 1)
    hardest_negative = sunk(cosine, is_negative).amax(1, keepdim=True)
    # Written as what is dropped: a NaN is never dropped, and so reaches the loss.
    easy_positive = cosine >= hardest_negative + epsilon
    easy_negative = cosine <= hardest_positive - epsilon
    return is_positive & ~easy_positive, is_negative & ~easy_negative


def _checked(reference: tuple[Tensor, Tensor], embeddings: Tensor) -> tuple[Tensor, Tensor]:
    others, their_labels = reference
    their_labels = check_batch(others, their_labels)
    if not len(others):
        raise DMLTeachError("the memory has no rows to compare with; leave reference out until it has.")
    if others.shape[1] != embeddings.shape[1]:
        raise DMLTeachError(
            f"the memory has {others.shape[1]} dimensions, the batch {embeddings.shape[1]}; they must agree."
        )
    return others, their_labels
