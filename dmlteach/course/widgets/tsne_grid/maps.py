"""Recorded t-SNE maps of one embedding, under every combination of perplexity, seed and iterations.

Made by `python -m dmlteach.course.widgets.tsne_grid.record`; opened by `load_maps()`.
"""

from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np
import torch

from dmlteach import data
from dmlteach.data import ImageDataset

PERPLEXITIES = (3, 10, 30, 100, 500)
SEEDS = (0, 1, 2)  # each map starts from noise, which the seed draws
ITERATIONS = (10, 25, 100, 750)  # after the 250 with exaggerated attraction
NETWORK = "sst"  # its embedding is drawn in the whole grid
OTHER = "triplet"  # for comparison: every perplexity, first seed, last iteration
BASELINE = "untrained"  # no map of it, its number alone
CHARACTERS = 100  # of 20 drawings each
LEVELS = 1024  # coordinates are whole numbers 0 … LEVELS − 1
FILE = "maps.npz"


class Setting(NamedTuple):
    """What one map was drawn from.

    Attributes:
        network: shipped network whose embedding is drawn.
        perplexity: of t-SNE.
        seed: of the starting positions.
        iterations: of gradient descent, after 250 with exaggerated attraction.
    """

    network: str
    perplexity: int
    seed: int
    iterations: int


class Maps(NamedTuple):
    """The recorded maps, and what was measured on them.

    Attributes:
        points: (G, M, 2) uint16, 0 … LEVELS − 1: positions (x, y) of the M drawings, one slice a setting.
        kept: (G,) share of each drawing's ten nearest in the embedding that are among its ten nearest
            at these positions.
        recall: (G,) Recall@1 when searching at these positions.
        labels: (M,) character of each drawing, 0 … CHARACTERS − 1.
        embedding_recall: Recall@1 in the embedding itself, by network, and of the untrained one.
    """

    points: np.ndarray
    kept: np.ndarray
    recall: np.ndarray
    labels: np.ndarray
    embedding_recall: dict[str, float]


def settings() -> list[Setting]:
    """The setting of each recorded map, in the order of the recording: the grid, then the other network."""
    grid = [Setting(NETWORK, p, s, n) for p in PERPLEXITIES for s in SEEDS for n in ITERATIONS]
    return grid + [Setting(OTHER, p, SEEDS[0], ITERATIONS[-1]) for p in PERPLEXITIES]


def drawings() -> ImageDataset:
    """The drawings on the maps: 100 of Omniglot's test characters, drawn at random; no network saw them."""
    test = data.load("omniglot", "test")
    chosen = torch.randperm(test.num_classes, generator=torch.Generator().manual_seed(0))[:CHARACTERS]
    return test.subset_classes(chosen.tolist())


@cache
def load_maps() -> Maps:
    """The maps that come with the package."""
    with resources.as_file(resources.files(__package__) / FILE) as file, np.load(file) as stored:
        # Rounded once, here, so that every text shows the same last digit.
        kept, recall, whole = (
            stored[key].astype(float).round(4) for key in ("kept", "recall", "embedding_recall")
        )
        points = np.cumsum(stored["steps"], axis=1, dtype=np.int16).astype(np.uint16)
        by_network = dict(zip((NETWORK, OTHER, BASELINE), whole.tolist(), strict=True))
        return Maps(points, kept, recall, stored["labels"], by_network)
