"""One readable training loop, for every method: plan the epoch, step through its batches, evaluate, save."""

import math
import os
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from dmlteach import (
    checkpoint,
    das,
    data,
    distributed,
    files,
    losses,
    methods,
    models,
    optim,
    recall,
    samplers,
)
from dmlteach.cross_batch_memory import CrossBatchMemory
from dmlteach.data import provenance
from dmlteach.data.augment import Augmentation, Kind
from dmlteach.data.loader import Pixels, prefetch
from dmlteach.device import choose_device, environment, moved, same_bits
from dmlteach.errors import DMLTeachError
from dmlteach.evaluate import cached_for, embed
from dmlteach.held_out import HeldOut, held_out
from dmlteach.interfaces import Batch, Space
from dmlteach.meter import STATS_EVERY, Meter
from dmlteach.methods import Method
from dmlteach.models import Model
from dmlteach.objective import Objective
from dmlteach.options import at_least, check_options, check_seed, check_type, positive
from dmlteach.step import DelayedScalar, gradient_step
from dmlteach.time_limit import check_first_plan, seconds_to_embed

POSITIVE = (
    "epochs", "max_minutes", "batch_size", "batches_per_epoch", "embedding_dim", "image_size",
    "learning_rate", "micro_batch", "early_stopping", "classes", "memory",
)  # fmt: skip
NOT_NEGATIVE = ("imprint", "eval_every", "save_every", "weight_decay")
MODEL = "model.safetensors"
# A second start may have them otherwise: they change nothing of what is trained.
FREE = ("output", "resume", "device", "progress", "save_every", "tensorboard", "max_minutes", "root")
INITIALIZED_ON = 4096  # images on whose features the learners of an ensemble are made independent
OF_THE_CHECKPOINT = ("backbone", "weights", "embedding_dim", "normalize", "image_size", "head_options")
MEMORY_STARTS = 1  # epoch: before, embeddings change too fast for the memory to be right


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
        das, das_options: densely-anchored sampling before the loss, see `dmlteach.das.DAS`; the option
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


class Result(NamedTuple):
    """A finished run: its folder, the content of metrics.json, and the model in evaluation mode."""

    path: Path
    metrics: dict[str, Any]
    model: Model


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


def fit(
    config: TrainConfig,
    after_epoch: "Callable[[Run], None] | None" = None,
    stop: threading.Event | None = None,
) -> Result:
    """Train a model and write a run folder.

    Args:
        config: what to train; everything left at None comes from the method's recipe.
        after_epoch: called with the run at its start and after every epoch, e.g. to record embeddings.
        stop: ends the run after the step in which another thread sets it, as Ctrl-C does.

    Returns:
        The run's folder, metrics and model. metrics["untrained"] is what `evaluate` returns on the test
        classes for the network before its first step: a random one, pre-trained weights or a checkpoint,
        where an ensemble's learners are independent already; it is not there in runs made before it was
        measured, when they are resumed. metrics["epochs"] has a row per epoch; metrics["final"] is
        the last state on the test classes (never the best of several), with "train_seconds", "epochs"
        (whole ones), "steps" (in all) and "ended", a sentence that says why training ended.

    Raises:
        DMLTeachError: an option, file or data set that cannot be used; nothing is written then.
        KeyboardInterrupt: after Ctrl-C or `stop`, once the checkpoint is saved.
    """
    device = choose_device(config.device)
    with (
        same_bits(device),
        distributed.join(device) as world,
        _stop_on_signal(stop or threading.Event()) as stop,
        _folder_to_itself(config, world) as lock,
    ):
        run = Run(config, device, world, lock)
        run.start()
        watch = after_epoch or (lambda run: None)
        watch(run)
        run.measure_untrained()
        while not run.over():
            run.plan_epoch()
            for batch, pixels in run.remaining_batches():
                run.train_on(batch, pixels)
                if run.out_of_time():
                    break
                run.save_if_due(stop)
            if run.epoch_is_complete():
                run.end_epoch()
                watch(run)
                run.stop_if(world.share(stop.is_set()))
        return run.finish()


class Run:
    """Everything one training run holds, and the few things that happen to it."""

    def __init__(
        self,
        config: TrainConfig,
        device: torch.device,
        world: distributed.World,
        lock: files.Lock | None = None,
    ):
        """Build all parts; raises before anything is written. Without `lock`, writing takes the folder."""
        self.config, self.device, self.world = config, device, world
        self.lock = lock or files.Lock(_folder(config))
        started_from = models.load(config.checkpoint) if config.checkpoint else None
        self.recipe = recipe = resolve(config, started_from)
        if config.tensorboard:
            _tensorboard_writer()
        self.folder = self.lock.folder
        self.saved = self._read_checkpoint()
        known = None if self.saved is None else provenance.read(self.folder)
        chosen = {**config.dataset_options, **provenance.division(known, config.dataset)}

        train_split = "fit" if config.eval_every else "train"
        dataset = self._load(train_split, {**recipe.train_options, **chosen})
        _check_classes(dataset)
        self.recipe = recipe = self._with_batch_that_fits(len(dataset))
        # Loaded (not decoded) now: a test split that is missing must not be found out after the training.
        plain = {k: v for k, v in chosen.items() if k not in recipe.train_options}
        self.val = self._load_val(plain) if config.eval_every else None
        self.test = self._load_test(plain)
        self.data = self._describe_data(train_split, dataset)
        changed = provenance.differences(known, self.data) if known else {}
        self.other_test = bool({"test", "gallery"} & changed.keys())
        for note in self._notes_on_data(known):
            warnings.warn(note, stacklevel=2)
        self.model = self._build_model(started_from, dataset.channels)
        self._check_batch_statistics()
        self.sampler = samplers.create(
            recipe.sampler, dataset.labels, recipe.batch_size, config.seed, **recipe.sampler_options
        )
        self.objective = self._build_objective(dataset.num_classes).to(device)
        self.network = cast(nn.Module, torch.compile(self.model)) if config.compile else self.model
        self.optimizer = optim.build(recipe, self.model, self.objective.loss)
        self.schedule = optim.Schedule(recipe.schedule, recipe.schedule_options, recipe.epochs)
        self.early_stopping = optim.EarlyStopping(recipe.early_stopping)
        spec = self.model.spec
        self.augmentation = Augmentation(cast(Kind, recipe.transform), spec.image_size, spec.mean, spec.std)
        with world.main_first():  # one process decodes, the others find the cache
            self.images = cached_for(self.model, dataset, config.progress)
            self.test = self.test.decoded(self.model, config.progress)
            self.val = self.val and self.val.decoded(self.model, config.progress)
        self.dataset, self.labels = dataset, dataset.labels.to(device)

        self.epoch = self.step = 0
        self.planned = self.timed_out = False
        self.ended: str | None = None  # why there is nothing left to train
        self.batches: list[Batch] = []  # of the epoch, those that are done included
        self.elapsed = 0.0  # seconds of training in earlier starts
        self.begun: float | None = None  # when this start began to train
        self.train_seconds = 0.0  # up to the checkpoint
        self.history: list[dict[str, Any]] = []
        self.untrained: dict[str, Any] | None = None
        self.meter = Meter()
        self.pending: DelayedScalar | None = None
        self.recent: deque[tuple[int, int, list[int]]] = deque(maxlen=3)
        self.last_save = time.perf_counter()

    # ── building ──────────────────────────────────────────────────────────────────────────────────

    def _load(self, split: str, options: dict[str, Any]) -> data.ImageDataset:
        config = self.config
        return self._first_classes(data.load(config.dataset, split, config.root, **options))

    def _load_val(self, options: dict[str, Any]) -> HeldOut:
        cure = "Add images, or train on all classes with --eval-every 0."
        return held_out(self._load("val", options), None, self.config.recall_at, cure)

    def _load_test(self, options: dict[str, Any]) -> HeldOut:
        queries, gallery = data.load_test(self.config.dataset, self.config.root, **options)
        gallery = None if gallery is None else self._first_classes(gallery)
        return held_out(self._first_classes(queries), gallery, self.config.recall_at)

    def _describe_data(self, train_split: str, dataset: data.ImageDataset) -> provenance.Record:
        """What the run keeps of its data, so that it is measured on the same classes later."""
        config = self.config
        apart = {"val": self.val and self.val.queries, "test": self.test.queries}
        datasets = {train_split: dataset, **apart, "gallery": self.test.gallery}
        # Otherwise each class of a folder is in one of the splits.
        some = config.classes or "division" in config.dataset_options
        cut = config.root if some else None
        return provenance.describe(cast(Any, datasets), cut, config.dataset_options)

    def _notes_on_data(self, known: provenance.Record | None) -> list[str]:
        """What has changed since the run, or the one whose weights it starts from, was made."""
        if self.saved is not None:
            said = provenance.check_resumed(self.folder, known, self.data, self.config.root)
            return said if self.world.is_main else []
        if self.config.checkpoint is None or not self.world.is_main:
            return []
        test = cast(data.ImageDataset, self.test.queries)
        config = self.config
        asked = {k: v for k, v in config.dataset_options.items() if k != "division"}
        return provenance.tested(str(config.checkpoint), test, "test", config.root, asked)

    def _first_classes(self, dataset: data.ImageDataset) -> data.ImageDataset:
        count = self.config.classes
        if count is None or count >= dataset.num_classes:
            return dataset
        return dataset.subset_classes(range(count))

    def _with_batch_that_fits(self, num_images: int) -> Method:
        """The recipe; where nobody named a batch size, its batches are no larger than the data."""
        recipe = self.recipe
        whole_groups = "images_per_class" in samplers.options(recipe.sampler)
        if self.config.batch_size or whole_groups or recipe.batch_size <= num_images:
            return recipe
        if self.config.progress and self.world.is_main:
            print(f"batches of {num_images} images, all there are; the recipe has {recipe.batch_size}")
        return replace(recipe, batch_size=num_images)

    def _build_model(self, model: Model | None, channels: int) -> Model:
        """The network of a checkpoint, or else the recipe's."""
        config, recipe = self.config, self.recipe
        if model is None:
            given = config.weights or models.usual_weights(recipe.backbone)
            model = models.create(
                recipe.backbone,
                recipe.embedding_dim,
                weights=None if given == "none" else given,
                normalize=recipe.normalize,
                image_size=config.image_size,
                keep_aspect=recipe.transform == "resized_crop",
                head=recipe.head,
                head_options=recipe.head_options,
                seed=config.seed,
            )
        if model.spec.channels != channels:
            raise DMLTeachError(
                f"{model.spec.backbone} reads {model.spec.channels}-channel images, {config.dataset} has "
                f"{channels}; choose another --backbone."
            )
        return model.to(self.device)

    def _build_objective(self, num_classes: int) -> Objective:
        recipe, dims = self.recipe, self.model.head.dims
        known = losses.options(recipe.loss)
        facts = {"num_classes": num_classes, "embedding_dim": sum(dims), "dims": dims}
        for name in set(facts) & set(recipe.loss_options):
            raise DMLTeachError(
                f"{name} of the {recipe.loss} loss follows from data and network; leave it out."
            )
        options = {k: v for k, v in facts.items() if k in known} | recipe.loss_options
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            loss = losses.create(recipe.loss, **options)
        sampling, das_options = None, dict(recipe.das_options)
        auxiliary = das_options.pop("auxiliary", False)
        check_type("option auxiliary of das", bool, auxiliary)
        if recipe.das:
            check_options("das", das.options(), das_options)
            sampling = das.DAS(num_classes, sum(dims), normalize=recipe.normalize, **das_options)
        memory = CrossBatchMemory(recipe.memory, sum(dims)) if recipe.memory else None
        return Objective(loss, sampling, auxiliary, memory)

    def _check_batch_statistics(self) -> None:
        if not self.model.uses_batch_statistics:
            return
        if self.config.micro_batch:
            raise DMLTeachError(
                "micro_batch would change what batch norm sees; use weights (batch norm is frozen then) "
                "or a backbone without batch norm."
            )
        if self.world.size > 1:
            if self.device.type != "cuda":
                raise DMLTeachError(
                    "batch norm that learns its statistics needs CUDA when several processes train."
                )
            self.model = nn.SyncBatchNorm.convert_sync_batchnorm(self.model)

    def _read_checkpoint(self) -> dict[str, Any] | None:
        saved = checkpoint.read(self.folder)
        if saved is not None and not self.config.resume:
            raise DMLTeachError(
                f"{self.folder} already holds a run; continue it with --resume or choose another --output."
            )
        return saved

    # ── one run, in order ─────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Create the folder, or continue from its checkpoint."""
        identity = _identity(self.config)
        if self.saved is not None:
            with checkpoint.restoring(self.folder):
                self._restore(self.saved, identity)
            if self.other_test:
                self._part_from_old_test()
        self._check_time_to_plan()
        self.resumed, self.saved = self.saved is not None, None
        if not self.resumed:
            self.world.on_main(self._write_config)
            self._initialize_heads()
            self._imprint()

    def _part_from_old_test(self) -> None:
        """Numbers of the test images of before cannot stand beside those of today's."""
        if self.ended and (self.folder / "model.safetensors").exists():
            raise DMLTeachError(
                f"the run in {self.folder} has ended, and its test images have changed since. Its numbers "
                f"stay as they are; for those of today: dmlteach evaluate --checkpoint {self.folder}."
            )
        self.untrained = None

    def _check_time_to_plan(self) -> None:
        """Refuse a limit that the plan of the epoch, if this start begins with one, would mostly use up."""
        minutes = self.config.max_minutes
        if minutes is None or self.planned or self.over() or not self._needs_space():
            return
        rows = self._rows_to_embed()
        count = len(self.images) if rows is None else len(rows)
        share = -(-count // self.world.size)
        seconds = self.world.share(seconds_to_embed(self.model, self.images, share, self.device.type))
        who, cure = f"the {self.recipe.sampler} sampler", "take one that needs none: --sampler class_balanced"
        if self.objective.loss.needs_space:
            who, cure = f"the {self.recipe.loss} loss", "take a method that needs none, e.g. multi_similarity"
        check_first_plan(minutes, seconds, count, who, cure)

    def _initialize_heads(self) -> None:
        """Make the learners of an ensemble independent before training, where the recipe says so."""
        steps, head = self.recipe.head_steps, self.model.head
        if not steps or self.config.checkpoint or not isinstance(head, models.BIERHead):
            return
        generator = torch.Generator().manual_seed(self.config.seed)
        rows = torch.randperm(len(self.images), generator=generator)[:INITIALIZED_ON]
        features = embed(self.model.trunk(), self.images, self.device.type, world=self.world, rows=rows)
        models.initialize_heads(head, features, generator, steps)

    def _imprint(self) -> None:
        """Start the loss's class vectors from a few images of every class, where the recipe says so."""
        if not self.recipe.imprint:
            return
        generator = torch.Generator().manual_seed(self.config.seed)
        labels = self.dataset.labels
        order = torch.randperm(len(labels), generator=generator)
        order = order[labels[order].argsort(stable=True)]  # class by class, at random inside
        starts = torch.bincount(labels).cumsum(0) - torch.bincount(labels)
        place = torch.arange(len(order)) - starts[labels[order]]
        rows = order[place < self.recipe.imprint].sort().values
        found = embed(self.model, self.images, self.device.type, world=self.world, rows=rows)
        self.objective.loss.imprint(Space(found, labels[rows]))

    def measure_untrained(self) -> None:
        """Evaluate the network before its first step on the test classes; a resumed run knows it already.

        Every process does, so that none waits for another. Nothing random is drawn.
        """
        if not self.resumed:
            show = self.config.progress and self.world.is_main
            self.untrained = self.test.measure(self.model, self.device.type, show)

    def plan_epoch(self) -> None:
        """Let sampler and loss prepare, from epoch-start embeddings where one of them needs them."""
        started = time.perf_counter()
        self.begun = self.begun or started
        if not self.planned:
            space = self._space() if self._needs_space() else None
            report: dict[str, Any] = {}
            if self.world.is_main:
                last_loss = self.history[-1]["loss"] if self.history else None
                report = self.sampler.plan(self.epoch, space, last_loss)
            if self.world.size > 1:
                self.sampler.load_state_dict(self.world.share(self.sampler.state_dict()))
            self.objective.loss.plan(self.epoch, space)
            self.meter = Meter(report=report)
            self.step, self.planned = 0, True
            self.meter.plan_seconds = time.perf_counter() - started
        self.batches = list(self.sampler)[: self.recipe.batches_per_epoch]
        if not self.batches:
            self.ended, self.planned = self._no_triplet_left(), False
            self.save()
        frozen = self.epoch < self.recipe.frozen_epochs
        self.model.backbone.requires_grad_(not frozen)
        self.model.train()
        self.meter.clock = time.perf_counter()

    def _needs_space(self) -> bool:
        return self.sampler.needs_space or self.objective.loss.needs_space

    def _rows_to_embed(self) -> Tensor | None:
        return None if self.objective.loss.needs_space else self.sampler.rows_to_embed(self.epoch)

    def _space(self) -> Space:
        """Epoch-start embeddings, with the test-time transform, of the images the sampler looks at."""
        rows = self._rows_to_embed()
        show = self.config.progress and self.world.is_main
        found = embed(self.model, self.images, self.device.type, progress=show, world=self.world, rows=rows)
        if rows is None:
            return Space(found, self.dataset.labels)
        embeddings = torch.full((len(self.dataset), found.shape[1]), torch.nan)
        embeddings[rows] = found
        return Space(embeddings, self.dataset.labels)

    def _no_triplet_left(self) -> str:
        after = f"after {_count(self.epoch, 'epoch')}" if self.epoch else "before the first step"
        size = self.recipe.batch_size
        return (
            f"{after} no batch of the {self.recipe.sampler} sampler held a triplet: in each neighbourhood of "
            f"about {size} images all are of one class, or no two are. A --batch-size above {size} or "
            "--sampler local_classes or class_balanced brings several classes together."
        )

    def remaining_batches(self) -> Iterator[tuple[Batch, Pixels]]:
        """The epoch's batches from where it stands, each with this process's pixels (uint8)."""
        self.bar = tqdm(
            total=len(self.batches),
            initial=self.step,
            desc=f"epoch {self.epoch + 1}/{self.recipe.epochs}",
            unit="batch",
            disable=not (self.batches and self.config.progress and self.world.is_main),
            leave=False,
        )
        return prefetch(
            self.batches[self.step :],
            lambda batch: self.images.gather(batch[self.world.rows(len(batch))]),
            self.device,
        )

    def _learned(self) -> list[nn.Parameter]:
        return [*self.model.parameters(), *self.objective.parameters()]

    def train_on(self, batch: Batch, pixels: Pixels) -> None:
        """One optimiser step on one global batch."""
        self.schedule.apply(self.optimizer, self.epoch + self.step / len(self.batches))
        images = moved(torch.tensor(batch), self.device)
        labels = self.labels[images]
        tuples = batch.tuples.to(self.device) if batch.tuples else None
        # Parameters of the augmentation are drawn for the global batch; each process takes its rows.
        params = self.augmentation.draw(len(batch), torch.Generator().manual_seed(batch.step_seed))
        offset = self.world.rows(len(batch)).start

        def view(rows: slice) -> Tensor:
            mine = pixels[rows.start - offset : rows.stop - offset]
            return self.augmentation.apply(mine, params[rows])

        def objective(embeddings: Tensor) -> Tensor:
            generator = torch.Generator(self.device).manual_seed(batch.step_seed)
            return self.objective(
                embeddings, labels, images, tuples, generator, use_memory=self.epoch >= MEMORY_STARTS
            )

        self.optimizer.zero_grad()
        loss, embeddings = gradient_step(
            self.network, view, len(batch), objective, self.world, self.config.micro_batch,
            self.config.precision == "bf16",
        )  # fmt: skip
        if self.recipe.clip is not None:
            nn.utils.clip_grad_value_(self._learned(), self.recipe.clip)
        if self.recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self._learned(), self.recipe.clip_norm)
        self.optimizer.step()

        if self.step % STATS_EVERY == 0:
            self.meter.stats.append(self.objective.loss.stats(embeddings, labels, tuples))
        self.recent.append((self.epoch, self.step, list(batch)))
        self.step += 1
        self.meter.images += len(batch)
        self._read_last_loss()
        self.pending = DelayedScalar(loss)
        self.bar.update()

    def _read_last_loss(self) -> None:
        """Look at the loss one step late, so that the device need not wait; stop at the first NaN."""
        if self.pending is None:
            return
        value, self.pending = self.pending.read(), None
        self.meter.losses.append(value)
        if not math.isfinite(value):  # on every process, in the same step
            if self.world.is_main:
                names = ("epoch", "step", "images")
                rows = [dict(zip(names, b, strict=True)) for b in self.recent]
                files.write_json(self.folder / "nan_batches.json", rows)
            raise DMLTeachError(
                f"the loss became {value} in epoch {self.epoch}, step {self.step}; the last batches are "
                f"listed in {self.folder / 'nan_batches.json'}. Lower --learning-rate, or resume from the "
                "last checkpoint."
            )
        if self.step % STATS_EVERY == 1 and not self.bar.disable:
            self.bar.set_postfix(self.meter.brief(), refresh=False)

    def out_of_time(self, needed: float = 0.0) -> bool:
        """Whether `max_minutes` leave no time for what needs so many seconds; the same in every process."""
        if self.config.max_minutes is not None:
            self.timed_out = self.world.share(self._seconds_here() + needed >= 60 * self.config.max_minutes)
        return self.timed_out

    def over(self) -> bool:
        """Whether training has ended, for good or (until it is resumed) by the time limit."""
        return self.ended is not None or self.timed_out

    def epoch_is_complete(self) -> bool:
        """Whether all batches of the epoch are done; one without batches never is."""
        return 0 < len(self.batches) == self.step

    def save_if_due(self, stop: threading.Event) -> None:
        """Save every `save_every` seconds, and when asked to stop; all processes at the same step."""
        due = time.perf_counter() - self.last_save > self.config.save_every
        if due:
            self.last_save = time.perf_counter()
        stopping, saving = self.world.any_late(stop.is_set(), due)
        if stopping or saving:
            self.save()
        self.stop_if(stopping)

    def stop_if(self, asked: bool) -> None:
        """End here, where the checkpoint stands, if that was asked: by all processes, or by what they share.

        Raises:
            KeyboardInterrupt: it was asked.
        """
        if not asked:
            return
        self.bar.close()
        raise KeyboardInterrupt(f"stopped; {self.folder} is saved, continue with --resume")

    def end_epoch(self) -> None:
        """Close the epoch: its row of metrics, schedule, early stopping, evaluation on val, checkpoint."""
        self._read_last_loss()
        self.bar.close()
        # The rate is the optimiser's: a checkpoint may stand after the last step, and then none follows it.
        rate = self.optimizer.param_groups[0]["lr"]
        row = {"epoch": self.epoch, "lr": rate, **self.meter.summary()}
        if self.val is not None and (self.epoch + 1) % self.config.eval_every == 0:
            row["val"] = self.val.measure(self.model, self.device.type)
        self.schedule.epoch_ended(row["loss"])
        stopped_early = self.early_stopping.epoch_ended(row["loss"])
        row["elapsed"] = self._seconds()
        self.history.append(row)
        self.epoch, self.step, self.planned = self.epoch + 1, 0, False
        self.ended = self._nothing_left(stopped_early)
        self.save()
        self.world.on_main(self._write_metrics)
        self.out_of_time(needed=row["plan_seconds"])  # the next plan takes about as long
        if self.config.progress and self.world.is_main:
            line = f"epoch {self.epoch}: loss {row['loss']:.4f}, {row['images_per_second']:.0f} images/s"
            print(line + (f", val {_first_recall(row['val'])}" if "val" in row else ""))

    def _nothing_left(self, stopped_early: bool) -> str | None:
        """Why training ends after this epoch, or None."""
        if self.epoch >= self.recipe.epochs:
            only = self.recipe.epochs == 1
            return "its one epoch is trained." if only else f"all {self.recipe.epochs} epochs are trained."
        if stopped_early:
            waited = _count(self.recipe.early_stopping or 0, "epoch")
            return f"early stopping: no better training loss in the last {waited}."
        return None

    def finish(self) -> Result:
        """Write the weights, evaluate the last state on the test classes, and return."""
        if self.planned:  # the time limit came inside an epoch
            self.bar.close()
            self.save()
        final: dict[str, Any] = {
            "train_seconds": self.train_seconds,
            "epochs": self.epoch,
            "steps": self._steps(),
            "ended": self.ended or self._time_is_up(),
        }
        if self.world.is_main:
            if self.config.progress:
                print(f"training has ended: {final['ended']}")
            self._hold_folder()
            models.save(self.model, self.folder / MODEL)
            final |= self.test.measure(self.model, self.device.type, self.config.progress)
            self._write_what_is_missing()
            self._write_metrics(final)
        return Result(self.folder, self._metrics(final), self.model.eval())

    def _time_is_up(self) -> str:
        steps = f"{_count(self._steps(), 'step')} ({_count(self.epoch, 'epoch')}"
        steps += f" and {self.step:,} of the {len(self.batches):,} of the next)" if self.step else ")"
        return (
            f"--max-minutes {self.config.max_minutes:g} ended it after {steps}; --resume goes on from there."
        )

    def _steps(self) -> int:
        """Optimizer steps of all starts together."""
        return sum(row["steps"] for row in self.history) + self.step

    def _seconds_here(self) -> float:
        """Seconds of training in this start."""
        return 0.0 if self.begun is None else time.perf_counter() - self.begun

    def _seconds(self) -> float:
        """Seconds of training of all starts together."""
        return self.elapsed + self._seconds_here()

    # ── files ─────────────────────────────────────────────────────────────────────────────────────

    def save(self) -> None:
        """Replace the checkpoint. The last loss is read first, so that a NaN is never saved."""
        self._read_last_loss()
        self.last_save = time.perf_counter()
        self.train_seconds = self._seconds()
        self.world.on_main(self._write_checkpoint)

    def _write_checkpoint(self) -> None:
        self._hold_folder()
        checkpoint.write(
            self.folder,
            {
                "dmlteach": 1,
                "config": _identity(self.config),
                "threads": torch.get_num_threads(),
                "model": self.model.state_dict(),
                "objective": self.objective.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "schedule": self.schedule.state_dict(),
                "early_stopping": self.early_stopping.state_dict(),
                "sampler": self.sampler.state_dict(),
                "position": (self.epoch, self.step, self.planned),
                "ended": self.ended,
                "meter": self.meter.state_dict(),
                "untrained": self.untrained,
                "history": self.history,
                "elapsed": self.train_seconds,
            },
        )

    def _hold_folder(self) -> None:
        """Be sure of the folder before writing; one that somebody has removed is made and described anew."""
        if not self.lock.take():
            raise _occupied(self.folder)
        if not all((self.folder / name).exists() for name in ("config.json", provenance.FILE)):
            self._write_config()

    def _write_what_is_missing(self) -> None:
        """Complete a folder that somebody has removed since the last epoch."""
        self._hold_folder()
        if not (self.folder / checkpoint.FILE).exists():
            self._write_checkpoint()
        if not (self.folder / MODEL).exists():
            models.save(self.model, self.folder / MODEL)

    def _write_config(self) -> None:
        network = asdict(self.model.spec)
        described = {"config": asdict(self.config), "recipe": asdict(self.recipe), "network": network}
        described |= {"made_with": environment(self.device)}
        files.write_json(self.folder / "config.json", described)
        files.write_json(self.folder / provenance.FILE, self.data)

    def _restore(self, saved: dict[str, Any], identity: dict[str, Any]) -> None:
        different = [k for k in identity if saved["config"].get(k) != identity[k]]
        if different:
            was = ", ".join(f"{k}={saved['config'].get(k)!r}, not {identity[k]!r}" for k in different)
            raise DMLTeachError(
                f"the run in {self.folder} was made with {was}; resume it with the same options (None: as "
                "the recipe says), start from its weights with --checkpoint, or choose another --output."
            )
        if self.device.type == "cpu" and saved["threads"] != torch.get_num_threads():
            warnings.warn(
                f"the run was made with {saved['threads']} threads, not {torch.get_num_threads()}: "
                "results may differ in the last bits.",
                stacklevel=2,
            )
        self.model.load_state_dict(saved["model"])
        self.objective.load_state_dict(saved["objective"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.schedule.load_state_dict(saved["schedule"])
        self.early_stopping.load_state_dict(saved["early_stopping"])
        self.epoch, self.step, self.planned, *stopped_early = saved["position"]
        # Runs made before kept no reason, but whether early stopping had ended them.
        self.ended = saved["ended"] if "ended" in saved else self._nothing_left(any(stopped_early))
        self.sampler.load_state_dict(saved["sampler"])
        self.meter = Meter.from_state(saved["meter"])
        self.history = saved["history"]
        self.elapsed = self.train_seconds = saved["elapsed"]
        self.untrained = saved.get("untrained")  # not measured in runs made before
        if self.objective.das is not None and "ended" not in saved:
            self.objective.das.detach = self.recipe.das_options.get("detach", True)  # the default then

    def _metrics(self, final: dict[str, Any] | None) -> dict[str, Any]:
        content = {"untrained": self.untrained, "epochs": self.history, "final": final}
        return {part: numbers for part, numbers in content.items() if numbers is not None}

    def _write_metrics(self, final: dict[str, Any] | None = None) -> None:
        files.write_json(self.folder / "metrics.json", self._metrics(final))
        files.write_json_lines(self.folder / "metrics.jsonl", self.history)
        if self.config.tensorboard and self.history:
            _write_tensorboard(self.folder, self.history)


def _folder(config: TrainConfig) -> Path:
    return Path(config.output or f"runs/{config.method}-{config.dataset}-{config.seed}")


@contextmanager
def _folder_to_itself(config: TrainConfig, world: distributed.World) -> Iterator[files.Lock]:
    """Nobody else trains in the run's folder meanwhile; what a kill left half-written there is removed."""
    folder = _folder(config)
    lock = files.Lock(folder)

    def take() -> None:
        if not lock.take():
            raise _occupied(folder)
        files.remove_unfinished(folder)

    try:
        world.on_main(take)
        yield lock
    finally:
        lock.release()


def _occupied(folder: Path) -> DMLTeachError:
    return DMLTeachError(
        f"another training is at work in {folder}; wait until it has ended, or choose another --output."
    )


def _check_classes(dataset: data.ImageDataset) -> None:
    sizes = torch.bincount(dataset.labels)
    if len(sizes) < 2:
        raise DMLTeachError(f"{dataset.name} has one class only; metric learning compares classes.")
    if sizes.max() < 2:
        raise DMLTeachError(
            f"every class of {dataset.name} has one image only: no image has a positive. "
            "Add images, or merge classes."
        )


def _first_recall(numbers: dict[str, Any]) -> str:
    name = next(name for name in numbers if name.startswith("recall@"))
    return f"{name.capitalize()} {numbers[name]:.3f}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + "s" * (number != 1)


def _identity(config: TrainConfig) -> dict[str, Any]:
    """The options that a resumed run must share with the interrupted one."""
    free = {*FREE}
    if config.checkpoint:  # runs made before were given these in vain
        free |= set(OF_THE_CHECKPOINT)
    identity = {k: v for k, v in asdict(config).items() if k not in free}
    if config.recall_at is not None:  # "1,2" and (1, 2) are the same
        identity["recall_at"] = recall.parse(config.recall_at)
    return identity


def _tensorboard_writer() -> Any:
    """TensorBoard's class; asked for before training too, so that a missing package is told at once."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise DMLTeachError("--tensorboard needs TensorBoard: pip install 'dmlteach[tensorboard]'.") from None
    return SummaryWriter


def _write_tensorboard(folder: Path, history: list[dict[str, Any]]) -> None:
    row = history[-1]
    with _tensorboard_writer()(folder / "tensorboard") as writer:
        for key, value in {**row, **row.get("val", {})}.items():
            if isinstance(value, int | float) and key != "epoch":
                writer.add_scalar(key, value, row["epoch"])


@contextmanager
def _stop_on_signal(stop: threading.Event) -> Iterator[threading.Event]:
    """Let Ctrl-C (or SIGTERM) set the event; a second Ctrl-C interrupts at once."""
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(signum, frame):
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
