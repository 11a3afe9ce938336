"""What every loss is given, a batch of embeddings and labels, and what is refused of it."""

import functools
from collections.abc import Callable
from typing import TypeVar, cast

from torch import Tensor

from dmlteach.distances import wide
from dmlteach.errors import DMLTeachError
from dmlteach.inputs import as_labels

Function = TypeVar("Function", bound=Callable[..., Tensor])


def check_batch(embeddings: Tensor, labels) -> Tensor:
    """The labels as int64 on the embeddings' device.

    Only shapes and dtypes are looked at: the values on a device would have to be waited for.

    Raises:
        DMLTeachError: embeddings are not (N, D) floats, or labels not (N,) integers beside them.
    """
    if not isinstance(embeddings, Tensor):
        raise DMLTeachError(
            f"embeddings must be a tensor of floats (N, D), not {type(embeddings).__name__}: "
            "a loss is differentiated with respect to them."
        )
    if embeddings.ndim != 2 or not embeddings.is_floating_point():
        raise DMLTeachError(
            f"embeddings must be floats of shape (N, D), not {embeddings.dtype} {tuple(embeddings.shape)}."
        )
    if not isinstance(labels, Tensor):
        labels = as_labels(labels).to(embeddings.device)
    if labels.shape != embeddings.shape[:1] or labels.is_floating_point():
        raise DMLTeachError(
            f"labels must be {len(embeddings)} integers, one per embedding, "
            f"not {labels.dtype} {tuple(labels.shape)}."
        )
    if labels.device != embeddings.device:
        raise DMLTeachError(
            f"labels are on {labels.device} and embeddings on {embeddings.device}; "
            "move them: labels.to(embeddings.device)."
        )
    return as_labels(labels)


def loss_function(function: Function) -> Function:
    """Give a loss (embeddings, labels, …) a batch that was checked; of a batch without rows it is 0.

    Labels may be integers of any type, in a tensor, an array or a list; the loss gets int64. The 0 can be
    differentiated: a loop whose batch was filtered empty goes on.
    """

    @functools.wraps(function)
    def checked(embeddings: Tensor, labels, *args, **kwargs) -> Tensor:
        labels = check_batch(embeddings, labels)
        if not len(labels):
            return wide(embeddings).sum()
        return function(embeddings, labels, *args, **kwargs)

    return cast(Function, checked)
