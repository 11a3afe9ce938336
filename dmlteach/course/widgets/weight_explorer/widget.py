"""Weight explorer: guess a loss from the weights of negatives, and see where its push comes from."""

from functools import cache
from typing import Any

import numpy as np
import traitlets

from dmlteach.course.widgets.explorable import Explorable, front_end
from dmlteach.course.widgets.weight_explorer.curves import (
    EDGES,
    EMBEDDINGS,
    FAMILIES,
    Curve,
    load,
    loss_of,
    pairs,
)
from dmlteach.course.widgets.weight_explorer.picture import draw
from dmlteach.data.omniglot import CHARACTERS
from dmlteach.errors import DMLTeachError
from dmlteach.options import one_of


def _shown(family: str, value: float, embedding: str) -> dict[str, Any]:
    return {"family": family, "value": value, "embedding": embedding}


RIDDLES = (
    _shown("contrastive", 0.6, "untrained"),
    _shown("semihard", 0.1, "untrained"),
    _shown("batch_hard", 0.2, "untrained"),
    _shown("multi_similarity", 0.5, "untrained"),
    _shown("binomial_deviance", 20.0, "trained"),
)
STATES = {
    "the hardest only": _shown("batch_hard", 0.2, "trained"),
    "at random": _shown("margin", 0.2, "uniform"),
    "nothing left": _shown("contrastive", 0.6, "trained"),
}
TELLTALES = {
    "contrastive": "It falls to 0 at the margin, and near negatives weigh most.",
    "triplet": "It is flat and fades out: all open triplets weigh the same, and far negatives are in few.",
    "semihard": "The nearest weigh little: they are nearer than the positive.",
    "batch_hard": "Only the one nearest of each anchor has any weight.",
    "margin": "Negatives are drawn the more often the rarer their distance is, none beyond 1.4.",
    "lifted": "Every negative has a weight; the longer the embeddings, the more of it goes to the near ones.",
    "binomial_deviance": "An S: near negatives weigh the same, and far ones fade out.",
    "multi_similarity": "It rises like an exponential; once characters are apart, mining leaves out most.",
    "sst": "Hardly any slope where embeddings are short; the longer they are, the steeper.",
}


class WeightExplorer(Explorable):
    """The weight of a negative pair against its distance: of every pair loss, on three embeddings.

    Every weight was read off the gradient of the library's loss, on eight batches of 16 classes of four.

    Args:
        family: the loss, one of `curves.FAMILIES`.
        value: of the one option that has a slider.
        embedding: "uniform" (points at random on the sphere in 128 dimensions), "untrained" or "trained".
        riddle: 1 to 5 shows a loss to be guessed in place of these; 0 shows these.
        guess: the reader's answer to the riddle, a family; "" for none yet.
        numbers: whether the table of numbers is open.

    Raises:
        DMLTeachError: an unknown loss, value, embedding or riddle.
    """

    name = "weight_explorer"
    _esm, _css = front_end(name)
    saved = ("family", "value", "embedding", "riddle", "guess", "numbers", "recorded")
    family = traitlets.Unicode("triplet").tag(sync=True)
    value = traitlets.Float(0.2).tag(sync=True)
    embedding = traitlets.Unicode("untrained").tag(sync=True)
    riddle = traitlets.Int(1).tag(sync=True)
    guess = traitlets.Unicode("").tag(sync=True)
    numbers = traitlets.Bool(False).tag(sync=True)
    recorded = traitlets.Dict().tag(sync=True)  # every number, for the front-end

    def __init__(
        self,
        family: str | None = None,
        value: float | None = None,
        embedding: str = "untrained",
        riddle: int | None = None,
        guess: str = "",
        numbers: bool = False,
    ):
        riddle = int(family is None) if riddle is None else riddle
        family = family or "triplet"
        one_of("loss", family, FAMILIES)
        one_of("embedding", embedding, EMBEDDINGS)
        value = usual(family) if value is None else value
        loss_of(family, value)
        if not 0 <= riddle <= len(RIDDLES):
            raise DMLTeachError(f"riddle must be 0 to {len(RIDDLES)}, not {riddle}.")
        if guess:
            one_of("guess", guess, FAMILIES)
        super().__init__(
            family=family, value=value, embedding=embedding, riddle=riddle, guess=guess, numbers=numbers,
            recorded=packed(),
        )  # fmt: skip

    @property
    def shown(self) -> dict[str, Any]:
        """Family, value and embedding that are drawn: those of the riddle, or the reader's."""
        return RIDDLES[self.riddle - 1] if self.riddle else _shown(self.family, self.value, self.embedding)

    @property
    def curve(self) -> Curve:
        """What is drawn, in numbers."""
        return load().curves[self.shown["family"], self.shown["value"], self.shown["embedding"]]

    def picture(self) -> tuple[str, str]:
        """The weights as an SVG document, and what they show in words."""
        return draw(self.shown, self.curve, load(), hidden=bool(self.riddle and not self.guess))


def usual(family: str) -> float:
    """The middle of a slider.

    Args:
        family: one of `curves.FAMILIES`.
    """
    values = FAMILIES[family].values
    return values[(len(values) - 1) // 2]


@cache
def packed() -> dict[str, Any]:
    """The recording as JSON: mean weights as shares of the largest, in three digits."""
    found = load()
    families = {}
    for name, of in FAMILIES.items():
        curves = [{e: _packed(found.curves[name, value, e], e) for e in EMBEDDINGS} for value in of.values]
        families[name] = {
            "label": of.label, "option": of.option, "values": list(of.values), "telltale": TELLTALES[name],
            "curves": curves,
        }  # fmt: skip
    pairs = {
        name: {"negatives": found.negatives[name].tolist(), "positives": found.positives[name].tolist()}
        for name in EMBEDDINGS
    }
    recall = {name: round(value, 4) for name, value in found.recall.items()}
    return {
        "edges": EDGES.round(3).tolist(), "families": families, "pairs": pairs, "riddles": list(RIDDLES),
        "states": STATES, "recall": {**recall, "classes": CHARACTERS["test"]},
    }  # fmt: skip


def _packed(curve: Curve, embedding: str) -> dict[str, Any]:
    largest = max(np.nanmax(curve.negative), np.nanmax(curve.positive), 1e-30)
    share = {
        name: [
            None if np.isnan(w) else float(f"{w / largest:.3g}") for w in getattr(curve, name).astype(float)
        ]
        for name in ("negative", "positive")
    }
    half = None if np.isnan(curve.half) else round(curve.half, 4)
    nearer = None if half is None else round(nearer_than(curve.half, embedding), 4)
    return {**share, "active": round(curve.active, 5), "half": half, "nearer": nearer}


def nearer_than(distance: float, embedding: str) -> float:
    """Share of the negatives that are not farther.

    Args:
        distance: on the unit sphere.
        embedding: one of `curves.EMBEDDINGS`.
    """
    d, _, is_negative = pairs(load().points[embedding])
    return float((d[is_negative] <= distance + 1e-9).mean())
