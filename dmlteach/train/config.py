"""What to train: the options of a run, which values mean something, and the recipe they come to."""

import os
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from dmlteach import data, methods, samplers
from dmlteach.errors import DMLTeachError
from dmlteach.evaluation import recall
from dmlteach.methods import Method
from dmlteach.models import Model
from dmlteach.options import at_least, check_options, check_seed, check_type, positive

POSITIVE = (
    "epochs", "max_minutes", "batch_size", "batches_per_epoch", "embedding_dim", "image_size",
    "learning_rate", "micro_batch", "early_stopping", "classes", "memory",
)  # fmt: skip
NOT_NEGATIVE = ("imprint", "eval_every", "save_every", "weight_decay")
# A second start may have them otherwise: they change nothing of what is trained.
FREE = ("output", "resume", "device", "progress", "save_every", "tensorboard", "max_minutes", "root")
OF_THE_CHECKPOINT = ("backbone", "weights", "embedding_dim", "normalize", "image_size", "head_options")


@dataclass(frozen=True)
class TrainConfig:
    """What to train, on what, and where to put it. None means: as the method's recipe says.

    Attributes:
        method: recipe, one of `methods.names()`.
        dataset, root: data set and the folder that holds it (Omniglot needs none).
        output: folder of the run; default runs/METHOD-DATASET-SEED.
        epochs: length of the run.
        max_minutes: of training in this start (or resume), which then ends in good order: the checkpoint
            keeps the position inside the epoch, and the test classes are evaluated. Decoding, and measuring
            the untrained network, do not count.
        batch_size, batches_per_epoch: images per batch; batches per epoch.
        seed: of everything random; equal seeds give equal runs on one kind of device (on a CPU with equal
            numbers of threads).
        device: "auto", "cpu", "cuda" or "mps".
        resume: continue the run in `output` where its checkpoint stands; without one, start it.
        checkpoint: a run or model file whose network to start from; backbone, weights, head_options,
            embedding_dim, normalize and image_size are its own and must not be given.
        loss, loss_options, sampler, sampler_options: instead of the method's own.
        das, das_options: densely-anchored sampling before the loss, see `dmlteach.objective.DAS`; the option
            auxiliary adds the loss of the real embeddings alone.
        memory: embeddings of earlier batches to compare with (cross-batch memory), from the second epoch on.
        imprint: images of each class whose mean embedding its learned vector starts from; 0: at random.
        backbone, weights: network, and its weights: "imagenet" (downloads), "cached", "none" or a file.
        head_options: of the method's head, see `dmlteach.models.CascadeHead` and `BIERHead`.
        embedding_dim, normalize, image_size: of the model; size in pixels.
        learning_rate, weight_decay, schedule: of the optimiser.
        transform: "crop", "drawing", "resized_crop" or "none".
        micro_batch: images per pass through the network; the loss still sees the whole batch.
        precision: "fp32", or "bf16" for autocast of the network.
        compile: compile the network with torch.compile.
        eval_every: epochs between evaluations on val classes, which are then kept out of training;
            0 trains on all training classes.
        recall_at: K of Recall@K on the val and test classes, e.g. (1, 10), which must fit both; None: the
            data set's published ones (by default 1, 2, 4, 8) that fit.
        early_stopping: epochs without a better training loss.
        save_every: seconds between checkpoints inside an epoch.
        tensorboard: also write TensorBoard events.
        progress: show bars and a line per epoch.
        classes: use the first so many classes of every split only (train, fit, val, test, query, gallery),
            for quick trials. Fewer test classes are easier: numbers of other `classes` cannot be compared.
        dataset_options: options of `data.load`.
    """

    method: str = "sst"
    dataset: str = "omniglot"
    root: str | None = None
    output: str | None = None
    epochs: int | None = None
    max_minutes: float | None = None
    batch_size: int | None = None
    batches_per_epoch: int | None = None
    seed: int = 0
    device: str = "auto"
    resume: bool = False
    checkpoint: str | None = None
    loss: str | None = None
    loss_options: dict[str, Any] = field(default_factory=dict)
    das: bool | None = None
    das_options: dict[str, Any] = field(default_factory=dict)
    memory: int | None = None
    imprint: int | None = None
    sampler: str | None = None
    sampler_options: dict[str, Any] = field(default_factory=dict)
    backbone: str | None = None
    weights: str | None = None
    head_options: dict[str, Any] = field(default_factory=dict)
    embedding_dim: int | None = None
    normalize: bool | None = None
    image_size: int | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    schedule: str | None = None
    transform: str | None = None
    micro_batch: int | None = None
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
    eval_every: int = 1
    recall_at: str | tuple[int, ...] | None = None
    early_stopping: int | None = None
    save_every: float = 300.0
    tensorboard: bool = False
    progress: bool = True
    classes: int | None = None
    dataset_options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        """Paths are kept as text, so that the configuration can be written as JSON."""
        for name in ("root", "output", "checkpoint", "weights"):
            if isinstance(getattr(self, name), os.PathLike):
                object.__setattr__(self, name, os.fspath(getattr(self, name)))


def resolve(config: TrainConfig, start: Model | None = None) -> Method:
    """The recipe of a run: the method's, as its data set adapts it, as the config overrides it.

    Args:
        config: what the user asks for.
        start: the network of `config.checkpoint`, which is then part of the recipe.

    Raises:
        DMLTeachError: an unknown name, a value out of range, or parts that make no sense together.
    """
    check_values(config)
    recipe = methods.get(config.method)
    if config.loss not in (None, recipe.loss):
        recipe = methods.with_loss(recipe, config.loss)
    if config.sampler not in (None, recipe.sampler):
        recipe = replace(recipe, sampler=config.sampler, sampler_options={})
    recipe = methods.adapt(recipe, config.dataset)
    shared = {f.name for f in fields(Method)} & {f.name for f in fields(TrainConfig)}
    given = {k: getattr(config, k) for k in shared if getattr(config, k) not in (None, {})}
    for part in ("loss", "sampler", "head", "das"):
        given[f"{part}_options"] = getattr(recipe, f"{part}_options") | getattr(config, f"{part}_options")
    if "schedule" in given and given["schedule"] != recipe.schedule:
        given["schedule_options"] = {}
    recipe = replace(recipe, **given)
    if config.imprint is None and not methods.has_class_vectors(recipe.loss):
        recipe = replace(recipe, imprint=0)  # another loss was chosen than the method's
    if start is not None:
        recipe = _with_network(recipe, start, config)
    methods.check_combination(recipe)
    check_options(f"the {recipe.sampler} sampler", samplers.options(recipe.sampler), recipe.sampler_options)
    return recipe


def check_values(config: TrainConfig) -> None:
    """Refuse values of options that mean nothing, before data and network are looked at.

    Raises:
        DMLTeachError: the first such option, and the values it takes.
    """
    for option in fields(TrainConfig):
        check_type(option.name, option.type, getattr(config, option.name))
    for name in POSITIVE:
        if getattr(config, name) is not None:
            positive(name, getattr(config, name))
    for name in NOT_NEGATIVE:
        if getattr(config, name) is not None:
            at_least(name, getattr(config, name), 0)
    check_seed(config.seed)
    if config.recall_at is not None:
        recall.parse(config.recall_at)
    data.check_options(config.dataset, config.dataset_options)


def _with_network(recipe: Method, start: Model, config: TrainConfig) -> Method:
    """The recipe with the network of a checkpoint, and a transform that crops what it reads."""
    spec = start.spec
    for name in OF_THE_CHECKPOINT:
        given = getattr(config, name)
        if given not in (None, {}):
            has = f"its {name} is {getattr(spec, name)!r}" if hasattr(spec, name) else "it brings its weights"
            raise DMLTeachError(
                f"{name}={given!r} was given with --checkpoint {config.checkpoint}, which decides it: {has}. "
                f"Leave out one of the two."
            )
    if methods.ENSEMBLES.get(recipe.loss, spec.head) != spec.head:
        raise DMLTeachError(
            f"the {recipe.loss} loss compares the parts of a {methods.ENSEMBLES[recipe.loss]} head, and the "
            f"network of {config.checkpoint} has a {spec.head} head; choose another method."
        )
    fits = ("resized_crop", "none") if spec.keep_aspect else ("crop", "drawing", "none")
    transform = recipe.transform if recipe.transform in fits else fits[0]
    if config.transform not in (None, transform):
        shape = "of the images' own shape" if spec.keep_aspect else "squashed to squares"
        raise DMLTeachError(
            f"--transform {config.transform} does not fit the network of {config.checkpoint}, which reads "
            f"crops of images {shape}; choose {', '.join(fits)}."
        )
    return replace(
        recipe, backbone=spec.backbone, embedding_dim=sum(start.head.dims), normalize=spec.normalize,
        head=spec.head, head_options=spec.head_options, transform=transform,
    )  # fmt: skip


def identity(config: TrainConfig) -> dict[str, Any]:
    """The options that a resumed run must share with the interrupted one.

    Args:
        config: of either.
    """
    free = {*FREE}
    if config.checkpoint:  # runs made before were given these in vain
        free |= set(OF_THE_CHECKPOINT)
    own = {k: v for k, v in asdict(config).items() if k not in free}
    if config.recall_at is not None:  # "1,2" and (1, 2) are the same
        own["recall_at"] = recall.parse(config.recall_at)
    return own
