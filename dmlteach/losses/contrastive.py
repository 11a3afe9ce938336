"""Contrastive loss: Hadsell, Chopra & LeCun, "Dimensionality reduction by …", CVPR 2006."""

import torch
from torch import Tensor

from dmlteach.distances import pairwise_distances, pairwise_squared_distances
from dmlteach.interfaces import Loss
from dmlteach.losses.tuples import check_batch, masked_mean


def pair_terms(embeddings: Tensor, labels: Tensor, margin: float) -> tuple[Tensor, Tensor, Tensor]:
    """½d² of each positive pair, ½[m − d]₊² of each negative one: terms, positives, pairs, each (N, N)."""
    is_positive = labels[:, None] == labels[None, :]
    is_pair = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    pull = pairwise_squared_distances(embeddings) / 2
    push = (margin - pairwise_distances(embeddings)).relu().square() / 2
    return torch.where(is_positive, pull, push), is_positive, is_pair


def contrastive_loss(embeddings: Tensor, labels: Tensor, margin: float = 1.0) -> Tensor:
    """Mean over pairs of ½d² (same class) and ½[m − d]₊² (different classes).

    Args:
        embeddings: (N, D), as the network gives them.
        labels: (N,) class of each embedding.
        margin: m, the distance beyond which a negative is left alone.

    Returns:
        Scalar; a differentiable 0 if the batch holds no pair.

    Raises:
        DMLTeachError: shapes or dtypes do not fit.
    """
    check_batch(embeddings, labels)
    terms, _, is_pair = pair_terms(embeddings, labels, margin)
    return masked_mean(terms, is_pair)


class Contrastive(Loss):
    """Contrastive loss over all pairs of the batch."""

    geometry = "euclidean"

    def __init__(self, margin: float = 1.0):
        super().__init__()
        self.margin = margin

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        return contrastive_loss(embeddings, labels, self.margin)

    @torch.no_grad()
    def stats(self, embeddings, labels, tuples=None) -> dict[str, Tensor]:
        """`active_tuples`: share of negative pairs inside the margin, those that give a gradient."""
        terms, is_positive, is_pair = pair_terms(embeddings, labels, self.margin)
        return {"active_tuples": masked_mean((terms > 0).float(), is_pair & ~is_positive)}
