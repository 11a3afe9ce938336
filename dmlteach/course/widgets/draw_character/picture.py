"""The static picture of "draw a character": a drawing and what is nearest, for hosts without scripts."""

from dmlteach.course.widgets.draw_character.search import Neighbor, gallery_drawings
from dmlteach.course.widgets.strokes import PEN, SIDE, Strokes
from dmlteach.course.widgets.thumbnails import SIDE as TILE
from dmlteach.course.widgets.thumbnails import sheet

STEP = TILE + 24  # from one neighbor to the next
LEFT = 160  # of the first neighbor
PAD = 120  # pixels of the drawing's side


def draw(strokes: Strokes, found: list[Neighbor], told: str) -> tuple[str, str]:
    """The drawing and its neighbors, nearest first.

    Args:
        strokes: of the drawing.
        found: its neighbors.
        told: what was drawn, in words.

    Returns:
        An SVG document, and the text that says what it shows.
    """
    lines = "".join(
        "M" + "L".join(f"{x:g} {y:g}" for x, y in stroke) + ("h0" if len(stroke) == 1 else "")
        for stroke in strokes
    )
    pad = (
        f'<svg x="6" y="24" width="{PAD}" height="{PAD}" viewBox="-0.5 -0.5 {SIDE} {SIDE}">'
        f'<path d="{lines}" fill="none" stroke="#1a1a1a" stroke-width="{PEN}" stroke-linecap="round" '
        f'stroke-linejoin="round"/></svg><rect x="6" y="24" width="{PAD}" height="{PAD}" fill="none" '
        'stroke="#0072b2" stroke-width="2"/>'
    )
    drawings = gallery_drawings()
    tiles = [_tile(sheet([drawings[one.character]]), one, rank) for rank, one in enumerate(found)]
    width, height = LEFT + STEP * max(len(found), 5), PAD + 34
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>'
        f'<text x="6" y="16" font-weight="bold">drawn</text>'
        f'<text x="{LEFT}" y="16" font-weight="bold">the nearest of 659 characters</text>'
        f"{pad}{''.join(tiles)}</svg>"
    )
    names = ", ".join(f"{one.character + 1} (similarity {one.similarity:.0%})" for one in found)
    return svg, f"Draw a character: {told}. The nearest of 659 characters: {names or 'nothing is drawn'}."


def _tile(thumbnail: dict, one: Neighbor, rank: int) -> str:
    x, middle = LEFT + STEP * rank, LEFT + STEP * rank + TILE / 2
    return (
        f'<svg x="{x}" y="36" width="{TILE}" height="{TILE}" viewBox="0 0 {TILE} {TILE}">'
        f'<image width="{TILE * thumbnail["columns"]}" height="{TILE}" href="{thumbnail["picture"]}"/></svg>'
        f'<rect x="{x}" y="36" width="{TILE}" height="{TILE}" fill="none" stroke="#888"/>'
        f'<text x="{middle}" y="{36 + TILE + 16}" text-anchor="middle">{one.similarity:.0%}</text>'
        f'<text x="{middle}" y="{36 + TILE + 31}" text-anchor="middle">no. {one.character + 1}</text>'
    )
