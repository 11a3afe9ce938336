"""Exact retrieval metrics of a model on a data set."""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dmlteach import metrics
from dmlteach.data import ImageDataset
from dmlteach.data.cache import CachedImages
from dmlteach.embeddings import embed
from dmlteach.evaluation import recall
from dmlteach.inputs import collapse_sentence, is_collapsed
from dmlteach.models import Model


def evaluate(
    model: Model,
    dataset: ImageDataset | CachedImages,
    gallery: ImageDataset | CachedImages | None = None,
    *,
    ks: Sequence[int] | None = None,
    with_nmi: bool = False,
    nmi_starts: int | None = None,
    device: str = "auto",
    progress: bool = False,
) -> dict[str, Any]:
    """Exact retrieval metrics of a model on a data set, or of queries against a gallery.

    Args:
        model: an embedding network.
        dataset: images; each is a query against all others, or against `gallery`.
        gallery: images to retrieve from, where they are not the queries themselves.
        ks: K of Recall@K, which must fit; None: the data set's published ones (by default 1, 2, 4, 8), of
            which those above the number of items searched are left out, and a warning says so.
        with_nmi: also cluster the embeddings, and report NMI and F1 of the clusters.
        nmi_starts: k-means starts for it, see `metrics.clustering_metrics`; default: as many as fit the size.
        device: "auto", "cpu", "cuda" or "mps".
        progress: show a bar.

    Returns:
        Fractions "recall@K", "map@r", "r_precision", and the counts "num_queries", "num_left_out" and
        "num_classes": the classes of all queries; with NMI also "nmi", "f1" and "nmi_starts", the number of
        k-means starts.

    Warns:
        UserWarning: all embeddings are equal, so that the numbers mean nothing.
    """
    items = dataset if gallery is None else gallery
    number, what = recall.searched(dataset, gallery), f"the {items.split} split"
    if ks is None:
        ks = recall.fitting(dataset.name, number, what)
    recall.check(ks, number, what)  # before the work
    metrics.number_of_starts(len(dataset), nmi_starts)  # likewise
    embeddings = embed(model, dataset, device, progress=progress)
    others: tuple[Tensor | None, Tensor | None] = (None, None)
    if gallery is not None:
        others = (embed(model, gallery, device, progress=progress), gallery.labels)
    warn_of_collapse(embeddings, others[0])
    result = metrics.retrieval_metrics(embeddings, dataset.labels, ks, *others)
    if with_nmi:
        result |= metrics.clustering_metrics(embeddings, dataset.labels, restarts=nmi_starts)
    return result


def warn_of_collapse(queries: Tensor, gallery: Tensor | None) -> None:
    """Say of numbers that they mean nothing, where all embeddings are equal."""
    embeddings = queries if gallery is None else torch.cat([queries, gallery])
    if is_collapsed(embeddings):
        warnings.warn(collapse_sentence(len(embeddings)), stacklevel=3)
