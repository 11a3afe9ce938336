"""The recipes: one row a method. Each names its paper, what it compares, and how it is trained.

A row is written for fine-tuning an ImageNet network on photographs, as in the papers.
`ADAPTATIONS` says what a data set changes for every method.
"""

from dataclasses import dataclass, field
from typing import Any

from dmlteach.errors import unknown_name


@dataclass(frozen=True)
class Group:
    """How one part of the network learns: a factor on the learning rate, its own weight decay or None."""

    factor: float = 1.0
    weight_decay: float | None = None


@dataclass(frozen=True)
class Method:
    """A recipe: what is compared, in which batches, and how it is optimised.

    Attributes:
        paper: source.
        loss, loss_options: see `dmlteach.losses.names()`.
        sampler, sampler_options: see `dmlteach.samplers.names()`.
        batch_size: images per batch.
        batches_per_epoch: None for len(data) // batch_size.
        embedding_dim, normalize, backbone: of the model.
        transform: "crop" (squash, random crop, flip), "resized_crop", "drawing" or "none".
        optimizer, learning_rate, weight_decay: "adam" or "sgd", with its base values.
        groups: {"backbone", "head", "loss"} → Group.
        schedule: "plateau" (on the training loss), "step", "cosine" or "constant".
        schedule_options: factor and patience (plateau), factor and every (step), warmup (cosine), in epochs.
        early_stopping: epochs without a better training loss before stopping; None never stops early.
        epochs: at most.
        phases: (what, epochs) at the start; "freeze" trains head and loss only.
        clip: largest gradient norm, or None.
        train_options: of the data set, for its training images only, e.g. rotations of Omniglot.
    """

    paper: str
    loss: str
    sampler: str
    loss_options: dict[str, Any] = field(default_factory=dict)
    sampler_options: dict[str, Any] = field(default_factory=dict)
    batch_size: int = 128
    batches_per_epoch: int | None = None
    embedding_dim: int = 512
    normalize: bool = False
    backbone: str = "resnet50"
    transform: str = "crop"
    optimizer: str = "adam"
    learning_rate: float = 1e-4
    weight_decay: float = 1e-4
    groups: dict[str, Group] = field(default_factory=lambda: {"head": Group(factor=10)})
    schedule: str = "plateau"
    schedule_options: dict[str, Any] = field(default_factory=lambda: {"factor": 0.5, "patience": 5})
    early_stopping: int | None = 15
    epochs: int = 150
    phases: tuple[tuple[str, int], ...] = ()
    clip: float | None = None
    train_options: dict[str, Any] = field(default_factory=dict)


_SST_PAPER = "Nguyen & De Baets, Neurocomputing 2020"

METHODS: dict[str, Method] = {
    "sst": Method(_SST_PAPER, loss="sst", sampler="local", batch_size=256),
    "triplet": Method(_SST_PAPER, loss="triplet", sampler="local", batch_size=256),
    "contrastive": Method(
        "Hadsell, Chopra & LeCun, CVPR 2006",
        loss="contrastive",
        sampler="class_balanced",
        sampler_options={"images_per_class": 4},
        groups={},
    ),
    "softmax": Method(
        "cross-entropy classifier, last layer cut off",
        loss="softmax",
        sampler="random",
        groups={"head": Group(factor=10), "loss": Group(factor=10)},
    ),
}

# Drawings need no ImageNet network: a small one is trained from scratch in minutes, backbone and head at
# one rate; classifiers and proxies, which see few examples of each class, at ten times that rate.
ADAPTATIONS: dict[str, dict[str, Any]] = {
    "omniglot": {
        "backbone": "omniglot_cnn",
        "embedding_dim": 128,
        "transform": "drawing",
        "learning_rate": 1e-3,
        "groups": {"loss": Group(factor=10)},
        "schedule": "cosine",
        "schedule_options": {"warmup": 0.2},
        "early_stopping": None,
        "epochs": 5,
        "batch_size": 256,
        "train_options": {"rotations": True},
    }
}


def names() -> list[str]:
    """Names that `get` accepts."""
    return sorted(METHODS)


def get(name: str) -> Method:
    """The recipe called `name`.

    Args:
        name: one of `names()`.

    Raises:
        DMLTeachError: no such method; says which there are.
    """
    if name not in METHODS:
        raise unknown_name("method", name, METHODS)
    return METHODS[name]
