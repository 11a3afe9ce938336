"""An embedding that is trained in the page."""

from dmlteach.course.widgets.embedding_lab.widget import EmbeddingLab

__all__ = ["EmbeddingLab"]
