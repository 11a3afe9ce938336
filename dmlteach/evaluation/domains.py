"""Exact retrieval metrics of a model across the domains of a data set, e.g. photographs → sketches."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from dmlteach import data, metrics
from dmlteach.data import ImageDataset
from dmlteach.embeddings import embed
from dmlteach.errors import DMLTeachError
from dmlteach.evaluation import recall
from dmlteach.evaluation.retrieval import warn_of_collapse
from dmlteach.models import Model


def evaluate_domains(
    model: Model,
    dataset: str,
    root: str | Path | None = None,
    *,
    reverse: bool = False,
    ks: Sequence[int] | None = None,
    classes: int | None = None,
    device: str = "auto",
    progress: bool = False,
) -> dict[str, Any]:
    """Retrieval across domains: the source domain's queries in each other domain's gallery.

    On DomainNet photographs search five galleries, and the model has seen its 345 classes in training
    ("cross-domain, same classes"); on Omniglot drawings search restyled ones of classes it has not seen.
    How the published DomainNet numbers were measured is not known.

    Args:
        model: an embedding network.
        dataset: a data set with domains, see `data.domains`.
        root: where the data set is; Omniglot needs none.
        reverse: each other domain's queries in the source domain's gallery instead.
        ks: K of Recall@K; None: as `evaluate` does, for the smallest gallery.
        classes: only the first so many classes.
        device: "auto", "cpu", "cuda" or "mps".
        progress: show a bar.

    Returns:
        "protocol"; "domains": what `evaluate` returns, by "query → gallery"; "average": its means.

    Raises:
        DMLTeachError: the data set has one domain only.
    """
    names, protocol = data.domains(dataset)
    if not names:
        raise DMLTeachError(f"{dataset!r} has one domain only; evaluate it with `evaluate`.")
    source, others = names[0], names[1:]

    def load(split: str, domain: str) -> ImageDataset:
        return data.load(dataset, split, root, domain=domain, classes=classes)

    def embedded(images: ImageDataset) -> tuple[Tensor, Tensor]:
        return embed(model, images, device, progress=progress), images.labels

    here = load("gallery" if reverse else "query", source)
    there = {domain: load("query" if reverse else "gallery", domain) for domain in others}
    smallest = len(here) if reverse else min(map(len, there.values()))
    if ks is None:
        ks = recall.fitting(dataset, smallest, "the smallest gallery")
    recall.check(ks, smallest, "the smallest gallery")  # before the work
    result = {}
    fixed = embedded(here)
    for domain, images in there.items():
        moving = embedded(images)
        queries, gallery = (moving, fixed) if reverse else (fixed, moving)
        warn_of_collapse(queries[0], gallery[0])
        direction = f"{domain} → {source}" if reverse else f"{source} → {domain}"
        result[direction] = metrics.retrieval_metrics(*queries, ks, *gallery)
    average = {
        name: sum(one[name] for one in result.values()) / len(result)
        for name, value in next(iter(result.values())).items()
        if isinstance(value, float)
    }
    return {"protocol": protocol, "domains": result, "average": average}
