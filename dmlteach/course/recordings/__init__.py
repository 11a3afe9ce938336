"""Recordings: what embeddings did while shipped networks, and others, were trained.

Made by `python -m dmlteach.course.recordings NAME` together with the networks; opened by `recordings(name)`.
Networks and their cards lie in `dmlteach/models/shipped/`: `models.pretrained(name)`, `models.card(name)`.
"""

from importlib import resources
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dmlteach import data
from dmlteach.data.cache import cached
from dmlteach.models import SHIPPED, card
from dmlteach.options import one_of

RECORDED = tuple(name for name in SHIPPED if name != "untrained")


class Recording(NamedTuple):
    """An embedding of the same drawings of unseen characters, from before training to its end.

    Attributes:
        embeddings: (E, M, D) float32, one slice per epoch, turned onto the main directions of the last
            epoch and rounded to 255 steps a direction.
        labels: (M,) character of each drawing.
        images: (M, 28, 28) uint8, ink bright.
        epochs: (E,) epochs of training; 0 is the untrained network.
        loss: mean training loss of each epoch; the first is NaN.
        recall: Recall@1 among the M drawings, on the full embedding.
    """

    embeddings: Tensor
    labels: Tensor
    images: Tensor
    epochs: list[int]
    loss: list[float]
    recall: list[float]


def recordings(name: str) -> Recording:
    """What the embedding did while the network `name` was trained.

    Args:
        name: one of `RECORDED`, e.g. "sst".
    """
    one_of("recording", name, RECORDED)
    with resources.as_file(resources.files(__package__) / f"{name}.npz") as file, np.load(file) as stored:
        recorded = {key: stored[key] for key in stored.files}
    test = data.load("omniglot", "test")
    rows = torch.from_numpy(recorded["rows"])
    images = cached(test, 28, progress=False).gather(rows)
    assert isinstance(images, Tensor)
    return Recording(
        torch.from_numpy(recorded["embeddings"]) * torch.from_numpy(recorded["step"]),
        test.labels[rows],
        images[:, 0],
        recorded["epochs"].tolist(),
        recorded["loss"].tolist(),
        recorded["recall"].tolist(),
    )


__all__ = ["RECORDED", "SHIPPED", "Recording", "card", "recordings"]
