"""Options: those of a training, made of its fields; those that commands share; and what is read from them."""

import inspect
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, Field, fields
from functools import wraps
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer

from dmlteach.errors import DMLTeachError
from dmlteach.options import pair, value_of
from dmlteach.train.config import TrainConfig
from dmlteach.train.option import about

DEFAULTS = TrainConfig()
_OF_TRAINING = {field.name: field for field in fields(TrainConfig)}


def option(help: str, metavar: str | None = None, default: str | bool = True, name: str = "") -> Any:
    """A typer option whose help names its default in words where the value says nothing (None).

    Args:
        help: what the option says.
        metavar: the word for its value.
        default: words for the default; True: the value itself, False: nothing.
        name: where it is not the parameter's, as `--import`, a word that Python keeps for itself.
    """
    names = (name,) if name else ()
    return typer.Option(*names, help=help, metavar=metavar, show_default=default, callback=_not_empty)


def _not_empty(param: typer.CallbackParam, value: Any) -> Any:
    """Refuse an empty text, as an unset variable of a script leaves it: it would be taken for the default."""
    if value == "" or (isinstance(value, list) and "" in value):
        raise DMLTeachError(f"{param.opts[0]} is empty; give it a value, or leave it out.")
    return value


# ── the options of a training, from the fields of its configuration ───────────────────────────────────


def of_training(name: str, of: str = "") -> Any:
    """An option as `dmlteach train` has it, for a command where it means the same.

    Args:
        name: of a field of `TrainConfig`.
        of: the option beside which alone it means something.
    """
    return _shown(_OF_TRAINING[name], _OF_TRAINING, of)


def configured_by(kind: type) -> Callable[[Callable], Callable]:
    """Make a command of a function that takes a configuration: an option for each of its fields.

    Args:
        kind: the dataclass, with fields that `dmlteach.train.option` describes.
    """

    def command_of(function: Callable) -> Callable:
        options = {_parameter_name(field): field for field in fields(kind)}
        names = {field.name for field in options.values()}
        parameters = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=[] if _is_repeated(field) else field.default,
                annotation=Annotated[_type_in_a_shell(field.type), _shown(field, names)],
            )
            for name, field in options.items()
        ]

        @wraps(function)
        def command(**given: Any) -> Any:
            values = {
                field.name: pairs(given.pop(name)) if _is_repeated(field) else given.pop(name)
                for name, field in options.items()
            }
            return function(kind(**values), **given)

        return _with_parameters(command, [*parameters, *_beside(function)])

    return command_of


def swept_over(choices: Mapping[str, Field]) -> Callable[[Callable], Callable]:
    """Make a command of a function that takes the values to run through: an option for each of the fields.

    Args:
        choices: fields of a configuration, as `configured_by` takes them, by the name of the option; what is
            given arrives by these names as text, and NAME=VALUE,VALUE as such by name.
    """

    def command_of(function: Callable) -> Callable:
        options = {name.removesuffix("s") if _is_repeated(f) else name: name for name, f in choices.items()}
        names = {field.name: name for name, field in choices.items()}
        parameters = []
        for name, written in options.items():
            field, repeated = choices[written], _is_repeated(choices[written])
            kind = list[str] if repeated else str | None
            shown = Annotated[kind, _shown(field, names, several=True)]  # type: ignore[valid-type]
            default: Any = [] if repeated else None
            parameters.append(
                inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=shown)
            )

        @wraps(function)
        def command(**given: Any) -> Any:
            texts = {written: given.pop(name) for name, written in options.items()}
            asked = {
                written: _once(text, "num_targets=3,5") if isinstance(text, list) else text
                for written, text in texts.items()
                if text
            }
            return function(asked, **given)

        return _with_parameters(command, [*_beside(function), *parameters])

    return command_of


def _beside(function: Callable) -> list[inspect.Parameter]:
    """Options of its own that the function of a command takes beside its first argument."""
    _, *own = inspect.signature(function).parameters.values()
    return [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]


def _with_parameters(command: Callable, parameters: list[inspect.Parameter]) -> Callable:
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _shown(field: Field, names: Collection[str], of: str = "", several: bool = False) -> Any:
    """The option of a field: what the field says, with the names of other options as a shell has them.

    With `several`, it takes values with commas between them.
    """
    said = about(field)
    help = re.sub("`(\\w+)`", lambda m: _in_a_shell(m[1]) if m[1] in names else m[0], said.help)
    if of:
        help = f"Of {_in_a_shell(of)}: {help[0].lower()}{help[1:]}"
    if _is_repeated(field):
        return option(f"{help.rstrip('.')}; repeatable.", said.metavar, False)
    if several:
        default = said.unset if field.default is None else str(field.default).lower()
        return option(help, f"{said.metavar or 'true,false'}", default)
    return option(help, said.metavar, said.unset if field.default is None else True)


def _is_repeated(field: Field) -> bool:
    """Whether it holds names with their values, which are given one by one."""
    return field.default is MISSING


def _parameter_name(field: Field) -> str:
    return field.name.removesuffix("s") if _is_repeated(field) else field.name


def _in_a_shell(name: str) -> str:
    return "--" + name.replace("_", "-")


def _type_in_a_shell(kind: Any) -> Any:
    """The type of which a value is read: names with values and lists are texts there, and so are choices."""
    members = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    plain = [str if get_origin(one) is Literal else one for one in members]
    if get_origin(kind) is dict:
        return list[str]
    (read,) = [one for one in plain if one in (bool, int, float, str)]
    return read | None if NoneType in plain else read


# ── options that mean the same in several commands ────────────────────────────────────────────────────

Method = Annotated[str, of_training("method")]
Dataset = Annotated[str, of_training("dataset")]
Root = Annotated[str | None, of_training("root")]
Epochs = Annotated[int | None, of_training("epochs")]
MaxMinutes = Annotated[float | None, of_training("max_minutes")]
BatchSize = Annotated[int | None, of_training("batch_size")]
Seed = Annotated[int, of_training("seed")]
Device = Annotated[str, of_training("device")]
RecallAt = Annotated[str | None, of_training("recall_at")]
Classes = Annotated[int | None, of_training("classes")]
DatasetOption = Annotated[list[str], of_training("dataset_options")]
Split = Annotated[str, option("train, test, fit, val, query or gallery.", "NAME")]
Trained = Annotated[str | None, option("Run folder or model file.", "PATH", "none")]
Backbone = Annotated[
    str | None,
    option(
        "Instead of a checkpoint: this network's own features. Beside one: the source of a network of your "
        "own, FILE.py:NAME.",
        "NAME",
        "none",
    ),
]
BackboneWeights = Annotated[str | None, of_training("weights", of="backbone")]
BackboneSize = Annotated[int | None, of_training("image_size", of="backbone")]


# ── what is read from options ─────────────────────────────────────────────────────────────────────────


def pairs(given: list[str]) -> dict[str, Any]:
    """Options from ["num_targets=5", "balance=true"].

    Args:
        given: NAME=VALUE each.
    """
    return {name: value_of(value) for name, value in _once(given, "num_targets=5").items()}


def _once(given: list[str], example: str) -> dict[str, str]:
    """Names and values as text, each name once.

    Args:
        given: NAME=VALUE each.
        example: of one, for the error.
    """
    found: dict[str, str] = {}
    for text in given:
        name, value = pair(text, "options", example)
        if name in found:
            raise DMLTeachError(f"{name} is given twice, as {found[name]} and as {value}; give it once.")
        found[name] = value
    return found


def dataset_options(dataset: str, given: list[str]) -> dict[str, Any]:
    """Options of a data set that it knows.

    Args:
        dataset: its name.
        given: NAME=VALUE each.
    """
    from dmlteach import data

    options = pairs(given)
    data.check_options(dataset, options)
    return options


def refuse_beside(ctx: typer.Context, option: str, reason: str, others: list[str]) -> None:
    """One error where options were given that another one puts out of use.

    Args:
        ctx: of the command.
        option: the one that does.
        reason: what it does, as the verb of the sentence.
        others: names of the options that mean nothing beside it.
    """
    for name in others:
        if was_given(ctx, name):
            raise DMLTeachError(f"--{option} {reason}; leave out --{name.replace('_', '-')}.")


def was_given(ctx: typer.Context, name: str) -> bool:
    """Whether an option stands on the command line.

    Args:
        ctx: of the command.
        name: of the option.
    """
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
