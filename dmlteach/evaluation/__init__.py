"""A model over a data set, in numbers: exact metrics, the K that fit, and what the untrained network had."""

from dmlteach.embeddings import embed
from dmlteach.evaluation.domains import evaluate_domains
from dmlteach.evaluation.retrieval import evaluate

__all__ = ["embed", "evaluate", "evaluate_domains"]
