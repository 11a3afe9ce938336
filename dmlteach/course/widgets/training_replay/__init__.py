"""A recorded training, epoch by epoch."""

from dmlteach.course.widgets.training_replay.widget import TrainingReplay

__all__ = ["TrainingReplay"]
