"""Which new points are still in the class: what densely-anchored sampling makes around an anchor."""

from dmlteach.course.widgets.new_points_explorer.widget import NewPointsExplorer

__all__ = ["NewPointsExplorer"]
