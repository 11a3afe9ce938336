"""Semi-hard triplet loss: Schroff, Kalenichenko & Philbin, "FaceNet: A unified embedding …", CVPR 2015."""

from typing import Literal

import torch
from torch import Tensor

from dmlteach.distances import normalize
from dmlteach.interfaces import Loss
from dmlteach.losses.batch import loss_function
from dmlteach.losses.pairs import squared_distance_pairs
from dmlteach.losses.triplet_all import number_of_triplets, triplets_within
from dmlteach.losses.tuples import masked_mean
from dmlteach.options import one_of, positive

VARIANTS = ("all", "nearest")


def unit_squared_distance_pairs(
    embeddings: Tensor, labels: Tensor, reference: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """d² on the unit sphere of what is compared, and the masks: see `squared_distance_pairs`."""
    if reference is not None:
        reference = normalize(reference[0]), reference[1]
    return squared_distance_pairs(normalize(embeddings), labels, reference)


def nearest_hinges(
    d2: Tensor, margin: float, is_positive: Tensor, is_negative: Tensor
) -> tuple[Tensor, Tensor]:
    """[m + d²(a,p) − d²(a,n)]₊ with one negative for each pair: the nearest beyond the positive.

    Args:
        d2: (N, M) squared distances.
        margin: m.
        is_positive, is_negative: (N, M) masks.

    Returns:
        Hinges (N, M), and a mask (N, M) of the positive pairs that have a negative.
    """
    ordered, order = d2.detach().masked_fill(~is_negative, torch.inf).sort(1)  # negatives, then the rest
    num_negatives = is_negative.sum(1, keepdim=True)
    beyond = torch.searchsorted(ordered, d2.detach(), right=True)  # first with d²(a,n) > d²(a,p)
    farthest = (num_negatives - 1).clamp_min(0)
    negative = order.gather(1, beyond.minimum(farthest))
    return (margin + d2 - d2.gather(1, negative)).relu(), is_positive & (num_negatives > 0)


@loss_function
def triplet_semihard_loss(
    embeddings: Tensor,
    labels: Tensor,
    margin: float = 0.2,
    variant: Literal["all", "nearest"] = "all",
    reference: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Mean of m + d²(a,p) − d²(a,n) over all triplets with d²(a,p) < d²(a,n) < d²(a,p) + m.

    A semi-hard negative is farther from the anchor than the positive, but inside the margin. The
    paper draws one such negative for each pair of its large batch; here all of them are compared,
    exactly, in O(N² log N) time. The variant "nearest" compares each pair with one negative, as
    TensorFlow does: the nearest one beyond the positive, or the farthest one if none is; it is the
    mean over all positive pairs, satisfied ones included.

    Args:
        embeddings: (N, D); normalised here.
        labels: (N,) class of each embedding.
        margin: m, in squared distance.
        variant: "all" or "nearest".
        reference: embeddings (M, D) and labels (M,) that positives and negatives come from in place
            of the batch, label -1 where empty.

    Returns:
        Scalar; a differentiable 0 if no triplet is semi-hard.

    Raises:
        DMLTeachError: shapes or dtypes do not fit, or an option is out of range.
    """
    _check_options(margin, variant)
    d2, is_positive, is_negative = unit_squared_distance_pairs(embeddings, labels, reference)
    if variant == "nearest":
        return masked_mean(*nearest_hinges(d2, margin, is_positive, is_negative))
    counts = triplets_within(margin, d2.detach(), is_positive, is_negative, semihard=True)
    number = counts.clamp_min(0).sum()
    return ((counts * d2).sum() + margin * number) / number.clamp_min(1)


def _check_options(margin: float, variant: str) -> None:
    one_of("variant of the triplet_semihard loss", variant, VARIANTS)
    positive("margin", margin, because="without it no negative is semi-hard")


class TripletSemihard(Loss):
    """Triplet loss over the semi-hard triplets of the batch, or with a memory's rows."""

    geometry = "sphere"
    uses = frozenset({"reference"})

    def __init__(self, margin: float = 0.2, variant: Literal["all", "nearest"] = "all"):
        super().__init__()
        _check_options(margin, variant)
        self.margin = margin
        self.variant = variant

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        return triplet_semihard_loss(embeddings, labels, self.margin, self.variant, reference)

    def active_tuples(self, embeddings, labels, tuples=None) -> Tensor:
        """Share of triplets that are semi-hard; with "nearest", of positive pairs inside the margin."""
        d2, is_positive, is_negative = unit_squared_distance_pairs(embeddings, labels)
        if self.variant == "nearest":
            hinges, exists = nearest_hinges(d2, self.margin, is_positive, is_negative)
            return masked_mean((hinges > 0).float(), exists)
        counts = triplets_within(self.margin, d2, is_positive, is_negative, semihard=True)
        number = counts.clamp_min(0).sum()
        return number / number_of_triplets(is_positive, is_negative).clamp_min(1)
