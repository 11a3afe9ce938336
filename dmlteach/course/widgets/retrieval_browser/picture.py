"""The retrieval browser's static picture: query and neighbours as an SVG image."""

import html
from collections.abc import Mapping, Sequence

from torch import Tensor

from dmlteach.course.widgets.thumbnails import SIDE, sheet
from dmlteach.plots.style import CORRECT, INCORRECT

STEP = SIDE + 34  # from one neighbour to the next
ROW = SIDE + 56  # height of a network's row
FRAMES = {
    True: (CORRECT, "none", "✓ right"),
    False: (INCORRECT, "5 3", "✗ wrong"),
    None: ("#7f7f7f", "none", ""),
}
Found = Sequence[tuple[Tensor, str, bool | None]]


def draw(told: str, asked: Tensor, found: Mapping[str, Found]) -> tuple[str, str]:
    """The query and what each network found for it.

    Args:
        told: what was asked for, in words.
        asked: (C, H, W) the query.
        found: by network, each neighbour's image, the name of its class, and whether it is right (None
            where that cannot be told).

    Returns:
        An SVG document, and the text that says what it shows.
    """
    shapes = [_tile(asked, 10, 34, ("#1a1a1a", "none", "query"))]
    for i, (network, items) in enumerate(found.items()):
        top = 34 + ROW * i
        shapes.append(
            f'<text x="{STEP + 20}" y="{top - 10}" font-weight="bold">{html.escape(network)}</text>'
        )
        for rank, (image, name, right) in enumerate(items):
            colour, dash, word = FRAMES[right]
            shapes.append(_tile(image, STEP + 20 + STEP * rank, top, (colour, dash, word or name)))
    columns = max([len(items) for items in found.values()], default=0)
    width, height = 30 + STEP * (columns + 1), 34 + ROW * max(1, len(found))
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(shapes)}</svg>'
    )
    return svg, describe(told, found)


def describe(told: str, found: Mapping[str, Found]) -> str:
    """What was asked for and what each network found, in words."""
    said = [f"Retrieval browser: {told}."]
    for network, items in found.items():
        rights = [right for _, _, right in items]
        names = ", ".join(name for _, name, _ in items)
        count = "" if None in rights else f" ({sum(map(bool, rights))} of {len(rights)} right)"
        said.append(f"Nearest under {network}{count}: {names}.")
    return " ".join(said)


def _tile(image: Tensor, x: float, y: float, look: tuple[str, str, str]) -> str:
    colour, dash, word = look
    source, columns = (sheet([image])[key] for key in ("picture", "columns"))
    return (
        f'<svg x="{x}" y="{y}" width="{SIDE}" height="{SIDE}" viewBox="0 0 {SIDE} {SIDE}">'
        f'<image width="{SIDE * columns}" height="{SIDE}" href="{source}"/></svg>'
        f'<rect x="{x - 2}" y="{y - 2}" width="{SIDE + 4}" height="{SIDE + 4}" fill="none" '
        f'stroke="{colour}" stroke-width="3" stroke-dasharray="{dash}"/>'
        f'<text x="{x + SIDE / 2}" y="{y + SIDE + 18}" text-anchor="middle">{html.escape(word)}</text>'
    )
