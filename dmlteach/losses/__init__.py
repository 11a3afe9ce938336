"""Losses: each a pure function of embeddings (N, D) and labels (N,), and a thin module beside it."""

import inspect

from dmlteach.errors import DMLTeachError, unknown_name
from dmlteach.interfaces import Loss
from dmlteach.losses.contrastive import Contrastive, contrastive_loss
from dmlteach.losses.softmax import Softmax, softmax_loss
from dmlteach.losses.sst import SST, sst_loss
from dmlteach.losses.triplet import Triplet, triplet_loss
from dmlteach.losses.tuples import masked_mean, nearest_targets

LOSSES: dict[str, type[Loss]] = {
    "contrastive": Contrastive,
    "softmax": Softmax,
    "sst": SST,
    "triplet": Triplet,
}


def names() -> list[str]:
    """Names that `create` accepts."""
    return sorted(LOSSES)


def options(name: str) -> dict[str, inspect.Parameter]:
    """Options of a loss, by name: those of its module's constructor."""
    if name not in LOSSES:
        raise unknown_name("loss", name, LOSSES)
    return {k: p for k, p in inspect.signature(LOSSES[name].__init__).parameters.items() if k != "self"}


def create(name: str, **given) -> Loss:
    """The loss module called `name`, e.g. `create("triplet", margin=0.1)`.

    Args:
        name: one of `names()`.
        given: its options by the field's names: margin, num_targets, num_classes, embedding_dim, …

    Raises:
        DMLTeachError: unknown name or option, missing option, or a value out of range.
    """
    known = options(name)
    for option in given:
        if option not in known:
            raise unknown_name(f"option of the {name} loss", option, known)
    missing = [k for k, p in known.items() if p.default is p.empty and k not in given]
    if missing:
        raise DMLTeachError(f"the {name} loss needs {', '.join(missing)}, e.g. {missing[0]}=….")
    return LOSSES[name](**given)


__all__ = [
    "contrastive_loss",
    "create",
    "masked_mean",
    "names",
    "nearest_targets",
    "options",
    "softmax_loss",
    "sst_loss",
    "triplet_loss",
]
