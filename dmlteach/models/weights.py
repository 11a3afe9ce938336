"""Weights of a backbone in a file of others: under whatever name and prefix, beside whatever else."""

import pickle
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from dmlteach.errors import DMLTeachError

Weights = Mapping[str, Tensor]
_DEPTH = 3  # tables in tables that are looked into
_ANCHORS = 5  # names of a network that are looked for, to find the prefix before all of them


def read(path: str | Path) -> Any:
    """What a weights file holds; nothing but tensors, tables and plain values is read from it.

    Args:
        path: a .safetensors file, or what torch.save wrote.

    Raises:
        DMLTeachError: there is no such file, or it cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise DMLTeachError(f"no weights file {path}; give the path of a .safetensors or .pth file.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return _unpickled(path)
    except Exception as error:
        raise DMLTeachError(
            f"{path} is not a readable weights file ({type(error).__name__}); expected .safetensors or .pth."
        ) from None


class _Nothing:
    """Stands for an object beside the weights, such as training arguments: it takes all and keeps none."""

    def __new__(cls, *args: Any) -> "_Nothing":
        return super().__new__(cls)

    def __init__(self, *args: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def _unpickled(path: Path) -> Any:
    """What torch.save wrote; of classes other than torch's own nothing is imported or run."""
    try:
        others = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except ValueError:  # not a zip file: torch before 1.6 wrote it
        others = ["argparse.Namespace"]
    for stand_in in (_Nothing, OrderedDict):  # the second for tables of a kind of their own
        with torch.serialization.safe_globals([(stand_in, name) for name in others]):
            try:
                return torch.load(path, map_location="cpu", weights_only=True)
            except pickle.UnpicklingError:
                if stand_in is OrderedDict or not others:
                    raise


def fitting(content: Any, own: Weights, backbone: str, file: str) -> dict[str, Tensor]:
    """The weights in `content` that belong to a network, under the network's names.

    They may lie in a table of their own ("state_dict", "model", …) and have a prefix ("module.", …).

    Args:
        content: what `read` gave.
        own: the network's own weights.
        backbone: its name, for the error message.
        file: its path, likewise.

    Raises:
        DMLTeachError: there are none that fit, or several that differ.
    """
    found = [(place, part, _lacking(part, own)) for place, part in _candidates(content, own)]
    whole = [(place, part) for place, part, (missing, misfit) in found if not (missing or misfit)]
    if whole:
        (place, first), *others = whole
        for other, part in others:
            if any(not torch.equal(first[key], part[key]) for key in first.keys() & part.keys()):
                raise DMLTeachError(
                    f"{file} holds several sets of weights that fit {backbone}, e.g. under {place!r} and "
                    f"under {other!r}. Save the one that you want in a file of its own."
                )
        return first
    names = [key for _, table in _tables(content) for key in table]
    if not names:
        raise DMLTeachError(f"{file} does not hold weights of {backbone}: it holds no tensors with names.")
    cure = "Choose the backbone the file was made for."
    if not found:
        raise DMLTeachError(
            f"{file} does not hold weights of {backbone}: it has tensors called e.g. {names[0]!r}, and none "
            f"called like the network's {next(iter(own))!r}. {cure}"
        )
    missing, misfit = min((lack for *_, lack in found), key=lambda lack: len(lack[0]) + len(lack[1]))
    raise DMLTeachError(
        f"{file} does not hold weights of {backbone}: {len(missing)} tensors missing, {len(misfit)} of "
        f"another shape (e.g. {(missing + misfit)[0]}). {cure}"
    )


def _tables(content: Any, place: str = "", depth: int = _DEPTH) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Every table of tensors by name in `content`, with its place."""
    if not isinstance(content, Mapping) or not depth:
        return
    tensors = {k: v for k, v in content.items() if isinstance(k, str) and isinstance(v, Tensor)}
    if tensors:
        yield place, tensors
    for key, value in content.items():
        yield from _tables(value, f"{place}.{key}".lstrip("."), depth - 1)


def _candidates(content: Any, own: Weights) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Tables under the network's names, for each prefix that one of its first names has somewhere."""
    for place, table in _tables(content):
        ends = [
            key.removesuffix(name) for name in list(own)[:_ANCHORS] for key in table if key.endswith(name)
        ]
        for prefix in dict.fromkeys(end for end in ends if not end or end.endswith(".")):
            part = {
                name: _of_today(table[prefix + name], own[name]) for name in own if prefix + name in table
            }
            yield f"{place} {prefix}".strip(), part


def _of_today(tensor: Tensor, own: Tensor) -> Tensor:
    """The same tensor; torch before 0.2 wrote those of a batch norm as (1, C)."""
    return tensor[0] if tensor.shape == (1, *own.shape) and own.ndim == 1 else tensor


def _lacking(part: Weights, own: Weights) -> tuple[list[str], list[str]]:
    """Names that are missing, and names of tensors of another shape."""
    missing = [k for k in own if k not in part and not k.endswith("num_batches_tracked")]
    return missing, [k for k in part if part[k].shape != own[k].shape]
