"""Local sampling of classes: batches join a few neighbourhoods of class means, with K images of each class.

A variant of the local sampling of Nguyen & De Baets (Neurocomputing 2020) for many small classes. There, an
untrained network scatters a class over clusters and most anchors find no positive; and embedding all
images costs a quarter of an epoch. Here every anchor has K − 1 positives, and a few images place a class.
"""

import numpy as np
import torch
from torch import Tensor

from dmlteach.neighbors import kmeans, means_of
from dmlteach.options import at_least, between
from dmlteach.samplers.class_balanced import ClassBalanced


class LocalClasses(ClassBalanced):
    """P × K batches whose P classes come from about `neighbourhoods` clusters of class means.

    An epoch passes over all classes until M // batch_size batches are full; each pass clusters anew,
    from other starting points, so a class meets different neighbours.

    Args:
        labels: (M,) class of each image.
        batch_size: P · K, divisible by K.
        seed: of all choices.
        images_per_class: K.
        neighbourhoods: clusters that share a batch, on average; with one, all impostors are near.
        embedded_per_class: images of each class that are embedded to place it; drawn anew each epoch.

    Raises:
        DMLTeachError: batch_size is not divisible by K, there are fewer than P classes, or more
            neighbourhoods than classes in a batch.
    """

    needs_space = True

    def __init__(
        self,
        labels: Tensor,
        batch_size: int,
        seed: int = 0,
        images_per_class: int = 8,
        neighbourhoods: int = 4,
        embedded_per_class: int = 4,
    ):
        super().__init__(labels, batch_size, seed, images_per_class)
        at_least("embedded_per_class", embedded_per_class, 1)
        most = self.classes_per_batch
        between("neighbourhoods", neighbourhoods, 1, most, because="a batch has no more classes")
        self.neighbourhoods = neighbourhoods
        self.embedded_per_class = embedded_per_class

    def rows_to_embed(self, epoch: int) -> Tensor:
        """A few images of each class, sorted."""
        rng = np.random.default_rng([self.seed, epoch, 1])
        order = np.lexsort(
            (rng.random(len(self._by_class)), np.repeat(np.arange(len(self._sizes)), self._sizes))
        )
        place = np.arange(len(order)) - np.repeat(self._start, self._sizes)
        return torch.from_numpy(np.sort(self._by_class[order[place < self.embedded_per_class]]))

    def _compose(self, rng, space, last_loss):
        means = self._class_means(space.embeddings)
        num_batches = len(self.labels) // self.batch_size
        batches: list[np.ndarray] = []  # the classes of each
        while len(batches) < num_batches:
            batches += self._pass_over_classes(rng, means)
        batches = batches[:num_batches]
        images = self._deal_images(rng, np.concatenate(batches))  # (V, K)
        ends = np.cumsum([len(classes) for classes in batches])[:-1]
        rows = [part.ravel() for part in np.split(images, ends)]
        seen = len(np.unique(images)) / len(self.labels)
        return rows, None, {"batches": num_batches, "coverage": seen, "anchors_without_positive": 0.0}

    def _class_means(self, embeddings: Tensor) -> Tensor:
        """(C, D) mean of the embedded images of each class."""
        known = ~embeddings[:, 0].isnan()
        classes = torch.from_numpy(np.unique(self.labels.numpy(), return_inverse=True)[1])[known]
        return means_of(embeddings[known].cpu(), classes, len(self._sizes))

    def _pass_over_classes(self, rng: np.random.Generator, means: Tensor) -> list[np.ndarray]:
        """All classes once: neighbourhoods in random order, so many to a batch."""
        k = -(-len(means) * self.neighbourhoods // self.classes_per_batch)
        _, cluster = kmeans(means, k, seed=int(rng.integers(2**31)))
        # all classes, cluster by cluster, the clusters in random order
        grouped = np.argsort(rng.permutation(k)[cluster.numpy()], kind="stable")
        p = self.classes_per_batch
        return [grouped[i : i + p] for i in range(0, len(grouped) - len(grouped) % p, p)]
