"""P × K batches: P classes with K images of each."""

import numpy as np
from torch import Tensor

from dmlteach.errors import DMLTeachError
from dmlteach.interfaces import Sampler
from dmlteach.options import at_least


class ClassBalanced(Sampler):
    """Each batch holds P = batch_size / K classes and K = `images_per_class` images of each.

    An epoch is M // batch_size batches. Classes come from a shuffled list of all classes that is
    dealt P at a time and shuffled anew when fewer than P are left, so no class is twice in a batch
    and all are visited about equally often. Within a class, images are dealt in the same way, K at a
    time. A class with fewer than K images gives all of them, some of them repeatedly.

    Args:
        labels: (M,) class of each image.
        batch_size: P · K, divisible by K.
        seed: of all choices.
        images_per_class: K.

    Raises:
        DMLTeachError: batch_size is not divisible by K, or there are fewer than P classes.
    """

    def __init__(self, labels: Tensor, batch_size: int, seed: int = 0, images_per_class: int = 4):
        super().__init__(labels, batch_size, seed)
        at_least("images_per_class", images_per_class, 1)
        if batch_size % images_per_class:
            raise DMLTeachError(
                f"batch_size {batch_size} cannot hold whole groups of images_per_class = {images_per_class}; "
                f"choose a batch_size divisible by it, e.g. {_round_up(batch_size, images_per_class)}."
            )
        _, class_of, self._sizes = np.unique(self.labels.numpy(), return_inverse=True, return_counts=True)
        self._by_class = np.argsort(class_of, kind="stable")  # images, grouped by class
        self._start = np.cumsum(self._sizes) - self._sizes  # where each class begins in that list
        self.images_per_class = images_per_class
        self.classes_per_batch = batch_size // images_per_class
        if self.classes_per_batch > len(self._sizes):
            raise DMLTeachError(
                f"batch_size {batch_size} with images_per_class = {images_per_class} needs "
                f"{self.classes_per_batch} classes; the data has {len(self._sizes)}. "
                "Choose a smaller batch_size or more images_per_class."
            )

    def _compose(self, rng, space, last_loss):
        num_batches = len(self.labels) // self.batch_size
        classes = self._deal_classes(rng, num_batches)  # (B, P)
        rows = self._deal_images(rng, classes.ravel()).reshape(num_batches, self.batch_size)
        report = {"batches": num_batches, "coverage": len(np.unique(rows)) / len(self.labels)}
        return list(rows), None, report

    def _deal_classes(self, rng: np.random.Generator, num_batches: int) -> np.ndarray:
        """(num_batches, P) classes, all different within a batch."""
        num_classes, p = len(self._sizes), self.classes_per_batch
        per_pass = num_classes // p
        passes = -(-num_batches // per_pass)
        decks = rng.permuted(np.tile(np.arange(num_classes), (passes, 1)), axis=1)
        return decks[:, : per_pass * p].reshape(-1, p)[:num_batches]

    def _deal_images(self, rng: np.random.Generator, classes: np.ndarray) -> np.ndarray:
        """(V, K) images for V visits to classes: a visit takes the next K of the class's shuffled deck."""
        k, sizes = self.images_per_class, self._sizes[classes]
        visits_per_deck = np.maximum(sizes // k, 1)  # (V,)
        visit = _count_earlier(classes)  # (V,) 0 for a class's first visit
        # every deck is one shuffled copy of a class
        deck_key, deck = np.unique(
            np.stack([classes, visit // visits_per_deck]), axis=1, return_inverse=True
        )  # (2, decks), (V,)
        deck_size = self._sizes[deck_key[0]]
        deck_start = np.cumsum(deck_size) - deck_size
        deck_of_card = np.repeat(np.arange(len(deck_size)), deck_size)
        order = np.lexsort((rng.random(len(deck_of_card)), deck_of_card))  # shuffles within each deck
        card = order - deck_start[deck_of_card]  # 0 … size-1 of its class
        place = ((visit % visits_per_deck * k)[:, None] + np.arange(k)) % sizes[:, None]  # (V, K)
        return self._by_class[self._start[classes][:, None] + card[deck_start[deck][:, None] + place]]


def _count_earlier(values: np.ndarray) -> np.ndarray:
    """How often each entry's value occurs before it."""
    order = np.argsort(values, kind="stable")
    _, first, group = np.unique(values[order], return_index=True, return_inverse=True)
    earlier = np.empty(len(values), dtype=np.int64)
    earlier[order] = np.arange(len(values)) - first[group]
    return earlier


def _round_up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple
