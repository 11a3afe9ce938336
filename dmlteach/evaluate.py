"""Run a model over a data set: embeddings, then exact metrics."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from dmlteach import data, metrics, recall
from dmlteach.data import ImageDataset
from dmlteach.data.augment import Augmentation
from dmlteach.data.cache import CachedImages, Mode, cached
from dmlteach.device import choose_device, moved
from dmlteach.distributed import World
from dmlteach.errors import DMLTeachError
from dmlteach.inputs import check_finite, collapse_sentence, is_collapsed
from dmlteach.models import Model


def cached_for(
    model: Model,
    dataset: ImageDataset | CachedImages,
    progress: bool = True,
    folder: str | Path | None = None,
) -> CachedImages:
    """The data set decoded at the size, and in the shape, this model's images are cropped from.

    Args:
        model: whose input is prepared.
        dataset: images; those that are decoded already are given back.
        progress: show a bar while decoding.
        folder: where decoded images are kept; by default the user's cache folder.

    Raises:
        DMLTeachError: the model reads drawings of one channel and the images have three, or the reverse.
    """
    if dataset.channels != model.spec.channels:
        raise DMLTeachError(
            f"{model.spec.backbone} reads {model.spec.channels}-channel images, and these have "
            f"{dataset.channels}: drawings have 1, photographs 3. Choose another model or data set."
        )
    if isinstance(dataset, CachedImages):
        return dataset
    mode: Mode = "short_side" if model.spec.keep_aspect else "square"
    return cached(dataset, model.spec.resize, mode, folder, progress)


def embed(
    model: Model,
    dataset: ImageDataset | CachedImages,
    device: str = "auto",
    batch_size: int = 256,
    progress: bool = False,
    world: World | None = None,
    rows: Tensor | None = None,
) -> Tensor:
    """Embeddings of every image with the test-time transform (centre crop), in evaluation mode.

    Args:
        model: an embedding network; afterwards it is in the mode and on the device where it was.
        dataset: images, or images already decoded at the model's size.
        device: "auto", "cpu", "cuda" or "mps".
        batch_size: images per pass.
        progress: show a bar.
        world: processes that share the work; every one gets all embeddings.
        rows: (R,) images to embed; default all.

    Returns:
        (M, D) fp32 on the CPU, row i is image i; with `rows`, (R, D) in their order.

    Raises:
        DMLTeachError: the images do not fit the model or cannot be read, or an embedding is not finite.
    """
    world = world or World()
    target = choose_device(device)
    images = cached_for(model, dataset, progress)
    spec = model.spec
    center = Augmentation("none", spec.image_size, spec.mean, spec.std)
    rows = torch.arange(len(images)) if rows is None else rows
    mine = world.rows(len(rows))
    starts = range(mine.start, mine.stop, batch_size)
    parts = []
    with torch.no_grad(), _in_evaluation(model, target):
        for start in tqdm(starts, desc="embed", unit="batch", disable=not progress, leave=False):
            chosen = rows[start : min(start + batch_size, mine.stop)]
            pixels = moved(images.gather(chosen), target)
            parts.append(model(center.apply(pixels, torch.empty(len(chosen), 0))).float())
    own = torch.cat(parts) if parts else torch.empty(0, sum(model.head.dims), device=target)
    embeddings = world.gather_rows(own, len(rows)).cpu()
    check_finite(embeddings)
    return embeddings


@contextmanager
def _in_evaluation(model: Model, device: torch.device) -> Iterator[None]:
    """The model in evaluation mode on a device; afterwards, whatever happens, as it was."""
    modes = [(module, module.training) for module in model.modules()]
    home = next(model.parameters()).device
    try:
        model.eval().to(device)
        yield
    finally:
        model.to(home)
        for module, was_training in modes:
            module.training = was_training


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
    _warn_of_collapse(embeddings, others[0])
    result = metrics.retrieval_metrics(embeddings, dataset.labels, ks, *others)
    if with_nmi:
        result |= metrics.clustering_metrics(embeddings, dataset.labels, restarts=nmi_starts)
    return result


def _warn_of_collapse(queries: Tensor, gallery: Tensor | None) -> None:
    """Say of numbers that they mean nothing, where all embeddings are equal."""
    embeddings = queries if gallery is None else torch.cat([queries, gallery])
    if is_collapsed(embeddings):
        warnings.warn(collapse_sentence(len(embeddings)), stacklevel=3)


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
        _warn_of_collapse(queries[0], gallery[0])
        direction = f"{domain} → {source}" if reverse else f"{source} → {domain}"
        result[direction] = metrics.retrieval_metrics(*queries, ks, *gallery)
    average = {
        name: sum(one[name] for one in result.values()) / len(result)
        for name, value in next(iter(result.values())).items()
        if isinstance(value, float)
    }
    return {"protocol": protocol, "domains": result, "average": average}
