"""Images held out to measure a network on: checked and decoded before training, measured after it."""

from typing import Any, NamedTuple

import torch

from dmlteach.data import ImageDataset
from dmlteach.data.cache import CachedImages
from dmlteach.embeddings import cached_for
from dmlteach.errors import DMLTeachError
from dmlteach.evaluation import evaluate, recall
from dmlteach.models import Model


class HeldOut(NamedTuple):
    """Queries, the gallery they search where that is another set, and the K of Recall@K that fit."""

    queries: ImageDataset | CachedImages
    gallery: ImageDataset | CachedImages | None
    ks: tuple[int, ...]

    def decoded(self, model: Model, progress: bool) -> "HeldOut":
        """The same, decoded as the model's input is cropped from it."""
        gallery = None if self.gallery is None else cached_for(model, self.gallery, progress)
        return self._replace(queries=cached_for(model, self.queries, progress), gallery=gallery)

    def measure(self, model: Model, device: str, progress: bool = False) -> dict[str, Any]:
        """What `evaluate` returns for a model."""
        return evaluate(model, self.queries, self.gallery, ks=self.ks, device=device, progress=progress)


def held_out(
    queries: ImageDataset, gallery: ImageDataset | None, recall_at: Any = None, cure: str = "Add images."
) -> HeldOut:
    """Images to measure on, where that is possible: it must not be found out after a training.

    Args:
        queries: each searches the gallery, or all others where there is none.
        gallery: what they search, where it is another set.
        recall_at: K of Recall@K that must fit, as `recall.parse` takes them; None: published ones that fit.
        cure: what helps where nothing can be found.

    Raises:
        DMLTeachError: a named K is above the number of items searched, or no query has a match.
    """
    items = queries if gallery is None else gallery
    number, what = recall.searched(queries, gallery), f"the {items.split} split"
    counts = torch.bincount(items.labels, minlength=queries.num_classes)[queries.labels]
    if not (counts > (gallery is None)).any():
        raise DMLTeachError(
            f"no image of the {queries.split} split of {queries.name} has another one of its class to find: "
            f"nothing can be measured there. {cure}"
        )
    if recall_at is None:
        return HeldOut(queries, gallery, recall.fitting(queries.name, number, what))
    ks = recall.parse(recall_at)
    recall.check(ks, number, what)
    return HeldOut(queries, gallery, ks)
