"""Class-disjoint parts of a data set, seeded."""

import numpy as np

from dmlteach.data.dataset import ImageDataset
from dmlteach.errors import DMLTeachError


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
    if not isinstance(fraction, int | float) or not 0 < fraction < 1:
        raise DMLTeachError(f"the fraction of classes held out is between 0 and 1, not {fraction!r}.")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise DMLTeachError(f"seed is a whole number, 0 or more, not {seed!r}.")
    groups = num_classes // together
    if num_classes < 4 or groups < 2:
        raise DMLTeachError(
            f"{what} has {num_classes} classes; at least 4 are needed to divide it by class into two parts "
            "of 2 or more. Add classes, or use the split undivided."
        )
    smallest = -(-2 // together)  # groups that hold two classes
    held_out = min(max(round(groups * fraction), smallest), groups - smallest)
    order = np.random.default_rng(seed).permutation(groups)
    sides = np.sort(order[held_out:]), np.sort(order[:held_out])
    return [(side[:, None] * together + np.arange(together)).ravel().tolist() for side in sides]


def fit_or_val(train: ImageDataset, split: str, val_fraction: float, seed: int) -> ImageDataset:
    """The part of `train` to fit on (split "fit"), or its held-out classes (split "val")."""
    what = f"the train split of {train.name!r}"
    fit, val = divide_classes(train.num_classes, val_fraction, seed, what, train.together)
    return train.part(fit if split == "fit" else val, split)
