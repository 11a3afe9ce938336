"""Who still learns from this pair: one pair's weight in each learner of a cascade or a boosted ensemble."""

from dmlteach.course.widgets.ensemble_explorer.widget import EnsembleExplorer

__all__ = ["EnsembleExplorer"]
