"""Exact retrieval and clustering metrics: Recall@K, R-precision, MAP@R, NMI, F1 of clusters.

Embeddings may be tensors or arrays; labels are integers in a tensor, an array, a list or a pandas column.
"""

from dmlteach.metrics.clustering import (
    clustering_metrics,
    nmi,
    nmi_from_assignments,
    number_of_starts,
    pairwise_f1,
)
from dmlteach.metrics.over_seeds import difference_by_seed, mean_and_interval
from dmlteach.metrics.pair_distances import PairDistances, pair_distances
from dmlteach.metrics.query_statistics import Hubness, hubness, mean_interval
from dmlteach.metrics.retrieval import (
    first_match_ranks,
    mean_average_precision_at_r,
    r_precision,
    recall_at_k,
    retrieval_metrics,
)

__all__ = [
    "Hubness",
    "PairDistances",
    "clustering_metrics",
    "difference_by_seed",
    "first_match_ranks",
    "hubness",
    "mean_and_interval",
    "mean_average_precision_at_r",
    "mean_interval",
    "nmi",
    "nmi_from_assignments",
    "number_of_starts",
    "pair_distances",
    "pairwise_f1",
    "r_precision",
    "recall_at_k",
    "retrieval_metrics",
]
