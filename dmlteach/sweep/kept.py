"""What is kept of a run: whether options and numbers that a file holds are such."""

from dataclasses import fields
from typing import Any

from dmlteach.files import is_number
from dmlteach.options import check_type
from dmlteach.train.config import TrainConfig

COUNTS = ("num_classes", "num_queries")
_TYPES = {field.name: field.type for field in fields(TrainConfig)}


def check_options(options: Any) -> dict[str, Any]:
    """Options of a run, as they were kept; names that this version does not know are left alone.

    Args:
        options: what the file holds.

    Raises:
        ValueError: they are none, and which.
    """
    if not isinstance(options, dict):
        raise ValueError("it holds no options")
    for name, value in options.items():
        if name in _TYPES:
            check_type(name, _TYPES[name], value)
    return options


def check_metrics(metrics: Any) -> dict[str, Any]:
    """Numbers of a run that is done: "final", and perhaps "untrained" and "val".

    Args:
        metrics: what the file holds.

    Raises:
        ValueError: they are none, and which.
    """
    if not isinstance(metrics, dict):
        raise ValueError("it holds no numbers")
    for part in ("untrained", "val", "final"):
        numbers = metrics.get(part)
        if numbers is None and part != "final":
            continue
        if not isinstance(numbers, dict) or not all(type(numbers.get(name)) is int for name in COUNTS):
            raise ValueError(f"its part {part!r} holds no counts")
        if not is_number(numbers.get("recall@1")):
            raise ValueError(f"its part {part!r} holds no Recall@1")
        if any(is_number(value) and abs(value) > 1e12 for value in numbers.values()):
            raise ValueError(f"its part {part!r} holds a number that no training has")
    return metrics
