"""Parameters of a report, checked by name, type and value before anything runs."""

import ast
import typing
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from types import UnionType
from typing import Any

from dmlteach import foreign, models
from dmlteach.course import material
from dmlteach.course.reports.subject import read_json
from dmlteach.device import choose_device
from dmlteach.errors import DMLTeachError, need, unknown_name
from dmlteach.options import at_least, check_type, pair, value_of
from dmlteach.train import TrainConfig, resolve

FOLDER = material.home() / "notebooks" / "reports"
NOTEBOOK = FOLDER / "benchmark.ipynb"  # of one network
COMPARISON = FOLDER / "comparison.ipynb"  # of many runs
SHOW = ("permitted", "all", "none")  # images: where the data set may be passed on, always, never
SINGULAR = "parameter of the report"
FURTHER = "further"  # the parameter of a notebook that takes options of the training which it does not name
DECIDED = ("output", "resume", "progress")  # options of the training that a report decides
OF_ANY_NETWORK = ("dataset", "root", "checkpoint", "seed", "device")  # the others are about its training
LEAST = {"seed": 0, "num_queries": 1, "map_points": 0}


def defaults_of(notebook: Path = NOTEBOOK) -> dict[str, Any]:
    """Names and default values of the parameters of a notebook.

    They are those of its parameters cell. Where it has `further`, it takes every option of the training.

    Args:
        notebook: a notebook with a cell tagged "parameters".

    Raises:
        DMLTeachError: there is no such notebook, or papermill is not installed.
    """
    if not notebook.is_file():
        raise DMLTeachError(
            f"there is no report notebook at {notebook}: install dmlteach again, or clone it anew."
        )
    named = _named(notebook)
    if FURTHER not in named:
        return named
    del named[FURTHER]
    return {k: v for k, v in asdict(TrainConfig()).items() if k not in (*named, *DECIDED)} | named


def as_named(given: Mapping[str, Any], notebook: Path = NOTEBOOK) -> dict[str, Any]:
    """Parameters as the parameters cell has them, with `further` for those that it does not name.

    Args:
        given: parameters that the notebook takes.
        notebook: the notebook.
    """
    named = _named(notebook)
    further = {name: value for name, value in given.items() if name not in named}
    return {k: v for k, v in given.items() if k in named} | ({FURTHER: further} if further else {})


def _named(notebook: Path) -> dict[str, Any]:
    """The parameters cell: names and default values."""
    need("papermill", "course")
    import papermill

    found = papermill.inspect_notebook(notebook)
    return {name: ast.literal_eval(parameter["default"]) for name, parameter in found.items()}


def read(texts: Sequence[str], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as they are written on a command line, each understood by its type.

    Args:
        texts: "NAME=VALUE", e.g. "weights=none" (the text none) or "classes=none" (no number).
        defaults: of `defaults_of`.

    Raises:
        DMLTeachError: no name and value, an unknown name, or a value of another type.
    """
    found = {}
    for text in texts:
        name, value = pair(text, "parameters", "image_size=128")
        _check_name(name, defaults)
        found[name] = _from_text(name, value, _kind(name, defaults))
    return found


def check(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Refuse names, types, values and combinations that cannot be used.

    Args:
        given: parameters that the user chose.
        defaults: of `defaults_of`.

    Raises:
        DMLTeachError: the first mistake, with what is possible.
    """
    for name, value in given.items():
        _check_name(name, defaults)
        check_type(name, _kind(name, defaults), value)
        if name in LEAST:
            at_least(name, value, LEAST[name])
        if name in ("checkpoint", "baseline"):
            _check_network(name, value)
    chosen = {**defaults, **given}
    if chosen.get("checkpoint") is not None:
        for field in fields(TrainConfig):
            named = field.name == "backbone" and foreign.is_foreign(given.get("backbone"))
            if (name := field.name) in given and name not in OF_ANY_NETWORK and not named:
                raise DMLTeachError(
                    f"checkpoint={chosen['checkpoint']} reports on a network that is there already: "
                    f"leave out {name}={given[name]}, which is about a training."
                )
    if "show_images" in chosen and chosen["show_images"] not in SHOW:
        raise unknown_name("choice of show_images", chosen["show_images"], SHOW)
    _check_training(chosen)


def data_of(checkpoint: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Data set and root of the run to report on, where the user names no other data set.

    Args:
        checkpoint: as the user gave it; of a run its folder, or the file of its model.
        given: parameters that the user chose.

    Raises:
        DMLTeachError: the run's config.json is damaged.
    """
    path = Path(checkpoint or "").expanduser()
    folder = path.parent if path.name == models.MODEL_FILE and path.is_file() else path
    config = read_json(folder / "config.json").get("config", {}) if checkpoint else {}
    if not config or given.get("dataset", config["dataset"]) != config["dataset"]:
        return {}
    if "dataset" not in given and foreign.is_foreign(config["dataset"]):
        raise DMLTeachError(
            f"the data set of {checkpoint} is not dmlteach's but {config['dataset']}, which is run only if "
            f"you name it: --dataset {config['dataset']}."
        )
    return {name: config[name] for name in ("dataset", "root") if config[name] is not None}


def _check_training(chosen: Mapping[str, Any]) -> None:
    """The values that the trainer would refuse."""
    known = {field.name for field in fields(TrainConfig)}
    config = TrainConfig(**{name: value for name, value in chosen.items() if name in known})
    choose_device(config.device, float64=config.precision == "fp64")
    resolve(config)


def _check_name(name: str, defaults: Mapping[str, Any]) -> None:
    if name not in defaults:
        raise unknown_name(SINGULAR, name, [*defaults, "output"])


def _check_network(name: str, value: str | None) -> None:
    """A run folder, a model file or a shipped network; that it can be read is found out when it is."""
    if value is None or value in models.SHIPPED or Path(value).expanduser().exists():
        return
    shipped = ", ".join(models.SHIPPED)
    raise DMLTeachError(
        f"{name}={value}: there is no such run folder or model file, and no shipped network is called so "
        f"({shipped})."
    )


def _kind(name: str, defaults: Mapping[str, Any]) -> Any:
    """Annotation of a parameter: the trainer's where it is one of its options, else that of the default."""
    hints = typing.get_type_hints(TrainConfig)
    default = defaults[name]
    return hints.get(name, str | None if default is None else type(default))


def _from_text(name: str, text: str, kind: Any) -> Any:
    """`text` as the first of these types it can be; text itself needs no quotes and may have them."""
    members = typing.get_args(kind) if isinstance(kind, UnionType) else (kind,)
    if str in members or typing.get_origin(kind) is typing.Literal:
        quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
        return text[1:-1] if quoted else text
    value = value_of(text)
    check_type(name, kind, value)
    return value
