"""Which examples a loss compares: targets, impostors, and the mean over the tuples that exist."""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

NEGLIGIBLE = 1e-35  # a share of 1 that fp32 cannot add to the largest


def nearest_targets(d2: Tensor, labels: Tensor, num_targets: int, origins: Tensor | None = None) -> Tensor:
    """The `num_targets` nearest same-class examples of every anchor, ties by index.

    Args:
        d2: (N, N) squared distances.
        labels: (N,) class of each row.
        num_targets: k, at most.
        origins: (N,) image that each row shows; copies of the anchor's own image are no targets, or they,
            the nearest of all, would take the place of other images.

    Returns:
        (N, k) rows of the batch, nearest first; -1 where the class has fewer.
    """
    is_positive = labels[:, None] == labels[None, :]
    is_positive.fill_diagonal_(False)
    if origins is not None:
        is_positive &= origins[:, None] != origins[None, :]
    # nan_to_num: a NaN would sort behind the infinities and leave the anchor without targets.
    d2 = d2.detach().nan_to_num().masked_fill(~is_positive, torch.inf)
    nearest = d2.argsort(dim=1, stable=True)[:, :num_targets]  # topk orders ties arbitrarily
    return nearest.masked_fill(~is_positive.gather(1, nearest), -1)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` where `mask` holds; a differentiable 0 where it holds nowhere."""
    mask = mask.expand_as(values)
    return values.masked_fill(~mask, 0).sum() / mask.sum().clamp_min(1)


def as_numbers(mask: Tensor, like: Tensor) -> Tensor:
    """1 where `mask` holds and 0 elsewhere, in the dtype of `like`.

    A processor reads bytes several times faster than booleans.
    """
    return mask.view(torch.uint8).to(like.dtype)


def has_any(mask: Tensor, dim: int = 1) -> Tensor:
    """Whether `mask` holds anywhere along `dim`: `mask.any(dim)`, by bytes."""
    return mask.view(torch.uint8).amax(dim) > 0


def sunk(values: Tensor, mask: Tensor) -> Tensor:
    """The values where `mask` holds, and numbers far below all of them elsewhere; the gradient passes.

    On a processor this takes a fraction of the time of `masked_fill`.
    """
    return values.add((~mask).view(torch.uint8), alpha=-torch.finfo(values.dtype).max / 2)


def raised(values: Tensor, mask: Tensor) -> Tensor:
    """The values where `mask` holds, and numbers far above all of them elsewhere; see `sunk`."""
    return values.add((~mask).view(torch.uint8), alpha=torch.finfo(values.dtype).max / 2)


class _MaskedLogSumExp(torch.autograd.Function):
    """log Σ exp over a mask by one fused softmax; backward is one product with it."""

    generate_vmap_rule = True

    @staticmethod
    def forward(values: Tensor, mask: Tensor, dim: int) -> tuple[Tensor, Tensor]:
        # Far below all others, but finite: a row that is masked everywhere has a softmax all the same.
        values = sunk(values, mask)
        shares = values.softmax(dim)
        largest, largest_share = values.amax(dim), shares.amax(dim)
        nowhere = largest < -torch.finfo(values.dtype).max / 4
        # Tiny shares add nothing, and denormal numbers take a processor a hundred times longer than 0.
        functional.threshold(shares, NEGLIGIBLE, 0.0, inplace=True)
        return (largest - largest_share.log()).masked_fill(nowhere, -torch.inf), shares

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor, Tensor, int], output: tuple[Tensor, Tensor]) -> None:
        ctx.dim = inputs[2]
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1], output[0] == -torch.inf)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor, _: None) -> tuple[Tensor, None, None]:
        shares, nowhere = ctx.saved_tensors
        gradient = gradient.masked_fill(nowhere, 0)  # what follows may have no gradient at -inf
        return shares * gradient.unsqueeze(ctx.dim), None, None


def masked_logsumexp(values: Tensor, mask: Tensor, dim: int = 1) -> Tensor:
    """log Σ exp(values) where `mask` holds along `dim`; -inf, with gradient 0, where it holds nowhere."""
    return _MaskedLogSumExp.apply(values, mask.expand_as(values), dim)[0]


def softplus(x: Tensor) -> Tensor:
    """log(1 + eˣ) to rounding; torch's own takes x itself from 20 on, which is wrong in the ninth digit."""
    return functional.softplus(x, threshold=40)
