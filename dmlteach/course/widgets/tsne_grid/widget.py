"""t-SNE grid: two maps side by side, each under its own perplexity, seed and iterations."""

import io
from functools import cache
from typing import Any

import numpy as np
import traitlets
from PIL import Image

from dmlteach import data
from dmlteach.course.widgets.explorable import Explorable, front_end
from dmlteach.course.widgets.tsne_grid.maps import (
    ITERATIONS,
    LEVELS,
    NETWORK,
    OTHER,
    PERPLEXITIES,
    SEEDS,
    Setting,
    drawings,
    load_maps,
    settings,
)
from dmlteach.course.widgets.tsne_grid.picture import COLOURS, draw
from dmlteach.errors import DMLTeachError, unknown_name
from dmlteach.options import one_of
from dmlteach.plots.inline import address, as_text

GUESSES = ("", "a", "b", "neither")
CHOICES = {
    "network": (NETWORK, OTHER),
    "perplexity": PERPLEXITIES,
    "seed": SEEDS,
    "iterations": ITERATIONS,
}
START = Setting(NETWORK, 10, SEEDS[0], ITERATIONS[-1])


class TSNEGrid(Explorable):
    """Two t-SNE maps of 2,000 drawings to compare: which shows the better model?

    The maps are recorded, see `tsne_grid.maps`: one embedding under every combination of five
    perplexities, three seeds and four numbers of iterations, and for comparison another embedding under
    each perplexity. Under a map stand the share of neighbours that it kept and Recall@1 on the map;
    Recall@1 in the embedding appears with the reader's answer.

    Args:
        a, b: settings of the two panels; what is left out is {"network": "sst", "perplexity": 10,
            "seed": 0, "iterations": 750}. The network "triplet" has seed 0 and 750 iterations only.
        guess: the reader's answer: "" (none yet), "a", "b" or "neither".
        numbers: whether the table of numbers is open.

    Raises:
        DMLTeachError: a setting that is not recorded, an unknown answer.
    """

    name = "tsne_grid"
    _esm, _css = front_end(name)
    saved = ("a", "b", "guess", "numbers", "recording")
    a = traitlets.Dict(START._asdict()).tag(sync=True)
    b = traitlets.Dict(START._replace(perplexity=PERPLEXITIES[-1])._asdict()).tag(sync=True)
    guess = traitlets.Unicode("").tag(sync=True)
    numbers = traitlets.Bool(False).tag(sync=True)
    recording = traitlets.Dict().tag(sync=True)  # the maps and what was measured on them

    def __init__(
        self,
        a: dict[str, Any] | None = None,
        b: dict[str, Any] | None = None,
        guess: str = "",
        numbers: bool = False,
    ):
        panels = {name: given for name, given in (("a", a), ("b", b)) if given is not None}
        super().__init__(guess=guess, numbers=numbers, recording=packed_recording(), **panels)

    @property
    def measured(self) -> dict[str, dict[str, float]]:
        """Of each panel, "a" and "b": "kept" and "recall" on the map, "embedding_recall" in the embedding."""
        maps, order = load_maps(), settings()
        found = {}
        for panel in ("a", "b"):
            setting = Setting(**getattr(self, panel))
            row = order.index(setting)
            found[panel] = {
                "kept": float(maps.kept[row]),
                "recall": float(maps.recall[row]),
                "embedding_recall": maps.embedding_recall[setting.network],
            }
        return found

    @traitlets.validate("a", "b")
    def _check_setting(self, proposal: Any) -> dict[str, Any]:
        given = proposal["value"]
        for name, value in given.items():
            one_of("setting", name, CHOICES)
            if value not in CHOICES[name]:
                possible = ", ".join(map(str, CHOICES[name]))
                raise DMLTeachError(f"{name} {value!r} is not recorded; choose one of {possible}.")
        setting = START._replace(**given)
        if setting not in settings():
            raise DMLTeachError(
                f"of the network {setting.network!r} only seed {START.seed} with {START.iterations} "
                f"iterations is recorded, not seed {setting.seed} with {setting.iterations}."
            )
        return setting._asdict()

    @traitlets.validate("guess")
    def _check_guess(self, proposal: Any) -> str:
        if proposal["value"] not in GUESSES:
            raise unknown_name("answer", proposal["value"], [guess for guess in GUESSES if guess])
        return proposal["value"]

    def picture(self) -> tuple[str, str]:
        """Both maps as an SVG document, and what they show in words."""
        maps, order = load_maps(), settings()
        points = {panel: maps.points[order.index(Setting(**getattr(self, panel)))] for panel in ("a", "b")}
        return draw(self.state, points, self.measured)


@cache
def packed_recording() -> dict[str, Any]:
    """The recording as JSON: positions in ten bits each, numbers, and the highlighted characters."""
    maps, shown = load_maps(), drawings()
    images = data.cached(shown, size=28, progress=False)
    highlights = []
    for label, colour in enumerate(COLOURS):
        rows = np.flatnonzero(maps.labels == label).tolist()
        name = shown.class_names[label].removeprefix("evaluation ")
        picture = _png(255 - np.asarray(images.gather(rows[:1]))[0, 0])
        highlights.append({"name": name, "rows": rows, "colour": colour, "picture": picture})
    return {
        **{name: list(values) for name, values in CHOICES.items()},
        "settings": [list(setting) for setting in settings()],
        "kept": maps.kept.tolist(),
        "recall": maps.recall.tolist(),
        "embedding": maps.embedding_recall,
        "highlights": highlights,
        "count": len(maps.labels),
        "levels": LEVELS,
        "points": pack(maps.points),
    }


def pack(values: np.ndarray) -> str:
    """Whole numbers 0 … LEVELS − 1 one after the other, ten bits each, lowest bit first, as base64."""
    bits = (values.reshape(-1, 1) >> np.arange(LEVELS.bit_length() - 1)) & 1
    return as_text(np.packbits(bits.astype(np.uint8), bitorder="little").tobytes())


def _png(pixels: np.ndarray) -> str:
    """(H, W) uint8 as an image's address."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return address(buffer.getvalue())
