"""The proxy explorer's static picture: circle, points, proxies and lines, for hosts without scripts."""

import math
from collections.abc import Sequence

from torch import Tensor

SIZE, RIM = 340, 58  # pixels, as in widget.js
RADIUS = SIZE / 2 - RIM
COLOURS = ("#0072b2", "#cc79a7", "#e69f00")
PULL, PUSH = "#009e73", "#d55e00"
WIDEST = 14.0  # of a line, where one point has it all


def draw(
    degrees: Sequence[float],
    labels: Sequence[int],
    proxies: Sequence[float],
    focus: int,
    shares: Tensor,
    weights: Tensor,
) -> str:
    """The state as an SVG document.

    Args:
        degrees: angles of the points.
        labels: their classes.
        proxies: angles of the proxies.
        focus: whose proxy is looked at.
        shares: each point's share of what turns it.
        weights: of all cosines; the sign says whether a point draws or pushes.
    """
    x, y = place(proxies[focus], RADIUS + 24)
    lines = []
    for angle, part, weight in zip(degrees, shares.tolist(), weights[:, focus].tolist(), strict=True):
        if part >= 0.002:
            to = "{:.1f} {:.1f}".format(*place(angle, RADIUS))
            colour, dash = (PULL, "none") if weight < 0 else (PUSH, "7 4")
            lines.append(
                f'<path d="M{x:.1f} {y:.1f}L{to}" stroke="{colour}" stroke-dasharray="{dash}" '
                f'stroke-width="{max(WIDEST * part, 0.8):.1f}"/>'
            )
    points = [shape(label, *place(angle, RADIUS), 6) for angle, label in zip(degrees, labels, strict=True)]
    marks = []
    for label, angle in enumerate(proxies):
        marks.append(shape(label, *place(angle, RADIUS + 24), 11))
        u, v = place(angle, RADIUS + 48)
        weight = "bold" if label == focus else "normal"
        marks.append(
            f'<text x="{u:.1f}" y="{v + 5:.1f}" text-anchor="middle" font-weight="{weight}">'
            f"{'ABC'[label]}</text>"
        )
    middle = SIZE / 2
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE} {SIZE}" width="{SIZE}" '
        f'height="{SIZE}" font-family="sans-serif" font-size="14">'
        f'<rect width="100%" height="100%" fill="white"/>'
        f'<circle cx="{middle}" cy="{middle}" r="{RADIUS}" fill="none" stroke="#7f7f7f"/>'
        f"{''.join([*lines, *points, *marks])}</svg>"
    )


def place(degrees: float, radius: float) -> tuple[float, float]:
    """Where an angle lies in the picture.

    Args:
        degrees: counterclockwise from the right.
        radius: in pixels.
    """
    angle = math.radians(degrees)
    return SIZE / 2 + radius * math.cos(angle), SIZE / 2 - radius * math.sin(angle)


def shape(label: int, x: float, y: float, r: float) -> str:
    """A disc, a square or a triangle: the mark of a class.

    Args:
        label: of the class.
        x, y: where.
        r: how large.
    """
    path = (
        f"M{-r} 0a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0Z",
        f"M{-0.9 * r} {-0.9 * r}h{1.8 * r}v{1.8 * r}h{-1.8 * r}Z",
        f"M0 {-1.15 * r}L{1.1 * r} {0.85 * r}H{-1.1 * r}Z",
    )[label]
    return (
        f'<path transform="translate({x:.1f} {y:.1f})" d="{path}" fill="{COLOURS[label]}" stroke="white" '
        'stroke-width="1.2"/>'
    )
