"""What the claims are tested on: a chapter's own code, shipped networks, and networks trained anew."""

import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from filelock import FileLock  # comes with torch
from torch import Tensor

from dmlteach import data, models
from dmlteach.course import CHECKOUT
from dmlteach.course.recordings.__main__ import Recorder
from dmlteach.data import ImageDataset
from dmlteach.embeddings import embed
from dmlteach.models import Model
from dmlteach.train import TrainConfig, fit

# By the trainer and each method's recipe; 60 steps instead of the 1,200 of the networks that are shipped.
EPOCHS = 3
SMALL = {"classes": 200, "batch_size": 64, "batches_per_epoch": 20, "eval_every": 0}
CHARACTERS = 50  # of a seed's gallery, 20 drawings each
SAMPLER = {"softmax": "random", "triplet": "local_classes", "sst": "local_classes"}


class Trained(NamedTuple):
    """A small training: the network, and the recorded drawings before training and after each epoch."""

    model: Model
    moments: list[Tensor]  # (M, D) each
    labels: Tensor  # (M,)


class Unseen(NamedTuple):
    """Drawings of characters that no network was trained on, and their embeddings by network."""

    images: ImageDataset
    labels: Tensor  # (M,)
    embeddings: dict[str, Tensor]  # (M, D) each


class EnoughError(Exception):
    """Ends a training before its last evaluation, which nobody reads here."""


def train(method: str, seed: int, folder: Path) -> dict:
    recorder = Recorder()
    network: list[Model] = []

    def watch(run):
        recorder(run)
        if run.epoch == EPOCHS:
            network.append(run.model)
            raise EnoughError

    config = TrainConfig(
        method=method, sampler=SAMPLER[method], epochs=EPOCHS, seed=seed, device="cpu", progress=False,
        output=str(folder / f"{method}-{seed}"), **SMALL,
    )  # fmt: skip
    with pytest.raises(EnoughError):
        fit(config, after_epoch=watch)
    labels = recorder.test.labels[recorder.rows]
    return {"weights": network[0].state_dict(), "moments": recorder.embeddings, "labels": labels}


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Callable[[str, int], Trained]:
    """A network by method ("softmax", "triplet", "sst") and seed, trained once in a run of tests."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # one for all processes of the run
    folder /= "claims"
    folder.mkdir(exist_ok=True)

    @cache
    def get(method: str, seed: int) -> Trained:
        model = models.create("omniglot_cnn", 128, seed=seed)
        file = folder / f"{method}-{seed}.pt"
        with FileLock(f"{file}.lock"):
            if not file.exists():
                torch.save(train(method, seed, folder), file)
        stored = torch.load(file)
        model.load_state_dict(stored["weights"])
        return Trained(model.eval(), stored["moments"], stored["labels"])

    return get


@pytest.fixture(scope="session")
def unseen() -> Callable[[int], Unseen]:
    """What shipped networks, and a random one of a seed, make of characters chosen by that seed."""

    @cache
    def get(seed: int) -> Unseen:
        test = data.load("omniglot", "test")
        chosen = torch.randperm(test.num_classes, generator=torch.Generator().manual_seed(seed))[:CHARACTERS]
        test = test.subset_classes(chosen.tolist())
        networks = {"untrained": models.create("omniglot_cnn", 128, seed=seed)}
        networks |= {name: models.pretrained(name) for name in SAMPLER}
        return Unseen(test, test.labels, {name: embed(model, test) for name, model in networks.items()})

    return get


@pytest.fixture(scope="session")
def cell() -> Callable[[str, str], str]:
    """Source of a chapter's cell, by the chapter's name and the cell's id."""

    @cache
    def cells(name: str) -> dict[str, str]:
        content = json.loads((CHECKOUT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
        return {cell["id"]: "".join(cell["source"]) for cell in content["cells"]}

    return lambda name, id: cells(name)[id]


@pytest.fixture(scope="session")
def said_by(cell) -> Callable[[str, str, dict], str]:
    """What a cell says that puts its sentence together itself, by chapter, its id and the names it uses."""

    def text(name: str, id: str, space: dict) -> str:
        source = cell(name, id).rstrip()
        at = max(source.rfind("\nText("), source.rfind("\ncovered("))
        names = dict(space)
        exec(source[:at] + "\nshown = " + source[at + 1 :], names)
        return names["shown"].markdown

    return text


@pytest.fixture(scope="session")
def run_cells(cell) -> Callable[..., dict]:
    """Run cells of a chapter, by its name and their ids, and return what they define.

    What is given by name is there beforehand, as the chapter's parameters and what earlier cells defined.
    """

    def run(name: str, *ids: str, **given) -> dict:
        space = {"profile": "fast", "dataset": "omniglot", "seed": 0, "device": "cpu"} | given
        for id in ids:
            exec(compile(cell(name, id), f"{name}, cell {id}", "exec"), space)
        return space

    return run
