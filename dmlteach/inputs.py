"""Labels and embeddings as users have them, as tensors that can be computed with, or one clear error."""

import numpy as np
import torch
from torch import Tensor

from dmlteach.distances import wide
from dmlteach.errors import DMLTeachError, NotFiniteError


def as_labels(labels, name: str = "labels") -> Tensor:
    """Labels as int64; a tensor stays on its device.

    Args:
        labels: whole numbers of any type: a tensor, an array, a list or a pandas column. The values of
            integers are not looked at, those of floats are.
        name: of the argument, for the error.

    Raises:
        DMLTeachError: words, fractions or missing values; says how words become numbers.
    """
    if isinstance(labels, Tensor):
        if labels.is_complex() or (labels.is_floating_point() and bool((labels != labels.round()).any())):
            raise DMLTeachError(f"{name} must be whole numbers, not fractions or NaN ({labels.dtype}).")
        return labels.long()
    try:
        array = np.asarray(labels)
    except (ValueError, TypeError, RuntimeError):  # lists of unequal length, tensors on a device
        raise DMLTeachError(f"{name} must be whole numbers, one for each row, in one array.") from None
    if array.size == 0:
        return torch.zeros(array.shape, dtype=torch.int64)
    if not _are_whole(array):
        wrong = next(value for value in array.ravel().tolist() if not _is_whole(value))
        raise DMLTeachError(
            f"{name} must be whole numbers, one for each row, not {wrong!r:.60}; "
            "words become numbers by numpy.unique(labels, return_inverse=True)[1]."
        )
    try:
        return torch.from_numpy(array.astype(np.int64))
    except OverflowError:
        raise DMLTeachError(f"{name} hold a number of more than 64 bits.") from None


def _are_whole(array: np.ndarray) -> bool:
    if array.dtype.kind == "f":
        return bool((array == np.round(array)).all())  # NaN equals nothing
    if array.dtype.kind == "O":  # as of pandas' columns that can miss values
        return all(map(_is_whole, array.flat))
    return array.dtype.kind in "iub"


def _is_whole(value) -> bool:
    return isinstance(value, int | np.integer) or (isinstance(value, float) and value.is_integer())


def check_classes(labels: Tensor, num_classes: int) -> None:
    """Refuse labels outside 0 … C-1 where that costs nothing: on a device, looking would make it wait.

    Args:
        labels: (N,) int64.
        num_classes: C.

    Raises:
        DMLTeachError: a label on the CPU that is no class.
    """
    if labels.device.type != "cpu" or not labels.numel():
        return
    low, high = (int(bound) for bound in labels.aminmax())
    if low < 0 or high >= num_classes:
        raise DMLTeachError(
            f"labels from {low} to {high} for {num_classes} classes: labels must be 0 … {num_classes - 1}; "
            "number the classes of the whole data set anew, once and not batch by batch, by "
            "labels.unique(return_inverse=True)[1], or create the loss with as many num_classes as they need."
        )


def as_embeddings(embeddings, name: str = "embeddings") -> Tensor:
    """Embeddings (M, D) as a tensor of fp32 or float64, without their gradient.

    Args:
        embeddings: a tensor, an array or lists of numbers.
        name: of the argument, for the error.

    Raises:
        DMLTeachError: no table of numbers.
    """
    try:
        z = torch.as_tensor(embeddings).detach()
    except (ValueError, TypeError, RuntimeError):
        raise DMLTeachError(f"{name} must be numbers (M, D), not {type(embeddings).__name__}.") from None
    if z.ndim != 2 or z.is_complex():
        raise DMLTeachError(
            f"{name} must be numbers of shape (M, D), one label per row, not {z.dtype} {tuple(z.shape)}."
        )
    return wide(z)


def check_finite(embeddings: Tensor, name: str = "embeddings") -> None:
    """Refuse embeddings that cannot be compared; the values are waited for.

    Args:
        embeddings: (M, D).
        name: of what they are, for the error.

    Raises:
        NotFiniteError: says how many rows are not finite, which come first, and what that means.
    """
    is_wrong = ~torch.isfinite(embeddings.square().sum(1))
    count = int(is_wrong.sum())
    if count:
        first = ", ".join(map(str, is_wrong.nonzero()[:3, 0].tolist()))
        raise NotFiniteError(
            f"{count:,} of {len(embeddings):,} {name} are not finite (NaN, infinite or above 1e19; row "
            f"{first}{', …' if count > 3 else ''}): they are no place among the others. Training has "
            "diverged or the weights are damaged; take an earlier checkpoint or train with a lower "
            "learning rate."
        )


def is_collapsed(embeddings: Tensor) -> bool:
    """Whether all embeddings are one point but for rounding; of a single one nobody can tell.

    Args:
        embeddings: (M, D).
    """
    z = embeddings.detach().double().cpu()
    if len(z) < 2:
        return False
    rounding = max(1e-6 * float(z.abs().max()), 1e-18)
    return float((z - z.mean(0)).abs().max()) <= rounding


def collapse_sentence(count: int) -> str:
    """What to say where `is_collapsed` holds.

    Args:
        count: of the images whose embeddings are equal.
    """
    return (
        f"all {count:,} images have the same embedding: the network does not tell them apart (it has "
        "collapsed), and their order says nothing."
    )
