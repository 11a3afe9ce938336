"""Train ensembles and their controls, and keep which queries each learner answers right.

`python -m dmlteach.course.recordings.record_learners --seeds 5 --work FOLDER` goes on where it was stopped.
Every network has the same images, number of steps and schedule, and the rate that was tuned for its ensemble
in the benchmark; the controls take it over.
"""

import argparse
import contextlib
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dmlteach import data, losses, models
from dmlteach.course.recordings import learners
from dmlteach.course.recordings.learners import PARTS, searched
from dmlteach.distances import normalize
from dmlteach.embeddings import embed
from dmlteach.metrics import first_match_ranks
from dmlteach.models import Model
from dmlteach.models.bier import BIERHead
from dmlteach.train import TrainConfig, fit

EPOCHS, STEPS, BATCH, DIM = 3, 50, 64, 128  # steps of an epoch
COMMON: dict[str, Any] = {
    "dataset": "omniglot", "classes": 200, "batch_size": BATCH, "epochs": EPOCHS, "batches_per_epoch": STEPS,
    "eval_every": 0, "device": "cpu", "progress": False,
}  # fmt: skip
DEVIANCE: dict[str, Any] = {"method": "bier", "learning_rate": 3e-3}
SQUARED: dict[str, Any] = {"method": "hdc", "learning_rate": 1e-3}
MARGIN = 0.5  # of the squared distance, on the unit sphere


class Network(NamedTuple):
    """How one is trained.

    Attributes:
        config: beside `COMMON`.
        sizes: of its learners where each is a network of its own; none where they share one.
    """

    config: dict[str, Any]
    sizes: tuple[int, ...] = ()


def _with(config: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**config, **more}


_ALONE = _with(DEVIANCE, head_options={"proportions": (1,)})
_PAIRS = {"method": "contrastive", "learning_rate": SQUARED["learning_rate"], "normalize": True}
NETWORKS = {
    "bier": Network(DEVIANCE),
    "unboosted": Network(_with(DEVIANCE, loss_options={"variant": "none"})),
    "abier": Network(_with(DEVIANCE, method="abier", learning_rate=1e-3)),
    "one_deviance": Network(_ALONE),
    "three_deviance": Network(_ALONE, (24, 40, 64)),
    "hdc": Network(_with(SQUARED, loss_options={"margin": MARGIN})),
    "uncascaded": Network(_with(SQUARED, loss_options={"margin": MARGIN, "hard_ratios": (1.0,) * PARTS})),
    "one_contrastive": Network(_PAIRS),
    "three_contrastive": Network(_PAIRS, (42, 43, 43)),
}


class TrainedError(Exception):
    """Ends a training before an evaluation that nobody reads here."""


def train(config: dict[str, Any], seed: int, dim: int = DIM, steps: int = STEPS) -> Model:
    """A network, trained.

    Args:
        config: as in `Network`.
        seed: of everything random.
        dim: of its embedding.
        steps: of each of `EPOCHS` epochs.
    """
    trained: list[Model] = []

    def watch(run: Any) -> None:
        if run.epoch == EPOCHS:
            trained.append(run.model)
            raise TrainedError

    # One part of HDC is the contrastive loss of unit vectors, as HDC has it: the same terms for the control.
    loss = losses.HDC((dim,), (1.0,), margin=MARGIN) if config["method"] == "contrastive" else None
    with tempfile.TemporaryDirectory() as folder:
        given = COMMON | config | {"batches_per_epoch": steps, "embedding_dim": dim, "seed": seed}
        with contextlib.suppress(TrainedError):
            fit(TrainConfig(**given, output=f"{folder}/run"), after_epoch=watch, loss=loss)
    return trained[0].eval()


def parts_of(model: Model, rows: Tensor) -> list[Tensor]:
    """Unit embeddings of each learner of a network, (Q, d_m).

    Args:
        model: trained.
        rows: of the test part.
    """
    z = embed(model, data.load("omniglot", "test"), rows=rows)
    return [normalize(part) for part in z.split(list(model.head.dims), 1)]


def hits(embeddings: Tensor, labels: Tensor) -> Tensor:
    """Whether the nearest other row is of the same class, (Q,) bool.

    Args:
        embeddings: (Q, D).
        labels: (Q,).
    """
    return first_match_ranks(embeddings, labels) == 1


def record(name: str, seed: int, steps: int = STEPS) -> dict[str, Tensor]:
    """Train a network of `NETWORKS`; which queries are answered right by all together and by each alone.

    Args:
        name: of the network.
        seed: its number; learners that are networks of their own have seeds of their own.
        steps: of each of `EPOCHS` epochs.
    """
    network, (rows, labels) = NETWORKS[name], searched()
    if network.sizes:
        parts = []
        for m, size in enumerate(network.sizes):
            parts += parts_of(train(network.config, 1000 + PARTS * seed + m, size, steps), rows)
        head = None
    else:
        model = train(network.config, seed, steps=steps)
        parts, head = parts_of(model, rows), model.head
    each = [hits(part, labels) for part in parts] if len(parts) > 1 else []
    found = {"hits": torch.stack([hits(torch.cat(parts, 1), labels), *each])}
    if isinstance(head, BIERHead) and each:
        scaled = [part * scale for part, scale in zip(parts, head.scales(), strict=True)]
        found["weighted"] = hits(torch.cat(scaled, 1), labels)
    return found


def untrained(seed: int) -> Tensor:
    """Which queries a network before its first step answers right, (1, Q).

    Args:
        seed: of its weights.
    """
    rows, labels = searched()
    z = embed(models.create("omniglot_cnn", DIM, seed=seed).eval(), data.load("omniglot", "test"), rows=rows)
    return hits(normalize(z), labels)[None]


def pack(work: Path, file: Path) -> None:
    """Write the recording of what lies in the working folder.

    Args:
        work: where each network of each seed lies; some may have more seeds than others.
        file: to write.
    """
    kept = {"steps": np.array(EPOCHS * STEPS), "batch_size": np.array(BATCH)}
    for name in ("untrained", *NETWORKS):
        files = {int(path.stem.rpartition("-")[2]): path for path in work.glob(f"{name}-*.pt")}
        seeds = sorted(files)
        found = [torch.load(files[seed]) for seed in seeds]
        kept[f"seeds/{name}"] = np.array(seeds)
        for key in found[0]:
            kept[f"{key}/{name}"] = np.packbits(torch.stack([one[key] for one in found]).numpy(), axis=-1)
        if name in NETWORKS:
            kept[f"rate/{name}"] = np.array(NETWORKS[name].config["learning_rate"])
    np.savez_compressed(file, **kept)  # type: ignore[arg-type]


def main() -> None:
    """Record every network in every seed, and pack them."""
    parser = argparse.ArgumentParser(
        prog="python -m dmlteach.course.recordings.record_learners", description=__doc__
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--work", type=Path, required=True, help="folder of what is done so far")
    parser.add_argument("--output", type=Path, default=Path(learners.__file__).with_suffix(".npz"))
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    for seed in range(given.seeds):
        for name in ("untrained", *NETWORKS):
            file = given.work / f"{name}-{seed}.pt"
            if not file.exists():
                found = {"hits": untrained(seed)} if name == "untrained" else record(name, seed)
                torch.save(found, file)
                print(seed, name, *(f"{v:.3f}" for v in found["hits"].double().mean(1).tolist()), flush=True)
    pack(given.work, given.output)


if __name__ == "__main__":
    main()
