"""Data sets of the user's: a function by its source, in the place of the file that each of ours has."""

import copy
import functools
import sys
from pathlib import Path
from typing import Any

from dmlteach import foreign
from dmlteach.data.dataset import ImageDataset
from dmlteach.errors import DMLTeachError


class _Beside:
    """The file of a foreign data set: its function as `load`, and whatever else the file says of it."""

    def __init__(self, name: str):
        self._name, self._function = name, foreign.find(name, "data set")
        self._module = sys.modules.get(getattr(self._function, "__module__", ""))

    @property
    def load(self) -> Any:
        return _called_as(self._name, self._function)

    def __getattr__(self, fact: str) -> Any:
        if fact.startswith("_"):
            raise AttributeError(fact)
        return getattr(self._module, fact)


def find(name: str) -> Any:
    """What takes the place of a data set's file.

    Args:
        name: the source of its function.

    Raises:
        DMLTeachError: there is none.
    """
    return _Beside(name)


def _called_as(name: str, function: Any) -> Any:
    """The function, with what it gives checked and called after its file."""

    @functools.wraps(function)
    def load(split: str, root: str | Path | None = None, **options: Any) -> ImageDataset:
        images = foreign.made(name, function, split, root, **options)
        if not isinstance(images, ImageDataset):
            raise DMLTeachError(
                f"{name} gives a {type(images).__name__}, where a data set is a dmlteach.data.ImageDataset."
            )
        if not len(images) or images.labels.min() < 0:
            raise DMLTeachError(f"{name} gives no image, or one without a class, for the split {split!r}.")
        images = copy.copy(images)
        images.name, images.split = foreign.called(name), split
        return images

    return load
