"""Training replay: two recorded runs, epoch by epoch; which of the loss curves is the collapsed one?"""

import base64
import functools
import io
from typing import Any

import numpy as np
import traitlets
from PIL import Image

from dmlteach.errors import DMLTeachError, unknown_name
from dmlteach.pretrained import replay
from dmlteach.widgets.explorable import Explorable, front_end
from dmlteach.widgets.training_replay_picture import draw

GUESSES = ("", "left", "right", "both", "neither")
# A letter while the points are hidden, what it is afterwards.
ABOUT = {
    "triplet": ("A", "triplet loss, nearest positives and all negatives"),
    "hardest": ("B", "triplet loss, hardest triplet of each anchor"),
    "active": ("C", "triplet loss, active triplets only"),
    "sst": ("D", "SST loss"),
    "contrastive": ("E", "contrastive loss"),
}
COLLAPSED = 0.05  # of its distance before training: what is nearer than that has collapsed


class TrainingReplay(Explorable):
    """Two recorded trainings: their loss curves, and, once revealed, what became of the embedding.

    Every state that the figure shows can be read and set from Python: `replay.epoch = 24` moves both markers,
    `replay.runs["hardest"]["recall"]` holds a curve. The runs are those of `dmlteach.pretrained.replay.RUNS`.

    Args:
        left: run in the left column: "triplet", "hardest", "active", "sst" or "contrastive".
        right: run in the right column.
        epoch: epoch shown, 0 (before training) to 24.
        revealed: show the points, what the runs are, Recall@1 and distances; else the loss alone.
        magnify: fit the frame of the points to each epoch in place of one frame for all.
        guess: the reader's prediction, "left", "right", "both" or "neither"; empty: none yet.
        numbers: whether the table of numbers is open.

    Raises:
        DMLTeachError: unknown run or guess, an epoch that was not recorded.
    """

    name = "training_replay"
    _esm, _css = front_end(name)
    saved = ("left", "right", "epoch", "revealed", "magnify", "guess", "numbers", "recording")
    left = traitlets.Unicode("triplet").tag(sync=True)
    right = traitlets.Unicode("hardest").tag(sync=True)
    epoch = traitlets.Int(0).tag(sync=True)
    revealed = traitlets.Bool(False).tag(sync=True)
    magnify = traitlets.Bool(False).tag(sync=True)
    guess = traitlets.Unicode("").tag(sync=True)
    numbers = traitlets.Bool(False).tag(sync=True)
    recording = traitlets.Dict(read_only=True).tag(sync=True)  # what the front-end draws from, packed

    def __init__(
        self,
        left: str = "triplet",
        right: str = "hardest",
        epoch: int = 0,
        revealed: bool = False,
        magnify: bool = False,
        guess: str = "",
        numbers: bool = False,
    ):
        super().__init__(
            left=left,
            right=right,
            epoch=epoch,
            revealed=revealed,
            magnify=magnify,
            guess=guess,
            numbers=numbers,
        )

    @traitlets.default("recording")
    def _packed(self) -> dict[str, Any]:
        return packed()

    @property
    def runs(self) -> dict[str, dict]:
        """Of each run: its letter, what it is, and its curves over the epochs."""
        return curves()

    @traitlets.validate("left", "right")
    def _check_run(self, proposal: Any) -> str:
        if proposal["value"] not in ABOUT:
            raise unknown_name("recorded run", proposal["value"], ABOUT)
        return proposal["value"]

    @traitlets.validate("epoch")
    def _check_epoch(self, proposal: Any) -> int:
        last = replay.COMMON["epochs"]
        if not 0 <= proposal["value"] <= last:
            raise DMLTeachError(f"epoch is {proposal['value']}; 0 (before training) to {last} are recorded.")
        return proposal["value"]

    @traitlets.validate("guess")
    def _check_guess(self, proposal: Any) -> str:
        if proposal["value"] not in GUESSES:
            raise unknown_name("prediction", proposal["value"], GUESSES[1:])
        return proposal["value"]

    def picture(self) -> tuple[str, str]:
        """Both runs as an SVG document, and what they show in words."""
        return draw(self.state, curves(), replay.replays())


@functools.cache
def curves() -> dict[str, dict]:
    """Of each run: letter, about, loss (None before training), recall, distance, collapsed (per epoch), line.

    `line` is the loss of a batch whose drawings are all in one place; `collapsed` says of each epoch whether
    different characters are nearer than 5 % of their distance before training.
    """
    found = {}
    for name, run in replay.replays().items():
        letter, about = ABOUT[name]
        found[name] = {
            "letter": letter,
            "about": about,
            "loss": [None, *run.loss[1:]],
            "recall": run.recall,
            "distance": run.distance,
            "collapsed": [d < COLLAPSED * run.distance[0] for d in run.distance],
            "line": run.collapsed_loss,
            "kept": run.kept,
        }
    return found


@functools.cache
def packed() -> dict[str, Any]:
    """What the front-end draws from: curves, points as 16-bit numbers, the characters as one PNG."""
    runs = {}
    for name, run in replay.replays().items():
        points = run.points.numpy()  # (E, 160, 2)
        unit = np.abs(points).max((1, 2)) / 32767  # of each epoch
        whole = (points / unit[:, None, None]).round().astype("<i2")
        rounded = {
            key: [value if value is None else float(f"{value:.5g}") for value in curves()[name][key]]
            for key in ("loss", "recall", "distance")
        }
        runs[name] = (
            curves()[name]
            | rounded
            | {
                "points": base64.b64encode(whole.tobytes()).decode(),
                "unit": [float(f"{u:.7g}") for u in unit],
            }
        )
    strip = 255 - replay.characters().numpy()  # (8, 28, 28), ink dark
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(list(strip), axis=1)).save(buffer, format="png")
    sprite = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    sizes = {
        "batches": replay.COMMON["batches_per_epoch"],
        "batch": replay.COMMON["batch_size"],
        "measured": replay.MEASURED,
    }
    return {
        "runs": runs,
        "characters": len(strip),
        "drawings": replay.DRAWINGS,
        "sprite": sprite,
        "sizes": sizes,
    }
