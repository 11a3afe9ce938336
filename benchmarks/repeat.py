"""The command line that makes a run again."""

from collections.abc import Mapping
from typing import Any

from dmlteach.train import TrainConfig

PLACES = {"root": "DIR", "weights": "FILE", "output": "DIR"}  # paths mean nothing elsewhere
SHOWN = ("output", "progress", "device", "resume", "save_every")  # they change nothing of the result
USUAL = vars(TrainConfig())


def command(options: Mapping[str, Any]) -> str:
    """The command of a run, as short as it can be.

    Args:
        options: of `TrainConfig`, by name; the usual ones may be left out.
    """
    words = ["dmlteach train"]
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        if name in SHOWN:
            continue
        if name.endswith("_options"):
            words += [f"{option.removesuffix('s')} {key}={_written(one)}" for key, one in value.items()]
        elif name in ("method", "dataset") or value != USUAL[name]:
            words.append(_word(option, name, value))
    return " ".join(words)


def _word(option: str, name: str, value: Any) -> str:
    if isinstance(value, bool):
        return option if value else option.replace("--", "--no-", 1)
    local = name in PLACES and value not in ("none", "cached", "imagenet")
    return f"{option} {PLACES[name] if local else value}"


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
