"""A drawing traced back to strokes: thinned to lines of one pixel, then followed from end to end."""

import numpy as np
from torch import Tensor

from dmlteach.course.widgets.strokes import Strokes

_AROUND = [(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)]  # clockwise from above
EVERY = 3  # of the points of a line so many make one of a stroke

Pixel = tuple[int, int]


def trace(drawing: Tensor) -> Strokes:
    """Strokes that look like a drawing; who drew it made others, in another order.

    Args:
        drawing: (1, H, W) uint8, ink above 0.

    Returns:
        Lists of points [x, y] in pixels.
    """
    return [[[x, y] for y, x in shortened(line)] for line in lines(thinned(drawing[0].numpy() > 0))]


def thinned(ink: np.ndarray) -> np.ndarray:
    """The middle lines of ink, by Zhang and Suen's rule (Communications of the ACM, 1984).

    A pixel at the edge is taken away, from two sides in turn, as long as that neither breaks a line nor
    shortens one.

    Args:
        ink: (H, W) bool.

    Returns:
        (H, W) bool.
    """
    ink = np.pad(ink, 1)
    while True:
        before = ink.copy()
        for sides in ((0, 2, 4), (2, 4, 6)), ((0, 2, 6), (0, 4, 6)):
            around = np.stack([np.roll(ink, (-dy, -dx), (0, 1)) for dy, dx in _AROUND])
            count, rises = around.sum(0), (~around & np.roll(around, -1, 0)).sum(0)
            open_sides = [~around[list(three)].all(0) for three in sides]
            ink = ink & ~((count >= 2) & (count <= 6) & (rises == 1) & open_sides[0] & open_sides[1])
        if (ink == before).all():
            return ink[1:-1, 1:-1]


def lines(skeleton: np.ndarray) -> list[list[Pixel]]:
    """The pixels of thin lines, each line from one end to the other, straight on where lines cross.

    Args:
        skeleton: (H, W) bool, lines of one pixel.

    Returns:
        Lists of (row, column); a line that meets another one begins or ends on it.
    """
    left = {(int(y), int(x)) for y, x in np.argwhere(skeleton)}
    links = {pixel: _neighbors(pixel, left) for pixel in left}
    found = []
    for start in sorted(left, key=lambda pixel: (len(links[pixel]) > 1, pixel)):  # ends first
        if start not in left:
            continue
        left.discard(start)
        line = [*[p for p in links[start] if p not in left][:1], start]
        while options := [pixel for pixel in links[line[-1]] if pixel in left]:
            line.append(min(options, key=lambda pixel: _turn(line, pixel)))
            left.discard(line[-1])
        line += [p for p in links[line[-1]] if p not in line[-2:]][:1]  # it ends on a line, or closes itself
        found.append(line)
    return found


def shortened(line: list[Pixel]) -> list[Pixel]:
    """Every third point of a line, and its last.

    Args:
        line: its pixels.
    """
    return [*line[:-1:EVERY], line[-1]]


def _neighbors(pixel: Pixel, all_pixels: set[Pixel]) -> list[Pixel]:
    """Beside, above and below; across a corner only where no other pixel leads there."""
    y, x = pixel
    near = [(y + dy, x + dx) for dy, dx in _AROUND if (y + dy, x + dx) in all_pixels]
    sides = {p for p in near if p[0] == y or p[1] == x}
    return [p for p in near if p in sides or not {(p[0], x), (y, p[1])} & sides]


def _turn(line: list[Pixel], pixel: Pixel) -> float:
    """How far a next pixel is from straight on, judged by the line's last pixels."""
    (y0, x0), (y1, x1) = line[-min(len(line), 5)], line[-1]
    return (pixel[0] - 2 * y1 + y0) ** 2 + (pixel[1] - 2 * x1 + x0) ** 2 if len(line) > 1 else 0
