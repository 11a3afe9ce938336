"""Training: what to train, what is built for it, one loop for every method, and what is kept."""

from dmlteach.train.config import FREE, TrainConfig, resolve
from dmlteach.train.ending import Result
from dmlteach.train.loop import Run, fit

__all__ = ["FREE", "Result", "Run", "TrainConfig", "fit", "resolve"]
