"""One embedding as many t-SNE maps."""

from dmlteach.course.widgets.tsne_grid.widget import TSNEGrid

__all__ = ["TSNEGrid"]
