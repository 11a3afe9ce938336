"""Hierarchical triplet loss: Ge, Huang, Dong & Scott, "Deep metric learning with …", ECCV 2018."""

import torch
from torch import Tensor

from dmlteach.distances import normalize, pairwise_squared_distances
from dmlteach.inputs import check_classes
from dmlteach.interfaces import Loss, Space
from dmlteach.losses.batch import check_batch, loss_function
from dmlteach.losses.pairs import pair_masks
from dmlteach.options import at_least, between
from dmlteach.samplers.class_tree import ClassTree, class_tree


@loss_function
def hierarchical_triplet_loss(
    embeddings: Tensor, labels: Tensor, tree: ClassTree | None = None, beta: float = 0.1
) -> Tensor:
    """1/(2Z) Σ over triplets of [d²(a, p) − d²(a, n) + α]₊ with α = β + d_H(y_a, y_n) − s_{y_a}.

    d_H is the threshold of the level at which the class tree merges the two classes, s the spread
    of the anchor's class: the farther apart two classes already are, the wider the margin. Z is the
    number of triplets. (The paper prints the loss with plain norms; its margins are in d², so
    the distances here are too.)

    Args:
        embeddings: (N, D); normalised here.
        labels: (N,) class of each embedding, 0 … C-1.
        tree: of the classes; without one, α = β.
        beta: β, in squared distance.

    Returns:
        Scalar; a differentiable 0 if the batch holds no triplet.

    Raises:
        DMLTeachError: shapes or dtypes do not fit, or a label (looked at on the CPU only) is no class.
    """
    values, weights, num_triplets = weighted_distances(embeddings, labels, tree, beta)
    return (values * weights).sum() / (2 * num_triplets.clamp_min(1))


def weighted_distances(
    embeddings: Tensor, labels: Tensor, tree: ClassTree | None, beta: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The sum over active triplets, anchor by anchor, without making any triplet.

    The margin depends on anchor and negative only: the triplet (a, p, n) is active where
    d²(a, p) > d²(a, n) − α(a, n). In an anchor's row of d²(a, p) and d²(a, n) − α, sorted, each
    positive is in as many active triplets as negatives stand before it, each negative in as
    many as positives stand behind it; so often the one counts, and the other is counted off.

    Returns:
        Values (N, N), each row sorted; their weights (N, N); and the number of triplets, active or not.
    """
    labels = check_batch(embeddings, labels)
    is_positive, is_negative = pair_masks(labels)  # (N, N)
    d2 = pairwise_squared_distances(normalize(embeddings))
    values, order = (d2 - margins(labels, tree, beta) * is_negative).sort(1)
    positive, negative = is_positive.gather(1, order).int(), is_negative.gather(1, order).int()
    behind = positive.sum(1, keepdim=True) - positive.cumsum(1)
    weights = positive * negative.cumsum(1) - negative * behind
    return values, weights, (positive.sum(1) * negative.sum(1)).sum()


def margins(labels: Tensor, tree: ClassTree | None, beta: float) -> Tensor | float:
    """α(a, n) = β + d_H(y_a, y_n) − s_{y_a}, (N, N); β without a tree."""
    if tree is None:
        return beta
    check_classes(labels, len(tree.spreads))
    levels = tree.levels[labels[:, None], labels[None, :]]  # (N, N)
    return beta + tree.thresholds[levels.int()] - tree.spreads[labels][:, None]


class HierarchicalTriplet(Loss):
    """Hierarchical triplet loss over all triplets of the batch, with the class tree of the epoch's start.

    The first epochs train a plain triplet loss of margin β (the paper: one); from then on the tree is
    built anew at each epoch's start.
    """

    geometry = "sphere"
    needs_space = True

    levels: Tensor
    thresholds: Tensor
    spreads: Tensor

    def __init__(self, num_classes: int, beta: float = 0.1, num_levels: int = 16, plain_epochs: int = 1):
        super().__init__()
        between("num_levels", num_levels, 1, 255)
        at_least("plain_epochs", plain_epochs, 0)
        self.beta = beta
        self.num_levels = num_levels
        self.plain_epochs = plain_epochs
        # A tree of zeros has the margin β everywhere.
        self.register_buffer("levels", torch.zeros(num_classes, num_classes, dtype=torch.uint8))
        self.register_buffer("thresholds", torch.zeros(num_levels + 1))
        self.register_buffer("spreads", torch.zeros(num_classes))

    @property
    def tree(self) -> ClassTree:
        """The class tree in use."""
        return ClassTree(self.levels, self.thresholds, self.spreads)

    def plan(self, epoch: int, space: Space | None) -> None:
        """Build the tree from the epoch-start embeddings, once the plain epochs are over."""
        if epoch < self.plain_epochs or space is None:
            return
        for mine, new in zip(self.tree, class_tree(space, self.num_levels), strict=True):
            mine.copy_(new)

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        return hierarchical_triplet_loss(embeddings, labels, self.tree, self.beta)

    def active_tuples(self, embeddings, labels, tuples=None) -> Tensor:
        """Share of triplets inside their margin, those that give a gradient."""
        _, weights, num_triplets = weighted_distances(embeddings, labels, self.tree, self.beta)
        return weights.clamp_min(0).sum() / num_triplets.clamp_min(1)
