"""Explorable figures: each a small front-end module, fed by the library's own functions in the kernel."""

# ruff: noqa: E402 (a missing package is told before something imports it)
from dmlteach.errors import need

need("anywidget", "course")

from dmlteach.course.widgets.batch_explorer import BatchExplorer
from dmlteach.course.widgets.draw_character import DrawCharacter
from dmlteach.course.widgets.embedding_lab import EmbeddingLab
from dmlteach.course.widgets.ensemble_explorer import EnsembleExplorer
from dmlteach.course.widgets.new_points_explorer import NewPointsExplorer
from dmlteach.course.widgets.playground import TripletPlayground
from dmlteach.course.widgets.proxy_explorer import ProxyExplorer
from dmlteach.course.widgets.results_explorer import ResultsExplorer
from dmlteach.course.widgets.retrieval_browser import RetrievalBrowser
from dmlteach.course.widgets.temperature_explorer import TemperatureExplorer
from dmlteach.course.widgets.training_replay import TrainingReplay
from dmlteach.course.widgets.tsne_grid import TSNEGrid
from dmlteach.course.widgets.values import loss_and_gradient
from dmlteach.course.widgets.weight_explorer import WeightExplorer

__all__ = [
    "BatchExplorer",
    "DrawCharacter",
    "EmbeddingLab",
    "EnsembleExplorer",
    "NewPointsExplorer",
    "ProxyExplorer",
    "ResultsExplorer",
    "RetrievalBrowser",
    "TSNEGrid",
    "TemperatureExplorer",
    "TrainingReplay",
    "TripletPlayground",
    "WeightExplorer",
    "loss_and_gradient",
]
