"""Training: what to train, what is built for it, one loop for every method, and what is kept."""

from dmlteach.train.loop import FREE, Result, Run, TrainConfig, fit, resolve

__all__ = ["FREE", "Result", "Run", "TrainConfig", "fit", "resolve"]
