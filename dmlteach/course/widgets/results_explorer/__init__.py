"""A ranking that changes as its filters do."""

from dmlteach.course.widgets.results_explorer.widget import ResultsExplorer

__all__ = ["ResultsExplorer"]
