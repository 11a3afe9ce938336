"""What is built once for a run: images, sampler, network, objective, optimizer; or it is refused."""

import warnings
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from dmlteach import foreign, losses, models, samplers
from dmlteach.data.augment import Augmentation, Kind
from dmlteach.data.cache import CachedImages
from dmlteach.data.provenance import Record
from dmlteach.device import environment
from dmlteach.distributed import World
from dmlteach.embeddings import cached_for
from dmlteach.errors import DMLTeachError
from dmlteach.interfaces import Sampler
from dmlteach.methods import Method
from dmlteach.models import Model
from dmlteach.objective import CrossBatchMemory, Objective, das
from dmlteach.options import check_options, check_type
from dmlteach.train import given, optim
from dmlteach.train.config import TrainConfig
from dmlteach.train.folder import RunFolder
from dmlteach.train.held_out import HeldOut
from dmlteach.train.load import load
from dmlteach.train.recipe import loss_options, resolve, start_of

# Parts that change while training, in the order in which a checkpoint gives them back what they were.
KEPT = ("model", "objective", "optimizer", "schedule", "early_stopping", "sampler")


class Stateful(Protocol):
    """What a checkpoint can keep."""

    def state_dict(self) -> Any: ...

    def load_state_dict(self, state: Any, /) -> Any: ...


@dataclass(frozen=True)
class Parts:
    """Everything that a run is made of; which parts are there does not change while it trains.

    Attributes:
        config, recipe: what was asked for, and the method as it was adapted to it.
        device, world: where it trains, and with whom.
        images, labels: what it learns from, decoded; class of each image, on the device.
        val, test: what it is measured on, decoded.
        record: of the data, as the run keeps it.
        other_test: whether the test images have changed since an interrupted run was made.
        model, network: images → embeddings; the latter is the same, compiled if that was asked for.
        sampler, objective, optimizer, schedule, early_stopping, augmentation: as their names say.
    """

    config: TrainConfig
    recipe: Method
    device: torch.device
    world: World
    images: CachedImages
    labels: Tensor
    val: HeldOut | None
    test: HeldOut
    record: Record
    other_test: bool
    model: Model
    network: nn.Module
    sampler: Sampler
    objective: Objective
    optimizer: optim.Optimizers
    schedule: optim.Schedule
    early_stopping: optim.EarlyStopping
    augmentation: Augmentation

    @property
    def shown(self) -> bool:
        """Whether this process shows progress."""
        return self.config.progress and self.world.is_main

    @property
    def needs_space(self) -> bool:
        """Whether an epoch begins with embeddings of the training images."""
        return self.sampler.needs_space or self.objective.loss.needs_space

    def rows_to_embed(self, epoch: int) -> Tensor | None:
        """Training images whose embeddings an epoch begins with; None: all.

        Args:
            epoch: which one.
        """
        return None if self.objective.loss.needs_space else self.sampler.rows_to_embed(epoch)

    def learned(self) -> list[nn.Parameter]:
        """All parameters that training changes."""
        return [*self.model.parameters(), *self.objective.parameters()]

    def kept(self) -> dict[str, Stateful]:
        """The parts whose state is in a checkpoint, by name."""
        return {name: getattr(self, name) for name in KEPT}

    def description(self) -> dict[str, Any]:
        """What the run says of itself: options, recipe and network, as plain values."""
        sources = given.sources(self.config)
        return {
            "config": asdict(self.config),
            "recipe": asdict(self.recipe),
            "network": asdict(self.model.spec),
            "made_with": environment(self.device),
            **({"sources": sources} if sources else {}),
        }


def build(
    config: TrainConfig, device: torch.device, world: World, folder: RunFolder
) -> tuple[Parts, dict[str, Any] | None]:
    """Build all parts of a run, and read the checkpoint that it continues from; nothing is written.

    Args:
        config: what to train.
        device: where.
        world: the processes that train together.
        folder: of the run.

    Returns:
        The parts, as at the start of a new run; the checkpoint, None where there is none.

    Raises:
        DMLTeachError: an option, file or data set that cannot be used.
    """
    started_from = start_of(config)
    recipe = resolve(config, started_from)
    saved = folder.checkpoint(device)
    if saved is not None and "ended" not in saved:  # made when this was the default of DAS
        recipe = replace(recipe, das_options={"detach": True} | recipe.das_options)
    loaded = load(config, recipe, None if saved is None else folder)
    recipe = _with_batch_that_fits(recipe, len(loaded.train), config, world)
    for note in loaded.notes if world.is_main else []:
        warnings.warn(note, stacklevel=3)
    model = build_model(started_from, config, recipe, loaded.train.channels)
    model = _in_precision(model, config.precision).to(device)
    model = _with_batch_statistics(model, config, device, world)
    sampler = samplers.create(
        recipe.sampler, loaded.train.labels, recipe.batch_size, config.seed, **recipe.sampler_options
    )
    if foreign.is_object(recipe.sampler):
        recipe = replace(recipe, batch_size=sampler.batch_size)
    objective = _objective(config, recipe, model.head.dims, loaded.train.num_classes)
    objective = (objective.double() if config.precision == "fp64" else objective).to(device)
    if foreign.is_foreign(recipe.loss):
        like = torch.empty(0, sum(model.head.dims), dtype=model.dtype, device=device)
        losses.foreign.check(objective.loss, recipe.loss, loaded.train.num_classes, like)
    network = cast(nn.Module, torch.compile(model)) if config.compile else model
    optimizer = optim.build(recipe, model, objective.loss)
    schedule = optim.Schedule(recipe.schedule, recipe.schedule_options, recipe.epochs)
    early_stopping = optim.EarlyStopping(recipe.early_stopping)
    kind, spec = cast(Kind, recipe.transform), model.spec
    augmentation = Augmentation(kind, spec.image_size, spec.mean, spec.std, dtype=model.dtype)
    with world.main_first():  # one process decodes, the others find the cache
        images = cached_for(model, loaded.train, config.progress)
        test = loaded.test.decoded(model, config.progress)
        val = loaded.val and loaded.val.decoded(model, config.progress)
    parts = Parts(
        config=config,
        recipe=recipe,
        device=device,
        world=world,
        images=images,
        labels=images.labels.to(device),
        val=val,
        test=test,
        record=loaded.record,
        other_test=loaded.other_test,
        model=model,
        network=network,
        sampler=sampler,
        objective=objective,
        optimizer=optimizer,
        schedule=schedule,
        early_stopping=early_stopping,
        augmentation=augmentation,
    )
    return parts, saved


def _with_batch_that_fits(recipe: Method, num_images: int, config: TrainConfig, world: World) -> Method:
    """The recipe; where nobody named a batch size, its batches are no larger than the data."""
    whole_groups = "images_per_class" in samplers.options(recipe.sampler)
    as_it_is = config.batch_size or whole_groups or foreign.is_object(recipe.sampler)
    if as_it_is or recipe.batch_size <= num_images:
        return recipe
    if config.progress and world.is_main:
        print(f"batches of {num_images} images, all there are; the recipe has {recipe.batch_size}")
    return replace(recipe, batch_size=num_images)


def build_model(started_from: Model | None, config: TrainConfig, recipe: Method, channels: int) -> Model:
    """The network of a checkpoint, or else the recipe's.

    Args:
        started_from: the former; None: there is none.
        config, recipe: of the run.
        channels: of its images.

    Raises:
        DMLTeachError: it reads images of other channels, or cannot be made.
    """
    model = started_from
    if model is None:
        weights = config.weights or models.usual_weights(recipe.backbone)
        model = models.create(
            recipe.backbone,
            recipe.embedding_dim,
            weights=None if weights == "none" else weights,
            normalize=recipe.normalize,
            image_size=config.image_size,
            keep_aspect=recipe.transform == "resized_crop",
            head=recipe.head,
            head_options=recipe.head_options,
            seed=config.seed,
        )
    if config.train_batch_norm:
        if not model.batch_norms():
            raise DMLTeachError(f"{model.spec.backbone} has no batch norm; leave out train_batch_norm.")
        model.spec = replace(model.spec, freeze_batch_norm=False)
    if model.spec.channels != channels:
        raise DMLTeachError(
            f"{model.spec.backbone} reads {model.spec.channels}-channel images, {config.dataset} has "
            f"{channels}; choose another --backbone."
        )
    return model


def _in_precision(model: Model, precision: str) -> Model:
    """The model, changed in place to compute in float64 or in fp32, whatever its checkpoint did.

    Args:
        model: on the CPU.
        precision: of the run; bf16 is a way to use an fp32 network.

    Raises:
        DMLTeachError: it cannot compute in float64.
    """
    if precision != "fp64":
        return model.float() if model.dtype == torch.float64 else model
    spec, was_training = model.spec, model.training
    image = torch.zeros(1, spec.channels, spec.image_size, spec.image_size, dtype=torch.float64)
    try:
        with torch.no_grad():
            model.double().eval()(image)
    except Exception as error:  # of a network of the user's, anything
        raise foreign.failed(
            f"{spec.backbone} cannot compute in float64, so that it has no precision fp64", error
        ) from error
    return model.train(was_training)


def _with_batch_statistics(model: Model, config: TrainConfig, device: torch.device, world: World) -> Model:
    """The model; batch norm that learns its statistics takes them from all processes."""
    if not model.uses_batch_statistics:
        return model
    if config.micro_batch:
        raise DMLTeachError(
            "micro_batch would change what batch norm sees; use weights without train_batch_norm (batch "
            "norm is frozen then) or a backbone without batch norm."
        )
    if world.size == 1:
        return model
    if device.type != "cuda":
        raise DMLTeachError("batch norm that learns its statistics needs CUDA when several processes train.")
    return nn.SyncBatchNorm.convert_sync_batchnorm(model)


def _objective(config: TrainConfig, recipe: Method, dims: tuple[int, ...], num_classes: int) -> Objective:
    options = loss_options(recipe, num_classes, dims)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        loss = losses.create(recipe.loss, **options)
    sampling, das_options = None, dict(recipe.das_options)
    auxiliary = das_options.pop("auxiliary", False)
    check_type("option auxiliary of das", bool, auxiliary)
    if recipe.das:
        check_options("das", das.options(), das_options)
        sampling = das.DAS(num_classes, sum(dims), normalize=recipe.normalize, **das_options)
    memory = CrossBatchMemory(recipe.memory, sum(dims)) if recipe.memory else None
    return Objective(loss, sampling, auxiliary, memory)
