"""N-pair loss: Sohn, "Improved deep metric learning with multi-class N-pair loss objective", NIPS 2016."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from dmlteach.distances import full_precision
from dmlteach.interfaces import Loss
from dmlteach.losses.batch import loss_function
from dmlteach.losses.tuples import masked_mean, sunk
from dmlteach.options import at_least


def pair_up(labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cut each class into pairs in the order of the batch: its first and second image, third and fourth, …

    The last image of a class with an odd number is in no pair.

    Args:
        labels: (N,) class of each row.

    Returns:
        Rows of the anchors, rows of their positives, and which of these pairs exist, each (⌈N/2⌉,).
    """
    order = labels.argsort(stable=True)  # rows of a class side by side
    of_same_class = labels[order][1:] == labels[order][:-1]
    continues = torch.zeros_like(labels, dtype=torch.bool)
    continues[1:] = of_same_class  # the class of the row before
    position = torch.arange(len(labels), device=labels.device)
    rank = position - position.masked_fill(continues, 0).cummax(0).values  # within the class
    is_anchor = (rank % 2 == 0) & continues.roll(-1)
    # At most half of the rows are anchors: sort them to the front instead of asking how many there are.
    at = is_anchor.int().argsort(descending=True, stable=True)[: (len(labels) + 1) // 2]
    return order[at], order[(at + 1).clamp_max(len(labels) - 1)], is_anchor[at]


@full_precision
def n_pair_terms(embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """log(1 + Σ_n exp(z_a·z_n − z_a·z_p)) of every pair (a, p), n the positives of the other classes.

    Args:
        embeddings: (N, D), as the network gives them.
        labels: (N,) class of each embedding.

    Returns:
        Terms, and a mask of the pairs that exist, each (⌈N/2⌉,).
    """
    anchors, positives, exists = pair_up(labels)
    # One index_select: its gradient is several times faster than that of plain indexing.
    z_a, z_p = embeddings.index_select(0, torch.cat([anchors, positives])).chunk(2)  # (M, D)
    scores = z_a @ z_p.T  # (M, M)
    classes = labels[anchors]
    is_candidate = (classes[:, None] != classes[None, :]) & exists[None, :]
    is_candidate.fill_diagonal_(True)  # the pair's own positive, which the softmax should choose
    own = torch.arange(len(scores), device=scores.device)
    return cross_entropy(sunk(scores, is_candidate), own, reduction="none"), exists


@full_precision
def mean_square_norm(embeddings: Tensor, labels: Tensor) -> Tensor:
    """Mean ‖z‖² of the embeddings that are in a pair."""
    anchors, positives, exists = pair_up(labels)
    square_norms = embeddings.square().sum(1)
    return masked_mean(square_norms[anchors] + square_norms[positives], exists) / 2


@loss_function
def n_pair_loss(embeddings: Tensor, labels: Tensor, l2: float = 0.0) -> Tensor:
    """Mean over pairs (a, p) of log(1 + Σ_n exp(z_a·z_n − z_a·z_p)), n the positives of the other classes.

    The paper's batch has two images of each class, the anchor and its positive. Of a class with more,
    the third and the fourth are a further pair, and so on; an odd one is left out. The negatives of a pair
    are the positives of all pairs of other classes, never those of its own.

    Args:
        embeddings: (N, D), as the network gives them: the paper does not normalise them …
        labels: (N,) class of each embedding.
        l2: … but keeps them small, by adding l2/2 times the mean squared norm of the paired embeddings.

    Returns:
        Scalar; a differentiable 0 if no class has two images.

    Raises:
        DMLTeachError: shapes or dtypes do not fit.
    """
    value = masked_mean(*n_pair_terms(embeddings, labels))
    return value + l2 / 2 * mean_square_norm(embeddings, labels) if l2 else value


class NPair(Loss):
    """N-pair loss: every anchor with one positive of its own class and one of each pair of another class."""

    geometry = "euclidean"

    def __init__(self, l2: float = 0.0):
        super().__init__()
        at_least("l2", l2, 0)
        self.l2 = l2

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        return n_pair_loss(embeddings, labels, self.l2)

    def active_tuples(self, embeddings, labels, tuples=None) -> Tensor:
        """Share of pairs that are moved: the softmax gives more than 0.01 to the negatives."""
        terms, exists = n_pair_terms(embeddings, labels)
        return masked_mean((1 - (-terms).exp() > 0.01).float(), exists)
