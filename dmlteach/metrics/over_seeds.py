"""Several trainings that differ in the seed alone: their mean, and how far it can be trusted."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import t


def mean_and_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Mean over seeds and half the width of its t interval; infinite for a single seed.

    Args:
        values: one number per seed.
        confidence: of the interval.
    """
    if len(values) < 2:
        return float(np.mean(values)), float("inf")
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return float(np.mean(values)), float(error * t.ppf((1 + confidence) / 2, len(values) - 1))


def difference_by_seed(one: Mapping[int, float], other: Mapping[int, float]) -> tuple[float, float, int]:
    """How much larger one set of trainings ends than another, paired by seed.

    Args:
        one, other: a number for each seed; seeds that only one of them has count for nothing.

    Returns:
        Mean of the differences, half the width of its 95 % t interval, and how many seeds they share. NaN and
        infinity where they share none; infinity where they share one.
    """
    shared = sorted(one.keys() & other.keys())
    if not shared:
        return float("nan"), float("inf"), 0
    mean, half = mean_and_interval([one[seed] - other[seed] for seed in shared])
    return mean, half, len(shared)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Both ends of the 95 % interval of a mean over seeds; NaN, which is not drawn, for a single seed.

    Args:
        values: one number per seed.
    """
    mean, half = mean_and_interval(values)
    return (mean - half, mean + half) if np.isfinite(half) else (float("nan"), float("nan"))
