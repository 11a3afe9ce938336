"""Local sampling: batches are neighbourhoods of the embedding. Nguyen & De Baets, Neurocomputing 2020."""

import time

import numpy as np
import torch
from torch import Tensor

from dmlteach.distances import pairwise_squared_distances, wide
from dmlteach.errors import DMLTeachError
from dmlteach.interfaces import Sampler, Tuples
from dmlteach.neighbors import kmeans
from dmlteach.options import at_least

ITERATIONS = 10  # of k-means; more move few images


class Local(Sampler):
    """Each batch is one k-means cluster of the epoch-start embeddings, with the targets chosen there.

    There are max(1, M // batch_size) clusters. A larger one gives `batch_size` of its images at
    random, a smaller one all of its images; a batch without a triplet is dropped. The order of
    batches is random.

    Args:
        labels: (M,) class of each image.
        batch_size: images in a batch, at most.
        seed: of k-means, sub-sampling and the order of batches.
        balance: every image exactly once per epoch, in ceil(M / batch_size) batches whose sizes
            differ by at most 1: an image that finds its cluster full goes to the nearest with room.
        num_targets: nearest same-class images of each anchor that become its targets.
        keep_targets: give them to the loss; otherwise it chooses its own, anew at every step.
    """

    needs_space = True

    def __init__(
        self,
        labels: Tensor,
        batch_size: int,
        seed: int = 0,
        balance: bool = False,
        num_targets: int = 5,
        keep_targets: bool = True,
    ):
        super().__init__(labels, batch_size, seed)
        at_least("num_targets", num_targets, 1)
        self.balance = balance
        self.num_targets = num_targets
        self.keep_targets = keep_targets

    def _compose(self, rng, space, last_loss):
        embeddings = wide(space.embeddings.detach().cpu())  # (M, D)
        if len(embeddings) != len(self.labels):
            raise DMLTeachError(
                f"the space holds {len(embeddings)} embeddings, the sampler {len(self.labels)} labels; "
                "embed the data set whose labels the sampler was given."
            )
        started = time.perf_counter()
        clusters, sizes = self._cluster(rng, embeddings)
        seconds = time.perf_counter() - started

        rows = [self._subsample(rng, cluster) for cluster in clusters]
        targets = [self._targets(embeddings[r], self.labels[r]) for r in rows]
        report = self._report(rows, targets, sizes, seconds)
        kept = [i for i in range(len(rows)) if self.balance or self._has_triplet(rows[i], targets[i])]
        kept = list(rng.permutation(kept)) if kept else []
        tuples = [Tuples(targets=targets[i]) for i in kept] if self.keep_targets else None
        rows = [rows[i] for i in kept]
        seen = sum(len(r) for r in rows)  # no image is in two clusters
        return rows, tuples, report | {"batches": len(rows), "coverage": seen / len(self.labels)}

    def _cluster(self, rng: np.random.Generator, embeddings: Tensor) -> tuple[list[np.ndarray], np.ndarray]:
        """Images of each cluster that has any, ascending; and the sizes k-means gave."""
        num_images = len(embeddings)
        k = -(-num_images // self.batch_size) if self.balance else max(1, num_images // self.batch_size)
        centroids, assignment = kmeans(embeddings, k, seed=int(rng.integers(2**31)), iterations=ITERATIONS)
        sizes = np.bincount(assignment.numpy(), minlength=k)
        if self.balance:
            assignment = assign_evenly(embeddings, centroids, assignment)
        grouped = np.argsort(assignment.numpy(), kind="stable")
        ends = np.cumsum(np.bincount(assignment.numpy(), minlength=k))[:-1]
        return [c for c in np.split(grouped, ends) if len(c)], sizes

    def _subsample(self, rng: np.random.Generator, cluster: np.ndarray) -> np.ndarray:
        if len(cluster) <= self.batch_size:
            return cluster
        return np.sort(rng.choice(cluster, self.batch_size, replace=False))

    def _targets(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(n, num_targets) rows of the nearest same-class images of each anchor, -1 where there are fewer."""
        same = labels[:, None] == labels[None, :]
        same.fill_diagonal_(False)
        anchor, positive = same.nonzero(as_tuple=True)  # by anchor, then by index
        number = same.sum(1)
        place = torch.arange(len(anchor)) - (number.cumsum(0) - number)[anchor]
        width = max(int(number.max()), self.num_targets)
        d2 = embeddings.new_full((len(labels), width), torch.inf)
        candidates = torch.full((len(labels), width), -1)
        d2[anchor, place] = pairwise_squared_distances(embeddings)[anchor, positive]
        candidates[anchor, place] = positive
        nearest = d2.argsort(dim=1, stable=True)[:, : self.num_targets]  # topk orders ties arbitrarily
        return candidates.gather(1, nearest)

    def _has_triplet(self, rows: np.ndarray, targets: Tensor) -> bool:
        labels = self.labels[rows]
        return bool((targets >= 0).any() and (labels != labels[0]).any())

    def _report(
        self, rows: list[np.ndarray], targets: list[Tensor], sizes: np.ndarray, seconds: float
    ) -> dict:
        counts, edges = np.histogram(sizes, bins=10)
        without = torch.cat([(t < 0).all(1) for t in targets]).float().mean().item()
        dropped = sum(not self._has_triplet(r, t) for r, t in zip(rows, targets, strict=True))
        return {
            "cluster_sizes": {"edges": edges.tolist(), "counts": counts.tolist()},
            "anchors_without_positive": without,
            "batches_without_triplet": dropped,
            "kmeans_seconds": seconds,
        }


def assign_evenly(embeddings: Tensor, centroids: Tensor, clusters: Tensor) -> Tensor:
    """Cluster of each image (M,), such that the sizes differ by at most 1.

    In rounds: each image that has no place asks for the nearest cluster with room; a cluster
    takes the nearest of those who ask, as many as fit.

    Args:
        embeddings: (M, D).
        centroids: (k, D).
        clusters: (M,) the nearest centroid of each image; where M / k is not whole, the largest
            clusters hold one image more.
    """
    num_images, k = len(embeddings), len(centroids)
    room = torch.full((k,), num_images // k)
    sizes = torch.bincount(clusters, minlength=k)
    room[sizes.argsort(descending=True, stable=True)[: num_images % k]] += 1
    assignment = torch.full((num_images,), -1)
    # The first round asks for the nearest cluster, which is known: most images need no other distance.
    wish, nearest = clusters, (embeddings - centroids[clusters]).square_().sum(1)
    accepted = _accept(wish, nearest, room)
    assignment[accepted] = wish[accepted]
    waiting = (assignment < 0).nonzero().squeeze(1)
    d2 = torch.cdist(embeddings[waiting], centroids).square_()  # (waiting, k)
    while len(waiting):
        d2[:, room == 0] = torch.inf
        nearest, wish = d2.min(1)
        accepted = _accept(wish, nearest, room)
        assignment[waiting[accepted]] = wish[accepted]
        still = torch.ones(len(waiting), dtype=torch.bool)
        still[accepted] = False
        waiting, d2 = waiting[still], d2[still]
    return assignment


def _accept(wish: Tensor, d2: Tensor, room: Tensor) -> Tensor:
    """Rows that get the cluster they ask for: the nearest of each cluster; `room` (k,) becomes smaller."""
    order = d2.argsort(stable=True)
    order = order[wish[order].argsort(stable=True)]  # by cluster, then by distance
    asked = torch.bincount(wish, minlength=len(room))
    place = torch.arange(len(order)) - (asked.cumsum(0) - asked)[wish[order]]
    accepted = order[place < room[wish[order]]]
    room -= torch.minimum(asked, room)
    return accepted
