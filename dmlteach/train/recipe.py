"""From options to a recipe: which values mean something, and what a method, its data and a user come to."""

from dataclasses import asdict, fields, replace
from typing import Any

from dmlteach import data, foreign, losses, methods, models, samplers
from dmlteach.errors import DMLTeachError
from dmlteach.evaluation import recall
from dmlteach.methods import PARTS, Group, Method
from dmlteach.models import Model
from dmlteach.options import check_seed, check_type, one_of, positive
from dmlteach.train.config import FREE, OF_THE_CHECKPOINT, TrainConfig
from dmlteach.train.option import about


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
    shared = {f.name for f in fields(Method)} & {f.name for f in fields(config)}
    given = {k: getattr(config, k) for k in shared if getattr(config, k) not in (None, {})}
    for part in ("loss", "sampler", "head", "das"):
        given[f"{part}_options"] = getattr(recipe, f"{part}_options") | getattr(config, f"{part}_options")
    if "schedule" in given and given["schedule"] != recipe.schedule:
        given["schedule_options"] = {}
    groups = {
        part: replace(recipe.groups.get(part, Group()), factor=float(factor))
        for part, factor in config.rate_factors.items()
    }
    recipe = replace(recipe, groups=recipe.groups | groups, **given)
    if config.imprint is None and not methods.has_class_vectors(recipe.loss):
        recipe = replace(recipe, imprint=0)  # another loss was chosen than the method's
    if start is not None:
        recipe = _with_network(recipe, start, config)
    methods.check_combination(recipe)
    samplers.check_options(recipe.sampler, recipe.sampler_options)
    return recipe


def start_of(config: TrainConfig) -> Model | None:
    """The network from which a run starts, whose backbone may be the user's own; None: a new one.

    Args:
        config: of the run.

    Raises:
        DMLTeachError: it is not there, or cannot be used.
    """
    own = config.backbone if foreign.is_foreign(config.backbone) else None
    return models.load(config.checkpoint, own) if config.checkpoint else None


def loss_options(recipe: Method, num_classes: int, dims: tuple[int, ...]) -> dict[str, Any]:
    """Options of a recipe's loss, with what it asks for that data and network tell.

    Args:
        recipe: of the run.
        num_classes: of the data.
        dims: size of the embedding of each learner.

    Raises:
        DMLTeachError: one of the latter was given.
    """
    facts = {"num_classes": num_classes, "embedding_dim": sum(dims), "dims": dims}
    facts |= {"embedding_size": sum(dims)}  # as pytorch-metric-learning calls it
    for name in facts.keys() & recipe.loss_options:
        raise DMLTeachError(f"{name} of the {recipe.loss} loss follows from data and network; leave it out.")
    known = losses.options(recipe.loss)
    return {name: value for name, value in facts.items() if name in known} | recipe.loss_options


def check_values(config: TrainConfig) -> None:
    """Refuse values of options that mean nothing, before data and network are looked at.

    Raises:
        DMLTeachError: the first such option, and the values it takes.
    """
    for option in fields(config):
        check_type(option.name, option.type, getattr(config, option.name))
    for option in fields(config):
        about(option).check(option.name, getattr(config, option.name))
    for part, factor in config.rate_factors.items():
        one_of("part with a rate", part, PARTS)
        check_type(f"the rate factor of {part}", float, factor)
        positive(f"the rate factor of {part}", factor)
    check_seed(config.seed)
    if config.recall_at is not None:
        recall.parse(config.recall_at)
    data.check_options(config.dataset, config.dataset_options)


def _with_network(recipe: Method, start: Model, config: TrainConfig) -> Method:
    """The recipe with the network of a checkpoint, and a transform that crops what it reads."""
    spec = start.spec
    for name in OF_THE_CHECKPOINT:
        given = getattr(config, name)
        named = name == "backbone" and foreign.is_foreign(given)  # so that it may be run
        if given not in (None, {}) and not named:
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
