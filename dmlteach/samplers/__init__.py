"""Batch samplers: each decides which images share a batch, and works as any DataLoader's `batch_sampler`."""

import inspect

from torch import Tensor

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
_REGISTRY = Registry("sampler", SAMPLERS, facts=("labels", "batch_size", "seed"))


def names() -> list[str]:
    """Names that `create` accepts."""
    return _REGISTRY.names()


def options(name: str) -> dict[str, inspect.Parameter]:
    """Options of a sampler, by name: those of its constructor beside labels, batch_size and seed."""
    return _REGISTRY.options(name)


def create(name: str, labels: Tensor, batch_size: int, seed: int = 0, **given) -> Sampler:
    """The sampler called `name`, e.g. `create("class_balanced", dataset.labels, 64, images_per_class=4)`.

    Args:
        name: one of `names()`.
        labels: (M,) class of each image of the training set.
        batch_size: images in a batch.
        seed: equal seeds give equal batches, on one process or several.
        given: its options by name: images_per_class, balance, num_targets.

    Raises:
        DMLTeachError: unknown name or option, or a value out of range.
    """
    return _REGISTRY.create(name, labels, batch_size, seed, **given)


__all__ = [
    "ClassBalanced",
    "Hierarchical",
    "Local",
    "LocalClasses",
    "Random",
    "Smart",
    "create",
    "names",
    "options",
]
