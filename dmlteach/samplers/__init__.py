"""Batch samplers: each decides which images share a batch, and works as any DataLoader's `batch_sampler`."""

import inspect
from typing import Any

import torch
from torch import Tensor

from dmlteach import foreign
from dmlteach.errors import DMLTeachError
from dmlteach.inputs import as_labels
from dmlteach.interfaces import Sampler
from dmlteach.registry import Registry
from dmlteach.samplers.class_balanced import ClassBalanced
from dmlteach.samplers.hierarchical import Hierarchical
from dmlteach.samplers.local import Local
from dmlteach.samplers.local_classes import LocalClasses
from dmlteach.samplers.random import Random
from dmlteach.samplers.smart import Smart

SAMPLERS: dict[str, type[Sampler]] = {
    "class_balanced": ClassBalanced,
    "hierarchical": Hierarchical,
    "local": Local,
    "local_classes": LocalClasses,
    "random": Random,
    "smart": Smart,
}


def _as_sampler(found: Any, name: str) -> Any:
    """What was found by a foreign name, if it is a sampler."""
    if isinstance(found, Sampler) or (isinstance(found, type) and issubclass(found, Sampler)):
        return found
    raise DMLTeachError(
        f"{name} is no sampler: it must be a subclass of dmlteach.interfaces.Sampler, whose _compose gives "
        "the batches of an epoch."
    )


_REGISTRY = Registry("sampler", SAMPLERS, facts=("labels", "batch_size", "seed"), adapt=_as_sampler)


def names() -> list[str]:
    """Names that `create` accepts."""
    return _REGISTRY.names()


def options(name: str) -> dict[str, inspect.Parameter]:
    """Options of a sampler, by name: those of its constructor beside labels, batch_size and seed."""
    return _REGISTRY.options(name)


def check_options(name: str, given: dict[str, Any]) -> None:
    """Refuse options that a sampler does not take.

    Args:
        name: as of `create`.
        given: names and values.

    Raises:
        DMLTeachError: an unknown sampler or option, or a value of another kind.
    """
    _REGISTRY.check(name, given)


def create(name: str, labels: Tensor, batch_size: int, seed: int = 0, **given) -> Sampler:
    """The sampler called `name`, e.g. `create("class_balanced", dataset.labels, 64, images_per_class=4)`.

    Args:
        name: one of `names()`; or the source of another, "mine.py:MySampler" or "package.module:MySampler".
        labels: (M,) class of each image of the training set.
        batch_size: images in a batch.
        seed: equal seeds give equal batches, on one process or several.
        given: its options by name: images_per_class, balance, num_targets.

    Raises:
        DMLTeachError: unknown name or option, or a value out of range.
    """
    sampler = _REGISTRY.create(name, labels, batch_size, seed, **given)
    if foreign.is_object(name) and not torch.equal(sampler.labels, as_labels(labels)):
        raise DMLTeachError(
            f"the sampler that was given chooses among {len(sampler.labels):,} images and the run trains on "
            f"{len(labels):,}, or their classes differ: make it from the labels of what is trained on."
        )
    return sampler


__all__ = [
    "ClassBalanced",
    "Hierarchical",
    "Local",
    "LocalClasses",
    "Random",
    "Smart",
    "check_options",
    "create",
    "names",
    "options",
]
