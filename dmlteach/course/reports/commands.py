"""Command lines that repeat a report or a training."""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from dmlteach.train import TrainConfig

# Parameters of the report that are no options of a training, with their defaults in the notebook.
OWN = {"baseline": None, "num_queries": 6, "map_points": 2000, "show_images": "permitted"}
OF_COMPARISON = {"runs": None, "measure": "recall@1", "on": "test", "against": None}  # of that of many runs
OPTIONS = ("method", "dataset", "root", "checkpoint", "epochs", "max_minutes", "batch_size", "seed", "device")


def report(chosen: Mapping[str, Any]) -> str:
    """The command line that makes this report again.

    Args:
        chosen: all parameters of the report.
    """
    defaults = asdict(TrainConfig()) | OWN
    shown = ("dataset",) if chosen.get("checkpoint") else ("method", "dataset")
    words = ["dmlteach", "report"]
    for name, value in chosen.items():
        if name not in shown and (value is None or value == defaults.get(name)):
            continue
        option = f"--{name.replace('_', '-')}"
        words += [option, str(value)] if name in OPTIONS else ["--parameter", f"{name}={_text(value)}"]
    return shlex.join(words)


def comparison(chosen: Mapping[str, str | None]) -> str:
    """The command line that compares these runs again.

    Args:
        chosen: all parameters of the comparison.
    """
    words = ["dmlteach", "report", "--comparison"]
    for name, value in chosen.items():
        if value != OF_COMPARISON[name]:
            words += ["--parameter", f"{name}={value}"]
    return shlex.join(words)


def as_parameters(sentence: str) -> str:
    """A sentence of the trainer, with `--eval-every 0` as the report's command line takes it.

    Args:
        sentence: perhaps with options of `dmlteach train` and a number for each.
    """
    known = {field.name for field in fields(TrainConfig)} - {*OPTIONS}

    def written(option: re.Match) -> str:
        name = option[1].replace("-", "_")
        return f"--parameter {name}={option[2]}" if name in known else option[0]

    return re.sub(r"--([a-z-]+) (\d+(?:\.\d+)?)", written, sentence)


def training(config: Mapping[str, Any]) -> str:
    """The command line that trains the same network again.

    Args:
        config: options of the training, as config.json of a run has them.
    """
    words = ["dmlteach", "train"]
    for name, default in asdict(TrainConfig()).items():
        value = config.get(name)
        if name in ("output", "resume", "progress") or value is None:
            continue
        if value == default and name not in ("method", "dataset"):
            continue
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, Mapping):
            one = option.removesuffix("s")
            for key, given in value.items():
                words += [one, f"{key}={given if isinstance(given, str) else json.dumps(given)}"]
        elif isinstance(value, bool):
            words.append(option if value else f"--no-{option[2:]}")
        else:
            words += [option, _text(value)]
    return shlex.join(words)


def _text(value: Any) -> str:
    """A value as an option takes it."""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return json.dumps(value) if isinstance(value, Mapping) else str(value)
