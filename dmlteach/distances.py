"""Pairwise distances: the only place they are written."""

import torch
from torch import Tensor


def center(embeddings: Tensor) -> Tensor:
    """Subtract the mean row: distances do not change, rounding in their matrix product does."""
    return embeddings - embeddings.mean(0, keepdim=True).detach()


def pairwise_squared_distances(embeddings: Tensor) -> Tensor:
    """d²(i, j) = ‖z_i − z_j‖² for all rows of one set.

    Args:
        embeddings: (N, D), any scale; computed in fp32 or wider.

    Returns:
        (N, N), never negative, exactly 0 on the diagonal.
    """
    z = center(widen(embeddings))
    sq = z.square().sum(1)  # (N,)
    d2 = sq[:, None] + sq[None, :] - 2 * (z @ z.T)  # (N, N)
    off_diagonal = ~torch.eye(len(z), dtype=torch.bool, device=z.device)
    return torch.where(off_diagonal, d2.clamp_min(0), 0.0)


def pairwise_distances(embeddings: Tensor) -> Tensor:
    """d(i, j) = sqrt(d²(i, j)), (N, D) → (N, N). Below 1e-6 the distance is 1e-6 and its gradient 0."""
    return pairwise_squared_distances(embeddings).clamp_min(1e-12).sqrt()


def normalize(embeddings: Tensor) -> Tensor:
    """x / sqrt(Σx² + 1e-12), (N, D) → (N, D): unit rows, with a finite gradient at x = 0."""
    x = widen(embeddings)
    return x * (x.square().sum(-1, keepdim=True) + 1e-12).rsqrt()


def pairwise_cosine(embeddings: Tensor) -> Tensor:
    """cos(i, j) of all rows of one set, (N, D) → (N, N)."""
    z = normalize(embeddings)
    return z @ z.T


def widen(embeddings: Tensor) -> Tensor:
    """fp32, or float64 where the input is float64: half precision is too coarse for differences."""
    return embeddings if embeddings.dtype == torch.float64 else embeddings.float()
