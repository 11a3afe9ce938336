"""What the common tests of all losses need: every name, with options that fit a small batch."""

import torch

from dmlteach import losses

NUM_CLASSES = 12
DIM = 8
DIMS = {"hdc": (2, 3, 3), "bier": (1, 3, 4)}  # of the ensembles, whose embeddings have parts


def facts(name: str, num_classes: int, dim: int) -> dict:
    """What the trainer would fill in: classes, embedding size, sizes of the parts."""
    given = {"num_classes": num_classes, "embedding_dim": dim, "dims": DIMS.get(name, (dim,))}
    return {key: value for key, value in given.items() if key in losses.options(name)}


def create(name: str, num_classes: int = NUM_CLASSES, dim: int = DIM, **options) -> losses.Loss:
    """The loss called `name` with its defaults, its parameters drawn from a fixed seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return losses.create(name, **facts(name, num_classes, dim), **options)


def generator() -> torch.Generator:
    """The same random choices every time."""
    return torch.Generator().manual_seed(0)
