"""Anchor-neighbour batches of the hierarchical triplet loss: Ge, Huang, Dong & Scott, ECCV 2018."""

import numpy as np
import torch
from torch import Tensor

from dmlteach.errors import DMLTeachError
from dmlteach.options import at_least
from dmlteach.samplers.class_balanced import ClassBalanced
from dmlteach.samplers.class_tree import class_distances, measure_classes


class Hierarchical(ClassBalanced):
    """Each batch holds random anchor classes, each with the classes nearest to it, and t images of every one.

    An anchor class comes with its m − 1 nearest classes, by the mean squared distance between their
    normalised images at the epoch's start; a class that the batch already holds is passed over for the next
    nearest, so a batch always has batch_size / t classes. An epoch is M // batch_size batches; anchor
    classes come from a shuffled list of all classes.

    Args:
        labels: (M,) class of each image.
        batch_size: l' · m · t, for l' anchor classes.
        seed: of all choices.
        images_per_class: t.
        neighbourhood: m, classes that an anchor class brings along, itself included.

    Raises:
        DMLTeachError: batch_size is not divisible by m · t, or there are fewer classes than a batch holds.
    """

    needs_space = True

    def __init__(
        self,
        labels: Tensor,
        batch_size: int,
        seed: int = 0,
        images_per_class: int = 4,
        neighbourhood: int = 4,
    ):
        super().__init__(labels, batch_size, seed, images_per_class)
        at_least("neighbourhood", neighbourhood, 1)
        if self.classes_per_batch % neighbourhood:
            raise DMLTeachError(
                f"batch_size {batch_size} cannot hold whole neighbourhoods of {neighbourhood} classes with "
                f"{images_per_class} images each; choose a multiple of {neighbourhood * images_per_class}."
            )
        self.neighbourhood = neighbourhood

    def _compose(self, rng, space, last_loss):
        classes = measure_classes(space)
        num_batches = len(self.labels) // self.batch_size
        anchors = self._deal_anchors(rng, num_batches)  # (B, l')
        chosen = np.stack([self._with_neighbours(class_distances(classes, a), a) for a in anchors])
        rows = self._deal_images(rng, chosen.ravel()).reshape(num_batches, self.batch_size)
        report = {
            "batches": num_batches,
            "coverage": len(np.unique(rows)) / len(self.labels),
            "class_spread": float(classes.spreads[classes.sizes > 1].mean()),
        }
        return list(rows), None, report

    def _deal_anchors(self, rng: np.random.Generator, num_batches: int) -> Tensor:
        """(num_batches, l') classes, all different within a batch."""
        per_batch = self.classes_per_batch // self.neighbourhood
        per_pass = len(self._sizes) // per_batch
        decks = [rng.permutation(len(self._sizes)) for _ in range(-(-num_batches // per_pass))]
        dealt = np.concatenate([deck[: per_pass * per_batch] for deck in decks])
        return torch.from_numpy(dealt.reshape(-1, per_batch)[:num_batches])

    def _with_neighbours(self, distances: Tensor, anchors: Tensor) -> np.ndarray:
        """(P,) classes: the anchors, then the neighbours of each. Distances are (l', C)."""
        chosen = anchors.tolist()
        # At most P classes are passed over or taken.
        for nearest in distances.topk(self.classes_per_batch, largest=False).indices.tolist():
            chosen += [c for c in nearest if c not in chosen][: self.neighbourhood - 1]
        return np.array(chosen)
