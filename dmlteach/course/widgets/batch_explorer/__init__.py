"""Batches on a map of the embedding."""

from dmlteach.course.widgets.batch_explorer.widget import BatchExplorer

__all__ = ["BatchExplorer"]
