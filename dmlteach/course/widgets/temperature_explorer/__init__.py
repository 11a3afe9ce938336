"""How a temperature divides the push of a loss among the negatives of an anchor."""

from dmlteach.course.widgets.temperature_explorer.widget import TemperatureExplorer

__all__ = ["TemperatureExplorer"]
