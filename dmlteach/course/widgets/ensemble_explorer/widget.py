"""Ensemble explorer: a pair among others in three learners, and what is handed on from one to the next."""

import math
from typing import Any

import torch
import traitlets
from torch import Tensor

from dmlteach.course.widgets.ensemble_explorer.handing import (
    ALPHA,
    BETA,
    FAMILIES,
    MARGIN,
    RATIOS,
    Handed,
    handed_on,
    shares,
)
from dmlteach.course.widgets.ensemble_explorer.picture import draw
from dmlteach.course.widgets.explorable import Explorable, front_end
from dmlteach.errors import DMLTeachError
from dmlteach.options import one_of

LEARNERS = 3
KINDS = {"same": "of one class", "other": "of two classes"}
# The other pairs of the batch, an example made up: their cosine in learners 1, 2 and 3.
OTHERS = {
    "same": (
        (0.9, 0.8, 0.85), (0.75, 0.7, 0.6), (0.6, 0.65, 0.7), (0.45, 0.5, 0.55), (0.3, 0.45, 0.4),
        (0.15, 0.35, 0.5), (0.0, 0.2, 0.3), (-0.15, 0.25, 0.1), (-0.3, 0.05, 0.2),
    ),
    "other": (
        (-0.2, -0.3, -0.1), (0.0, -0.1, -0.2), (0.2, 0.0, 0.1), (0.4, 0.3, 0.2), (0.55, 0.4, 0.45),
        (0.6, 0.65, 0.3), (0.65, 0.45, 0.6), (0.7, 0.6, 0.55), (0.8, 0.75, 0.65),
    ),
}  # fmt: skip
START: dict[str, Any] = {"family": "hdc", "kind": "same", "cosines": [0.8, 0.4, -0.6]}
STATES: dict[str, dict[str, Any]] = {
    "easy for the first": START,
    "wrong twice": {**START, "cosines": [-0.4, 0.0, -0.6]},
    "the same boosted": {**START, "family": "bier"},
    "settled": {"family": "bier_25", "kind": "other", "cosines": [0.2, 0.2, 0.8]},
    "wrong together": {"family": "bier_25", "kind": "other", "cosines": [0.2, 0.8, 0.8]},
}
TELLTALES = {
    "hdc": "Each learner hands on the hardest half, then fifth, of all pairs of a kind, as it sees them; "
    "what a later learner makes of a pair does not count.",
    "hdc_own": "Here, as in the authors' code, each learner takes the pairs that are hardest for itself, "
    "whatever the others make of them.",
    "bier": "The weight is the slope of the loss of all learners before, taken together.",
    "bier_25": "The weight is the slope of the loss of all learners before, taken together; the cost of 25 "
    "makes it all or nothing for pairs of two classes.",
}


class EnsembleExplorer(Explorable):
    """One pair among others in three learners, and its weight in each.

    Args:
        family: one of `handing.FAMILIES`.
        kind: "same" (a pair of one class) or "other" (of two).
        cosines: the pair's cosine in each of the three learners.
        numbers: whether the table of numbers is open.

    Raises:
        DMLTeachError: an unknown family or kind, or cosines that are no three numbers between −1 and 1.
    """

    name = "ensemble_explorer"
    _esm, _css = front_end(name)
    saved = ("family", "kind", "cosines", "numbers", "recorded")
    family = traitlets.Unicode("hdc").tag(sync=True)
    kind = traitlets.Unicode("same").tag(sync=True)
    cosines = traitlets.List(START["cosines"]).tag(sync=True)
    numbers = traitlets.Bool(False).tag(sync=True)
    recorded = traitlets.Dict().tag(sync=True)  # pairs, families and states, for the front-end

    def __init__(self, family: str = "hdc", kind: str = "same", cosines: Any = None, numbers: bool = False):
        one_of("family", family, FAMILIES)
        one_of("kind", kind, KINDS)
        given = _three(START["cosines"] if cosines is None else cosines)
        super().__init__(family=family, kind=kind, cosines=given, numbers=numbers, recorded=packed())

    @property
    def batch(self) -> tuple[Tensor, Tensor]:
        """Cosines of all pairs in each learner, (3, P), this one first; which are of one class, (P,)."""
        same, other = OTHERS["same"], OTHERS["other"]
        rows = torch.tensor([self.cosines, *same, *other], dtype=torch.float64)
        is_positive = torch.tensor([self.kind == "same", *([True] * len(same)), *([False] * len(other))])
        return rows.T, is_positive

    @property
    def handed(self) -> Handed:
        """What becomes of all pairs."""
        return handed_on(self.family, *self.batch)

    @property
    def weights(self) -> Tensor:
        """What earlier learners leave of the pair, (3,)."""
        return self.handed.weights[:, 0]

    @property
    def shares(self) -> Tensor:
        """The pair's share in what its kind pulls in each learner, (3,)."""
        return shares(self.handed, self.batch[1], 0)

    @property
    def learning(self) -> int:
        """How many learners learn from the pair."""
        return int(self.handed.learns[:, 0].sum())

    def picture(self) -> tuple[str, str]:
        """Three learners as an SVG document, and what they show in words."""
        rows, is_positive = self.batch
        others = [i for i in range(1, len(is_positive)) if is_positive[i] == is_positive[0]]
        handed = self.handed
        svg = draw(self.kind, self.cosines, rows[:, others], handed.weights[:, others], self.weights)
        weights = ", ".join(f"{w:.2f}" for w in self.weights.tolist())
        told = (
            f"{FAMILIES[self.family].label}: {self.learning} of 3 learners learn from this pair "
            f"{KINDS[self.kind]}; its weights are {weights}."
        )
        return svg, f"One pair among others on a line of similarity, in each of three learners. {told}"


def _three(given: Any) -> list[float]:
    try:
        cosines = [float(cosine) for cosine in given]
    except (TypeError, ValueError):
        cosines = []
    if len(cosines) != LEARNERS or not all(math.isfinite(c) and -1 <= c <= 1 for c in cosines):
        raise DMLTeachError(f"cosines are {given!r}; give three numbers from −1 to 1.")
    return cosines


def packed() -> dict[str, Any]:
    """Pairs, families, named states and constants, as JSON has them."""
    families = {
        name: {"label": of.label, "mode": of.mode, "cost": of.cost, "telltale": TELLTALES[name]}
        for name, of in FAMILIES.items()
    }
    return {
        "families": families, "kinds": KINDS, "states": STATES, "ratios": list(RATIOS), "margin": MARGIN,
        "alpha": ALPHA, "beta": BETA, "others": {kind: [list(c) for c in of] for kind, of in OTHERS.items()},
    }  # fmt: skip
