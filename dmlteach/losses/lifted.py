"""Lifted structured loss: Song et al., "Deep metric learning via lifted structured …", CVPR 2016."""

import torch
from torch import Tensor

from dmlteach.distances import pairwise_distances
from dmlteach.interfaces import Loss
from dmlteach.losses.batch import check_batch, loss_function
from dmlteach.losses.pairs import pair_masks
from dmlteach.losses.tuples import as_numbers, masked_logsumexp, masked_mean
from dmlteach.options import at_least


def lifted_terms(embeddings: Tensor, labels: Tensor, margin: float = 1.0) -> tuple[Tensor, Tensor]:
    """J(i, j) = log(Σ_k e^(m − d(i,k)) + Σ_l e^(m − d(j,l))) + d(i, j), k and l the negatives of i and j.

    Args:
        embeddings, labels, margin: of `lifted_loss`.

    Returns:
        J (N, N), and a mask (N, N) of the positive pairs.
    """
    labels = check_batch(embeddings, labels)
    is_positive, is_negative = pair_masks(labels)
    d = pairwise_distances(embeddings)
    negatives = masked_logsumexp(margin - d, is_negative)  # (N,), -inf where there are none
    return torch.logaddexp(negatives[:, None], negatives[None, :]) + d, is_positive


@loss_function
def lifted_loss(embeddings: Tensor, labels: Tensor, margin: float = 1.0) -> Tensor:
    """Mean over positive pairs of ½[J]₊², J = log(Σ_k e^(m − d(i,k)) + Σ_l e^(m − d(j,l))) + d(i,j).

    k are the negatives of i, l those of j: a smooth form of the nearest negative of either.

    Args:
        embeddings: (N, D), as the network gives them; the paper does not normalise.
        labels: (N,) class of each embedding.
        margin: m, the paper's α, in distance.

    Returns:
        Scalar; a differentiable 0 if the batch holds no positive pair or no negative.

    Raises:
        DMLTeachError: shapes or dtypes do not fit.
    """
    terms, is_positive = lifted_terms(embeddings, labels, margin)
    # Without negatives a term is -inf; its hinge is 0.
    squares = as_numbers(is_positive, terms) * terms.relu().square()
    return squares.sum() / (2 * is_positive.sum().clamp_min(1))


class Lifted(Loss):
    """Lifted structured loss. It reads the negatives of both ends of a pair, so no memory can replace one."""

    geometry = "euclidean"

    def __init__(self, margin: float = 1.0):
        super().__init__()
        at_least("margin", margin, 0)
        self.margin = margin

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        return lifted_loss(embeddings, labels, self.margin)

    def active_tuples(self, embeddings, labels, tuples=None) -> Tensor:
        """Share of positive pairs with J above 0, those that give a gradient."""
        terms, is_positive = lifted_terms(embeddings, labels, self.margin)
        return masked_mean((terms > 0).float(), is_positive)
