"""Make a shipped state: `python -m dmlteach.course.recordings NAME [--seeds 0 1 2] [--output FOLDER]`.

All trained networks get the same network, images, number of steps and schedule. They differ in the loss and
in who shares a batch; learning rate and option of each loss are those that the benchmark chose for it.
Seed 0 is the one that is shipped, and recorded; others tell how much of its Recall@1 is luck.
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

from dmlteach import data, losses, models
from dmlteach.course import measured
from dmlteach.device import choose_device, environment
from dmlteach.embeddings import embed
from dmlteach.evaluation import evaluate
from dmlteach.metrics import recall_at_k
from dmlteach.models import SHIPPED
from dmlteach.train import Run, TrainConfig, fit, resolve

EPOCHS, BATCHES = 12, 100
CLASSES = 25  # of a recording, with 20 drawings each
COMMON: dict[str, Any] = {
    "dataset": "omniglot",
    "epochs": EPOCHS,
    "batches_per_epoch": BATCHES,
    "eval_every": 0,
}
SAMPLERS = {
    "softmax": "random",
    "triplet": "local_classes",
    "sst": "local_classes",
    "lifted_modified": "class_balanced",
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
        """Turn every epoch onto the main directions of the last one, and round to 255 steps a direction.

        A rotation keeps all distances; the first two directions show most of the trained embedding.
        """
        last = self.embeddings[-1] - self.embeddings[-1].mean(0)
        directions = torch.linalg.svd(last, full_matrices=True)[2]
        turned = torch.stack([(z - z.mean(0)) @ directions.T for z in self.embeddings])  # (E, M, D)
        step = turned.abs().amax(1, keepdim=True).clamp_min(1e-12) / 127
        labels = self.test.labels[self.rows]
        np.savez_compressed(
            path,
            embeddings=(turned / step).round().to(torch.int8).numpy(),
            step=step.numpy(),
            rows=self.rows.numpy(),
            epochs=np.arange(len(self.embeddings)),
            loss=np.array(self.loss),
            recall=np.array([recall_at_k(z, labels, (1,))[1] for z in self.embeddings]),
        )


def tuned(name: str) -> dict[str, Any]:
    """Options of TrainConfig of a network: its batches, and what the benchmark chose for its loss.

    Args:
        name: of the shipped network, which is that of its method.
    """
    chosen = measured.tuned(name)
    assert chosen is not None, f"{name} is not tuned"
    options: dict[str, Any] = {"method": name, "sampler": SAMPLERS[name]}
    options["learning_rate"] = chosen.best.learning_rate
    if chosen.option:
        part = "loss_options" if chosen.option in losses.options(name) else "head_options"
        options[part] = {chosen.option: chosen.best.value}
    return options


def make(name: str, seed: int, networks: Path, recordings: Path) -> None:
    """Train (or only create) a network. Seed 0: write its weights, card and recording; else: add to the card.

    Args:
        name: of the shipped network.
        seed: of everything random in it.
        networks: folder of weights and cards.
        recordings: folder of recordings.
    """
    place = networks / f"{name}.json"
    if seed:
        card = json.loads(place.read_text(encoding="utf-8"))
        card["recall@1_by_seed"][str(seed)] = train(name, seed)[1]["recall@1"]
    else:
        card = {"name": name, "made_by": f"python -m dmlteach.course.recordings {name}"}
        if name == "untrained":
            model = models.create("omniglot_cnn", 128, seed=0)
            card |= {"recipe": "random weights, seed 0", **evaluate(model, data.load("omniglot", "test"))}
        else:
            recorder = Recorder()
            model, about = train(name, seed, recorder)
            recorder.save(recordings / f"{name}.npz")
            card |= about
        models.save(model, networks / f"{name}.safetensors", torch.float16)
        card["made_with"] = environment(choose_device())
    place.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def train(name: str, seed: int, recorder: Recorder | None = None) -> tuple[models.Model, dict[str, Any]]:
    """A network, and what its card says of its training.

    Args:
        name: of the shipped network.
        seed: of everything random in it.
        recorder: called at the start and after every epoch.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(**COMMON, **tuned(name), seed=seed, output=f"{folder}/run")
        result = fit(config, recorder)
    final = result.metrics["final"]
    return result.model, {
        "config": {k: v for k, v in asdict(config).items() if k not in ("output", "progress")},
        "recipe": asdict(resolve(config)),
        **final,
        "untrained": result.metrics["untrained"]["recall@1"],
        "recall@1_by_seed": {"0": final["recall@1"]},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m dmlteach.course.recordings", description=__doc__)
    parser.add_argument("name", choices=SHIPPED)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="0 is shipped, others are noted")
    parser.add_argument("--output", type=Path, help="folder; default: where the package keeps them")
    arguments = parser.parse_args()
    shipped, recorded = Path(models.__file__).parent / "shipped", Path(__file__).parent
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
        shipped = recorded = arguments.output
    for seed in arguments.seeds:
        make(arguments.name, seed, shipped, recorded)
