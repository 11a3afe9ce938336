"""Make a shipped state: `python -m dmlteach.course.recordings NAME [--output FOLDER]`.

All three trained networks get the same network, images, number of steps and schedule; they differ in
the loss and in who shares a batch.
"""

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dmlteach import data, models
from dmlteach.embeddings import embed
from dmlteach.evaluation import evaluate
from dmlteach.metrics import recall_at_k
from dmlteach.models import SHIPPED
from dmlteach.train import Run, TrainConfig, fit, resolve

EPOCHS, BATCHES = 12, 100
CLASSES, DIRECTIONS = 25, 32  # of a recording: 25 characters x 20 drawings, 32 directions
COMMON: dict[str, Any] = {
    "dataset": "omniglot",
    "seed": 0,
    "epochs": EPOCHS,
    "batches_per_epoch": BATCHES,
    "eval_every": 0,
}
RECIPES: dict[str, dict[str, Any]] = {
    "softmax": {"method": "softmax", "sampler": "random", "imprint": 0},
    "triplet": {"method": "triplet", "sampler": "local_classes"},
    "sst": {"method": "sst", "sampler": "local_classes"},
}


class Recorder:
    """Embeds the same drawings at the start and after every epoch."""

    def __init__(self) -> None:
        self.test = data.load("omniglot", "test")
        characters = np.linspace(0, self.test.num_classes - 1, CLASSES).round().astype(int)
        self.rows = torch.isin(self.test.labels, torch.from_numpy(characters)).nonzero()[:, 0]
        self.embeddings: list[Tensor] = []
        self.loss: list[float] = []

    def __call__(self, run: Run) -> None:
        self.embeddings.append(embed(run.model, self.test, rows=self.rows))
        self.loss.append(run.history[-1]["loss"] if run.history else float("nan"))

    def save(self, path: Path) -> None:
        """Project every epoch on the main directions of the last one: distances there are nearly kept."""
        last = self.embeddings[-1] - self.embeddings[-1].mean(0)
        _, spread, directions = torch.linalg.svd(last, full_matrices=False)
        kept = spread[:DIRECTIONS].square().sum() / spread.square().sum()
        projected = torch.stack([(z - z.mean(0)) @ directions[:DIRECTIONS].T for z in self.embeddings])
        labels = self.test.labels[self.rows]
        np.savez_compressed(
            path,
            embeddings=projected.half().numpy(),
            rows=self.rows.numpy(),
            epochs=np.arange(len(self.embeddings)),
            loss=np.array(self.loss),
            recall=np.array([recall_at_k(z, labels, (1,))[1] for z in self.embeddings]),
            kept=kept.item(),
        )


def make(name: str, networks: Path, recordings: Path) -> None:
    """Train (or only create) a network; write its weights and card, and its recording.

    Args:
        name: of the shipped network.
        networks: folder of weights and cards.
        recordings: folder of recordings.
    """
    test = data.load("omniglot", "test")
    if name == "untrained":
        model = models.create("omniglot_cnn", 128, seed=0)
        card: dict[str, Any] = {"recipe": "random weights, seed 0", **evaluate(model, test)}
    else:
        with tempfile.TemporaryDirectory() as folder:
            config = TrainConfig(**COMMON, **RECIPES[name], output=f"{folder}/run")
            recorder = Recorder()
            result = fit(config, after_epoch=recorder)
        recorder.save(recordings / f"{name}.npz")
        model = result.model
        options = {k: v for k, v in asdict(config).items() if k not in ("output", "progress")}
        # How long it took says more of the machine than of the method; benchmarks/ compares that.
        reached = {k: v for k, v in result.metrics["final"].items() if k != "train_seconds"}
        card = {"config": options, "recipe": asdict(resolve(config)), **reached}
    models.save(model, networks / f"{name}.safetensors", torch.float16)
    card = {
        "name": name,
        "made_by": f"python -m dmlteach.course.recordings {name}",
        "torch": torch.__version__,
    } | card
    card["threads"] = torch.get_num_threads()
    (networks / f"{name}.json").write_text(json.dumps(card, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m dmlteach.course.recordings", description=__doc__)
    parser.add_argument("name", choices=SHIPPED)
    parser.add_argument("--output", type=Path, help="folder; default: where the package keeps them")
    arguments = parser.parse_args()
    here = arguments.output
    make(arguments.name, here or Path(models.__file__).parent / "shipped", here or Path(__file__).parent)
