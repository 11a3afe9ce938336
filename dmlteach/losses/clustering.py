"""Facility location: Song, Jegelka, Rathod & Murphy, "Deep metric learning via facility location", CVPR 2017.

A batch is clustered about as many of its own examples, the medoids, as it has classes. The classes, each
about its best medoid, must beat every such clustering by a margin that grows with how wrong that
clustering is. The most violating clustering is searched for first; its gradient follows.
"""

import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dmlteach.distances import normalize, pairwise_distances, pairwise_squared_distances
from dmlteach.interfaces import Loss, Space
from dmlteach.losses.batch import loss_function
from dmlteach.options import at_least, share

PASSES = 5  # over all medoids, to refine the greedy choice; as the authors' code
TIE = 1e-6  # rounding of fp32 distances
TRIVIAL = 1e-9  # an entropy below this is that of one group


@loss_function
def clustering_loss(embeddings: Tensor, labels: Tensor, gamma: float, squared: bool = False) -> Tensor:
    """[max_S {F(S) + γ Δ(S)} − F̃]₊, where `violating_medoids` searches for S.

    F(S) = −Σ_i min_{j∈S} d(i, j) over as many medoids S as there are classes; F̃ = Σ_c max_{j∈c} −Σ_{i∈c}
    d(i, j) is the same for the true classes; Δ = 1 − NMI of the classes and the clusters of S, each
    example with its nearest medoid. One number per batch: sums, no means.

    Args:
        embeddings: (N, D); normalised here.
        labels: (N,) class of each embedding.
        gamma: γ, weight of the margin, in units of d summed over the batch.
        squared: measure by d² instead of d.

    Returns:
        Scalar. The device's distances are waited for: how many medoids there are depends on the labels.

    Raises:
        DMLTeachError: shapes or dtypes do not fit.
    """
    return facility_location_loss(_distances(embeddings, squared), labels, gamma)


def _distances(embeddings: Tensor, squared: bool) -> Tensor:
    z = normalize(embeddings)
    return pairwise_squared_distances(z) if squared else pairwise_distances(z)  # (N, N)


def facility_location_loss(distances: Tensor, labels: Tensor, gamma: float) -> Tensor:
    """The loss of `clustering_loss` on any distances.

    Args:
        distances: (N, N), symmetric, smallest on the diagonal.
        labels: (N,) class of each row.
        gamma: γ, weight of the margin.

    Returns:
        Scalar.
    """
    own, violating, delta = medoids_of(distances, labels, gamma)
    return _hinge(distances, own, violating, gamma * delta)


def _hinge(distances: Tensor, own: Tensor, violating: Tensor, margin: float) -> Tensor:
    score = -distances.gather(1, violating[:, None]).sum()  # F(S)
    oracle = -distances.gather(1, own[:, None]).sum()  # F̃
    return (score + margin - oracle).relu()


@torch.no_grad()
def medoids_of(distances: Tensor, labels: Tensor, gamma: float) -> tuple[Tensor, Tensor, float]:
    """The medoid of each example, in its class and in the violating clustering.

    Args:
        distances: (N, N).
        labels: (N,) class of each row.
        gamma: γ, weight of the margin.

    Returns:
        Best medoid of the own class (N,), nearest of the violating medoids (N,), and Δ.
    """
    same = labels[:, None] == labels[None, :]
    cost = (distances * same).sum(0)  # (N,) of each example as medoid of its class
    own = cost.expand_as(distances).masked_fill(~same, torch.inf).argmin(1)
    d = distances.double().cpu().numpy()
    _, classes = np.unique(labels.cpu().numpy(), return_inverse=True)
    medoids = violating_medoids(d, classes, gamma)
    last = medoids[-1:]
    _, delta = scores_with(last, d[last], classes, *nearest_medoid(d, medoids[:-1]))
    _, cluster = nearest_medoid(d, medoids)
    return own, torch.from_numpy(medoids[cluster]).to(own.device), float(delta[0])


def violating_medoids(
    distances: np.ndarray, classes: np.ndarray, gamma: float, passes: int = PASSES
) -> np.ndarray:
    """Medoids S that make F(S) + γ Δ(S) large: a greedy choice, then swaps (Algorithms 1 and 2).

    The greedy choice adds the best example, the first of equals, as often as there are classes. A pass
    visits each cluster once and puts in its medoid's place the member j with the largest
    −Σ_{i in the cluster} d(i, j) + γ Δ, and among equals (both of a pair, say) the one farthest from the
    whole batch; who is a member is fixed for the pass. An example as near to several medoids goes to the
    one that was chosen first.

    Args:
        distances: (N, N) float64.
        classes: (N,) class of each row, 0 … C-1.
        gamma: γ, weight of the margin.
        passes: over all clusters.

    Returns:
        (C,) rows, in the order in which they were chosen; near the maximum, not always it.
    """
    everyone = np.arange(len(classes))
    medoids, is_free = classes[:0], np.ones(len(classes), dtype=bool)
    for _ in range(classes.max() + 1):
        score, delta = scores_with(everyone, distances, classes, *nearest_medoid(distances, medoids))
        value = np.where(is_free, score + gamma * delta, -np.inf)
        is_worse = value < value.max() - TIE  # rounding shall not choose among equals
        best = (is_free & ~is_worse).argmax()
        medoids, is_free[best] = np.append(medoids, best), False

    for _ in range(passes):
        before, (_, cluster) = medoids, nearest_medoid(distances, medoids)
        for k in range(len(medoids)):
            members, others = np.flatnonzero(cluster == k), medoids[1:]  # the k-th is now the first
            to_members = distances[members]
            _, delta = scores_with(members, to_members, classes, *nearest_medoid(distances, others))
            value = gamma * delta - to_members[:, members].sum(1)
            is_best = value > value.max() - TIE
            best = members[np.where(is_best, to_members.sum(1), -1).argmax()]
            medoids = np.append(others, best)
        if np.array_equal(medoids, before):
            break
    return medoids


def nearest_medoid(distances: np.ndarray, medoids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the nearest medoid and its place in `medoids`, each (N,); far away where there is none.

    A medoid belongs to itself, even where another is as near.
    """
    if not len(medoids):
        return np.full(len(distances), 2 * distances.max() + 1), np.zeros(len(distances), dtype=np.int64)
    to_medoids = distances[medoids]  # (s, N)
    cluster = to_medoids.argmin(0)  # the first of equals
    cluster[medoids] = np.arange(len(medoids))
    return to_medoids[cluster, np.arange(len(distances))], cluster


def scores_with(
    candidates: np.ndarray, distances: np.ndarray, classes: np.ndarray, near: np.ndarray, cluster: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """F and Δ of a clustering with one more medoid, for each candidate in turn.

    A candidate takes the examples that are nearer to it than to their medoid: only the distances and
    counts of those change, and the entropies of clusters and table follow from the counts.

    Args:
        candidates: (m,) rows.
        distances: (m, N) float64, of the candidates to all.
        classes: (N,) class of each row, 0 … C-1.
        near: (N,) distance of each row to its medoid.
        cluster: (N,) cluster of each row, 0 … s-1.

    Returns:
        F (m,) and Δ = 1 − NMI (m,).
    """
    num_classes, num_clusters, m = classes.max() + 1, cluster.max() + 1, len(candidates)
    n_log_n = n_log_n_up_to(len(classes))
    moves = distances < near
    moves[np.arange(m), candidates] = True
    candidate, example = np.divmod(np.flatnonzero(moves), len(classes))  # the moves, one by one
    gain = near[example] - distances[candidate, example]
    score = np.bincount(candidate, gain, m) - near.sum()

    cell = cluster * num_classes + classes  # of the table clusters × classes
    sizes = np.bincount(cell)
    pair, moved = np.unique(candidate * len(sizes) + cell[example], return_counts=True)
    before = sizes[pair % len(sizes)]
    change = n_log_n[before - moved] - n_log_n[before]
    joining = np.bincount(candidate * num_classes + classes[example], minlength=m * num_classes)
    leaving = np.bincount(candidate * num_clusters + cluster[example], minlength=m * num_clusters)
    staying = np.bincount(cluster) - leaving.reshape(m, num_clusters)

    clusters = n_log_n[staying].sum(1) + n_log_n[np.bincount(candidate)]
    table = n_log_n[sizes].sum() + np.bincount(pair // len(sizes), change, m)
    table += n_log_n[joining].reshape(m, num_classes).sum(1)
    return score, 1 - nmi(n_log_n[np.bincount(classes)].sum(), clusters, table, len(classes))


@functools.cache
def n_log_n_up_to(largest: int) -> np.ndarray:
    """n log n for n = 0, 1, … , largest; 0 for n = 0."""
    n = np.arange(largest + 1)
    return n * np.log(np.maximum(n, 1))


def nmi(classes: float, clusters: np.ndarray, table: np.ndarray, n: int) -> np.ndarray:
    """Normalised mutual information I / sqrt(H(classes) H(clusters)) of m clusterings of n examples.

    Args:
        classes: Σ k log k over the sizes k of the classes.
        clusters: (m,) the same of the clusters.
        table: (m,) the same over the counts of each class in each cluster.
        n: examples.

    Returns:
        (m,), from 0 to 1; 1 where there is one class and one cluster.
    """
    h_classes, h_clusters, h_table = (np.log(n) - total / n for total in (classes, clusters, table))
    scale = np.sqrt(np.maximum(h_classes * h_clusters, 0))
    is_one_group = np.maximum(h_classes, h_clusters) < TRIVIAL
    return np.where(scale < TRIVIAL, is_one_group, (h_classes + h_clusters - h_table) / (scale + TRIVIAL**2))


class Clustering(Loss):
    """Facility-location loss whose margin shrinks from epoch to epoch: γ · decay^epoch.

    The paper's γ is not known. 100 is the best of 10, 30, 100, 300 and 1,000 on Omniglot's validation classes
    (Recall@1 .793, .843, .865, .841, .816 after 150 steps, one seed).
    """

    geometry = "sphere"

    def __init__(self, gamma: float = 100.0, decay: float = 0.94, squared: bool = False):
        super().__init__()
        at_least("gamma", gamma, 0)
        share("decay", decay)
        self.gamma = gamma
        self.decay = decay
        self.squared = squared
        self.epoch = 0

    def plan(self, epoch: int, space: Space | None) -> None:
        """Set the epoch, and with it the margin's weight."""
        self.epoch = epoch

    @property
    def gamma_now(self) -> float:
        """γ of the planned epoch."""
        return self.gamma * self.decay**self.epoch

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        return clustering_loss(embeddings, labels, self.gamma_now, self.squared)

    def active_tuples(self, embeddings, labels, tuples=None) -> Tensor:
        """Share of examples that the violating clustering puts with another medoid than their class's."""
        distances = _distances(embeddings, self.squared)
        own, violating, delta = medoids_of(distances, labels, self.gamma_now)
        is_active = _hinge(distances, own, violating, self.gamma_now * delta) > 0
        return ((own != violating) & is_active).float().mean()

    def get_extra_state(self) -> dict[str, Any]:
        """The planned epoch, part of `state_dict`."""
        return {"epoch": self.epoch}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Continue with the epoch of a checkpoint."""
        self.epoch = state["epoch"]
