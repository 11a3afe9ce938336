"""The embedding lab: metric learning that is trained in the page, with no kernel."""

import json
import math
from pathlib import Path
from typing import Any

import traitlets

from dmlteach.course.widgets.embedding_lab.characters import SEEN, characters
from dmlteach.course.widgets.embedding_lab.picture import draw
from dmlteach.course.widgets.explorable import Explorable, front_end
from dmlteach.errors import DMLTeachError
from dmlteach.options import one_of

FOLDER = Path(__file__).parent
LOSSES = ("contrastive", "triplet", "sst", "multi_similarity", "proxy_anchor", "softmax")
NEGATIVES = ("all", "hardest")
BATCHES = ("random", "classes", "local")
RATES = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03)
WIDTHS = (16, 2)
BESIDE = ("nothing", "still", "classes", "triplet", "sst", "plane", "shuffled")
SHOWN = ("unseen", "seen")
PACES = ("slow", "medium", "fast")


def source(name: str) -> str:
    """A script of this folder."""
    return (FOLDER / f"{name}.js").read_text("utf-8")


def training_source() -> str:
    """The losses and the trainer, which know no page."""
    return "\n".join(map(source, ("distances", "losses", "images", "network", "trainer")))


def worker_source() -> str:
    """All that the worker runs: the training, and what it answers."""
    return f"{training_source()}\n{source('worker')}"


def _front_end() -> tuple[str, str]:
    """The module, with its parts and the worker's source as a string before it, and the style sheet."""
    module, style = front_end("embedding_lab", "marks")
    parts = "\n".join(map(source, ("plane", "choices", "drawing", "words")))
    return f"const WORKER_SOURCE = {json.dumps(worker_source())};\n{parts}\n{module}", style


class EmbeddingLab(Explorable):
    """A small network that learns from twenty characters and is tested on ten others, while one looks on.

    It is trained by the page itself, in notebooks as on pages without a kernel: from here one sets what is
    trained, `lab.loss = "softmax"`, and each change starts anew.

    Args:
        loss: "contrastive", "triplet", "sst", "multi_similarity", "proxy_anchor" or "softmax".
        negatives: of the triplet loss, "all" or "hardest".
        margin: of the contrastive and the triplet loss, a distance, 0 to 2.
        batches: "random", "classes" (8 classes, 5 drawings of each) or "local".
        rate: learning rate of Adam, one of those that the figure offers.
        width: dimensions of the embedding, 16 or 2.
        turns: whether drawings are turned and shifted, and quarter turns are classes of their own.
        shuffled: whether the labels are shuffled.
        seed: of everything random.
        beside: what a second lab has otherwise: "nothing" (there is none), "still" (no turns or shifts),
            "classes", "triplet", "sst", "plane" (2 dimensions) or "shuffled".
        shown: the characters whose drawings are shown, "unseen" or "seen".
        pace: "slow", "medium" or "fast".
        numbers: whether the table of numbers is open.

    Raises:
        DMLTeachError: a value that the figure does not have.
    """

    name = "embedding_lab"
    _esm, _css = _front_end()
    saved = (
        "characters", "loss", "negatives", "margin", "batches", "rate", "width", "turns", "shuffled", "seed",
        "beside", "shown", "pace", "focus", "numbers",
    )  # fmt: skip
    characters = traitlets.Dict().tag(sync=True)
    loss = traitlets.Unicode("triplet").tag(sync=True)
    negatives = traitlets.Unicode("all").tag(sync=True)
    margin = traitlets.Float(0.2).tag(sync=True)
    batches = traitlets.Unicode("classes").tag(sync=True)
    rate = traitlets.Float(0.001).tag(sync=True)
    width = traitlets.Int(16).tag(sync=True)
    turns = traitlets.Bool(True).tag(sync=True)
    shuffled = traitlets.Bool(False).tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)
    beside = traitlets.Unicode("nothing").tag(sync=True)
    shown = traitlets.Unicode("unseen").tag(sync=True)
    pace = traitlets.Unicode("fast").tag(sync=True)
    focus = traitlets.Int(0).tag(sync=True)  # the drawing looked at, among those shown
    numbers = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self,
        loss: str = "triplet",
        negatives: str = "all",
        margin: float | None = None,
        batches: str = "classes",
        rate: float = 0.001,
        width: int = 16,
        turns: bool = True,
        shuffled: bool = False,
        seed: int = 0,
        beside: str = "nothing",
        shown: str = "unseen",
        pace: str = "fast",
        numbers: bool = False,
    ):
        given = dict(locals())
        chosen = {name: given[name] for name in self.saved if name in given}
        chosen["margin"] = (1.0 if loss == "contrastive" else 0.2) if margin is None else margin
        super().__init__(characters=characters(), **chosen)

    @traitlets.validate("loss", "negatives", "batches", "beside", "shown", "pace")
    def _check_name(self, proposal: Any) -> str:
        options = {
            "loss": LOSSES,
            "negatives": NEGATIVES,
            "batches": BATCHES,
            "beside": BESIDE,
            "shown": SHOWN,
            "pace": PACES,
        }
        name = proposal["trait"].name
        one_of(name, proposal["value"], options[name])
        return proposal["value"]

    @traitlets.validate("rate", "width")
    def _check_number(self, proposal: Any) -> float:
        name, value = proposal["trait"].name, proposal["value"]
        options = RATES if name == "rate" else WIDTHS
        if value not in options:
            raise DMLTeachError(f"{name} is {value}; the lab has {', '.join(map(str, options))}.")
        return value

    @traitlets.validate("margin", "seed", "focus")
    def _check_range(self, proposal: Any) -> float:
        name, value = proposal["trait"].name, proposal["value"]
        most = {"margin": 2, "seed": 999, "focus": SEEN * 20 - 1}[name]
        if not (math.isfinite(value) and 0 <= value <= most):
            raise DMLTeachError(f"{name} is {value}; it may be 0 to {most}.")
        return value

    def picture(self) -> tuple[str, str]:
        """The characters as an SVG document, and what they are in words."""
        return draw(self.characters)
