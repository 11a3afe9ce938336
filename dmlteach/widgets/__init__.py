"""Explorable figures: each a small front-end module, fed by the library's own functions in the kernel."""

from dmlteach.widgets.batch_explorer import BatchExplorer
from dmlteach.widgets.playground import TripletPlayground
from dmlteach.widgets.retrieval_browser import RetrievalBrowser
from dmlteach.widgets.training_replay import TrainingReplay
from dmlteach.widgets.tsne_grid import TSNEGrid
from dmlteach.widgets.values import loss_and_gradient

__all__ = [
    "BatchExplorer",
    "RetrievalBrowser",
    "TSNEGrid",
    "TrainingReplay",
    "TripletPlayground",
    "loss_and_gradient",
]
