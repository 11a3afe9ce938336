"""Options that mean the same in several commands, and what is read from them."""

from typing import Annotated, Any

import typer

from dmlteach.errors import DMLTeachError
from dmlteach.options import pair, value_of

RECIPE = "the recipe's"


def option(help: str, metavar: str | None = None, default: str | bool = True) -> Any:
    """A typer option whose help names its default in words where the value says nothing (None).

    Args:
        help: what the option says.
        metavar: the word for its value.
        default: words for the default; True: the value itself, False: nothing.
    """
    return typer.Option(help=help, metavar=metavar, show_default=default, callback=_not_empty)


def _not_empty(param: typer.CallbackParam, value: Any) -> Any:
    """Refuse an empty text, as an unset variable of a script leaves it: it would be taken for the default."""
    if value == "" or (isinstance(value, list) and "" in value):
        raise DMLTeachError(f"{param.opts[0]} is empty; give it a value, or leave it out.")
    return value


# Options that mean the same in every command.
Method = Annotated[str, option("Recipe; `dmlteach methods` lists them.", "NAME")]
Dataset = Annotated[str, option("Data set; `dmlteach data list` lists them.", "NAME")]
Root = Annotated[
    str | None, option("Folder or archive that holds the data set.", "PATH", "none: embedded data")
]
Epochs = Annotated[int | None, option("Epochs of training.", "N", RECIPE)]
BatchSize = Annotated[int | None, option("Images in a batch.", "N", RECIPE)]
Seed = Annotated[int, option("Of everything random; equal seeds give equal runs.", "N")]
Device = Annotated[str, option("auto, cpu, cuda or mps.", "NAME")]
Output = Annotated[str | None, option("Folder of the run.", "DIR", "runs/METHOD-DATASET-SEED")]
Resume = Annotated[bool, option("Continue the run in --output where its checkpoint stands.")]
Checkpoint = Annotated[
    str | None,
    option(
        "Run folder or model file to start from; its network cannot be changed by --backbone and the like.",
        "PATH",
        "none",
    ),
]
Trained = Annotated[str | None, option("Run folder or model file.", "PATH", "none")]
Backbone = Annotated[
    str | None, option("Instead of a checkpoint: this network's own features.", "NAME", "none")
]
BackboneWeights = Annotated[
    str, option("Of --backbone: imagenet (downloads), cached, none or a file.", "NAME")
]
BackboneSize = Annotated[int | None, option("Of --backbone: side of the images in pixels.", "N", "224")]
RecallAt = Annotated[
    str | None,
    option("K of Recall@K, separated by commas.", "K,K,…", "1,2,4,8 or as published, as far as they fit"),
]
Split = Annotated[str, option("train, test, fit, val, query or gallery.", "NAME")]
MaxMinutes = Annotated[
    float | None, option("End this start after so many minutes of training.", "MINUTES", "no limit")
]
Classes = Annotated[
    int | None,
    option(
        "Only the first so many classes of every split, the test too: numbers of other --classes cannot be "
        "compared.",
        "N",
        "all",
    ),
]
DatasetOption = Annotated[
    list[str], option("Option of the data set, e.g. rotations=true; repeatable.", "NAME=VALUE", False)
]


def pairs(given: list[str]) -> dict[str, Any]:
    """Options from ["num_targets=5", "balance=true"].

    Args:
        given: NAME=VALUE each.
    """
    pairs = (pair(text, "options", "num_targets=5") for text in given)
    return {name: value_of(value) for name, value in pairs}


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
