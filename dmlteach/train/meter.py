"""What happened in an epoch so far: losses, statistics of batches, images and seconds."""

import math
import time
from typing import Any

import torch
from torch import Tensor

STATS_EVERY = 10  # steps between looks at what a batch does


class Meter:
    """What happened in an epoch so far."""

    def __init__(self, report: dict[str, Any] | None = None):
        self.losses: list[float] = []
        self.stats: list[dict[str, Tensor]] = []
        self.images = 0
        self.report = report or {}
        self.plan_seconds = self.seconds = 0.0
        self.clock = time.perf_counter()

    def training_seconds(self) -> float:
        return self.seconds + time.perf_counter() - self.clock

    def mean_stats(self) -> dict[str, float]:
        """Means over the batches that were looked at; a statistic no batch could give is left out."""
        names = self.stats[0] if self.stats else {}
        means = {k: torch.stack([s[k] for s in self.stats]).nanmean().item() for k in names}
        return {k: mean for k, mean in means.items() if not math.isnan(mean)}

    def brief(self) -> dict[str, str]:
        """For the progress bar: recent loss, active tuples, images per second."""
        recent = self.losses[-STATS_EVERY:]
        shown = {"loss": f"{sum(recent) / len(recent):.4f}"}
        if self.stats and "active_tuples" in self.stats[-1]:
            shown["active"] = f"{self.stats[-1]['active_tuples'].item():.0%}"
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

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Meter":
        meter = cls(state["report"])
        meter.losses, meter.stats, meter.images = state["losses"], state["stats"], state["images"]
        meter.plan_seconds, meter.seconds = state["plan_seconds"], state["seconds"]
        return meter
