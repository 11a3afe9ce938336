"""FastAP loss: Cakir et al., "Deep metric learning to rank", CVPR 2019."""

from torch import Tensor

from dmlteach.distances import normalize, pairwise_squared_distances
from dmlteach.interfaces import Loss
from dmlteach.losses.batch import loss_function
from dmlteach.losses.pairs import pair_masks
from dmlteach.losses.soft_histogram import kinds_of_pairs, soft_histograms
from dmlteach.losses.tuples import has_any, masked_mean
from dmlteach.options import at_least

FARTHEST = 4  # squared distance on the unit sphere
NOTHING = 1e-30  # less than any share that is counted


def fast_average_precision(embeddings: Tensor, labels: Tensor, num_bins: int = 10) -> tuple[Tensor, Tensor]:
    """AP of each query's ranking of the others, with distances in bins.

    Args:
        embeddings: (N, D); normalised here.
        labels: (N,) class of each embedding.
        num_bins: Q.

    Returns:
        AP (N,), and a mask (N,) of the queries that have a positive.
    """
    d2 = pairwise_squared_distances(normalize(embeddings))
    is_positive, is_negative = pair_masks(labels)
    position = d2 * (num_bins / FARTHEST)
    counts = soft_histograms(position, kinds_of_pairs(is_negative), 2, num_bins + 1)  # (N, 2, Q + 1)
    positives, everyone = counts[:, 0], counts.sum(1)
    precision = positives.cumsum(1) / everyone.cumsum(1).clamp_min(NOTHING)
    return (positives * precision).sum(1) / is_positive.sum(1).clamp_min(1), has_any(is_positive)


@loss_function
def fast_ap_loss(embeddings: Tensor, labels: Tensor, num_bins: int = 10) -> Tensor:
    """Mean over queries of 1 − AP, with AP = (1/N⁺) Σ_j h⁺_j H⁺_j / H_j over the nodes j of a histogram.

    h⁺_j counts the query's positives, and h_j all images but the query, at the nodes 0, 4/Q, …, 4 of the
    squared distance on the unit sphere; what lies between two nodes counts at both, in linear shares. H⁺_j
    and H_j are the sums up to node j, so H⁺_j / H_j is the precision there. Where every distance lies on a
    node of its own, it is the AP of the ranking. Queries without a positive are left out.

    Args:
        embeddings: (N, D); normalised here.
        labels: (N,) class of each embedding.
        num_bins: Q; with more, fewer images share a node, and fewer pairs give a gradient.

    Returns:
        Scalar; a differentiable 0 if no query has a positive.

    Raises:
        DMLTeachError: shapes or dtypes do not fit, or there is no bin.
    """
    at_least("num_bins", num_bins, 1)
    precision, exists = fast_average_precision(embeddings, labels, num_bins)
    return masked_mean(1 - precision, exists)


class FastAP(Loss):
    """FastAP over the batch, each image the query of all others."""

    geometry = "sphere"

    def __init__(self, num_bins: int = 10):
        super().__init__()
        at_least("num_bins", num_bins, 1)
        self.num_bins = num_bins

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        return fast_ap_loss(embeddings, labels, self.num_bins)

    def active_tuples(self, embeddings, labels, tuples=None) -> Tensor:
        """Share of queries whose AP is more than 0.01 below 1."""
        precision, exists = fast_average_precision(embeddings, labels, self.num_bins)
        return masked_mean((precision < 0.99).float(), exists)
