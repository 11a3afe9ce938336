"""What methods search for, against its naive definition in NumPy: same result, by the tests."""

from collections.abc import Callable

import numpy as np
import torch

from benchmarks import definitions
from benchmarks.measure import in_turns, ratio
from dmlteach.interfaces import Space
from dmlteach.losses.clustering import violating_medoids
from dmlteach.samplers.class_tree import class_tree
from dmlteach.samplers.smart import mine


def rows(quick: bool) -> list[dict]:
    size = 4 if quick else 1
    return [_lists(2000 // size), _tree(60 // size), _medoids(64 // size)]


def _row(what: str, ours: Callable[[], object], naive: Callable[[], object]) -> dict:
    ours()  # to warm up
    seconds = in_turns({"dmlteach": ours, "naive": naive}, 3)
    return {
        "what": what,
        "peer": "its definition in NumPy",
        "seconds": seconds,
        "ratio": ratio(seconds, "naive", "dmlteach"),
        "goal": 10,
    }


def _space(num_images: int, num_classes: int, dim: int) -> Space:
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(num_images) % num_classes
    centers = torch.randn(num_classes, dim, generator=random)
    z = centers[labels] + 0.8 * torch.randn(num_images, dim, generator=random)
    return Space(torch.nn.functional.normalize(z), labels)


def _lists(n: int) -> dict:
    space, anchors = _space(n, n // 20, 32), torch.arange(n)
    return _row(
        f"smart mining's lists of 100 neighbours, {n:,} × 32",
        lambda: mine(space, anchors, 1.0, 100, np.random.default_rng(0)),
        lambda: definitions.naive_lists(space, 1.0, 100),
    )


def _tree(num_classes: int) -> dict:
    space = _space(4 * num_classes, num_classes, 32)
    return _row(
        f"the class tree of {num_classes} classes with 4 images, D = 32",
        lambda: class_tree(space),
        lambda: definitions.naive_tree(space),
    )


def _medoids(n: int) -> dict:
    space = _space(n, n // 4, 32)
    d, y = torch.cdist(space.embeddings, space.embeddings).double().numpy(), space.labels.numpy()
    return _row(
        f"the clustering loss's medoids, {n} images of {n // 4} classes",
        lambda: violating_medoids(d, y, 50.0),
        lambda: definitions.naive_medoids(d, y, 50.0),
    )
