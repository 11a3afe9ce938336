"""What somebody drew, and what a network finds for it among characters it was never trained on."""

from collections.abc import Sequence

from dmlteach.course.widgets.draw_character.search import FOUND, Search, gallery_drawings
from dmlteach.course.widgets.draw_character.traced import Traced
from dmlteach.course.widgets.strokes import draw_strokes
from dmlteach.plots.style import BLACK, CORRECT, PALE, Picture, mark, page, place, styled

SIDE, STEP, LEFT, HEAD = 0.86, 1.02, 0.1, 0.42  # inches


@styled
def search_by_drawing(drawn: Sequence[Traced], search: Search) -> Picture:
    """One drawing a row, and the nearest of the gallery, nearest first; a tick is on the same character.

    Args:
        drawn: what is looked for.
        search: the network and its gallery.
    """
    gallery = gallery_drawings()
    height = HEAD + STEP * len(drawn)
    figure, axes = page(2 * LEFT + STEP * (FOUND + 1) + 0.5, height)
    axes.text(LEFT + SIDE / 2, height - 0.3, "you draw", ha="center", weight="bold", fontsize=11)
    start = LEFT + STEP + 0.5
    title = f"the nearest of {len(gallery)} characters that it was never trained on"
    axes.text(start + (FOUND * STEP - 0.16) / 2, height - 0.3, title, ha="center", weight="bold", fontsize=11)
    places = []
    for row, one in enumerate(drawn):
        y = height - HEAD - STEP * row - SIDE
        place(axes, draw_strokes(one.strokes), LEFT, y, SIDE, BLACK)
        tip, tail = (start - 0.12, y + SIDE / 2), (LEFT + SIDE + 0.12, y + SIDE / 2)
        axes.annotate("", tip, tail, arrowprops={"arrowstyle": "-|>", "color": BLACK, "lw": 1.4})
        found = [neighbor.character for neighbor in search.nearest(one.strokes)]
        places.append(found.index(one.character) + 1 if one.character in found else 0)
        for rank, character in enumerate(found):
            same, x = character == one.character, start + STEP * rank
            place(axes, gallery[character], x, y, SIDE, CORRECT if same else PALE)
            if same:
                mark(axes, True, x + 0.93 * SIDE, y + 0.93 * SIDE, 0.26)
    figure.alt = _alt(places, len(gallery))
    return figure


def _alt(places: list[int], count: int) -> str:
    said = ", ".join(f"place {place}" if place else f"not among the first {FOUND}" for place in places)
    return (
        f"Search by drawing: {len(places)} characters drawn with a pen, one a row, each with the {FOUND} "
        f"nearest of {count} drawings by another hand, one of each character; the network was trained on "
        f"none of these characters. A tick marks the same character, from top to bottom: {said}."
    )
