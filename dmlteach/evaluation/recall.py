"""The K of Recall@K: those a user names, or those published for a data set, as far as they fit."""

import warnings
from collections.abc import Sequence, Sized

from dmlteach import data
from dmlteach.errors import DMLTeachError


def published(dataset: str) -> tuple[int, ...]:
    """The K that papers report for a data set; 1, 2, 4, 8 where nothing else is usual.

    Args:
        dataset: its name.
    """
    return data.recall_at(dataset)


def parse(given: str | Sequence[int]) -> tuple[int, ...]:
    """K as the command line takes them, "1,2,4", or as a sequence of numbers; each once.

    Args:
        given: at least one K.

    Raises:
        DMLTeachError: something that is no whole number from 1 on.
    """
    parts = given.split(",") if isinstance(given, str) else given
    return tuple(dict.fromkeys(_number(part) for part in parts)) or (_number(""),)


def _number(part: object) -> int:
    if isinstance(part, str) and part.strip().isdecimal():
        part = int(part)
    if not isinstance(part, int) or isinstance(part, bool) or part < 1:
        raise DMLTeachError(f"--recall-at takes whole numbers from 1, separated by commas, not {part!r}.")
    return part


def searched(queries: Sized, gallery: Sized | None) -> int:
    """How many items each query searches: the gallery, or all others of its own set.

    Args:
        queries: the set whose items ask.
        gallery: the set they search, where it is another one.
    """
    return len(queries) - 1 if gallery is None else len(gallery)


def check(ks: Sequence[int], number: int, what: str) -> None:
    """Refuse K that somebody named and that do not fit.

    Args:
        ks: the K.
        number: of the items that each query searches.
        what: the name of these items, e.g. "the val split".

    Raises:
        DMLTeachError: a K is larger than the number.
    """
    for k in ks:
        if k > number:
            raise DMLTeachError(
                f"Recall@{k} of {number:,} items searched in {what}: choose K from 1 to {number:,}, or name "
                "none; then those that fit are taken."
            )


def that_fit(dataset: str, number: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The published K of a data set: those that fit, and those left out.

    Args:
        dataset: its name.
        number: of the items that each query searches.
    """
    usual = published(dataset)
    return tuple(k for k in usual if k <= number), tuple(k for k in usual if k > number)


def fitting(dataset: str, number: int, what: str) -> tuple[int, ...]:
    """The published K of a data set that fit; says which do not.

    Args:
        dataset: its name.
        number: of the items that each query searches.
        what: the name of these items, e.g. "the val split".

    Raises:
        DMLTeachError: nothing is searched.
    """
    if number < 1:
        raise DMLTeachError(f"{what} has one image only: there is nothing to search. Add images.")
    ks, too_large = that_fit(dataset, number)
    if too_large:
        left_out = ", ".join(f"Recall@{k}" for k in too_large)
        warnings.warn(f"{left_out} left out: only {number:,} items are searched in {what}.", stacklevel=3)
    return ks
