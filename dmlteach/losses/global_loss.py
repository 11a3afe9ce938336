"""Global loss: Kumar B G et al., "… by minimizing global loss functions", CVPR 2016."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from dmlteach.distances import distance, normalize, pairwise_squared_distances
from dmlteach.interfaces import Loss
from dmlteach.losses.batch import loss_function
from dmlteach.losses.pairs import pair_masks
from dmlteach.losses.tuples import masked_mean
from dmlteach.options import at_least, positive

Pairs = tuple[Tensor, Tensor, Tensor, Tensor]


def quarter_distances(embeddings: Tensor, labels: Tensor, triplets: Tensor | None = None) -> Pairs:
    """d⁺ = ¼‖z_a − z_p‖² and d⁻ = ¼‖z_a − z_n‖² on the unit sphere, both in [0, 1].

    Args:
        embeddings: (N, D); normalised here.
        labels: (N,) class of each embedding.
        triplets: (T, 3) anchor, positive, negative.

    Returns:
        d⁺, which of its entries exist, d⁻, which of its entries exist: each (T,), or without triplets
        each (N, N), for all positive and negative pairs of the batch.
    """
    quarter = pairwise_squared_distances(normalize(embeddings)) / 4  # (N, N)
    if triplets is None:
        is_positive, is_negative = pair_masks(labels)
        return quarter, is_positive, quarter, is_negative
    anchor, positive, negative = triplets.unbind(1)
    exists = torch.ones_like(anchor, dtype=torch.bool)
    return quarter[anchor, positive], exists, quarter[anchor, negative], exists


def variances(pairs: Pairs) -> Tensor:
    """var⁺ + var⁻, both biased (divided by the number of pairs)."""

    def variance(values: Tensor, exists: Tensor) -> Tensor:
        return masked_mean((values - masked_mean(values, exists)).square(), exists)

    positive, is_positive, negative, is_negative = pairs
    return variance(positive, is_positive) + variance(negative, is_negative)


def overlap(pairs: Pairs, threshold: float) -> Tensor:
    """μ⁺ − μ⁻ + t: what the means lack to be t apart; -inf where one kind of pair is missing."""
    positive, is_positive, negative, is_negative = pairs
    means = masked_mean(positive, is_positive) - masked_mean(negative, is_negative)
    return (means + threshold).masked_fill(~(is_positive.any() & is_negative.any()), -torch.inf)


def ratio_triplet_loss(pairs: Pairs, margin: float) -> Tensor:
    """Mean over triplets of [1 − d(a,n) / (d(a,p) + m)]₊, from what `quarter_distances` returns.

    For all triplets of a batch an anchor's negatives are sorted once: those nearer than d(a,p) + m
    are then the first k, and the sum of their distances is a prefix sum. O(N² log N), O(N²) memory.
    """
    positive, is_positive, negative, is_negative = pairs
    reach = distance(4 * positive) + margin  # d(a,p) + m
    d = distance(4 * negative)
    if d.ndim == 1:
        return masked_mean((1 - d / reach).relu(), is_positive)
    nearest = d.masked_fill(~is_negative, torch.inf).sort(1).values  # (N, N)
    sums = pad(nearest.masked_fill(nearest.isinf(), 0).cumsum(1), (1, 0))  # (N, N + 1) of the first 0, 1, …
    k = torch.searchsorted(nearest.detach(), reach.detach())  # (N, N) of each anchor and positive
    hinges = (k - sums.gather(1, k) / reach).masked_fill(~is_positive, 0)
    return hinges.sum() / (is_positive.sum(1) * is_negative.sum(1)).sum().clamp_min(1)


@loss_function
def global_loss(
    embeddings: Tensor,
    labels: Tensor,
    lambda_: float = 0.8,
    threshold: float = 0.4,
    triplet_weight: float = 0.0,
    triplet_margin: float = 0.01,
    triplets: Tensor | None = None,
) -> Tensor:
    """(var⁺ + var⁻) + λ [μ⁺ − μ⁻ + t]₊, plus γ times the mean of [1 − d(a,n) / (d(a,p) + m)]₊.

    μ and var are mean and biased variance of d²/4 over the positive pairs (⁺) and the negative
    pairs (⁻) of the given triplets, or of the whole batch. The last term is the paper's triplet
    loss on plain distances; smart mining (Harwood et al., ICCV 2017) trains on the sum with γ = 1.

    Args:
        embeddings: (N, D); normalised here.
        labels: (N,) class of each embedding.
        lambda_: λ, weight of the means.
        threshold: t, by which the means should differ.
        triplet_weight: γ; 0 leaves the triplet term out.
        triplet_margin: m of the triplet term.
        triplets: (T, 3) anchor, positive, negative chosen elsewhere; default all of the batch.

    Returns:
        Scalar; a differentiable 0 if the batch holds no triplet.

    Raises:
        DMLTeachError: shapes or dtypes do not fit.
    """
    pairs = quarter_distances(embeddings, labels, triplets)
    value = variances(pairs) + lambda_ * overlap(pairs, threshold).relu()
    if triplet_weight:
        value = value + triplet_weight * ratio_triplet_loss(pairs, triplet_margin)
    # Positive and negative pairs together make a triplet; of one kind alone there is nothing to part.
    return value * (pairs[1].any() & pairs[3].any())


class Global(Loss):
    """Global loss on the sampler's triplets, or else on all pairs of the batch."""

    geometry = "sphere"
    uses = frozenset({"triplets"})

    def __init__(
        self,
        lambda_: float = 0.8,
        threshold: float = 0.4,
        triplet_weight: float = 0.0,
        triplet_margin: float = 0.01,
    ):
        super().__init__()
        at_least("lambda_", lambda_, 0)
        at_least("triplet_weight", triplet_weight, 0)
        positive("triplet_margin", triplet_margin)
        self.lambda_ = lambda_
        self.threshold = threshold
        self.triplet_weight = triplet_weight
        self.triplet_margin = triplet_margin

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        return global_loss(
            embeddings, labels, self.lambda_, self.threshold, self.triplet_weight, self.triplet_margin,
            tuples.triplets if tuples else None,
        )  # fmt: skip

    def active_tuples(self, embeddings, labels, tuples=None) -> Tensor:
        """1 while the means are less than t apart and move every pair, 0 once only the variances are left."""
        pairs = quarter_distances(embeddings, labels, tuples.triplets if tuples else None)
        return (overlap(pairs, self.threshold) > 0).float()
