"""What happened in an epoch so far: losses, statistics of batches, images and seconds."""

import math
import time
from collections import deque
from typing import Any

import torch
from torch import Tensor

from dmlteach.distributed import World
from dmlteach.errors import NotFiniteError
from dmlteach.train.folder import NAN_BATCHES, RunFolder
from dmlteach.train.step import DelayedScalar

STATS_EVERY = 10  # steps between looks at what a batch does


class Meter:
    """What happened in an epoch so far."""

    def __init__(self, report: dict[str, Any] | None = None):
        self.losses: list[float] = []
        self.stats: list[dict[str, Tensor]] = []
        self.active: tuple[DelayedScalar | None, ...] = (None, None)  # share of the last two looks
        self.images = 0
        self.report = report or {}
        self.plan_seconds = self.seconds = 0.0
        self.clock = time.perf_counter()

    def training_seconds(self) -> float:
        return self.seconds + time.perf_counter() - self.clock

    def look(self, stats: dict[str, Tensor]) -> None:
        """Keep what a batch does.

        Args:
            stats: of the loss, scalars on the device.
        """
        self.stats.append(stats)
        active = stats.get("active_tuples")  # not every loss says it
        self.active = self.active[1], None if active is None else DelayedScalar(active)

    def mean_stats(self) -> dict[str, float]:
        """Means over the batches that were looked at; a statistic no batch could give is left out."""
        names = self.stats[0] if self.stats else {}  # on the CPU where a checkpoint brought them
        means = {k: torch.stack([s[k].cpu() for s in self.stats]).nanmean().item() for k in names}
        return {k: mean for k, mean in means.items() if not math.isnan(mean)}

    def brief(self) -> dict[str, str]:
        """For the progress bar: recent loss, active tuples of the look before, images per second."""
        recent = self.losses[-STATS_EVERY:]
        shown = {"loss": f"{sum(recent) / len(recent):.4f}"}
        active = self.active[0].read() if self.active[0] else math.nan
        if not math.isnan(active):
            shown["active"] = f"{active:.0%}"
        return shown | {"images/s": f"{self.images / max(self.training_seconds(), 1e-9):.0f}"}

    def summary(self) -> dict[str, Any]:
        seconds = self.training_seconds()
        return {
            "loss": sum(self.losses) / max(len(self.losses), 1),
            **self.mean_stats(),
            "steps": len(self.losses),
            "images": self.images,
            "images_per_second": self.images / max(seconds, 1e-9),
            "seconds": seconds,
            "plan_seconds": self.plan_seconds,
            "sampler": self.report,
        }

    def state_dict(self) -> dict[str, Any]:
        return {
            "losses": self.losses,
            "stats": [{k: v.cpu() for k, v in s.items()} for s in self.stats],
            "images": self.images,
            "report": self.report,
            "plan_seconds": self.plan_seconds,
            "seconds": self.training_seconds(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.report, self.losses, self.stats = state["report"], state["losses"], state["stats"]
        self.images, self.plan_seconds = state["images"], state["plan_seconds"]
        self.seconds, self.clock = state["seconds"], time.perf_counter()


def in_words(row: dict[str, Any]) -> str:
    """What is told of an epoch as it ends.

    Args:
        row: of metrics.
    """
    said = f"loss {row['loss']:.4f}, {row['images_per_second']:.0f} images/s"
    if "val" not in row:
        return said
    name = next(name for name in row["val"] if name.startswith("recall@"))
    return f"{said}, val {name.capitalize()} {row['val'][name]:.3f}"


class LossReader:
    """Reads the loss of each step one step late, so that the device need not wait; stops at the first NaN.

    Args:
        folder: of the run, where the batches before a NaN are listed.
        world: the processes that train; all see a NaN in the same step.
    """

    def __init__(self, folder: RunFolder, world: World):
        self.folder, self.world = folder, world
        self.pending: DelayedScalar | None = None
        self.recent: deque[tuple[int, int, list[int]]] = deque(maxlen=3)

    def add(self, loss: Tensor, meter: Meter, epoch: int, step: int, batch: list[int]) -> None:
        """Keep the loss of a step, and read that of the step before.

        Args:
            loss: scalar, on the device.
            meter: gets the loss before.
            epoch, step, batch: which step it is, and its images.
        """
        self.read(meter)
        self.recent.append((epoch + 1, step + 1, list(batch)))
        self.pending = DelayedScalar(loss)

    def read(self, meter: Meter) -> None:
        """Read the loss that is still to be read, if there is one.

        Args:
            meter: gets it.

        Raises:
            NotFiniteError: it is not finite.
        """
        if self.pending is None:
            return
        value, self.pending = self.pending.read(), None
        meter.losses.append(value)
        if math.isfinite(value):
            return
        if self.world.is_main:
            self.folder.write_nan_batches(self.recent)
        epoch, step, _ = self.recent[-1]
        raise NotFiniteError(
            f"the loss became {value} in epoch {epoch}, step {step}; the last batches are listed in "
            f"{self.folder.path / NAN_BATCHES}. Lower --learning-rate, in another --output: --resume would "
            "meet the same batches."
        )
