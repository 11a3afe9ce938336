"""Batch-all triplet loss: Hermans, Beyer & Leibe, "In defense of the triplet loss …", 2017."""

from typing import Literal

import torch
from torch import Tensor

from dmlteach.interfaces import Loss
from dmlteach.losses.batch import loss_function
from dmlteach.losses.pairs import distance_pairs, squared_distance_pairs
from dmlteach.losses.tuples import as_numbers, raised
from dmlteach.options import at_least, one_of

REDUCTIONS = ("nonzero", "all")


def triplets_within(
    margin: float, d: Tensor, is_positive: Tensor, is_negative: Tensor, *, semihard: bool = False
) -> Tensor:
    """Counts of the triplets with d(a,n) < d(a,p) + m.

    A hinge is linear where it is active, so the sum over these triplets of d(a,p) − d(a,n) is the
    sum of counts · d: no triplet is enumerated, for the value or for the gradient.

    Args:
        margin: m.
        d: (N, M) distance of each anchor to each example, plain or squared.
        is_positive, is_negative: (N, M) masks, see `pair_masks`.
        semihard: only those with d(a,p) < d(a,n).

    Returns:
        (N, M) whole numbers: of a positive, the number of negatives it shares a triplet with; of a
        negative, minus the number of positives; 0 elsewhere.
    """
    positive, negative = as_numbers(is_positive, d), as_numbers(is_negative, d)
    ordered, order = raised(d, is_positive).sort(1)  # the anchor's positives, nearest first; then the rest

    def negatives_up_to(place: Tensor) -> Tensor:
        """How many negatives have their place at or before each place of the order."""
        return d.new_zeros(len(d), d.shape[1] + 1).scatter_add_(1, place, negative).cumsum(1)[:, :-1]

    # A negative is in a triplet with each positive from place `first` on …
    first = torch.searchsorted(ordered + margin, d, right=True)
    num_positives, num_negatives = positive.sum(1, keepdim=True) - first, negatives_up_to(first)
    if semihard:  # … and before place `end`
        end = torch.searchsorted(ordered, d)
        num_positives, num_negatives = end - first, num_negatives - negatives_up_to(end)
    num_negatives = torch.empty_like(d).scatter_(1, order, num_negatives)  # from places to examples
    return positive * num_negatives - negative * num_positives


def number_of_triplets(is_positive: Tensor, is_negative: Tensor) -> Tensor:
    """How many (a, p, n) two masks (N, M) hold."""
    return (is_positive.sum(1) * is_negative.sum(1)).sum()


@loss_function
def triplet_all_loss(
    embeddings: Tensor,
    labels: Tensor,
    margin: float = 0.2,
    reduction: Literal["nonzero", "all"] = "nonzero",
    squared: bool = False,
    reference: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Mean over all triplets that are not 0 of [m + d(a,p) − d(a,n)]₊.

    A triplet is any anchor, any other example of its class and any example of another class. The
    value is exact, in O(N² log N) time and O(N²) memory: see `triplets_within`.

    Args:
        embeddings: (N, D), as the network gives them; the paper does not normalise.
        labels: (N,) class of each embedding.
        margin: m, in distance (in squared distance with `squared`).
        reduction: "nonzero", the paper's BA≠0; "all" counts the satisfied triplets in the mean.
        squared: compare d² in place of d; the paper saw embeddings collapse with it.
        reference: embeddings (M, D) and labels (M,) that positives and negatives come from in place
            of the batch, label -1 where empty.

    Returns:
        Scalar; a differentiable 0 if no triplet is active.

    Raises:
        DMLTeachError: shapes or dtypes do not fit, or an option is out of range.
    """
    _check_options(margin, reduction)
    pairs = squared_distance_pairs if squared else distance_pairs
    d, is_positive, is_negative = pairs(embeddings, labels, reference)
    counts = triplets_within(margin, d.detach(), is_positive, is_negative)
    active = counts.clamp_min(0).sum()
    total = (counts * d).sum() + margin * active
    number = active if reduction == "nonzero" else number_of_triplets(is_positive, is_negative)
    return total / number.clamp_min(1)


def _check_options(margin: float, reduction: str) -> None:
    one_of("reduction of the triplet_all loss", reduction, REDUCTIONS)
    at_least("margin", margin, 0)


class TripletAll(Loss):
    """Triplet loss over every triplet of the batch ("batch all"), or with a memory's rows."""

    geometry = "euclidean"
    uses = frozenset({"reference"})

    def __init__(
        self, margin: float = 0.2, reduction: Literal["nonzero", "all"] = "nonzero", squared: bool = False
    ):
        super().__init__()
        _check_options(margin, reduction)
        self.margin = margin
        self.reduction = reduction
        self.squared = squared

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        return triplet_all_loss(embeddings, labels, self.margin, self.reduction, self.squared, reference)

    def active_tuples(self, embeddings, labels, tuples=None) -> Tensor:
        """Share of triplets inside the margin, those that give a gradient."""
        pairs = squared_distance_pairs if self.squared else distance_pairs
        d, is_positive, is_negative = pairs(embeddings, labels)
        active = triplets_within(self.margin, d, is_positive, is_negative).clamp_min(0).sum()
        return active / number_of_triplets(is_positive, is_negative).clamp_min(1)
