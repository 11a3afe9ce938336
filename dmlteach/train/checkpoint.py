"""Resumable checkpoints: one file, replaced as a whole, that holds everything a run needs to continue."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from dmlteach import files
from dmlteach.errors import DMLTeachError
from dmlteach.methods import Method
from dmlteach.train import longer
from dmlteach.train.ending import nothing_left

FILE = "checkpoint.pt"


def write(folder: Path, state: dict[str, Any]) -> None:
    """Replace the folder's checkpoint; a kill at any moment leaves the old or the new one, whole.

    Raises:
        DMLTeachError: it cannot be written; the old one stays.
    """
    with files.whole(folder / FILE) as file:
        torch.save(state, file)


def read(folder: Path) -> dict[str, Any] | None:
    """The folder's checkpoint, or None where none was saved yet.

    Raises:
        DMLTeachError: the file is not a dmlteach checkpoint, or lacks what a run needs to continue.
    """
    file = folder / FILE
    if not file.exists():
        return None
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DMLTeachError(f"{file} cannot be read: {error.strerror or error}.") from error
    except MemoryError as error:
        raise DMLTeachError(
            f"{file} asks for more memory than there is: end other programs and try again, or copy it again "
            "if it is damaged."
        ) from error
    except Exception as error:  # torch raises many kinds on damaged files
        raise _damaged(file, f"torch cannot read it: {type(error).__name__}") from error
    if not isinstance(state, dict) or "dmlteach" not in state:
        raise _damaged(file, "it holds no state of dmlteach")
    for name, is_sound in PARTS.items():
        if name not in state:
            raise _damaged(file, f"its part {name!r} is missing")
        if not _holds(is_sound, state[name]):
            raise _damaged(file, f"its part {name!r} holds something odd")
    return state


def completed(saved: dict[str, Any], recipe: Method) -> dict[str, Any]:
    """A checkpoint with what runs that were made before did not keep, as the run goes on from it.

    Args:
        saved: as `read` gives it.
        recipe: of the run, whose number of epochs may be another than the checkpoint's.
    """
    if "ended" in saved:
        return {"untrained": None, **saved, "ended": longer.ended(saved, recipe)}
    # No reason was kept, but whether early stopping had ended the run.
    epoch, step, planned, *stopped_early = saved["position"]
    ended = nothing_left(recipe, epoch, any(stopped_early))
    return {"untrained": None, **saved, "position": (epoch, step, planned), "ended": ended}


def _holds(is_sound: Callable[[Any], Any], part: Any) -> bool:
    try:
        return bool(is_sound(part))
    except Exception:  # of another shape than the check knows
        return False


@contextmanager
def restoring(folder: Path) -> Iterator[None]:
    """Within it, parts that do not fit the run are one error that names the checkpoint.

    Raises:
        DMLTeachError: a part holds something else than the run that is restored.
    """
    try:
        yield
    except (DMLTeachError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # an odd part fails wherever it is used first
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(":.")
        raise _damaged(folder / FILE, f"a part does not fit: {reason}") from error


def _damaged(file: Path, reason: str) -> DMLTeachError:
    return DMLTeachError(
        f"{file} is not a dmlteach checkpoint of this run ({reason}). Copy it again if you have a copy, or "
        "remove it to start the run anew."
    )


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(name, str) for name in value)


def _is_position(value: Any) -> bool:
    epoch, step, *flags = value
    return _is_count(epoch) and _is_count(step) and flags and all(isinstance(flag, bool) for flag in flags)


def _is_row(value: Any) -> bool:
    """One epoch of metrics."""
    return _is_table(value) and _is_count(value["epoch"]) and files.is_number(value["loss"])


def _is_meter(value: Any) -> bool:
    if not _is_table(value):
        return False
    stats = [number for row in value["stats"] for number in row.values()]
    return (
        all(map(files.is_number, [*value["losses"], value["plan_seconds"], value["seconds"]]))
        and all(number.ndim == 0 and number.is_floating_point() for number in stats)
        and _is_count(value["images"])
        and _is_table(value["report"])
    )


def _is_plan(value: Any) -> bool:
    """What a sampler keeps; whether it names images of the data set, the sampler looks itself."""
    if not _is_table(value):
        return False
    tensors = [t for name in ("rows", "targets", "triplets") for t in value[name] if t is not None]
    lengths = {len(value[name]) for name in ("rows", "seeds", "targets", "triplets")}
    return (
        type(value["epoch"]) is int
        and isinstance(value["planned"], bool)
        and len(lengths) == 1
        and all(map(_is_count, value["seeds"]))
        and all(tensor.dtype == torch.int64 for tensor in tensors)
    )


# What the trainer writes and needs to continue, and what tells that it is sound.
PARTS: dict[str, Callable[[Any], Any]] = {
    "config": _is_table,
    "threads": _is_count,
    "model": _is_table,
    "objective": _is_table,
    "optimizer": lambda value: all(map(_is_table, value)),
    "schedule": lambda value: all(map(files.is_number, value.values())),
    "early_stopping": lambda value: all(map(files.is_number, value.values())),
    "sampler": _is_plan,
    "position": _is_position,
    "meter": _is_meter,
    "history": lambda value: isinstance(value, list) and all(map(_is_row, value)),
    "elapsed": lambda value: files.is_number(value) and 0 <= value < 1e12,
}
