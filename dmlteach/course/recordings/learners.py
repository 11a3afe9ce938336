"""Which queries the learners of an ensemble answer right, alone and together, beside their controls.

Made by `python -m dmlteach.course.recordings.record_learners`; opened by `learners()`.
"""

from importlib import resources
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dmlteach import data

CHARACTERS = 200  # searched, of those that no network was trained on
PARTS = 3  # learners of an ensemble


class Learners(NamedTuple):
    """Right and wrong answers of short trainings, each in several seeds; query by query.

    Attributes:
        hits: by network: (S, 1 + learners, Q) bool, a slice for each of its seeds, whether the nearest other
            drawing is of the query's character; first by all learners together, then by each alone (none
            where there is but one).
        weighted: the same of all together as the library weighs them in retrieval, (S, Q); where that is
            another weighting than equal lengths.
        seeds: by network, S of them.
        rows: (Q,) of the test part, the drawings that are query and gallery.
        num_classes: that are searched.
        steps, batch_size: of each training.
        rates: learning rate of each network.
    """

    hits: dict[str, Tensor]
    weighted: dict[str, Tensor]
    seeds: dict[str, list[int]]
    rows: Tensor
    num_classes: int
    steps: int
    batch_size: int
    rates: dict[str, float]

    def recall(self, network: str, learner: int = 0, weighted: bool = False) -> dict[int, float]:
        """Recall@1 by seed.

        Args:
            network: one of `hits`.
            learner: 0 for all together, else which one.
            weighted: all together as the library weighs them; one of `weighted`.
        """
        answers = self.weighted[network] if weighted else self.hits[network][:, learner]
        means = answers.double().mean(1).tolist()
        return dict(zip(self.seeds[network], means, strict=True))


def searched() -> tuple[Tensor, Tensor]:
    """Rows of Omniglot's test part that are query and gallery, (Q,), and their classes."""
    labels = data.load("omniglot", "test").labels
    characters = np.linspace(0, int(labels.max()), CHARACTERS).round().astype(int)
    rows = torch.isin(labels, torch.from_numpy(characters)).nonzero()[:, 0]
    return rows, labels[rows]


def learners() -> Learners:
    """What ensembles and their controls answered."""
    with resources.as_file(resources.files(__package__) / "learners.npz") as file, np.load(file) as stored:
        kept = {key: stored[key] for key in stored.files}
    rows, _ = searched()
    found: dict[str, dict[str, Tensor]] = {"hits": {}, "weighted": {}}
    for key, values in kept.items():
        kind, _, network = key.partition("/")
        if kind in found:
            bits = np.unpackbits(values, axis=-1, count=len(rows))
            found[kind][network] = torch.from_numpy(bits).bool()
    return Learners(
        **found, seeds={key.removeprefix("seeds/"): v.tolist() for key, v in kept.items() if "seeds/" in key},
        rows=rows, num_classes=CHARACTERS, steps=int(kept["steps"]),
        batch_size=int(kept["batch_size"]),
        rates={key.removeprefix("rate/"): float(v) for key, v in kept.items() if key.startswith("rate/")},
    )  # fmt: skip
