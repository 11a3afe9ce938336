"""Queries and gallery as users have them, checked and made ready to be compared."""

import torch
from torch import Tensor

from dmlteach.errors import DMLTeachError
from dmlteach.inputs import as_embeddings, as_labels, check_finite
from dmlteach.metrics.ranks import Sets


def checked_sets(queries, query_labels, gallery, gallery_labels) -> Sets:
    """Queries and gallery, classes numbered alike; without a gallery each query searches the others.

    Args:
        queries: (Q, D), as `as_embeddings` takes them.
        query_labels: (Q,) class of each.
        gallery: (M, D), where the queries search another set, or None.
        gallery_labels: (M,), or None.

    Raises:
        DMLTeachError: one of the gallery's two is missing, the dimensions differ, or a set is refused by
            `checked_set`.
    """
    if (gallery is None) != (gallery_labels is None):
        raise DMLTeachError("give gallery_embeddings and gallery_labels together, or neither.")
    queries, query_labels = checked_set(queries, query_labels, "embeddings")
    if gallery is None:
        classes = query_labels.unique(return_inverse=True)[1]
        return Sets(queries, classes, queries, classes, single=True)
    gallery, gallery_labels = checked_set(gallery, gallery_labels, "gallery_embeddings")
    if queries.shape[1] != gallery.shape[1]:
        raise DMLTeachError(
            f"queries have {queries.shape[1]} dimensions, the gallery {gallery.shape[1]}; "
            "embed both with the same model."
        )
    gallery, gallery_labels = gallery.to(queries), gallery_labels.to(queries.device)
    classes = torch.cat([query_labels, gallery_labels]).unique(return_inverse=True)[1]
    return Sets(queries, classes[: len(queries)], gallery, classes[len(queries) :], single=False)


def checked_set(embeddings, labels, name: str) -> tuple[Tensor, Tensor]:
    """Embeddings (M, D) and labels (M,) on one device, which can compute in float64.

    Args:
        embeddings: as `as_embeddings` takes them.
        labels: as `as_labels` takes them.
        name: of the embeddings' argument, for the error.

    Raises:
        DMLTeachError: no rows, other shapes, or values that are not finite.
    """
    embeddings = as_embeddings(embeddings, name)
    labels = as_labels(labels, name.replace("embeddings", "labels"))
    if not len(embeddings) or labels.shape != embeddings.shape[:1]:
        raise DMLTeachError(
            f"{name} {tuple(embeddings.shape)} with labels {tuple(labels.shape)}: "
            "give at least one row (N, D) and one label per row (N,)."
        )
    if embeddings.device.type == "mps":  # which has no float64
        embeddings = embeddings.cpu()
    check_finite(embeddings, name)
    return embeddings, labels.to(embeddings.device)
