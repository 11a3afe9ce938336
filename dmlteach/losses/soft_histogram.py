"""Histograms with a gradient: each value is shared between the two nodes beside it, linearly."""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class _SoftHistograms(torch.autograd.Function):
    """Counts of the rows' values at the nodes, (N, M) → (N, K · nodes), and where each value was counted.

    It is counted in whole numbers, so many to a value that a row's sum fits: their sum does not depend on
    the order in which the threads of a GPU add them.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(position: Tensor, kinds: Tensor, num_kinds: int, num_nodes: int) -> tuple[Tensor, Tensor]:
        # Clamped as integers: a NaN becomes any integer.
        below = position.floor().long().clamp(0, num_nodes - 2)
        share = (position - below).clamp(0, 1)
        below = below + num_nodes * kinds
        one = 2 ** (62 - max(position.shape[1] - 1, 1).bit_length())
        upper = (share * one).long()
        empty = torch.zeros(
            len(position), (num_kinds + 1) * num_nodes, dtype=torch.int64, device=position.device
        )
        counts = empty.scatter_add(1, below, one - upper).scatter_add(1, below + 1, upper)
        counts = counts[:, : num_kinds * num_nodes].to(position) / one
        return counts + (0 * position).sum(1, keepdim=True), below  # a NaN stays one

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor, Tensor, int, int], output: tuple[Tensor, Tensor]) -> None:
        ctx.num_nodes = inputs[3]
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor, _: None) -> tuple[Tensor, None, None, None]:
        (below,) = ctx.saved_tensors
        left_out = gradient.new_zeros(len(gradient), ctx.num_nodes)
        gradient = torch.cat([gradient, left_out], 1)
        return gradient.gather(1, below + 1) - gradient.gather(1, below), None, None, None


def soft_histograms(position: Tensor, kinds: Tensor, num_kinds: int, num_nodes: int) -> Tensor:
    """How many values each row has at each node, one histogram for each kind of value.

    A value between two nodes counts as a part of 1 at either, the more the nearer it is. Memory is O(NM),
    whatever the number of nodes.

    Args:
        position: (N, M) values, in steps from the first node; what lies beyond an end counts as the end.
        kinds: (N, M) int64, the kind of each value: 0 … K-1, or K to leave it out.
        num_kinds: K.
        num_nodes: at least 2.

    Returns:
        (N, K, nodes), which can be differentiated with respect to the position.
    """
    counts, _ = _SoftHistograms.apply(position, kinds, num_kinds, num_nodes)
    return counts.unflatten(1, (num_kinds, num_nodes))


def kinds_of_pairs(is_negative: Tensor) -> Tensor:
    """0 for a positive pair, 1 for a negative one, 2 for a row with itself; (N, N) → (N, N)."""
    return is_negative.long().fill_diagonal_(2)
