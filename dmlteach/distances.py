"""Pairwise distances: the only place they are written. All run in fp32 or wider, whatever autocast says."""

import functools
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import threshold

NEAREST = 1e-6  # a distance is never taken as less: there its gradient has no direction
BLOCK = 128  # rows multiplied at a time


def wide(x: Tensor) -> Tensor:
    """x as what is computed with: float64 stays, everything else becomes fp32."""
    return x if x.dtype == torch.float64 else x.float()


def full_precision(function: Callable) -> Callable:
    """Run `function(embeddings, …)` with autocast off and its first argument in fp32 or float64."""

    @functools.wraps(function)
    def wrapped(embeddings: Tensor, *args, **kwargs):
        with torch.autocast(embeddings.device.type, enabled=False):
            return function(wide(embeddings), *args, **kwargs)

    return wrapped


class _SquaredDistances(torch.autograd.Function):
    """d² between the rows of z (N, D), with one matrix product in backward; autograd would take two."""

    generate_vmap_rule = True

    @staticmethod
    def forward(z: Tensor) -> Tensor:
        return _squared_distances(z)

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        (z,) = ctx.saved_tensors
        return _weighted_differences(_symmetric(gradient).mul_(2), z)


class _Distances(torch.autograd.Function):
    """d = sqrt(d²), likewise; the root inside spares three passes over (N, N)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(z: Tensor) -> Tensor:
        return _squared_distances(z).clamp_min_(NEAREST**2).sqrt_()

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs, output)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        z, d = ctx.saved_tensors
        return _weighted_differences(_symmetric(gradient).div_(threshold(d, NEAREST, torch.inf)), z)


def _squared_distances(z: Tensor) -> Tensor:
    sq = z.square().sum(1)  # (N,)
    d2 = _gram(z).mul_(-2).add_(sq[:, None]).add_(sq[None, :]).clamp_min_(0)
    d2.diagonal().zero_()
    return d2


def _gram(z: Tensor) -> Tensor:
    """z zᵀ; on a processor only the blocks on and below the diagonal are multiplied, the rest mirrored."""
    if z.device.type != "cpu":
        return z @ z.T
    product = z.new_empty(len(z), len(z))
    for start in range(0, len(z), BLOCK):
        end = start + BLOCK
        rows = z[start:end] @ z[:end].T
        product[start:end, :end] = rows
        product[:start, start:end] = rows[:, :start].T
    return product


class _Gram(torch.autograd.Function):
    """z zᵀ, likewise with one matrix product in backward."""

    generate_vmap_rule = True

    @staticmethod
    def forward(z: Tensor) -> Tensor:
        return _gram(z)

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        (z,) = ctx.saved_tensors
        return _symmetric(gradient) @ z


class _Normalize(torch.autograd.Function):
    """y = x / ‖x‖; the gradient along y vanishes, and what is left is divided by ‖x‖."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        square_norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square()
        inverse = (square_norm + 1e-12).rsqrt()
        return x * inverse, inverse

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(*output)

    @staticmethod
    def backward(ctx, gradient: Tensor, _: None) -> Tensor:
        y, inverse = ctx.saved_tensors
        along = torch.linalg.vecdot(y, gradient).unsqueeze(-1)
        return torch.addcmul(gradient, y, along, value=-1).mul_(inverse)


def _symmetric(gradient: Tensor) -> Tensor:
    """G + Gᵀ; the copy makes it three times as fast as reading across the rows."""
    return gradient.T.contiguous().add_(gradient)


def _weighted_differences(weight: Tensor, z: Tensor) -> Tensor:
    """Σ_j w_ij (z_i − z_j) of each row, (N, N) and (N, D) → (N, D), in one matrix product; overwrites w."""
    weight = weight.neg_()
    weight.diagonal().sub_(weight.sum(1))
    return weight @ z


@full_precision
def pairwise_squared_distances(embeddings: Tensor) -> Tensor:
    """d²(i, j) = ‖z_i − z_j‖² between all rows of one set.

    Args:
        embeddings: (N, D), any scale.

    Returns:
        (N, N), never negative, exactly 0 on the diagonal.
    """
    # d² does not change under translation, but the rounding of its matrix product does.
    return _SquaredDistances.apply(embeddings - embeddings.mean(0, keepdim=True).detach())


@full_precision
def squared_distances_to(embeddings: Tensor, others: Tensor) -> Tensor:
    """d²(i, j) = ‖z_i − o_j‖² between two sets, (N, D) and (M, D) → (N, M), never negative."""
    center = embeddings.mean(0, keepdim=True).detach()
    z, o = embeddings - center, others.to(embeddings) - center
    d2 = z.square().sum(1)[:, None] + o.square().sum(1)[None, :] - 2 * (z @ o.T)
    return d2.clamp_min(0)


def distance(d2: Tensor) -> Tensor:
    """d = sqrt(d²); below 1e-6 it is 1e-6 and its gradient 0."""
    return d2.clamp_min(NEAREST**2).sqrt()


@full_precision
def pairwise_distances(embeddings: Tensor) -> Tensor:
    """d(i, j) = sqrt(d²(i, j)), (N, D) → (N, N); see `distance`."""
    return _Distances.apply(embeddings - embeddings.mean(0, keepdim=True).detach())


@full_precision
def row_distances(embeddings: Tensor, others: Tensor) -> Tensor:
    """d(i) = ‖z_i − o_i‖ between equal rows of two sets, (N, D) and (N, D) → (N,), with the same floor."""
    return distance((embeddings - others.to(embeddings)).square().sum(1))


@full_precision
def normalize(embeddings: Tensor) -> Tensor:
    """x / sqrt(Σx² + 1e-12), (N, D) → (N, D): unit rows, with a finite gradient at x = 0."""
    return _Normalize.apply(embeddings)[0]


@full_precision
def products(embeddings: Tensor) -> Tensor:
    """x_i·x_j between all rows of one set, (N, D) → (N, N)."""
    return _Gram.apply(embeddings)


@full_precision
def pairwise_cosine(embeddings: Tensor) -> Tensor:
    """cos(i, j) between all rows of one set, (N, D) → (N, N)."""
    return products(normalize(embeddings))


@full_precision
def cosine_to(embeddings: Tensor, others: Tensor) -> Tensor:
    """cos(i, j) between two sets, (N, D) and (M, D) → (N, M)."""
    return normalize(embeddings) @ normalize(others.to(embeddings)).T
