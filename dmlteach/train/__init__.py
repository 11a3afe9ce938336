"""Training: what to train, what is built for it, one loop for every method, and what is kept.

What to train is there at once; torch and all that is built on it are imported when a training begins.
"""

import importlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from dmlteach.train.config import FREE, TrainConfig

_HOMES = {"Result": "ending", "Run": "loop", "fit": "loop", "resolve": "recipe"}

__all__ = ["FREE", "Result", "Run", "TrainConfig", "fit", "resolve"]

if TYPE_CHECKING:
    from dmlteach.train.ending import Result as Result
    from dmlteach.train.loop import Run as Run
    from dmlteach.train.loop import fit as fit
    from dmlteach.train.recipe import resolve as resolve


def __getattr__(name: str) -> Any:
    """Import what `dmlteach.train.NAME` stands for, or the module of that name, at its first use."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    if not name.startswith("_") and find_spec(f"{__name__}.{name}"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
