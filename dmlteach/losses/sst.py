"""Stochastic symmetric triplet (SST) loss: Nguyen & De Baets, Neurocomputing 2020."""

from torch import Tensor

from dmlteach.distances import pairwise_squared_distances
from dmlteach.interfaces import Loss
from dmlteach.losses.batch import loss_function
from dmlteach.losses.tuples import masked_mean, nearest_targets, softplus
from dmlteach.options import at_least


def sst_exponents(
    embeddings: Tensor,
    labels: Tensor,
    num_targets: int = 5,
    targets: Tensor | None = None,
    origins: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """u(a, p, n) = d²(a,p) − ½[d²(a,n) + d²(p,n)] of every anchor, target and example.

    Args:
        embeddings: (N, D), as the network gives them.
        labels: (N,) class of each embedding.
        num_targets: k nearest positives per anchor, where they are chosen here.
        targets: (N, k) rows chosen elsewhere, -1 where missing.
        origins: of `sst_loss`.

    Returns:
        u (N, k, N), and a mask (N, k, N) of the triplets that exist.
    """
    d2 = pairwise_squared_distances(embeddings)  # (N, N)
    if targets is None:
        targets = nearest_targets(d2, labels, num_targets, origins)  # (N, k)
    is_target = targets >= 0  # (N, k)
    targets = targets.clamp_min(0)
    is_impostor = labels[:, None] != labels[None, :]  # (N, N)

    d2_ap = d2.gather(1, targets)  # (N, k)
    d2_an, d2_pn = d2[:, None, :], d2[targets]  # (N, 1, N), (N, k, N)
    u = d2_ap[:, :, None] - (d2_an + d2_pn) / 2  # (N, k, N)
    return u, is_target[:, :, None] & is_impostor[:, None, :]


@loss_function
def sst_loss(
    embeddings: Tensor,
    labels: Tensor,
    num_targets: int = 5,
    targets: Tensor | None = None,
    origins: Tensor | None = None,
) -> Tensor:
    """Mean over triplets of log(1 + exp(d²(a,p) − ½[d²(a,n) + d²(p,n)])).

    A triplet is any anchor a, one of its `num_targets` nearest same-class examples p,
    and any example n of another class. Symmetric in a and p; no margin to choose.

    Args:
        embeddings: (N, D), as the network gives them; the paper does not normalise.
        labels: (N,) class of each embedding.
        num_targets: nearest positives per anchor, where they are chosen here.
        targets: (N, k) rows chosen elsewhere (epoch-start neighbourhoods), -1 where missing.
        origins: (N,) image that each row shows, where made copies are among them; copies of its own image
            are not chosen as an anchor's targets.

    Returns:
        Scalar; a differentiable 0 if the batch holds no triplet.

    Raises:
        DMLTeachError: shapes or dtypes do not fit.
    """
    u, exists = sst_exponents(embeddings, labels, num_targets, targets, origins)
    return masked_mean(softplus(u), exists)


class SST(Loss):
    """SST loss over each anchor's `num_targets` nearest positives, or those the sampler chose."""

    geometry = "euclidean"
    uses = frozenset({"targets"})

    def __init__(self, num_targets: int = 5):
        super().__init__()
        at_least("num_targets", num_targets, 1)
        self.num_targets = num_targets

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        targets, origins = (tuples.targets, tuples.origins) if tuples else (None, None)
        return sst_loss(embeddings, labels, self.num_targets, targets, origins)

    def active_tuples(self, embeddings, labels, tuples=None) -> Tensor:
        """Share of triplets that are pulled, with a weight sigmoid(u) above 0.01."""
        targets, origins = (tuples.targets, tuples.origins) if tuples else (None, None)
        u, exists = sst_exponents(embeddings, labels, self.num_targets, targets, origins)
        return masked_mean((u.sigmoid() > 0.01).float(), exists)
