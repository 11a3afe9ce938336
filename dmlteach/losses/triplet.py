"""Triplet loss over nearest targets: the comparison in Nguyen & De Baets, Neurocomputing 2020.

The hinge on squared distances is that of Schroff et al., "FaceNet", CVPR 2015.
"""

from torch import Tensor

from dmlteach.distances import pairwise_squared_distances
from dmlteach.interfaces import Loss
from dmlteach.losses.batch import loss_function
from dmlteach.losses.tuples import masked_mean, nearest_targets
from dmlteach.options import at_least


def triplet_hinges(
    embeddings: Tensor,
    labels: Tensor,
    margin: float = 0.2,
    num_targets: int = 5,
    targets: Tensor | None = None,
    origins: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """[m + d²(a,p) − d²(a,n)]₊ of every anchor, target and example.

    Args:
        embeddings: (N, D), as the network gives them.
        labels: (N,) class of each embedding.
        margin: m, in squared distance.
        num_targets: k nearest positives per anchor, where they are chosen here.
        targets: (N, k) rows chosen elsewhere, -1 where missing.
        origins: of `triplet_loss`.

    Returns:
        Hinges (N, k, N), and a mask (N, k, N) of the triplets that exist.
    """
    d2 = pairwise_squared_distances(embeddings)  # (N, N)
    if targets is None:
        targets = nearest_targets(d2, labels, num_targets, origins)  # (N, k)
    is_target = targets >= 0
    is_impostor = labels[:, None] != labels[None, :]  # (N, N)

    d2_ap = d2.gather(1, targets.clamp_min(0))  # (N, k)
    hinges = (margin + d2_ap[:, :, None] - d2[:, None, :]).relu()  # (N, k, N)
    return hinges, is_target[:, :, None] & is_impostor[:, None, :]


@loss_function
def triplet_loss(
    embeddings: Tensor,
    labels: Tensor,
    margin: float = 0.2,
    num_targets: int = 5,
    targets: Tensor | None = None,
    origins: Tensor | None = None,
) -> Tensor:
    """Mean over all triplets, the satisfied ones included, of [m + d²(a,p) − d²(a,n)]₊.

    Args:
        embeddings: (N, D), as the network gives them.
        labels: (N,) class of each embedding.
        margin: m, in squared distance.
        num_targets: nearest positives per anchor, where they are chosen here.
        targets: (N, k) rows chosen elsewhere (epoch-start neighbourhoods), -1 where missing.
        origins: (N,) image that each row shows, where made copies are among them; copies of its own image
            are not chosen as an anchor's targets.

    Returns:
        Scalar; a differentiable 0 if the batch holds no triplet.

    Raises:
        DMLTeachError: shapes or dtypes do not fit.
    """
    hinges, exists = triplet_hinges(embeddings, labels, margin, num_targets, targets, origins)
    return masked_mean(hinges, exists)


class Triplet(Loss):
    """Triplet loss over each anchor's `num_targets` nearest positives, or those the sampler chose."""

    geometry = "euclidean"
    uses = frozenset({"targets"})

    def __init__(self, margin: float = 0.2, num_targets: int = 5):
        super().__init__()
        at_least("margin", margin, 0)
        at_least("num_targets", num_targets, 1)
        self.margin = margin
        self.num_targets = num_targets

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        targets, origins = (tuples.targets, tuples.origins) if tuples else (None, None)
        return triplet_loss(embeddings, labels, self.margin, self.num_targets, targets, origins)

    def active_tuples(self, embeddings, labels, tuples=None) -> Tensor:
        """Share of triplets inside the margin, those that give a gradient."""
        targets, origins = (tuples.targets, tuples.origins) if tuples else (None, None)
        hinges, exists = triplet_hinges(embeddings, labels, self.margin, self.num_targets, targets, origins)
        return masked_mean((hinges > 0).float(), exists)
