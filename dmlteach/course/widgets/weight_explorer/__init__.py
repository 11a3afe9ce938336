"""How hard each loss pushes a negative, against its distance."""

from dmlteach.course.widgets.weight_explorer.widget import WeightExplorer

__all__ = ["WeightExplorer"]
