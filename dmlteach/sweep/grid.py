"""What a sweep runs: values of options crossed with each other, each run with a name and a hash."""

import hashlib
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import torch

from dmlteach import foreign, losses, models
from dmlteach.errors import DMLTeachError
from dmlteach.evaluation import recall
from dmlteach.methods import ENSEMBLES, Group, Method
from dmlteach.models import Model
from dmlteach.objective import das
from dmlteach.options import check_options
from dmlteach.sweep.choices import MOST, Choices, choices
from dmlteach.train.config import FREE, TrainConfig
from dmlteach.train.given import sources
from dmlteach.train.load import load
from dmlteach.train.optim import Schedule
from dmlteach.train.recipe import check_values, loss_options, resolve, start_of

# What changes nothing of the result; a limit on the minutes does, though a second start may have another.
ASIDE = frozenset(FREE) - {"max_minutes"}
USUAL = vars(TrainConfig())
LONGEST_NAME = 120  # of a run's folder, without its seed and hash


@dataclass(frozen=True)
class Planned:
    """A run of a sweep.

    Attributes:
        hash: of all that decides its result.
        folder: its name in the folder of the sweep.
        config: what is trained.
        recipe: what that comes to.
    """

    hash: str
    folder: str
    config: TrainConfig
    recipe: Method


def plan(tables: Iterable[Mapping[str, Any]]) -> list[Planned]:
    """The runs of a sweep: all values of each table crossed, every setting with its first seed before any
    with its second; what would train the same twice is there once.

    Args:
        tables: what `choices` takes.

    Raises:
        DMLTeachError: an option that is none, or a run that could not begin, and which.
    """
    read = [choices(table) for table in tables]
    several, checks = varied(read), _Checks()
    runs: dict[str, tuple[int, Planned]] = {}
    for found in read:
        seeds = list(dict.fromkeys(found.pop(("seed",), [TrainConfig.seed])))
        if math.prod(map(len, found.values())) * len(seeds) > MOST:
            raise DMLTeachError(f"these values make more than {MOST:,} runs; sweep over fewer of them.")
        for setting in product(*found.values()):
            values = dict(zip(found, setting, strict=True))
            for place, run in enumerate(_over_seeds(values, seeds, several, checks)):
                runs.setdefault(run.hash, (place, run))
    return [run for _, run in sorted(runs.values(), key=lambda pair: pair[0])]


def varied(tables: Sequence[Choices]) -> list[tuple[str, ...]]:
    """Options that do not have one value in all of a sweep; method, data set and seed apart.

    Args:
        tables: as `choices` gives them.
    """
    every = dict.fromkeys(key for table in tables for key in table)
    several = [k for k in every if len({json.dumps(t.get(k), default=str) for t in tables}) > 1]
    several += [k for k in every if any(len(t.get(k, [])) > 1 for t in tables)]
    return [k for k in every if k in several and k not in (("method",), ("dataset",), ("seed",))]


def config_of(values: Mapping[tuple[str, ...], Any]) -> TrainConfig:
    """A configuration with some values.

    Args:
        values: by (option,) or (option, name in it).
    """
    given: dict[str, Any] = {}
    for (name, *option), value in values.items():
        if option:
            given.setdefault(name, {})[option[0]] = value
        else:
            given[name] = value
    return TrainConfig(**given)


def check_data(runs: Iterable[Planned]) -> None:
    """Load what the runs learn from and are measured on, once each, so that none fails on it later.

    Args:
        runs: that are to be trained.

    Raises:
        DMLTeachError: a data set is not there, or cannot be used as a run asks for.
    """
    told = ("dataset", "root", "dataset_options", "classes", "recall_at", "checkpoint")
    seen = set()
    for run in runs:
        about = [getattr(run.config, name) for name in told]
        key = json.dumps([*about, bool(run.config.eval_every), run.recipe.train_options], default=str)
        if key not in seen:
            seen.add(key)
            with _naming(run.config):
                load(run.config, run.recipe, None)


def hash_of(config: TrainConfig, recipe: Method) -> str:
    """Hash of all that decides a run's result: the resolved recipe, data set, seed and further options; not
    where files lie, on which device it trains and what is shown.

    What is unset counts for nothing, so an option that is new to the package changes no hash.

    Args:
        config: of the run.
        recipe: what it comes to.
    """
    return _hash(_decisive(config, recipe))


def aside_of(dataset: str) -> frozenset[str]:
    """Options that change nothing of the result. Where images lie does, if they are known by nothing else.

    Args:
        dataset: our id, "folder", or a name of the user's.
    """
    return ASIDE - {"root"} if dataset == "folder" or foreign.is_foreign(dataset) else ASIDE


def _decisive(config: TrainConfig, recipe: Method) -> dict[str, Any]:
    """What decides a result, as JSON holds it."""
    own = {k: v for k, v in vars(config).items() if k not in aside_of(config.dataset)} | vars(recipe)
    if own.get("root"):
        own["root"] = str(Path(own["root"]).expanduser().absolute())
    if config.recall_at is not None:  # "1,2" and (1, 2) are the same
        own["recall_at"] = recall.parse(config.recall_at)
    own |= {"paper": None, "checkpoint": _content(config.checkpoint), "weights": _content(config.weights)}
    for part, source in sources(config).items():  # wherever the file lies, its content decides
        own |= {f"source of the {part}": source["sha256"]}
        if part in own:
            own[part] = foreign.called(source["name"])
    return {name: _plain(value) for name, value in own.items() if value}


def _hash(own: dict[str, Any]) -> str:
    known = {name: value for name, value in own.items() if value}
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


class _Checks:
    """Resolves settings. What several of them share is looked at once: networks to start from, parts."""

    def __init__(self) -> None:
        self.starts: dict[tuple[str | None, str | None], Model | None] = {}
        self.parts: set[str] = set()

    def recipe(self, config: TrainConfig) -> Method:
        start = None
        if config.checkpoint:
            check_values(config)
            named = config.checkpoint, config.backbone
            if named not in self.starts:
                self.starts[named] = start_of(config)
            start = self.starts[named]
        recipe = resolve(config, start)
        if config.recall_at is not None and 1 not in recall.parse(config.recall_at):
            raise DMLTeachError("a sweep ranks its runs by Recall@1; let recall_at hold 1.")
        asked = [recipe.loss, recipe.loss_options, recipe.das, recipe.das_options, recipe.embedding_dim]
        asked += [recipe.schedule, recipe.schedule_options]
        if (key := json.dumps(asked, default=str)) not in self.parts:
            _check_parts(recipe)
            self.parts.add(key)
        return recipe


def _over_seeds(
    values: Mapping[tuple[str, ...], Any],
    seeds: Sequence[int],
    several: Sequence[tuple[str, ...]],
    checks: _Checks,
) -> Iterator[Planned]:
    """One setting with each seed."""
    config = config_of(values)
    with _naming(config):
        recipe = checks.recipe(config)
    shown = [f"{key[-1]}={short(values[key])}" for key in several if values.get(key) is not None]
    name = re.sub(r"[^\w.+=-]", "_", "-".join([config.method, config.dataset, *shown]))[:LONGEST_NAME]
    own = _decisive(config, recipe)
    for seed in seeds:
        hash = _hash(own | {"seed": seed})
        yield Planned(hash, f"{name}-{seed}-{hash[:8]}", replace(config, seed=seed), recipe)


@contextmanager
def _naming(config: TrainConfig) -> Iterator[None]:
    """Within it, an error names the run that it is about."""
    try:
        yield
    except DMLTeachError as error:
        raise DMLTeachError(f"the run with {in_words(config)} cannot begin: {error}") from error


def in_words(config: TrainConfig) -> str:
    """What a configuration says beside its defaults: "method=sst, dataset=omniglot, learning_rate=0.001".

    Args:
        config: of a run.
    """
    told = {"method": config.method, "dataset": config.dataset} | given_of(config)
    return ", ".join(f"{name}={short(value)}" for name, value in told.items())


def given_of(config: TrainConfig) -> dict[str, Any]:
    """Options of a run that are not the usual ones.

    Args:
        config: of the run.
    """
    return {name: value for name, value in vars(config).items() if value != USUAL[name]}


def anywhere(options: Mapping[str, Any]) -> dict[str, Any]:
    """The same options, with files under names that hold in other folders too.

    Args:
        options: of a run, or those of its loss.
    """
    return {
        name: anywhere(value)
        if isinstance(value, Mapping)
        else os.path.abspath(value)
        if name in ("checkpoint", "weights") and isinstance(value, str) and os.path.exists(value)
        else foreign.absolute(value)
        for name, value in options.items()
    }


def _check_parts(recipe: Method) -> None:
    """Refuse options of parts that are made when a training begins: it must not be found out then."""
    if recipe.loss in ENSEMBLES:
        check_options(f"the {recipe.loss} loss", losses.options(recipe.loss), recipe.loss_options)
    else:
        options = loss_options(recipe, 2, (recipe.embedding_dim or 2,))
        with torch.random.fork_rng(devices=[]):
            losses.create(recipe.loss, **options)
    if recipe.das:
        check_options("das", das.options(), recipe.das_options, ["auxiliary"])
    Schedule(recipe.schedule, recipe.schedule_options, recipe.epochs)


def short(value: Any) -> str:
    """A value in few signs.

    Args:
        value: of an option.
    """
    return f"{value:g}" if isinstance(value, float) else str(value)


def _content(path: str | None) -> str | None:
    """Hash of what a file holds, wherever it lies; a name that is none stays as it is."""
    if path is None:
        return None
    file = os.path.join(path, models.MODEL_FILE) if os.path.isdir(path) else path
    if not os.path.isfile(file):
        return path
    about = os.stat(file)
    return _digest(file, about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=16)
def _digest(file: str, changed: int, size: int) -> str:
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _plain(value: Any) -> Any:
    """The same as JSON holds it; 1.0 and 1 are one number."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, Group):
        return _plain(vars(value))
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
