"""Class-disjoint parts of a data set, seeded."""

import hashlib
import os
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from dmlteach.data.dataset import ImageDataset
from dmlteach.errors import DMLTeachError
from dmlteach.options import check_seed


def divide_classes(
    num_classes: int, fraction: float, seed: int, what: str, together: int = 1
) -> list[list[int]]:
    """Divide classes 0 … num_classes-1 at random into two parts of two classes or more.

    Args:
        num_classes: how many there are.
        fraction: share of the classes held out, between 0 and 1.
        seed: equal seeds give equal parts.
        what: what is divided, for the error message.
        together: this many consecutive classes stay on one side.

    Returns:
        Sorted classes of the remaining part and of the held-out part.
    """
    _check(fraction, seed)
    groups = num_classes // together
    if num_classes < 4 or groups < 2:
        raise _too_few(num_classes, what)
    smallest = -(-2 // together)  # groups that hold two classes
    held_out = min(max(round(groups * fraction), smallest), groups - smallest)
    order = np.random.default_rng(seed).permutation(groups)
    sides = np.sort(order[held_out:]), np.sort(order[:held_out])
    return [(side[:, None] * together + np.arange(together)).ravel().tolist() for side in sides]


class ByName(NamedTuple):
    """Classes divided by their names: those that remain, those held out, and those of either that moved."""

    rest: list[str]
    held_out: list[str]
    moved: list[str]


def divide_names(
    names: Iterable[str], fraction: float, seed: int, purpose: str, what: str, least: int = 2
) -> ByName:
    """Divide classes by their names: a class is held out if its hash lies below the fraction.

    So a class stays on its side when others come or go. Only where a side would have fewer than two classes
    (the remaining one: `least`), the classes nearest to the threshold move there.

    Args:
        names: of the classes.
        fraction: share of the classes held out, on average; between 0 and 1.
        seed: of the hash; equal seeds give equal parts, on every computer.
        purpose: goes into the hash, so that two divisions of the same classes are independent.
        what: what is divided, for the error message.
        least: classes that remain at least, where two others can be held out.

    Returns:
        The parts, each in sorted order.

    Raises:
        DMLTeachError: a fraction or seed out of range, or fewer than four classes.
    """
    _check(fraction, seed)
    value = {name: _uniform(name, seed, purpose) for name in names}
    order = sorted(value, key=lambda name: (value[name], name))
    if len(order) < 4:
        raise _too_few(len(order), what, purpose)
    below = sum(v < fraction for v in value.values())
    count = min(max(below, 2), len(order) - min(least, len(order) - 2))
    moved = order[min(below, count) : max(below, count)]
    return ByName(sorted(order[count:]), sorted(order[:count]), sorted(moved))


def composed(name: str) -> str:
    """A name with its accents composed (NFC), as macOS and others write the same name differently.

    Args:
        name: of a file or folder; bytes that are no Unicode may be in it, as Python reads them.
    """
    text = os.fsencode(name).decode("utf-8", "surrogateescape")  # the same under every locale
    return unicodedata.normalize("NFC", text)


def _uniform(name: str, seed: int, purpose: str) -> float:
    """A number from 0 to 1 that depends on the arguments only, on every computer and version of Python."""
    content = f"{purpose}\0{seed}\0{composed(name)}".encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "big") / 2**64


def _check(fraction: float, seed: int) -> None:
    if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 < fraction < 1:
        raise DMLTeachError(f"the fraction of classes held out is between 0 and 1, not {fraction!r}.")
    check_seed(seed)


def _too_few(num_classes: int, what: str, purpose: str = "val") -> DMLTeachError:
    """Without a val a training still works, without a test it does not."""
    without = ", or train on all of them: --eval-every 0" if purpose == "val" and num_classes > 1 else ""
    return DMLTeachError(
        f"{what} has {num_classes} classes; at least 4 are needed to divide it by class into two parts "
        f"of 2 or more. Add classes{without}."
    )


def fit_or_val(train: ImageDataset, split: str, val_fraction: float, seed: int) -> ImageDataset:
    """The part of `train` to fit on (split "fit"), or its held-out classes (split "val")."""
    what = f"the train split of {train.name!r}"
    fit, val = divide_classes(train.num_classes, val_fraction, seed, what, train.together)
    return train.part(fit if split == "fit" else val, split)
