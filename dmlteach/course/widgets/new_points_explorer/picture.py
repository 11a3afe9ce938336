"""The explorer's static picture: points, the region of class A and new points, for hosts without scripts."""

from collections.abc import Sequence

SIZE, SPAN = 340, 4.4  # pixels, and units of the embedding, of a side; as in widget.js
COLOURS = ("#0072b2", "#cc79a7", "#e69f00")
STAYS, LEAVES = "#009e73", "#d55e00"


def draw(
    points: Sequence[Sequence[float]],
    labels: Sequence[int],
    anchor: int,
    made: Sequence[Sequence[float]],
    inside: Sequence[bool],
    origin: tuple[float, float],
) -> str:
    """The state as an SVG document.

    Args:
        points: the real ones.
        labels: their classes.
        anchor: its row.
        made: the new points.
        inside: whether each is nearest to a point of class A.
        origin: what lies in the lower left corner.
    """
    at = [place(point, origin) for point in points]
    regions = [
        '<path d="M{}Z" fill="{}" fill-opacity=".13"/>'.format(
            "L".join(f"{x:.1f} {y:.1f}" for x, y in cell(at, i)), COLOURS[0]
        )
        for i, label in enumerate(labels)
        if label == 0
    ]
    real = [shape(label, *at[i]) for i, label in enumerate(labels) if i != anchor]  # it has a ring
    new = []
    for point, stays in zip(made, inside, strict=True):
        x, y = place(point, origin)
        if 0 <= x <= SIZE and 0 <= y <= SIZE:
            new.append(
                f'<path d="M{x - 1.8:.1f} {y:.1f}a1.8 1.8 0 1 0 3.6 0a1.8 1.8 0 1 0 -3.6 0Z" fill="{STAYS}"/>'
                if stays
                else f'<path d="M{x - 2.4:.1f} {y - 2.4:.1f}l4.8 4.8m0 -4.8l-4.8 4.8" stroke="{LEAVES}"/>'
            )
    x, y = at[anchor]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE} {SIZE}" width="{SIZE}" '
        f'height="{SIZE}" font-family="sans-serif" font-size="14">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join([*regions, *real, *new])}'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="12" fill="none" stroke="#1a1a1a" stroke-width="2"/></svg>'
    )


def place(point: Sequence[float], origin: tuple[float, float]) -> tuple[float, float]:
    """Where a point lies in the picture.

    Args:
        point: in units of the embedding.
        origin: what lies in the lower left corner.
    """
    return (point[0] - origin[0]) * SIZE / SPAN, SIZE - (point[1] - origin[1]) * SIZE / SPAN


def cell(points: Sequence[tuple[float, float]], i: int) -> list[tuple[float, float]]:
    """Corners of the region of the picture that is nearer to point i than to all others.

    Args:
        points: in pixels.
        i: of which.
    """
    corners = [(0.0, 0.0), (float(SIZE), 0.0), (float(SIZE), float(SIZE)), (0.0, float(SIZE))]
    (px, py) = points[i]
    for qx, qy in [*points[:i], *points[i + 1 :]]:
        # what lies on the other side of the bisector is cut off: below 0 is nearer to point i
        side = [(x - (px + qx) / 2) * (qx - px) + (y - (py + qy) / 2) * (qy - py) for x, y in corners]
        kept = []
        for k, (x, y) in enumerate(corners):
            (u, v), before, after = corners[k - 1], side[k - 1], side[k]
            if (before < 0) != (after < 0):
                t = before / (before - after)
                kept.append((u + t * (x - u), v + t * (y - v)))
            if after < 0:
                kept.append((x, y))
        corners = kept
    return corners


def shape(label: int, x: float, y: float) -> str:
    """A disc, a square or a triangle: the mark of a class.

    Args:
        label: of the class.
        x, y: where.
    """
    path = ("M-6 0a6 6 0 1 0 12 0a6 6 0 1 0 -12 0Z", "M-5.4 -5.4h10.8v10.8h-10.8Z", "M0 -6.9L6.6 5.1H-6.6Z")[
        label
    ]
    return (
        f'<path transform="translate({x:.1f} {y:.1f})" d="{path}" fill="{COLOURS[label]}" stroke="white" '
        'stroke-width="1.2"/>'
    )
