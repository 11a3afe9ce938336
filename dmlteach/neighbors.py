"""k nearest neighbours and k-means: faiss where it can be imported, plain torch where not and in float64."""

from math import log

import numpy as np
import torch
from torch import Tensor

from dmlteach.distances import wide
from dmlteach.errors import DMLTeachError
from dmlteach.inputs import check_finite

BLOCK = 4096  # rows whose distances are held at once by the torch versions


def nearest(queries: Tensor, gallery: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k gallery rows nearest to each query, nearest first.

    A query that is itself in the gallery finds itself; ask for k + 1 and drop it. Distances are those
    of one matrix product, in fp32 unless the rows are float64: good for figures and maps. Scores come from
    `dmlteach.metrics`.

    Args:
        queries: (Q, D).
        gallery: (M, D).
        k: at most M.

    Returns:
        Squared distances (Q, k) and gallery rows (Q, k) int64, on the queries' device.

    Raises:
        DMLTeachError: k is larger than the gallery, the widths differ, or a row is not finite.
    """
    if queries.shape[1] != gallery.shape[1]:
        raise DMLTeachError(f"queries have {queries.shape[1]} dimensions, the gallery {gallery.shape[1]}.")
    if not 1 <= k <= len(gallery):
        raise DMLTeachError(f"k = {k} neighbours of a gallery of {len(gallery)}: choose 1 to {len(gallery)}.")
    check_finite(queries, "queries")
    if gallery is not queries:
        check_finite(gallery, "rows of the gallery")
    mean = wide(gallery).mean(0)  # distances stay, rounding shrinks
    q = wide(queries) - mean
    g = (wide(gallery) - mean).to(q)
    faiss = _faiss_for(q)
    if faiss is None:
        d2, rows = _nearest_torch(q, g, k)
    else:
        d2, rows = _nearest_faiss(faiss, q, g, k)
    return d2.clamp_min(0).to(queries.device), rows.to(queries.device)


def nearest_others(x: Tensor, rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """For some rows of one set, the k nearest rows other than the row itself, nearest first.

    Args:
        x: (M, D).
        rows: (R,) rows of x to find neighbours of.
        k: at most M - 1.

    Returns:
        Squared distances (R, k) and rows (R, k) int64, on x's device.

    Raises:
        DMLTeachError: k is out of range.
    """
    d2, found = nearest(x[rows], x, k + 1)
    itself = found == rows[:, None]
    # Among many equal rows the row itself may not be found: then the last is one too many.
    itself[:, -1] |= ~itself.any(1)
    return d2[~itself].view(-1, k), found[~itself].view(-1, k)


def means_of(rows: Tensor, groups: Tensor, count: int) -> Tensor:
    """Mean row of each group, (count, D); 0 for a group without rows.

    Args:
        rows: (M, D).
        groups: (M,) of each row, 0 … count − 1.
        count: how many groups there are.
    """
    sums = rows.new_zeros(count, rows.shape[1]).index_add_(0, groups.to(rows.device), rows)
    return sums / torch.bincount(groups, minlength=count).clamp_min(1).to(rows)[:, None]


def kmeans(
    x: Tensor, k: int, seed: int, iterations: int = 20, start: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Lloyd's k-means on all rows; equal seeds (and thread counts) give equal clusters.

    A cluster can end up empty where fewer than k rows differ.

    Args:
        x: (M, D).
        k: number of clusters, at most M.
        seed: of the initial centroids.
        iterations: of assigning rows and moving centroids, at most.
        start: (k,) rows of x to start from, e.g. by `spread_rows`; default: drawn at random.

    Returns:
        Centroids (k, D), in float64 if the rows are, and the cluster of each row (M,) int64, on x's device.

    Raises:
        DMLTeachError: k is out of range, or a row is not finite.
    """
    if not 1 <= k <= len(x):
        raise DMLTeachError(f"{k} clusters of {len(x)} rows: choose 1 to {len(x)}.")
    check_finite(x)
    mean = wide(x).mean(0)
    z = wide(x) - mean
    faiss = _faiss_for(z)
    if faiss is None:
        centroids, assignment = _kmeans_torch(z, k, seed, iterations, start)
    else:
        centroids, assignment = _kmeans_faiss(faiss, z, k, seed, iterations, start)
    return centroids.to(x.device) + mean, assignment.to(x.device)


def spread_rows(x: Tensor, k: int, starts: int, seed: int) -> Tensor:
    """Rows to start k-means from, drawn far from each other: greedy k-means++, for several starts at once.

    Each next row is the best of 2 + ⌊ln k⌋ candidates that are drawn in proportion to the squared distance
    from the rows chosen before: the one that leaves the smallest sum of squared distances.

    Args:
        x: (M, D), finite.
        k: rows to choose, at most M.
        starts: S, independent choices.
        seed: of the draws; equal seeds give equal rows.

    Returns:
        (S, k) rows of x. Where fewer than k rows differ, some repeat.

    Source: Arthur & Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007.
    """
    generator = torch.Generator().manual_seed(seed)
    z = wide(x) - wide(x).mean(0)
    sq, m, tries = z.square().sum(1), len(z), 2 + int(log(k))
    rows = torch.randint(m, (starts, 1), generator=generator).to(z.device)  # (S, 1) candidates for the first
    draws = torch.rand(k, starts, tries, generator=generator, dtype=torch.float64).to(z.device)
    d2 = z.new_full((starts, m), torch.inf)  # (S, M) to the nearest row chosen so far
    chosen = []
    for draw in draws:
        new = torch.addmm(sq + sq[rows.flatten(), None], z[rows.flatten()], z.T, alpha=-2).clamp_min_(0)
        new = torch.minimum(new.view(starts, -1, m), d2[:, None])  # (S, candidates, M)
        best = new.sum(2).argmin(1, keepdim=True)  # (S, 1)
        chosen.append(rows.gather(1, best))
        d2 = new.gather(1, best[:, :, None].expand(-1, 1, m))[:, 0].scatter(1, chosen[-1], 0)
        mass = d2.double().cumsum(1)
        rows = torch.searchsorted(mass, draw * mass[:, -1:], right=True).clamp_max(m - 1)
    return torch.cat(chosen, 1)


def import_faiss():
    """The faiss module, or None where it cannot be imported."""
    try:
        import faiss
    except ImportError:
        return None
    return faiss


def _faiss_for(rows: Tensor):
    """faiss, if it is there and the rows are fp32: it computes in nothing else."""
    return import_faiss() if rows.dtype == torch.float32 else None


def _to_numpy(x: Tensor) -> np.ndarray:
    return np.ascontiguousarray(x.detach().cpu().float().numpy())


def _nearest_faiss(faiss, q: Tensor, g: Tensor, k: int) -> tuple[Tensor, Tensor]:
    if faiss.get_num_gpus() > 0:
        d2, rows = faiss.knn_gpu(faiss.StandardGpuResources(), _to_numpy(q), _to_numpy(g), k)
    else:
        d2, rows = faiss.knn(_to_numpy(q), _to_numpy(g), k)
    return torch.from_numpy(d2), torch.from_numpy(rows)


def _nearest_torch(q: Tensor, g: Tensor, k: int) -> tuple[Tensor, Tensor]:
    g_sq = g.square().sum(1)
    found = []
    for block in q.split(BLOCK):
        d2 = block.square().sum(1, keepdim=True) + g_sq - 2 * (block @ g.T)  # (block, M)
        found.append(d2.topk(k, dim=1, largest=False))
    return torch.cat([d2 for d2, _ in found]), torch.cat([rows for _, rows in found])


def _kmeans_faiss(
    faiss, z: Tensor, k: int, seed: int, iterations: int, start: Tensor | None
) -> tuple[Tensor, Tensor]:
    rows = _to_numpy(z)
    clustering = faiss.Kmeans(
        rows.shape[1],
        k,
        niter=iterations,
        seed=seed % 2**31,
        min_points_per_centroid=1,  # no warning about small sets
        max_points_per_centroid=len(rows),  # all rows, no sub-sample
        gpu=faiss.get_num_gpus() > 0,
    )
    clustering.train(rows, init_centroids=None if start is None else rows[start.cpu().numpy()])
    _, assignment = clustering.index.search(rows, 1)
    return torch.from_numpy(clustering.centroids), torch.from_numpy(assignment[:, 0])


def _kmeans_torch(
    z: Tensor, k: int, seed: int, iterations: int, start: Tensor | None
) -> tuple[Tensor, Tensor]:
    if start is None:
        start = torch.randperm(len(z), generator=torch.Generator().manual_seed(seed))[:k]
    centroids = z[start.to(z.device)]
    before = None
    for _ in range(iterations):
        d2, assignment = _nearest_torch(z, centroids, 1)
        assignment = assignment[:, 0]
        if before is not None and torch.equal(assignment, before):
            break  # nothing would move any more
        before = assignment
        size = torch.bincount(assignment, minlength=k)
        centroids = means_of(z, assignment, k)
        empty = (size == 0).nonzero()[:, 0]
        centroids[empty] = z[d2[:, 0].topk(len(empty)).indices]  # restart at the rows served worst
    return centroids, _nearest_torch(z, centroids, 1)[1][:, 0]
