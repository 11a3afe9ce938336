"""Batch explorer: who shares a batch under each sampler, on an embedding recorded during training."""

from typing import Any

import traitlets

from dmlteach.course.recordings import RECORDED
from dmlteach.course.widgets.batch_explorer.batches import (
    KINDS,
    SHOWN,
    Contents,
    Epoch,
    Look,
    Plan,
    packed,
    plans,
)
from dmlteach.course.widgets.batch_explorer.picture import describe, draw
from dmlteach.course.widgets.explorable import Explorable, front_end
from dmlteach.errors import DMLTeachError
from dmlteach.options import one_of

SIZES = range(8, 33, 4)  # fewer hold no two groups of four, more do not fit beside the map


class BatchExplorer(Explorable):
    """Batches of four samplers at every epoch of a recorded training: drawings, pairs, triplets.

    Every state that the figure shows can be read and set from Python: `explorer.sampler = "local"` shows a
    neighbourhood, `explorer.contents` says what its batch holds. Samplers and losses are the
    library's own; all batches are planned when the figure is made, so it works without a kernel.

    Args:
        recording: of `dmlteach.course.recordings.recordings`, e.g. "sst".
        sampler: "random", "class_balanced", "local" or "local_classes".
        epoch: of the recording, 0 (untrained) to 12.
        batch: which of the first eight batches of the epoch; the last, where there are fewer.
        anchor: place in the batch of the drawing whose pairs alone are shown; None shows all.
        numbers: whether the table of numbers is open.
        batch_size: 8 to 32, a multiple of 4.
        seed: of the samplers.

    Raises:
        DMLTeachError: unknown recording or sampler, or a number out of range.
    """

    name = "batch_explorer"
    _esm, _css = front_end(name)
    saved = ("sampler", "epoch", "batch", "anchor", "numbers", "recorded")
    sampler = traitlets.Unicode("random").tag(sync=True)
    epoch = traitlets.Int(0).tag(sync=True)
    batch = traitlets.Int(0).tag(sync=True)
    anchor = traitlets.Int(None, allow_none=True).tag(sync=True)
    numbers = traitlets.Bool(False).tag(sync=True)
    recorded = traitlets.Dict().tag(sync=True)  # what the front-end steps through

    def __init__(
        self,
        recording: str = "sst",
        sampler: str = "random",
        epoch: int = 0,
        batch: int = 0,
        anchor: int | None = None,
        numbers: bool = False,
        batch_size: int = 32,
        seed: int = 0,
    ):
        one_of("recording", recording, RECORDED)
        if batch_size not in SIZES:
            known = f"{SIZES[0]} to {SIZES[-1]}, a multiple of 4"
            raise DMLTeachError(f"batch_size is {batch_size}; choose {known}.")
        if not isinstance(seed, int) or seed < 0:
            raise DMLTeachError(f"seed is {seed!r}; give a whole number from 0 on.")
        self.recording, self.batch_size, self.seed = recording, batch_size, seed
        self._record, self._plans = plans(recording, batch_size, seed)
        recorded = packed(recording, batch_size, seed)
        super().__init__(
            sampler=sampler, epoch=epoch, batch=batch, anchor=anchor, numbers=numbers, recorded=recorded
        )

    @property
    def _plan(self) -> Plan:
        return self._plans[self.epoch][self.sampler]

    @property
    def _look(self) -> Look:
        return self._plan.looks[min(self.batch, len(self._plan.looks) - 1)]

    @property
    def rows(self) -> list[int]:
        """Drawings of the batch shown, as rows of the recording, sorted by character."""
        return self._look.rows.tolist()

    @property
    def contents(self) -> Contents:
        """What the batch shown holds: see `batches.Contents`."""
        return self._look.contents

    def epoch_means(self, epoch: int | None = None) -> dict[str, Epoch]:
        """Of every sampler, what all its batches of an epoch hold: see `batches.Epoch`.

        Args:
            epoch: of the recording; None is the one shown.
        """
        by_sampler = self._plans[self.epoch if epoch is None else epoch]
        return {name: plan.epoch for name, plan in by_sampler.items()}

    @traitlets.validate("sampler")
    def _check_sampler(self, proposal: Any) -> str:
        one_of("sampler", proposal["value"], KINDS)
        return proposal["value"]

    @traitlets.validate("epoch", "batch", "anchor")
    def _check_number(self, proposal: Any) -> int | None:
        name, value = proposal["trait"].name, proposal["value"]
        last = {"epoch": len(self._plans), "batch": SHOWN, "anchor": self.batch_size}[name] - 1
        if value is not None and not 0 <= value <= last:
            raise DMLTeachError(f"{name} is {value}; it may be 0 to {last}.")
        return value

    def picture(self) -> tuple[str, str]:
        """The batch as an SVG document, and what it holds in words."""
        alt = describe(self.sampler, self._record.epochs[self.epoch], self.contents)
        anchor = self.anchor if self.anchor is not None and self.anchor < len(self.rows) else None
        return draw(self.recording, self._record, self.epoch, self._look, anchor, alt), alt
