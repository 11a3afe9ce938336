"""The weight of every pair of a batch, read off the gradient of any loss that compares examples.

On the unit sphere such a loss depends on the batch through the cosines S of its pairs only. So the gradient
of one embedding is a sum over the others, of their directions times ∂L/∂S. In more dimensions than there are
others, that sum can be taken apart again.

Source: a loss as weights of pairs is the view of Wang et al., "Multi-similarity loss with general pair
weighting for deep metric learning", CVPR 2019.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from dmlteach.distances import normalize
from dmlteach.errors import DMLTeachError


def pair_weights(loss: Callable[[Tensor, Tensor], Tensor], embeddings: Tensor, labels: Tensor) -> Tensor:
    """∂L/∂S of each pair of a batch: above 0 the pair is pushed apart, below 0 it is pulled together.

    Args:
        loss: of embeddings and labels, e.g. of `losses.create`; it compares examples with one another.
        embeddings: (N, D) with D > N; their directions are used, in float64.
        labels: (N,).

    Returns:
        (N, N) float64, symmetric, 0 on the diagonal: a pair's weight is that of both its orders together.

    Raises:
        DMLTeachError: not more dimensions than examples, or a gradient that no weights of pairs explain.
    """
    number, dim = embeddings.shape
    if dim <= number:
        raise DMLTeachError(
            f"the weights of {number} examples need more than {number} dimensions, not {dim}; give a "
            "smaller batch."
        )
    z = normalize(embeddings.detach().double()).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(z, labels), z)
    z = z.detach()
    along = tangents(z)
    gradient = gradient - (gradient * z).sum(1, keepdim=True) * z  # what turns a point, not what lengthens it
    # For each row n: Σ_j weight_j · tangent_nj = gradient_n.
    found = torch.linalg.lstsq(along.mT, gradient[:, :, None], driver="gelsd").solution[..., 0]
    left = (torch.einsum("nj,njd->nd", found, along) - gradient).norm()
    if left > 1e-6 * gradient.norm().clamp_min(1e-12):
        raise DMLTeachError(
            "the gradient of this loss is no sum over pairs of the batch; give one that compares examples "
            "with one another, by cosine or by distance on the unit sphere."
        )
    return found.fill_diagonal_(0)


def tangents(z: Tensor) -> Tensor:
    """∂S(n, j)/∂z(n) on the sphere, (N, N, D): the way from n towards j; zeros from n to itself.

    Args:
        z: (N, D) of length 1.
    """
    cosine = z @ z.T
    ways = z[None] - cosine[:, :, None] * z[:, None]
    return ways * ~torch.eye(len(z), dtype=torch.bool)[:, :, None]
