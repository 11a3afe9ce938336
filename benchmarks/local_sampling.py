"""Composing an epoch of local sampling, against scikit-learn's k-means and enumerated triplets."""

import warnings

import numpy as np
import torch
from sklearn.cluster import KMeans

from benchmarks.measure import extra_memory, in_turns, ratio
from benchmarks.retrieval import embeddings
from dmlteach import samplers
from dmlteach.interfaces import Space

BATCH_SIZE, NUM_TARGETS = 256, 5


def plan(x: torch.Tensor, labels: torch.Tensor, balance: bool = False) -> dict:
    sampler = samplers.create("local", labels, BATCH_SIZE, num_targets=NUM_TARGETS, balance=balance)
    return sampler.plan(0, Space(x, labels))


def plan_balanced(x: torch.Tensor, labels: torch.Tensor) -> dict:
    return plan(x, labels, balance=True)


def enumerate_triplets(x: np.ndarray, labels: np.ndarray) -> int:
    """As the method's first implementation goes about it; arrays in place of its Python lists.

    k-means with scikit-learn's defaults (k-means++, Lloyd, at most 300 iterations), one start.
    """
    rng = np.random.default_rng(0)
    clusters = KMeans(len(x) // BATCH_SIZE, n_init=1, random_state=0).fit_predict(x)
    count = 0
    for c in range(clusters.max() + 1):
        rows = np.flatnonzero(clusters == c)
        if len(rows) > BATCH_SIZE:
            rows = rng.choice(rows, BATCH_SIZE, replace=False)
        count += len(_triplets(x[rows], labels[rows]))
    return count


def _triplets(x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(T, 3) anchor, target, impostor: the nearest of the anchor's class, with all of other classes."""
    found = [np.empty((0, 3), np.int64)]
    for anchor in range(len(x)):
        same = np.flatnonzero(labels == labels[anchor])
        same = same[same != anchor]
        targets = same[np.argsort(((x[same] - x[anchor]) ** 2).sum(1), kind="stable")[:NUM_TARGETS]]
        impostors = np.flatnonzero(labels != labels[anchor])
        t, i = np.meshgrid(targets, impostors, indexing="ij")
        found.append(np.stack([np.full(t.size, anchor), t.ravel(), i.ravel()], 1))
    return np.concatenate(found)


def rows(quick: bool) -> list[dict]:
    given = (1_500, 64, 280, 1.8) if quick else (59_551, 512, 11_318, 1.8)
    x, labels = embeddings(*given)
    forms = (("dmlteach", "", plan), ("dmlteach, balance", " with balance=True", plan_balanced))
    functions = {
        "dmlteach": lambda: plan(x, labels),
        "dmlteach, balance": lambda: plan_balanced(x, labels),
        "scikit-learn": lambda: enumerate_triplets(x.numpy(), labels.numpy()),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seconds = in_turns(functions, 1)
    return [
        {
            "what": f"local sampling's batches and targets{note}, {given[0]:,} × {given[1]}",
            "peer": "scikit-learn KMeans(n_init=1) and enumerated triplets",
            "seconds": {name: seconds[name], "scikit-learn": seconds["scikit-learn"]},
            "ratio": ratio(seconds, "scikit-learn", name),
            "goal": 10.0,
            "extra_gib": extra_memory(embeddings, function, *given),
            "goal_gib": 1.0,
        }
        for name, note, function in (forms[1:] if quick else forms)
    ]
