"""Embeddings made of several parts, one per depth of a cascade or per learner of an ensemble."""

from collections.abc import Sequence

from torch import Tensor

from dmlteach.errors import DMLTeachError


def split_parts(embeddings: Tensor, dims: Sequence[int]) -> tuple[Tensor, ...]:
    """The parts (N, d_1), (N, d_2), … that lie side by side in embeddings (N, D).

    Raises:
        DMLTeachError: the parts are not as wide as the embeddings.
    """
    if embeddings.shape[1] != sum(dims):
        raise DMLTeachError(
            f"embeddings have {embeddings.shape[1]} numbers, but parts of sizes {tuple(dims)} have "
            f"{sum(dims)}; dims must be those of the head, model.head.dims."
        )
    return embeddings.split(tuple(dims), dim=1)


def check_dims(dims: Sequence[int]) -> tuple[int, ...]:
    """Sizes of the parts.

    Raises:
        DMLTeachError: there are none, or one is not positive.
    """
    if not dims or min(dims) < 1:
        raise DMLTeachError(f"dims must be positive sizes, one per part, not {tuple(dims)}.")
    return tuple(dims)
