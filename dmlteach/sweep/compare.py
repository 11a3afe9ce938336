"""Runs beside each other: means over seeds with their intervals, and differences seed by seed."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dmlteach import foreign
from dmlteach.errors import DMLTeachError, counted, unknown_name
from dmlteach.files import damaged, read_json
from dmlteach.metrics import difference_by_seed, mean_and_interval
from dmlteach.sweep.grid import USUAL, aside_of, short
from dmlteach.sweep.index import FILE, Index
from dmlteach.sweep.kept import check_metrics, check_options
from dmlteach.train.config import TrainConfig
from dmlteach.train.option import RECIPE

ON = {"test": "final", "val": "val"}  # classes → the part of a run's metrics that was measured on them
RESUME = "Resume the run with --resume: it writes the file anew from its checkpoint."
Option = tuple[str, ...]


class Finished(NamedTuple):
    """A run that is done: where it lies, its options beside the usual ones, and what it measured."""

    place: Path
    options: dict[str, Any]
    metrics: dict[str, Any]


@dataclass
class Setting:
    """Runs that differ in their seed alone.

    Attributes:
        name: what tells it from the others.
        told: the same by option: its method, and what not all others share.
        values: the measure, by seed.
        untrained: the same of the network before its first step, where it is known.
        places: folders of the runs, by seed.
    """

    name: str
    told: dict[str, str]
    values: dict[int, float] = field(default_factory=dict)
    untrained: dict[int, float] = field(default_factory=dict)
    places: dict[int, Path] = field(default_factory=dict)

    def in_words(self, measure: str) -> str:
        """Its mean with half of the 95 % interval.

        Args:
            measure: what the values are.
        """
        return _in_words(*mean_and_interval([*self.values.values()]), measure)


class Difference(NamedTuple):
    """Mean difference over the seeds that two settings share, half of its 95 % interval, and their number."""

    mean: float
    half: float
    seeds: int

    @property
    def is_told(self) -> bool:
        """Whether the interval excludes 0: otherwise so many seeds cannot tell which of the two is better."""
        return self.seeds > 1 and abs(self.mean) > self.half

    def in_words(self, measure: str) -> str:
        """Itself, and what it tells.

        Args:
            measure: what the values are.
        """
        if self.seeds == 0:
            return "no seed in common"
        told = "" if self.is_told else f"; cannot be told from {counted(self.seeds, 'seed')}"
        return _in_words(self.mean, self.half, measure, sign="+") + told


@dataclass
class Table:
    """Settings that were measured on one test set, the best mean first.

    Attributes:
        dataset: its name.
        num_classes, num_queries: what was searched.
        on: "test" or "val".
        measure: what the numbers are.
        settings: with their values.
    """

    dataset: str
    num_classes: int
    num_queries: int
    on: str
    measure: str
    settings: list[Setting]

    def untrained(self) -> float | None:
        """Mean over all runs of the network before its first step; None where it was not measured."""
        known = [value for setting in self.settings for value in setting.untrained.values()]
        return float(np.mean(known)) if known else None

    def is_share(self) -> bool:
        """Whether the measure is a fraction, as Recall@1 is."""
        return is_share(self.measure)

    def called(self) -> str:
        """The measure as it is written in texts: Recall@1, MAP@R."""
        return {"map@r": "MAP@R"}.get(self.measure, self.measure.replace("recall@", "Recall@"))

    def title(self) -> str:
        """What was measured, among how many classes, and what the untrained network has there."""
        among = f"{self.num_queries:,} images of {self.num_classes:,} {self.on} classes"
        text = f"{self.called()} on {self.dataset}, {among}"
        if not self.is_share():
            return text
        before = self.untrained()
        return f"{text}; untrained " + ("was not measured" if before is None else f"{before:.3f}")

    def grid(self) -> tuple[str, str, dict[tuple[str, str], list[float]]] | None:
        """The values by two options, where exactly two are not the same in all settings."""
        options = dict.fromkeys(option for setting in self.settings for option in setting.told)
        varied = [o for o in options if len({setting.told.get(o) for setting in self.settings}) > 1]
        if len(varied) != 2:
            return None
        rows, columns = varied
        cells = {
            (s.told.get(rows, RECIPE), s.told.get(columns, RECIPE)): [*s.values.values()]
            for s in self.settings
        }
        return rows, columns, dict(sorted(cells.items(), key=lambda cell: (cell[0][0], _number(cell[0][1]))))


def read(paths: Iterable[str | Path]) -> tuple[list[Finished], int]:
    """The runs of sweeps, and runs by themselves.

    Args:
        paths: folders of either.

    Returns:
        Runs that are done; how many of the sweeps are not.

    Raises:
        DMLTeachError: a folder is neither, or its run has not come to an end.
    """
    found, missing = [], 0
    for path in map(Path, paths):
        if (path / FILE).is_file():
            with Index(path, make=False) as index:
                rows = index.rows()
            done = [row for row in rows if row.state == "done" and row.metrics]
            found += [Finished(path / row.folder, row.config, row.metrics or {}) for row in done]
            missing += len(rows) - len(done)
        else:
            found.append(_run(path))
    if not found:
        raise DMLTeachError("no run of these is done yet; start the sweep again.")
    return found, missing


def tables(runs: Sequence[Finished], measure: str = "recall@1", on: str = "test") -> list[Table]:
    """Runs by what they were measured on, and there by everything but their seed.

    Args:
        runs: that are done.
        measure: a number of metrics.json, e.g. "recall@1", "map@r" or "train_seconds".
        on: "test" or "val", classes that are held out of the training.

    Raises:
        DMLTeachError: the measure is not known of a run, or two runs differ in nothing that is known.
    """
    if on not in ON:
        raise unknown_name("held-out classes", on, ON)
    told = _told([run.options for run in runs])
    found: dict[tuple, Table] = {}
    settings: dict[tuple, Setting] = {}
    for run, options in zip(runs, told, strict=True):
        name = " ".join(v if k == "method" else f"{k}={v}" for k, v in options.items())
        numbers = run.metrics.get(ON[on])
        if not numbers:
            raise DMLTeachError(
                f"{run.place} was not measured on {on} classes; train with --eval-every 1, or take test."
            )
        known = [key for key, value in numbers.items() if isinstance(value, int | float)]
        if measure not in known:
            raise unknown_name(f"measure of {run.place}", measure, known)
        dataset, seed = (
            run.options.get("dataset", TrainConfig.dataset),
            run.options.get("seed", TrainConfig.seed),
        )
        about = dataset, numbers["num_classes"], numbers["num_queries"]
        table = found.setdefault(about, Table(*about, on, measure, []))
        if (about, name) not in settings:
            settings[about, name] = Setting(name, options)
            table.settings.append(settings[about, name])
        setting = settings[about, name]
        if seed in setting.values:
            raise DMLTeachError(
                f"{setting.places[seed]} and {run.place} are the same training ({name}, seed {seed}); "
                "name one of them."
            )
        setting.values[seed], setting.places[seed] = float(numbers[measure]), run.place
        before = (run.metrics.get("untrained") or {}).get(measure)
        if before is not None and on == "test":
            setting.untrained[seed] = float(before)
    for table in found.values():
        table.settings.sort(key=lambda setting: -mean_and_interval([*setting.values.values()])[0])
    return list(found.values())


def difference(setting: Setting, reference: Setting) -> Difference:
    """Setting minus reference, seed by seed.

    Args:
        setting, reference: seeds that only one of them has count for nothing.
    """
    return Difference(*difference_by_seed(setting.values, reference.values))


def _run(path: Path) -> Finished:
    """A run folder by itself."""
    if not (path / "config.json").is_file() or not (path / "metrics.json").is_file():
        raise DMLTeachError(
            f"{path} is neither the folder of a sweep ({FILE}) nor of a run (config.json, metrics.json)."
        )
    config = read_json(path / "config.json", RESUME)
    metrics = read_json(path / "metrics.json", RESUME)
    if isinstance(metrics, dict) and not metrics.get("final"):
        raise DMLTeachError(f"the run in {path} has not come to an end; continue it with --resume.")
    try:
        given = config["config"]
        options = check_options({name: value for name, value in given.items() if value != USUAL.get(name)})
        last = metrics["epochs"][-1].get("val") if metrics["epochs"] else None
        kept = {"final": metrics["final"], "untrained": metrics.get("untrained"), "val": last}
        return Finished(path, options, check_metrics(kept))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise damaged(path, f"its config.json or metrics.json: {error}", RESUME) from error


def _told(options: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """What tells each run from the others beside its seed: its method, and options that not all share."""
    flat = [_flat(one) for one in options]
    every = dict.fromkeys(key for one in flat for key in one)
    told = [key for key in every if len({json.dumps(one.get(key), default=str) for one in flat}) > 1]
    names = {key: ".".join(key) if [k[-1] for k in told].count(key[-1]) > 1 else key[-1] for key in told}
    return [
        {"method": str(one.get(("method",), TrainConfig.method))}
        | {names[key]: short(_called(one[key])) for key in told if key in one and key != ("method",)}
        for one in flat
    ]


def _called(value: Any) -> Any:
    return foreign.called(value) if foreign.is_foreign(value) else value


def _flat(options: Mapping[str, Any]) -> dict[Option, Any]:
    """Options by (name,) or (option, name in it), without seed and data set, and what changes no result."""
    flat: dict[Option, Any] = {}
    aside = aside_of(options.get("dataset", TrainConfig.dataset))
    for name, value in options.items():
        if name in ("seed", "dataset") or name in aside:
            continue
        if isinstance(value, dict):
            flat |= {(name, key): one for key, one in value.items()}
        else:
            flat[name,] = value
    return flat


def is_share(measure: str) -> bool:
    """Whether a measure is a fraction.

    Args:
        measure: its name in metrics.json.
    """
    return measure.startswith("recall@") or measure in ("map@r", "r_precision")


def _in_words(mean: float, half: float, measure: str, sign: str = "") -> str:
    digits = f"{sign}.{3 if is_share(measure) else 1}f"
    return f"{mean:{digits}}" + (f" ± {half:{digits[-3:]}}" if np.isfinite(half) else "")


def _number(text: str) -> tuple[float, str]:
    try:
        return float(text), ""
    except ValueError:
        return float("inf"), text
