"""Histogram loss: Ustinova & Lempitsky, "Learning deep embeddings with histogram loss", NIPS 2016."""

from torch import Tensor

from dmlteach.distances import pairwise_cosine
from dmlteach.interfaces import Loss
from dmlteach.losses.batch import loss_function
from dmlteach.losses.pairs import pair_masks
from dmlteach.losses.soft_histogram import kinds_of_pairs, soft_histograms
from dmlteach.losses.tuples import masked_mean
from dmlteach.options import at_least


def densities(cosine: Tensor, is_positive: Tensor, is_negative: Tensor, num_nodes: int) -> Tensor:
    """Histograms h⁺ and h⁻ of the cosines of positive and of negative pairs, (2, R), each summing to 1.

    Args:
        cosine: (N, N).
        is_positive, is_negative: (N, N) masks; a kind without pairs has a histogram of zeros.
        num_nodes: R, from −1 to 1.
    """
    position = (cosine + 1) * ((num_nodes - 1) / 2)
    counts = soft_histograms(position, kinds_of_pairs(is_negative), 2, num_nodes).sum(0)  # (2, R)
    return counts / counts.detach().sum(1, keepdim=True).clamp_min(1)


@loss_function
def histogram_loss(embeddings: Tensor, labels: Tensor, num_nodes: int = 101) -> Tensor:
    """Σ_r h⁻_r Σ_{q ≤ r} h⁺_q: how probably a negative pair is at least as similar as a positive one.

    h⁺ and h⁻ are histograms of the cosines of all positive and all negative pairs of the batch, each
    summing to 1, over R nodes from −1 to 1. A cosine between two nodes counts at both, in linear shares.
    The paper tunes nothing, and finds R to matter little.

    Args:
        embeddings: (N, D); normalised here.
        labels: (N,) class of each embedding.
        num_nodes: R; 101 are 0.02 apart.

    Returns:
        Scalar; a differentiable 0 if the batch lacks positive or negative pairs.

    Raises:
        DMLTeachError: shapes or dtypes do not fit, or there are fewer than 2 nodes.
    """
    at_least("num_nodes", num_nodes, 2)
    positive, negative = densities(pairwise_cosine(embeddings), *pair_masks(labels), num_nodes)
    return (negative * positive.cumsum(0)).sum()


class Histogram(Loss):
    """Histogram loss over all pairs of the batch."""

    geometry = "sphere"

    def __init__(self, num_nodes: int = 101):
        super().__init__()
        at_least("num_nodes", num_nodes, 2)
        self.num_nodes = num_nodes

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        return histogram_loss(embeddings, labels, self.num_nodes)

    def active_tuples(self, embeddings, labels, tuples=None) -> Tensor:
        """Share of pairs that get a gradient: those that share a step of it with the other kind."""
        cosine, (is_positive, is_negative) = pairwise_cosine(embeddings), pair_masks(labels)
        positive, negative = densities(cosine, is_positive, is_negative, self.num_nodes)
        below = ((cosine + 1) * ((self.num_nodes - 1) / 2)).long().clamp(0, self.num_nodes - 2)
        moved = (is_negative & (positive[below + 1] > 0)) | (is_positive & (negative[below] > 0))
        return masked_mean(moved.float(), is_positive | is_negative)
