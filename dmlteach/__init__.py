"""dmlteach: learn, use and reproduce deep metric learning.

`import dmlteach` costs nothing: torch and everything built on it are imported by the first use,
e.g. `dmlteach.data.load("omniglot", "train")`.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

FUNCTIONS = {  # public name: module that defines it, and its name there
    "DMLTeachError": ("errors", "DMLTeachError"),
    "TrainConfig": ("train", "TrainConfig"),
    "embed": ("embeddings", "embed"),
    "evaluate": ("evaluation", "evaluate"),
    "evaluate_domains": ("evaluation", "evaluate_domains"),
    "fit": ("train", "fit"),
    "load_model": ("models", "load"),
}
MODULES = (
    "course",
    "data",
    "distances",
    "interfaces",
    "losses",
    "methods",
    "metrics",
    "models",
    "neighbors",
    "plots",
    "samplers",
    "train",
)

IN_THE_COURSE = {  # by the name they also answer to here
    "exercises": "course.exercises",
    "figures": "course.figures",
    "pretrained": "course.recordings",
    "published": "course.published",
    "widgets": "course.widgets",
}
# `from dmlteach.evaluate import embed` stands in notebooks that were written before these moved.
ALIASES = {**IN_THE_COURSE, "das": "objective.das", "evaluate": "evaluation"}

__all__ = [*FUNCTIONS, *MODULES, *IN_THE_COURSE]

if TYPE_CHECKING:
    from dmlteach.embeddings import embed as embed
    from dmlteach.errors import DMLTeachError as DMLTeachError
    from dmlteach.evaluation import evaluate as evaluate
    from dmlteach.evaluation import evaluate_domains as evaluate_domains
    from dmlteach.models import load as load_model  # noqa: F401
    from dmlteach.train import TrainConfig as TrainConfig
    from dmlteach.train import fit as fit


def __getattr__(name: str) -> Any:
    """Import what `dmlteach.name` stands for when it is first asked for."""
    if name in FUNCTIONS:
        module, attribute = FUNCTIONS[name]
        return getattr(importlib.import_module(f"dmlteach.{module}"), attribute)
    if name in MODULES or name in ALIASES:
        return importlib.import_module(f"dmlteach.{ALIASES.get(name, name)}")
    raise AttributeError(f"module 'dmlteach' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


class _Alias(ModuleType):
    """So that `from dmlteach.exercises import check` finds what has its home elsewhere."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(f"dmlteach.{ALIASES[self.__name__.rpartition('.')[2]]}"), name)


for _name in ALIASES:
    sys.modules[f"{__name__}.{_name}"] = _Alias(f"{__name__}.{_name}")
