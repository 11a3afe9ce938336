"""All points that densely-anchored sampling may make of an anchor, and to which class each is nearest."""

import torch
from torch import Tensor

STEPS = {1: 9, 2: 5}  # scales looked at on each scaled channel, by how many channels are scaled
SHORTEST = 0.01  # way to a classmate that is told: the step between two places of the anchor


def most_frequent(points: Tensor, channels: int) -> Tensor:
    """(K,) channels of a class that are most often the largest, the first of equals.

    Args:
        points: (N, D) of the class.
        channels: K; an embedding counts for its K largest channels.
    """
    largest = points.topk(channels, dim=1).indices
    counts = torch.bincount(largest.flatten(), minlength=points.shape[1])
    return counts.sort(descending=True, stable=True).indices[:channels]


def scales(dim: int, scaled: Tensor, low: float, high: float) -> Tensor:
    """(S, D) scales s: evenly spaced from low to high on the scaled channels, 1 on all others.

    Args:
        dim: D.
        scaled: (K,) channels.
        low, high: ends of the range.
    """
    K = len(scaled)
    each = torch.linspace(low, high, STEPS[K] if high > low else 1, dtype=torch.float64)
    grid = torch.cartesian_prod(*[each] * K).view(-1, K)
    s = torch.ones(len(grid), dim, dtype=torch.float64)
    s[:, scaled] = grid
    return s


def differences(points: Tensor) -> Tensor:
    """(N (N − 1), D) ordered differences z_i − z_j of a class.

    Args:
        points: (N, D) of the class.
    """
    every = points[:, None] - points
    return every[~torch.eye(len(points), dtype=torch.bool)]


def new_points(points: Tensor, anchor: int, channels: int, low: float, high: float, shift: float) -> Tensor:
    """(M, D) all v′ = s ⊙ v + shift · (z_i − z_j) of an anchor v.

    Args:
        points: (N, D) of its class.
        anchor: its row.
        channels: how many are scaled.
        low, high: ends of the range of s.
        shift: r_b; 0 leaves the differences out.
    """
    s = scales(points.shape[1], most_frequent(points, channels), low, high)
    b = shift * differences(points) if shift else torch.zeros(1, points.shape[1], dtype=torch.float64)
    return (points[anchor] * s[:, None] + b).flatten(0, 1)


def nearest(made: Tensor, points: Tensor) -> Tensor:
    """(M,) row of the nearest real point.

    Args:
        made: (M, D) new points.
        points: (N, D) real ones.
    """
    return (made[:, None] - points).square().sum(2).argmin(1)


def reach(made: Tensor, points: Tensor, anchor: int) -> float:
    """How far the farthest new point is from its anchor, as a share of the way to the nearest classmate.

    An anchor that lies on a classmate counts as one beside it.

    Args:
        made: (M, D) new points.
        points: (N, D) of the anchor's class.
        anchor: its row.
    """
    others = torch.arange(len(points)) != anchor
    way = (points[others] - points[anchor]).norm(dim=1).min().clamp_min(SHORTEST)
    return float((made - points[anchor]).norm(dim=1).max() / way)
