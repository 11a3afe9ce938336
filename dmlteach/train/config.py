"""What to train: every option of a training, named, described and given its default in this one place.

Nothing heavy is imported here, so that the command line can make its options of these fields.
"""

import os
from dataclasses import dataclass, fields
from typing import Any, Literal

from dmlteach.train.option import about, documented, option


@documented
@dataclass(frozen=True)
class TrainConfig:
    """What to train, on what, and where to put it. Where nothing is given, the method's recipe decides most.

    A new option is one field here. Python, `dmlteach train` and reports take it then, its range is checked,
    and it is described below and in `--help`.
    """

    method: str = option("Recipe; `dmlteach methods` lists them.", "NAME", "sst")
    dataset: str = option(
        "Data set; `dmlteach data list` lists them; yours: FILE.py:FUNCTION.", "NAME", "omniglot"
    )
    root: str | None = option(
        "Folder or archive that holds the data set.", "PATH", unset="none; Omniglot is embedded", free=True
    )
    output: str | None = option("Folder of the run.", "DIR", unset="runs/METHOD-DATASET-SEED", free=True)
    epochs: int | None = option("Epochs of training.", "N", positive=True)
    max_minutes: float | None = option(
        "End this start after so many minutes of training, in good order: the checkpoint keeps the position, "
        "and the test classes are evaluated. Decoding, and measuring the untrained network, do not count.",
        "MINUTES", unset="no limit", positive=True, free=True,
    )  # fmt: skip
    batch_size: int | None = option(
        "Images in a batch.", "N", unset="the recipe's, or all images where they are fewer", positive=True
    )
    batches_per_epoch: int | None = option(
        "Batches in an epoch, at most.",
        "N",
        unset="the recipe's, or as many as the images fill",
        positive=True,
    )
    seed: int = option(
        "Of everything random; equal seeds give equal runs on one kind of device (on a CPU with equal "
        "numbers of threads).",
        "N", 0,
    )  # fmt: skip
    device: str = option("auto, cpu, cuda or mps.", "NAME", "auto", free=True)
    resume: bool = option(
        "Continue the run in `output` where its checkpoint stands, also with more `epochs` unless its "
        "schedule is cosine; without one, start it.",
        default=False, free=True,
    )  # fmt: skip
    checkpoint: str | None = option(
        "Run folder or model file to start from; its network cannot be changed by `backbone` and the like.",
        "PATH", unset="none",
    )  # fmt: skip
    loss: str | None = option("Loss instead of the method's own; yours: FILE.py:NAME.", "NAME")
    loss_options: dict[str, Any] = option("Options of the loss, e.g. num_targets=5.", "NAME=VALUE", dict)
    das: bool | None = option(
        "Densely-anchored sampling: further embeddings beside the real ones, see `dmlteach.objective.DAS`."
    )
    das_options: dict[str, Any] = option(
        "Options of DAS, e.g. copies=3; auxiliary=true adds the loss of the real embeddings alone.",
        "NAME=VALUE", dict,
    )  # fmt: skip
    memory: int | None = option(
        "Embeddings of earlier batches to compare with (cross-batch memory), from the second epoch on.",
        "N", positive=True,
    )  # fmt: skip
    imprint: int | None = option(
        "Images of a class whose mean embedding its learned vector starts from; 0: at random.", "N", least=0
    )
    sampler: str | None = option("Sampler instead of the method's own; yours: FILE.py:NAME.", "NAME")
    sampler_options: dict[str, Any] = option(
        "Options of the sampler, e.g. images_per_class=4.", "NAME=VALUE", dict
    )
    backbone: str | None = option(
        "omniglot_cnn, bninception, a torchvision network, timm/NAME, or yours: FILE.py:NAME.",
        "NAME",
        of_the_checkpoint=True,
    )
    weights: str | None = option(
        "imagenet (downloads), cached, none, or a file.",
        "NAME", unset="cached, or none where none are published", of_the_checkpoint=True,
    )  # fmt: skip
    head_options: dict[str, Any] = option(
        "Options of the head, e.g. start=random or feature_scale=1 of a linear one, weights=size of an "
        "ensemble's.",
        "NAME=VALUE", dict, of_the_checkpoint=True,
    )  # fmt: skip
    embedding_dim: int | None = option("Size of the embedding.", "N", positive=True, of_the_checkpoint=True)
    normalize: bool | None = option("Put embeddings on the unit sphere.", of_the_checkpoint=True)
    image_size: int | None = option(
        "Side of the images in pixels.", "N", unset="the backbone's", positive=True, of_the_checkpoint=True
    )
    train_batch_norm: bool = option(
        "Let batch norm take its statistics from the batches, though weights are given; otherwise it is "
        "frozen then.",
        default=False,
    )  # fmt: skip
    frozen_epochs: int | None = option(
        "Epochs at the start in which only head and loss learn, not the backbone.", "N", least=0
    )
    learning_rate: float | None = option("Of the optimizer.", "RATE", positive=True)
    rate_factors: dict[str, Any] = option(
        "Factor on the learning rate of a part, backbone, head or loss, e.g. head=10.", "NAME=VALUE", dict
    )
    weight_decay: float | None = option("Of the optimizer.", "DECAY", least=0)
    schedule: str | None = option("plateau, step, cosine or constant.", "NAME")
    transform: str | None = option("crop, resized_crop, drawing or none.", "NAME")
    micro_batch: int | None = option(
        "Images per pass; the loss still sees the whole batch.", "N", unset="the whole batch", positive=True
    )
    precision: Literal["fp32", "bf16", "fp64"] = option(
        "fp32, bf16 for a faster network, or fp64: all in float64, several times slower, to tell rounding "
        "from mistakes (not on mps).",
        "NAME", "fp32",
    )  # fmt: skip
    compile: bool = option("Compile the network with torch.compile.", default=False)
    eval_every: int = option(
        "Epochs between evaluations on held-out classes; 0 trains on all of them.", "N", 1, least=0
    )
    recall_at: str | tuple[int, ...] | None = option(
        "K of Recall@K, separated by commas; each must fit the images that are searched.",
        "K,K,…", unset="1,2,4,8 or as published, as far as they fit",
    )  # fmt: skip
    early_stopping: int | None = option(
        "Stop after so many epochs without a better training loss.", "N", positive=True
    )
    keep_lowest_loss: bool = option(
        "Also keep the network of the epoch with the lowest training loss, and evaluate it on the test "
        "classes beside the last one.",
        default=False,
    )  # fmt: skip
    save_every: float = option(
        "Seconds between checkpoints inside an epoch.", "SECONDS", 300.0, least=0, free=True
    )
    tensorboard: bool = option("Also write TensorBoard events.", default=False, free=True)
    progress: bool = option("Show bars and a line per epoch.", default=True, free=True)
    classes: int | None = option(
        "Only the first so many classes of every split, the test too: numbers of other `classes` cannot be "
        "compared.",
        "N", unset="all", positive=True,
    )  # fmt: skip
    dataset_options: dict[str, Any] = option(
        "Options of the data set, e.g. rotations=true.", "NAME=VALUE", dict
    )

    def __post_init__(self):
        """Paths are kept as text, so that the configuration can be written as JSON."""
        for name in ("root", "output", "checkpoint", "weights"):
            if isinstance(getattr(self, name), os.PathLike):
                object.__setattr__(self, name, os.fspath(getattr(self, name)))


FREE = tuple(field.name for field in fields(TrainConfig) if about(field).free)
OF_THE_CHECKPOINT = tuple(field.name for field in fields(TrainConfig) if about(field).of_the_checkpoint)
