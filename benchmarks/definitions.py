"""What is searched for, by its definition: plain NumPy, one candidate at a time.

The truth in the tests of the clustering loss, the class tree and smart mining; the peer in their benchmark.
"""

import math

import numpy as np

# ── the clustering loss: Song et al., CVPR 2017, Algorithms 1 and 2 ───────────────────────────────


def naive_nmi(y, g):
    """Mutual information over the geometric mean of the entropies, from the counts."""
    n = len(y)
    table = np.zeros((y.max() + 1, g.max() + 1))
    np.add.at(table, (y, g), 1 / n)
    table = table[table.any(1)][:, table.any(0)]
    rows, columns = table.sum(1), table.sum(0)
    if len(rows) == len(columns) == 1:
        return 1.0
    if len(rows) == 1 or len(columns) == 1:
        return 0.0
    inside = table > 0
    information = np.sum(table[inside] * np.log(table[inside] / np.outer(rows, columns)[inside]))
    return information / math.sqrt(np.sum(rows * np.log(rows)) * np.sum(columns * np.log(columns)))


def assign(d, medoids):
    cluster = np.argmin(d[:, medoids], axis=1)
    for place, medoid in enumerate(medoids):
        cluster[medoid] = place
    return cluster


def naive_medoids(d, y, gamma, passes=5):
    """Algorithms 1 and 2, candidate by candidate."""
    medoids = []
    for _ in range(len(np.unique(y))):
        scores = {}
        for i in range(len(y)):
            if i not in medoids:
                trial = [*medoids, i]
                scores[i] = -d[:, trial].min(1).sum() + gamma * (1 - naive_nmi(y, assign(d, trial)))
        medoids.append(next(i for i, score in scores.items() if score > max(scores.values()) - 1e-6))
    for _ in range(passes):
        frozen = assign(d, medoids)
        for k in range(len(medoids)):
            members, others = np.flatnonzero(frozen == k), medoids[1:]
            values = [
                -d[members, j].sum() + gamma * (1 - naive_nmi(y, assign(d, [*others, j]))) for j in members
            ]
            tied = [j for j, v in zip(members, values, strict=True) if v > max(values) - 1e-6]
            medoids = [*others, max(tied, key=lambda j: d[:, j].sum())]
    return medoids


# ── the class tree of the hierarchical triplet loss: Ge et al., ECCV 2018 ─────────────────────────


def naive_tree(space, num_levels=16):
    """d(p, q), d_0 and s_c from pairs of features; merge the two nearest nodes until one is left."""
    r = space.embeddings.double().numpy()
    r = r / np.sqrt((r**2).sum(1, keepdims=True) + 1e-12)
    y = space.labels.numpy()
    members = [np.flatnonzero(y == c) for c in range(y.max() + 1)]
    d = np.zeros((len(members), len(members)))
    spreads = np.zeros(len(members))
    for p, rows_p in enumerate(members):
        for q, rows_q in enumerate(members):
            d[p, q] = np.mean([((r[i] - r[j]) ** 2).sum() for i in rows_p for j in rows_q])
        n = len(rows_p)
        spreads[p] = d[p, p] * n * n / (n * n - n) if n > 1 else 0
    d_0 = np.mean([s for s, rows in zip(spreads, members, strict=True) if len(rows) > 1])
    thresholds = np.array([d_0 + level * (4 - d_0) / num_levels for level in range(num_levels + 1)])

    levels = np.zeros(d.shape, dtype=int)
    nodes = [[c] for c in range(len(members))]
    while len(nodes) > 1:
        pairs = [(i, j) for i in range(len(nodes)) for j in range(i)]
        heights = [np.mean(d[np.ix_(nodes[i], nodes[j])]) for i, j in pairs]
        i, j = pairs[int(np.argmin(heights))]
        reached = np.flatnonzero(min(heights) <= thresholds)
        level = reached[0] if len(reached) else num_levels
        for p in nodes[i]:
            for q in nodes[j]:
                levels[p, q] = levels[q, p] = level
        nodes[j] += nodes.pop(i)
    return levels, thresholds, spreads


# ── the lists of smart mining: Harwood et al., ICCV 2017 ──────────────────────────────────────────


def naive_lists(space, kappa, num_neighbours):
    """Anchor by anchor: the yardstick, the list, and the first admissible negative (-1: none)."""
    z, y = space.embeddings.numpy().astype(np.float64), space.labels.numpy()
    negatives = []
    for a in range(len(z)):
        d2 = ((z - z[a]) ** 2).sum(1)
        positives = [p for p in np.flatnonzero(y == y[a]) if p != a and d2[p] > 0]
        yardstick = min(d2[positives]) if positives else 0.0
        listed = [j for j in np.argsort(d2, kind="stable") if j != a][:num_neighbours]
        admissible = [j for j in listed if y[j] != y[a] and d2[j] > kappa * yardstick]
        negatives.append(admissible[0] if admissible else -1)
    return np.array(negatives)
