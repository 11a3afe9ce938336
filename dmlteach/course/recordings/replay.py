"""Short trainings recorded epoch by epoch, one of which collapses.

`python -m dmlteach.course.recordings.replay` makes them.

All start from the same untrained network and see equally many drawings at the same learning rate; they
differ in the loss alone. Two to three minutes on one core make `replay.npz` beside this file.
"""

import argparse
import functools
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dmlteach import data, losses
from dmlteach.course.recordings.__main__ import Recorder
from dmlteach.data.cache import cached
from dmlteach.metrics import recall_at_k
from dmlteach.train import Run, TrainConfig, fit, resolve

FILE = "replay.npz"
SHOWN, DRAWINGS = 8, 20  # characters that are drawn, each with its 20 drawings
MEASURED = 500  # drawings whose distances and Recall@1 are measured: those of 25 characters
COMMON: dict[str, Any] = {
    "dataset": "omniglot",
    "classes": 100,
    "sampler": "class_balanced",
    "sampler_options": {"images_per_class": 4},
    "batch_size": 64,
    "batches_per_epoch": 8,
    "epochs": 24,
    "embedding_dim": 64,
    "learning_rate": 1e-3,
    "seed": 0,
    "eval_every": 0,
    "device": "cpu",
    "progress": False,
}
RUNS: dict[str, dict[str, Any]] = {
    "triplet": {"method": "triplet"},
    "hardest": {"method": "triplet", "loss": "triplet_hard"},
    "active": {"method": "triplet", "loss": "triplet_all"},
    "sst": {"method": "sst"},
    "contrastive": {"method": "contrastive"},
}


class RecordedRun(NamedTuple):
    """What one training did to the same 500 drawings of 25 unseen characters, from before it to its end.

    While it trains, its last epoch is the newest one.

    Attributes:
        points: (E, 160, 2) float32, the drawings of 8 of the characters on the two main directions of the
            last epoch's embedding of all 500; each epoch is centred, the scale is the embedding's.
        labels: (160,) which of the 8 characters a point shows, 0 to 7, each 20 times.
        loss: mean training loss of each epoch; the first, before training, is NaN.
        recall: Recall@1 among the 500 drawings, on the full embedding.
        distance: mean distance between drawings of different characters, on the full embedding.
        collapsed_loss: the loss of a batch whose embeddings are all the same.
        kept: share of the last epoch's variance in the two directions.
        directions: (D, 2), the two directions.
    """

    points: Tensor
    labels: Tensor
    loss: list[float]
    recall: list[float]
    distance: list[float]
    collapsed_loss: float
    kept: float
    directions: Tensor


@functools.cache
def replays() -> dict[str, RecordedRun]:
    """The recorded runs, by name: those of `RUNS`."""
    with resources.as_file(resources.files(__package__) / FILE) as file, np.load(file) as stored:
        recorded = {key: stored[key] for key in stored.files}
    points = recorded["points"] * recorded["unit"][:, :, None, None]  # (R, E, 160, 2)
    labels = torch.arange(SHOWN).repeat_interleave(DRAWINGS)
    return {
        str(name): RecordedRun(
            points=torch.from_numpy(points[i]),
            labels=labels,
            loss=recorded["loss"][i].tolist(),
            recall=recorded["recall"][i].tolist(),
            distance=recorded["distance"][i].tolist(),
            collapsed_loss=recorded["collapsed_loss"][i].item(),
            kept=recorded["kept"][i].item(),
            directions=torch.from_numpy(recorded["directions"][i]),
        )
        for i, name in enumerate(recorded["names"])
    }


def characters() -> Tensor:
    """One drawing of each of the 8 characters shown, (8, 28, 28) uint8, ink bright."""
    with resources.as_file(resources.files(__package__) / FILE) as file, np.load(file) as stored:
        rows = torch.from_numpy(stored["rows"])
    images = cached(data.load("omniglot", "test"), 28, progress=False).gather(rows[::DRAWINGS])
    assert isinstance(images, Tensor)
    return images[:, 0]


def configuration(name: str, output: str) -> TrainConfig:
    """The configuration of a run.

    Args:
        name: one of `RUNS`.
        output: folder of the run.
    """
    return TrainConfig(**(COMMON | RUNS[name]), output=output)


def margin(name: str) -> float | None:
    """The margin of a run's loss; None where the loss has none.

    Args:
        name: one of `RUNS`.
    """
    recipe = resolve(configuration(name, ""))
    option = losses.options(recipe.loss).get("margin")
    return None if option is None else recipe.loss_options.get("margin", option.default)


def collapsed_loss(config: TrainConfig) -> float:
    """The loss of a batch whose embeddings are all the same, so that it tells nothing apart.

    Args:
        config: of the run.
    """
    recipe = resolve(config)
    k = recipe.sampler_options["images_per_class"]
    labels = torch.arange(recipe.batch_size // k).repeat_interleave(k)
    z = torch.zeros(recipe.batch_size, recipe.embedding_dim)
    return losses.create(recipe.loss, **recipe.loss_options)(z, labels).item()


def mean_distance(z: Tensor, labels: Tensor) -> float:
    """Mean distance between drawings of different characters.

    Args:
        z: (M, D) embeddings.
        labels: (M,) character of each.
    """
    z = z.double()  # a collapsed network's differences lie in the last digits of float32
    return (
        torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist")[labels[:, None] != labels]
        .mean()
        .item()
    )


def shown_of(labels: Tensor) -> Tensor:
    """Positions (160,) of the drawings that are shown: those of 8 characters, evenly spaced among all.

    Args:
        labels: (M,) character of each recorded drawing.
    """
    every = labels.unique()
    chosen = every[torch.linspace(0, len(every) - 1, SHOWN).round().long()]
    return torch.isin(labels, chosen).nonzero()[:, 0]


def project(embeddings: list[Tensor], shown: Tensor) -> tuple[Tensor, Tensor, float]:
    """Every epoch on the two main directions of the last one.

    A collapsed run is shown where it has the most left: no other two directions would be kinder to its end.

    Args:
        embeddings: (M, D) of each epoch.
        shown: (P,) positions to draw.

    Returns:
        Points (E, P, 2), directions (D, 2), share of the last epoch's variance in them.
    """
    last = embeddings[-1] - embeddings[-1].mean(0)
    _, spread, directions = torch.linalg.svd(last.double(), full_matrices=False)
    two = directions[:2].T.float()
    points = torch.stack([(z - z.mean(0))[shown] @ two for z in embeddings])
    return points, two, (spread[:2].square().sum() / spread.square().sum()).item()


class Measured(Recorder):
    """Records a run, and measures each epoch's embedding.

    Args:
        config: of the run.
    """

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self.labels = self.test.labels[self.rows]
        self.shown = shown_of(self.labels)
        self.collapsed_loss = collapsed_loss(config)
        self.recall: list[float] = []
        self.distance: list[float] = []

    def __call__(self, run: Run) -> None:
        super().__call__(run)
        z = self.embeddings[-1]
        self.recall.append(recall_at_k(z, self.labels, (1,))[1])
        self.distance.append(mean_distance(z, self.labels))

    def so_far(self) -> RecordedRun:
        """The run from its start to the newest epoch."""
        points, directions, kept = project(self.embeddings, self.shown)
        return RecordedRun(
            points=points,
            labels=torch.arange(SHOWN).repeat_interleave(DRAWINGS),
            loss=[*self.loss],
            recall=[*self.recall],
            distance=[*self.distance],
            collapsed_loss=self.collapsed_loss,
            kept=kept,
            directions=directions,
        )


def record(name: str) -> dict[str, Any]:
    """Train one run and return what the file holds of it.

    Args:
        name: one of `RUNS`.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = configuration(name, f"{folder}/run")
        recorder = Measured(config)
        fit(config, after_epoch=recorder)
    assert len(recorder.labels) == MEASURED
    run = recorder.so_far()
    unit = run.points.abs().amax((1, 2)) / 32767  # of each epoch: a collapsed one keeps its digits
    return {
        "names": name,
        "points": (run.points / unit[:, None, None]).round().short().numpy(),
        "unit": unit.numpy(),
        "loss": run.loss,
        "recall": run.recall,
        "distance": run.distance,
        "collapsed_loss": run.collapsed_loss,
        "kept": run.kept,
        "directions": run.directions.numpy(),
        "rows": recorder.rows[recorder.shown].numpy(),
    }


def main() -> None:
    """Record all runs."""
    parser = argparse.ArgumentParser(prog="python -m dmlteach.course.recordings.replay", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / FILE)
    output = parser.parse_args().output
    found = []
    for name in RUNS:
        found.append(record(name))
        last = {key: round(found[-1][key][-1], 4) for key in ("loss", "recall", "distance")}
        print(f"{name}: at the end {last}", flush=True)
    rows = found[0].pop("rows")
    columns: dict[str, Any] = {key: np.array([run[key] for run in found]) for key in found[0]}
    for key, column in columns.items():
        if column.dtype == np.float64:
            columns[key] = column.astype(np.float32)
    np.savez_compressed(output, **columns, rows=rows)


if __name__ == "__main__":
    main()
