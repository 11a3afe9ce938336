"""Training replay: two runs, recorded or live, epoch by epoch; which loss curve is the collapsed one?"""

import functools
import io
from dataclasses import replace
from typing import Any

import numpy as np
import traitlets
from PIL import Image

from dmlteach.course.recordings import replay
from dmlteach.course.widgets.explorable import Explorable, front_end
from dmlteach.course.widgets.live import EPOCHS, LiveRun
from dmlteach.course.widgets.training_replay.picture import draw
from dmlteach.errors import DMLTeachError, unknown_name
from dmlteach.options import one_of
from dmlteach.plots.inline import address, as_text

GUESSES = ("", "left", "right", "both", "neither")
# A letter while the points are hidden, what it is afterwards.
ABOUT = {
    "triplet": ("A", "triplet loss, nearest positives and all negatives"),
    "hardest": ("B", "triplet loss, hardest triplet of each anchor"),
    "active": ("C", "triplet loss, active triplets only"),
    "sst": ("D", "SST loss"),
    "contrastive": ("E", "contrastive loss"),
}
LIVE = "live"  # the name of the run that trains here
# Collapsed: different characters are nearer than this share of their distance before training, and the loss
# is that of a batch in one place, within this factor. The first alone would not do: with a small margin, an
# embedding is small that tells characters apart.
COLLAPSED, AT_LINE = 0.05, 1.25
RATE: float = replay.COMMON["learning_rate"]
LIMITS = {"learning_rate": (1e-6, 1.0), "margin": (1e-3, 10.0)}


class TrainingReplay(Explorable):
    """Two trainings side by side: their loss curves, and, once revealed, what became of the embedding.

    Every state that the figure shows can be read and set from Python: `replay.epoch = 24` moves both markers,
    `replay.runs["hardest"]["recall"]` holds a curve. The runs are those of
    `dmlteach.course.recordings.replay.RUNS`, and one that `train` starts: it takes the right column as
    "live", epoch by epoch.

    Args:
        left: run in the left column: "triplet", "hardest", "active", "sst" or "contrastive".
        right: run in the right column; "live" once there is one.
        epoch: epoch shown, 0 (before training) to 24; a run that is not that far shows its newest.
        revealed: show the points, what the runs are, Recall@1 and distances; else the loss alone.
        magnify: fit the frame of the points to each epoch in place of one frame for all.
        guess: the reader's prediction, "left", "right", "both" or "neither"; empty: none yet.
        numbers: whether the table of numbers is open.

    Raises:
        DMLTeachError: unknown run or guess, an epoch that was not recorded.
    """

    name = "training_replay"
    _esm, _css = front_end(name, "marks")
    saved = ("left", "right", "epoch", "revealed", "magnify", "guess", "numbers", "recording", "live")
    left = traitlets.Unicode("triplet").tag(sync=True)
    right = traitlets.Unicode("hardest").tag(sync=True)
    epoch = traitlets.Int(0).tag(sync=True)
    revealed = traitlets.Bool(False).tag(sync=True)
    magnify = traitlets.Bool(False).tag(sync=True)
    guess = traitlets.Unicode("").tag(sync=True)
    numbers = traitlets.Bool(False).tag(sync=True)
    recording = traitlets.Dict(read_only=True).tag(sync=True)  # what the front-end draws from, packed
    settings = traitlets.Dict().tag(sync=True)  # of the next live run: loss, learning_rate, margin
    training = traitlets.Bool(False).tag(sync=True)  # asked for; a page without a kernel does not have this
    live = traitlets.Dict(read_only=True).tag(sync=True)  # the live run's status in words, and it, packed
    _run: LiveRun | None = None

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

    @traitlets.default("settings")
    def _as_recorded(self) -> dict[str, Any]:
        return settings_of("triplet", RATE, None)

    @property
    def runs(self) -> dict[str, dict]:
        """Of each run: its letter, what it is, and its curves over the epochs; "live" is the live one."""
        run = self._run and self._run.run
        return curves() | ({LIVE: curves_of(run, "", self._about)} if run else {})

    # - train live

    def train(self, loss: str = "triplet", learning_rate: float = RATE, margin: float | None = None) -> None:
        """Train the recorded runs' network anew, from the same start, in a thread; returns at once.

        The run takes the right column, and is `runs["live"]`, from its first epoch on. A live run
        that still trains is ended first.

        Args:
            loss: that of a recorded run: "triplet", "hardest", "active", "sst" or "contrastive".
            learning_rate: 1e-6 to 1; the recorded runs have 0.001.
            margin: of the loss, 0.001 to 10; None is that of the recorded run. SST has no margin.

        Raises:
            DMLTeachError: unknown loss, a number out of range, a margin for a loss that has none.
        """
        self.settings = settings_of(loss, learning_rate, margin)
        self.stop()
        self.training = True

    def stop(self) -> None:
        """End the live run after its current step, and wait for that."""
        self.training = False
        self.wait()

    def wait(self, seconds: float | None = None) -> bool:
        """Whether the live run has ended, within so many seconds.

        Args:
            seconds: to wait at most; None: until it ends.
        """
        return self._run is None or self._run.wait(seconds)

    @property
    def error(self) -> Exception | None:
        """What made the last live run fail."""
        return None if self._run is None else self._run.error

    def close(self) -> None:
        """Stop the live run, and close the figure."""
        self.training = False
        super().close()

    @traitlets.observe("training")
    def _start_or_stop(self, change: Any) -> None:
        """Never trains in here: messages of the page arrive here too."""
        if not self.training:
            if self._run is not None:
                self._run.stop()
            return
        loss, rate, margin = (self.settings[key] for key in ("loss", "learning_rate", "margin"))
        config = replace(
            replay.configuration(loss, ""),
            learning_rate=rate,
            loss_options={} if margin is None else {"margin": margin},
        )
        shown = f", margin {margin:g}" if margin is not None else ""
        self._about = f"{ABOUT[loss][1]}, learning rate {rate:g}{shown}"
        if self.right == LIVE:
            self.right = loss  # until the new run has something to show
        self._run = LiveRun(config, self._report)
        self._tell(self._run)
        self._run.start()

    def _report(self, run: LiveRun) -> None:
        """Called in the thread; what a run says that is no longer the newest one is out of date."""
        if run is self._run:
            self._tell(run)

    def _tell(self, run: LiveRun) -> None:
        at_newest = self.epoch == run.epoch - 1
        packed_run = pack(run.run, "", self._about) if run.run else None
        self.set_trait("live", {"status": run.status, "words": self._words(run), "run": packed_run})
        if run.status == "training" and run.epoch == 0:
            self.right, self.revealed, self.epoch = LIVE, True, 0
        elif at_newest and self.right == LIVE:
            self.epoch = run.epoch
        if run.status in ("finished", "stopped", "failed"):
            self.training = False

    def _words(self, run: LiveRun) -> str:
        return {
            "starting": "Live run: starting.",
            "training": f"Live run: epoch {run.epoch} of {EPOCHS}.",
            "finished": f"Live run: finished after {EPOCHS} epochs.",
            "stopped": f"Live run: stopped after {run.epoch} of {EPOCHS} epochs.",
            "failed": f"Live run: ended by an error in epoch {run.epoch + 1}. {_sentence(run.error)}",
        }[run.status]

    # - what a state may be

    @traitlets.validate("left", "right")
    def _check_run(self, proposal: Any) -> str:
        name, value = proposal["trait"].name, proposal["value"]
        if name == "right" and value == LIVE:
            if not self.live.get("run"):
                raise DMLTeachError("there is no live run yet; replay.train(loss='hardest') starts one.")
        elif value not in ABOUT:
            raise unknown_name("recorded run", value, ABOUT)
        return value

    @traitlets.validate("settings")
    def _check_settings(self, proposal: Any) -> dict[str, Any]:
        try:
            return settings_of(**proposal["value"])
        except TypeError:
            raise DMLTeachError(
                f"settings are {proposal['value']!r}; give loss, learning_rate and margin."
            ) from None

    @traitlets.validate("epoch")
    def _check_epoch(self, proposal: Any) -> int:
        if not 0 <= proposal["value"] <= EPOCHS:
            raise DMLTeachError(
                f"epoch is {proposal['value']}; 0 (before training) to {EPOCHS} are recorded."
            )
        return proposal["value"]

    @traitlets.validate("guess")
    def _check_guess(self, proposal: Any) -> str:
        if proposal["value"] not in GUESSES:
            raise unknown_name("prediction", proposal["value"], GUESSES[1:])
        return proposal["value"]

    def picture(self) -> tuple[str, str]:
        """Both runs as an SVG document, and what they show in words."""
        live = self._run and self._run.run
        return draw(self.state, self.runs, replay.replays() | ({LIVE: live} if live else {}))


def settings_of(loss: str, learning_rate: float, margin: float | None) -> dict[str, Any]:
    """Settings of a live run, checked; a margin of None becomes the recorded run's.

    Args:
        loss: name of a recorded run.
        learning_rate: within LIMITS.
        margin: within LIMITS; None where the loss has none.
    """
    one_of("recorded run", loss, ABOUT)
    recorded = replay.margin(loss)
    if recorded is None and margin is not None:
        raise DMLTeachError(f"the loss of {loss!r} has no margin, and margin is {margin!r}; leave it out.")
    given = {"learning_rate": learning_rate, "margin": recorded if margin is None else margin}
    for key, value in given.items():
        low, high = LIMITS[key]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (number and low <= value <= high):
            usual = RATE if key == "learning_rate" else recorded
            raise DMLTeachError(
                f"{key} is {value!r}; it may be {low:g} to {high:g}, and the recorded run has {usual:g}."
            )
    return {"loss": loss, **given}


def _sentence(error: Exception | None) -> str:
    """What went wrong, in one line."""
    told = " ".join(str(error).split())
    return told if isinstance(error, DMLTeachError) else f"{type(error).__name__}: {told}"


def curves_of(run: replay.RecordedRun, letter: str, about: str) -> dict[str, Any]:
    """A run: letter, about, kept, line; per epoch loss (None before training), recall, distance, collapsed.

    `line` is the loss of a batch whose drawings are all in one place; `collapsed` says of each epoch whether
    different characters are nearer than 5 % of their distance before training, and the loss is at the line
    (80 to 125 % of it).

    Args:
        run: recorded, or live.
        letter: by which it is called; empty: it is the live one.
        about: what it is.
    """
    return {
        "letter": letter,
        "about": about,
        "loss": [None, *run.loss[1:]],
        "recall": run.recall,
        "distance": run.distance,
        "collapsed": [
            d < COLLAPSED * run.distance[0] and 1 / AT_LINE < loss / run.collapsed_loss < AT_LINE
            for d, loss in zip(run.distance, run.loss, strict=True)
        ],
        "line": run.collapsed_loss,
        "kept": run.kept,
    }


@functools.cache
def curves() -> dict[str, dict]:
    """Of each recorded run, what `curves_of` gives."""
    return {name: curves_of(run, *ABOUT[name]) for name, run in replay.replays().items()}


def pack(run: replay.RecordedRun, letter: str, about: str) -> dict[str, Any]:
    """What the front-end draws a run from: its curves, and its points as 16-bit numbers.

    Args:
        run, letter, about: of `curves_of`.
    """
    points = run.points.numpy()  # (E, 160, 2)
    unit = np.maximum(np.abs(points).max((1, 2)), 1e-12) / 32767  # of each epoch
    whole = (points / unit[:, None, None]).round().astype("<i2")
    shown = curves_of(run, letter, about)
    for key in ("loss", "recall", "distance"):
        shown[key] = [value if value is None else float(f"{value:.5g}") for value in shown[key]]
    return shown | {
        "points": as_text(whole.tobytes()),
        "unit": [float(f"{u:.7g}") for u in unit],
    }


@functools.cache
def packed() -> dict[str, Any]:
    """What the front-end draws from: the recorded runs, the characters as one PNG, rate and margins."""
    strip = 255 - replay.characters().numpy()  # (8, 28, 28), ink dark
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(list(strip), axis=1)).save(buffer, format="png")
    sprite = address(buffer.getvalue())
    sizes = {
        "batches": replay.COMMON["batches_per_epoch"],
        "batch": replay.COMMON["batch_size"],
        "measured": replay.MEASURED,
        "classes": replay.MEASURED // replay.DRAWINGS,
    }
    return {
        "runs": {name: pack(run, *ABOUT[name]) for name, run in replay.replays().items()},
        "learning_rate": RATE,
        "margins": {name: replay.margin(name) for name in ABOUT},
        "characters": len(strip),
        "drawings": replay.DRAWINGS,
        "sprite": sprite,
        "sizes": sizes,
    }
