"""Data sets, their decode-once cache, and augmentation on the device."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dmlteach.data import cub200, folder, omniglot
from dmlteach.data.augment import Augmentation
from dmlteach.data.cache import CachedImages, Packed, cached
from dmlteach.data.dataset import ImageDataset
from dmlteach.data.splits import fit_or_val
from dmlteach.errors import DMLTeachError, unknown_name

__all__ = [
    "Augmentation",
    "CachedImages",
    "CheckReport",
    "ImageDataset",
    "Packed",
    "cached",
    "check",
    "load",
    "names",
]

_DATASETS = {"omniglot": omniglot, "cub200": cub200, "folder": folder}
_SPLITS = ("train", "test", "fit", "val")
_OPTIONS_OF_ALL = {"val_fraction": 0.2, "seed": 0}


def names() -> list[str]:
    """Names that `load` knows."""
    return sorted(_DATASETS)


def load(
    name: str,
    split: str,
    root: str | Path | None = None,
    *,
    domain: str | None = None,
    classes: int | Sequence[int] | None = None,
    **options,
) -> ImageDataset:
    """Load one split of a data set; nothing is decoded yet.

    Train and test are the standard splits, with different classes. Fit and val are class-disjoint
    parts of train. Options of every data set: `val_fraction` (share of train's classes in val,
    default 0.2) and `seed` (of that division, default 0). Omniglot takes `rotations` (turned
    characters as extra classes), folder takes `test_fraction`.

    Args:
        name: omniglot, cub200 or folder.
        split: train, test, fit or val.
        root: where the data set is; Omniglot needs none.
        domain: for data sets with several domains; none has them so far.
        classes: only the first so many classes of the split, or these; relabelled 0 …
        **options: as above.

    Returns:
        The images and their labels 0 … C-1.

    Raises:
        DMLTeachError: an unknown name, split or option; a missing or damaged root.

    Examples:
        >>> load("omniglot", "test")
        ImageDataset('omniglot', 'test', 13180 images, 659 classes)
    """
    module = _module(name)
    if split not in _SPLITS:
        raise unknown_name("split", split, _SPLITS)
    if domain is not None:
        raise DMLTeachError(f"{name!r} has one domain only; leave out domain={domain!r}.")
    parameters = inspect.signature(module.load).parameters.values()
    own_options = [p.name for p in parameters if p.kind == p.KEYWORD_ONLY]
    for option in options:
        if option not in own_options and option not in _OPTIONS_OF_ALL:
            raise unknown_name(f"option of data set {name!r}", option, [*own_options, *_OPTIONS_OF_ALL])
    divide = {key: options.get(key, default) for key, default in _OPTIONS_OF_ALL.items()}
    own = {key: value for key, value in options.items() if key in own_options}

    dataset = module.load("test" if split == "test" else "train", root, **own)
    if split in ("fit", "val"):
        dataset = fit_or_val(dataset, split, **divide)
    if classes is not None:
        dataset = dataset.subset_classes(_labels_of(classes))
    return dataset


@dataclass(frozen=True)
class CheckReport:
    """What `check` found; `str(report)` is made for reading."""

    name: str
    found: list[str]
    problems: list[str]

    @property
    def ok(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        verdict = "complete" if self.ok else "NOT complete"
        lines = [f"{self.name}: {verdict}", *self.found, *(f"problem: {p}" for p in self.problems)]
        return "\n  ".join(lines)


def check(name: str, root: str | Path | None = None) -> CheckReport:
    """Compare a data set on disk with the published one and name what is missing.

    Args:
        name: omniglot, cub200 or folder.
        root: where the data set is; Omniglot needs none.

    Returns:
        A report: `ok`, `found` and `problems`.

    Raises:
        DMLTeachError: an unknown name, or nothing at `root`.
    """
    return CheckReport(name, *_module(name).check(root))


def _labels_of(classes: int | Sequence[int]) -> Sequence[int]:
    if isinstance(classes, int):
        return range(classes)
    if isinstance(classes, str) or not all(isinstance(label, int) for label in classes):
        raise DMLTeachError(f"classes is a number of classes or a list of labels, not {classes!r}.")
    return classes


def _module(name: str):
    if name not in _DATASETS:
        raise unknown_name("data set", name, _DATASETS)
    return _DATASETS[name]
