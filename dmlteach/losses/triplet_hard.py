"""Batch-hard triplet loss: Hermans, Beyer & Leibe, "In defense of the triplet loss …", 2017."""

import torch
from torch import Tensor

from dmlteach.distances import row_distances
from dmlteach.interfaces import Loss
from dmlteach.losses.batch import loss_function
from dmlteach.losses.pairs import distance_pairs, has_both
from dmlteach.losses.tuples import masked_mean, raised, softplus, sunk
from dmlteach.options import at_least


def hardest_differences(
    embeddings: Tensor, labels: Tensor, reference: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """max d(a,p) − min d(a,n) of each anchor, over its positives and its negatives.

    Args:
        embeddings, labels, reference: of `triplet_hard_loss`.

    Returns:
        Differences (N,), and a mask (N,) of the anchors that have both.
    """
    # Choose among N² distances without a gradient; 2N distances need one.
    with torch.no_grad():
        d, is_positive, is_negative = distance_pairs(embeddings, labels, reference)
        farthest = sunk(d, is_positive).argmax(1)
        nearest = raised(d, is_negative).argmin(1)
    others = embeddings if reference is None else reference[0]
    difference = row_distances(embeddings, others[farthest]) - row_distances(embeddings, others[nearest])
    return difference, has_both(is_positive, is_negative)


@loss_function
def triplet_hard_loss(
    embeddings: Tensor,
    labels: Tensor,
    margin: float = 0.2,
    soft_margin: bool = False,
    reference: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Mean over anchors of [m + max d(a,p) − min d(a,n)]₊: farthest positive, nearest negative.

    Anchors without a positive or without a negative are left out of the mean.

    Args:
        embeddings: (N, D), as the network gives them; the paper does not normalise.
        labels: (N,) class of each embedding.
        margin: m, in distance; not read with `soft_margin`.
        soft_margin: log(1 + exp(max d(a,p) − min d(a,n))) in place of the hinge.
        reference: embeddings (M, D) and labels (M,) that positives and negatives come from in place
            of the batch, label -1 where empty.

    Returns:
        Scalar; a differentiable 0 if no anchor has both a positive and a negative.

    Raises:
        DMLTeachError: shapes or dtypes do not fit.
    """
    difference, complete = hardest_differences(embeddings, labels, reference)
    terms = softplus(difference) if soft_margin else (margin + difference).relu()
    return masked_mean(terms, complete)


class TripletHard(Loss):
    """Triplet loss over the hardest triplet of each anchor ("batch hard"), in the batch or a memory."""

    geometry = "euclidean"
    uses = frozenset({"reference"})

    def __init__(self, margin: float = 0.2, soft_margin: bool = False):
        super().__init__()
        at_least("margin", margin, 0)
        self.margin = margin
        self.soft_margin = soft_margin

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        return triplet_hard_loss(embeddings, labels, self.margin, self.soft_margin, reference)

    def active_tuples(self, embeddings, labels, tuples=None) -> Tensor:
        """Share of anchors inside the margin; with the soft margin, of those with a weight above 0.01."""
        difference, complete = hardest_differences(embeddings, labels)
        active = difference.sigmoid() > 0.01 if self.soft_margin else self.margin + difference > 0
        return masked_mean(active.float(), complete)
