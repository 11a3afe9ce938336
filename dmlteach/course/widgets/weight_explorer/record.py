"""Train a network, and record the weights of pairs in its embedding: ten minutes on a core.

`python -m dmlteach.course.widgets.weight_explorer.record [--output FILE]`
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import dmlteach
from dmlteach import TrainConfig, data, models
from dmlteach.course import measured
from dmlteach.course.pair_weights import pair_weights
from dmlteach.course.widgets.weight_explorer.curves import (
    BATCHES,
    CLASSES,
    DIM,
    EDGES,
    EMBEDDINGS,
    FAMILIES,
    FEWEST,
    FILE,
    PER_CLASS,
    Curve,
    labels_of_batch,
    loss_of,
    pairs,
    points_of,
)
from dmlteach.distances import normalize
from dmlteach.embeddings import embed

METHOD = "multi_similarity"  # its embeddings lie on the sphere
STEPS: dict[str, Any] = {"epochs": 3, "batches_per_epoch": 200}  # as a final of the benchmark
ROUNDING = 1e-9  # a weight smaller than that beside the largest is one of rounding
LARGEST = 127  # numbers are stored in 8 bits, in units of the largest coordinate


def curve(family: str, value: float, points: Tensor) -> Curve:
    """Weights of all pairs of all batches, and their means by bins of distance.

    Args:
        family: one of FAMILIES.
        value: of its option.
        points: (B, N, D) of length 1.
    """
    loss, labels = loss_of(family, value), labels_of_batch()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # distance-weighted sampling draws
        weights = torch.stack([pair_weights(loss, z, labels) for z in points]).flatten().numpy()
    weights[abs(weights) < ROUNDING * abs(weights).max()] = 0
    d, is_positive, is_negative = pairs(points)
    push = weights[is_negative].clip(0)
    order = d[is_negative].argsort()
    total = push[order].cumsum()
    half = d[is_negative][order][np.searchsorted(total, total[-1] / 2)] if total[-1] else np.nan
    return Curve(
        _means(d[is_negative], push), _means(d[is_positive], -weights[is_positive]),
        float((push > 0).mean()), float(half),
    )  # fmt: skip


def _means(d: np.ndarray, weights: np.ndarray) -> np.ndarray:
    number = np.histogram(d, EDGES)[0]
    total = np.histogram(d, EDGES, weights=weights)[0]
    return np.where(number >= FEWEST, total / np.maximum(number, 1), np.nan).astype(np.float32)


def embedded() -> tuple[dict[str, np.ndarray], list[float]]:
    """Test drawings in 8 bits, (8, 64, 128), before and after the training, and Recall@1 of both."""
    tuned = measured.tuned(METHOD)
    assert tuned is not None
    best = tuned.best
    with tempfile.TemporaryDirectory() as folder:
        _, metrics, network = dmlteach.fit(
            TrainConfig(
                method=METHOD, learning_rate=best.learning_rate, loss_options={best.option: best.value},
                eval_every=0, output=folder, progress=False, **STEPS,
            )
        )  # fmt: skip
    untrained = models.create("omniglot_cnn", DIM, seed=0)
    test = data.load("omniglot", "test")
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(test.num_classes, generator=generator)[: BATCHES * CLASSES]
    rows = torch.cat([(test.labels == label).nonzero()[:PER_CLASS, 0] for label in chosen])
    found = {}
    for name, model in (("untrained", untrained), ("trained", network)):
        z = normalize(embed(model, test)[rows].double())
        whole = (z / z.abs().max() * LARGEST).round().to(torch.int8)
        found[name] = whole.view(BATCHES, CLASSES * PER_CLASS, DIM).numpy()
    return found, [metrics["final"]["recall@1"], metrics["untrained"]["recall@1"]]


def record(output: Path) -> None:
    """Train, embed, measure every curve, and write all of it.

    Args:
        output: the npz file.
    """
    stored, recall = embedded()
    parts: dict[str, Any] = {**stored, **weighed(points_of(stored)), "recall": np.array(recall)}
    np.savez_compressed(output, **parts)


def weighed(points: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """Every curve, by the fields of `Curve`, in the order of families, values and embeddings.

    Args:
        points: of each embedding, (B, N, D) of length 1.
    """
    found = []
    for family, of in FAMILIES.items():
        for value in of.values:
            found += [curve(family, value, points[name]) for name in EMBEDDINGS]
        print(family, flush=True)
    return {name: np.array([getattr(c, name) for c in found]) for name in Curve._fields}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m dmlteach.course.widgets.weight_explorer.record", description=__doc__
    )
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name(FILE))
    record(parser.parse_args().output)
