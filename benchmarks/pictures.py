"""Figures of the results, from the committed rows; `python -m benchmarks.record` draws them."""

import json
from collections.abc import Callable
from pathlib import Path

from benchmarks.tuning import Rows, of_methods
from dmlteach import methods
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


PICTURES: dict[str, Callable[[], style.Picture]] = {
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
