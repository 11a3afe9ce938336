"""Figures of the results, from the committed rows; `python -m benchmarks.record` draws them."""

import json
from collections.abc import Callable
from pathlib import Path

from benchmarks import look_alikes
from benchmarks.tuning import Rows, of_methods
from dmlteach import data, methods
from dmlteach.course import recordings as pretrained
from dmlteach.course.measured import BATCHED, SAMPLERS
from dmlteach.data.omniglot import CHARACTERS
from dmlteach.plots import comparison, style
from dmlteach.plots.reading import COLUMN, PHONE

HOME = Path(__file__).parent
FIGURES = HOME.parent / "figures"
MEASURE = f"Recall@1 among {CHARACTERS['test']} classes"


def losses_by_samplers() -> style.Picture:
    """Recall@1 of losses in batches of several samplers, as papers set them."""
    rows = json.loads((HOME / "comparison.json").read_text())["rows"]
    return _heat_map({(row["loss"], row["sampler"]): row["recalls"] for row in rows})


def tuned_samplers() -> style.Picture:
    """The same of the methods tuned alike, with more samplers."""
    rows = Rows(HOME / "tuned.jsonl")
    table = {}
    for name in BATCHED:
        for sampler in SAMPLERS:
            own = sampler == methods.get(name).sampler
            found = rows.of((name, "" if own else f"with {sampler}"), "final")
            table |= {(name, sampler): [row["recall@1"] for row in found]} if found else {}
    return _heat_map(table)


def _heat_map(table: comparison.Table) -> style.Picture:
    return comparison.heat_map(table, MEASURE, untrained=pretrained.card("untrained")["recall@1"])


def tuned_methods() -> style.Picture:
    """All methods, tuned alike, beside the untrained network."""
    rows = Rows(HOME / "tuned.jsonl")
    found = {cell[0]: rows.of(cell, "final") for cell, _ in of_methods()}
    table = {name: [row["recall@1"] for row in finals] for name, finals in found.items() if finals}
    return comparison.ranking(table, MEASURE, {"untrained": pretrained.card("untrained")["recall@1"]})


def look_alike_pairs() -> style.Picture:
    """Pairs of characters that all shipped networks take for each other, some drawings of each."""
    pairs = json.loads((HOME / look_alikes.FILE).read_text())["pairs"]
    drawings = data.load("omniglot", "test")
    picture = _pairs(pairs, drawings, columns=2)
    picture.again = lambda width: _pairs(pairs, drawings, columns=1, width=width)
    return picture


def _pairs(
    pairs: list[dict], drawings: data.ImageDataset, columns: int, width: float = COLUMN
) -> style.Picture:
    """One pair beside the other, in so many columns."""
    each = len(pairs[0]["shown"][0])
    wide = 2 * each + 0.5  # drawings, as which a pair is, and one between pairs
    side = 0.99 * width / (columns * (wide + 1) - 1)
    lines = -(-len(pairs) // columns)
    picture, axes = style.page(width, lines * 1.15 * side)
    for number, pair in enumerate(pairs):
        left, line = (0.005 * width + number // lines * (wide + 1) * side), number % lines
        for half, rows in enumerate(pair["shown"]):
            for place, row in enumerate(rows):
                x = left + (half * (each + 0.5) + place) * side
                style.place(axes, drawings[row][0], x, (lines - line - 0.93) * 1.15 * side, side)
    taken = ", ".join(str(pair["taken_for_each_other"]) for pair in pairs)
    picture.alt = (
        f"{len(pairs)} pairs of characters, {each} drawings of one beside {each} of the other. Of their "
        f"drawings, so many are taken for the other by all shipped networks, pair by pair: {taken}."
    )
    return picture


PICTURES: dict[str, Callable[[], style.Picture]] = {
    "look_alike_pairs": look_alike_pairs,
    "losses_by_samplers": losses_by_samplers,
    "tuned_methods": tuned_methods,
    "tuned_samplers": tuned_samplers,
}


def draw_all() -> None:
    """Draw every figure anew, for the site's column and for a phone, with its alt text beside it."""
    for name, draw in PICTURES.items():
        picture = draw()
        with style.context():
            style.save(picture.for_page(COLUMN), FIGURES / name, picture.alt, svg=False)
            style.save(picture.for_page(PHONE), FIGURES / f"{name}_on_a_phone", picture.alt, svg=False)


def link(name: str) -> str:
    """A figure as docs/results.md shows it.

    Args:
        name: of the figure.
    """
    alt = (FIGURES / f"{name}.alt.txt").read_text(encoding="utf-8").strip()
    return f"![{alt}](../figures/{name}.png)"
