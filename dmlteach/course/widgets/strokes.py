"""Strokes as pixels: the one definition that kernel and page share, in whole numbers only.

`strokes.js` beside it says the same for the browser. No step rounds in floating point: the bits are equal.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dmlteach.data.omniglot import SIDE
from dmlteach.errors import DMLTeachError

FINE = 16  # steps in a pixel to which a point is rounded
RADIUS = 44  # of the pen, in steps: a traced drawing then has as much ink as the one it was traced from
PEN = 2 * RADIUS / FINE  # its width in pixels
SMALL = 28  # pixels of a side, as the network sees a drawing
MAX_POINTS = 5000
_BITS = 16  # of the weights with which a drawing is made smaller

Strokes = list[list[list[float]]]


def checked_strokes(given: Any) -> Strokes:
    """Strokes as lists of numbers.

    Args:
        given: what shall be strokes.

    Raises:
        DMLTeachError: not a list of strokes of points [x, y] from 0 to 104, or more than 5,000 points.
    """
    try:
        strokes = [[[float(v) for v in point] for point in stroke] for stroke in given]
    except (TypeError, ValueError):
        strokes = [[]]
    points = [point for stroke in strokes for point in stroke]
    inside = all(len(point) == 2 and all(0 <= v <= SIDE - 1 for v in point) for point in points)
    if not inside or not all(strokes) or len(points) > MAX_POINTS:
        raise DMLTeachError(
            f"strokes are {str(given)[:60]!r}; give [[[x, y], …], …], one list a stroke, each number from 0 "
            f"(left, top) to {SIDE - 1}, and at most {MAX_POINTS:,} points."
        )
    return strokes


def draw_strokes(strokes: Sequence[Sequence[Sequence[float]]]) -> Tensor:
    """Strokes as a drawing like those of Omniglot: one bit a pixel, with a pen of the same width.

    A pixel is ink where its middle is at most the pen's radius away from a line between two points that
    follow each other, ends included; points are first rounded to a sixteenth of a pixel.

    Args:
        strokes: each a list of points [x, y], in pixels from the middle of the top left one.

    Returns:
        (1, 105, 105) uint8, ink 255 on 0.
    """
    ink = np.zeros((SIDE, SIDE), dtype=bool)
    for stroke in strokes:
        points = np.floor(np.asarray(stroke, dtype=np.float64) * FINE + 0.5).astype(np.int64)
        for start, end in zip(points, points[1:] if len(points) > 1 else points, strict=False):
            low = np.maximum(-(-(np.minimum(start, end) - RADIUS) // FINE), 0)
            high = np.minimum((np.maximum(start, end) + RADIUS) // FINE + 1, SIDE)
            box = (slice(low[1], high[1]), slice(low[0], high[0]))
            ink[box] |= _near(np.arange(low[0], high[0]), np.arange(low[1], high[1])[:, None], start, end)
    return torch.from_numpy(np.where(ink, 255, 0).astype(np.uint8))[None]


def _near(x: np.ndarray, y: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Whether the middles of pixels lie within the pen's radius of a line; all in steps."""
    along, from_start = end - start, (FINE * x - start[0], FINE * y - start[1])
    from_end = (FINE * x - end[0], FINE * y - end[1])
    length2 = along[0] ** 2 + along[1] ** 2
    t = from_start[0] * along[0] + from_start[1] * along[1]
    across = from_start[0] * along[1] - from_start[1] * along[0]
    beside = (t >= 0) & (t <= length2) & (across**2 <= RADIUS**2 * length2) & (length2 > 0)
    at_ends = [dx**2 + dy**2 <= RADIUS**2 for dx, dy in (from_start, from_end)]
    return beside | at_ends[0] | at_ends[1]


def shrink(drawings: Tensor) -> Tensor:
    """Drawings as the network sees them: `data.cache.resize` to 28 pixels a side, bit for bit.

    Args:
        drawings: (n, 1, 105, 105) uint8.

    Returns:
        (n, 1, 28, 28) uint8.
    """
    weights, half = shrinking_weights(), 1 << (_BITS - 1)
    rows = (drawings[:, 0].numpy().astype(np.int64) @ weights.T + half) >> _BITS
    both = (np.einsum("oi,nij->noj", weights, rows) + half) >> _BITS
    return torch.from_numpy(both.astype(np.uint8))[:, None]


@cache
def shrinking_weights() -> np.ndarray:
    """(28, 105) shares of 2¹⁶ with which old pixels become a new one: a triangle two new pixels wide."""
    new, old = np.arange(SMALL)[:, None], np.arange(SIDE)
    eighths = np.maximum(30 - abs(8 * old + 4 - 30 * new - 15), 0)  # 105 / 28 = 30 / 8
    total = eighths.sum(1, keepdims=True)
    return ((eighths << (_BITS + 1)) + total) // (2 * total)  # rounded to the nearest
