"""A run that is resumed with another number of epochs: whether that can be, and where it then stands."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dmlteach import methods
from dmlteach.errors import DMLTeachError, counted
from dmlteach.train.ending import nothing_left
from dmlteach.train.optim import OF_LENGTH, SCHEDULES


def length(options: Mapping[str, Any]) -> int:
    """Epochs that a run was asked for, by itself or by its recipe.

    Args:
        options: of the run, as its checkpoint keeps them.
    """
    return options["epochs"] or _recipe(options).epochs


def check(path: Path, saved: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse another length than the run was made with, where the epochs it has would have been others.

    Args:
        path: folder of the run.
        saved: its checkpoint.
        options: with which it is resumed.

    Raises:
        DMLTeachError: the learning rates follow from the length, or more epochs are begun already.
    """
    was, now = length(saved["config"]), length(options)
    if was == now:
        return
    begun = saved["position"][0] + saved["position"][2]
    anew = f"--checkpoint {path}, another --output"
    schedule = options["schedule"] or _recipe(options).schedule
    if schedule in OF_LENGTH:
        free = ", ".join(sorted(set(SCHEDULES) - OF_LENGTH))
        raise DMLTeachError(
            f"the run in {path} was made with epochs={was}, not {now}, and the rates of its {schedule} "
            f"schedule follow from that number: start a new run from its weights ({anew}), or train with "
            f"--schedule {free.replace(', ', ' or ')}, which can be resumed with more epochs."
        )
    if begun > now:
        raise DMLTeachError(
            f"the run in {path} has begun {counted(begun, 'epoch')} already, which epochs={now} would not "
            f"have; give {begun} or more, or train anew with another --output."
        )


def ended(saved: Mapping[str, Any], recipe: methods.Method) -> str | None:
    """Why there is nothing left to train for a run that is resumed; None where there is.

    Args:
        saved: its checkpoint, complete.
        recipe: with which it is resumed.
    """
    was, epoch, patience = length(saved["config"]), saved["position"][0], recipe.early_stopping
    if was == recipe.epochs or (saved["ended"] is not None and epoch < was):  # nothing but the length changes
        return saved["ended"]
    return nothing_left(recipe, epoch, patience is not None and saved["early_stopping"]["waited"] >= patience)


def _recipe(options: Mapping[str, Any]) -> methods.Method:
    return methods.adapt(methods.get(options["method"]), options["dataset"])
