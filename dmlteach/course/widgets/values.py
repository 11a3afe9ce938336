"""Value and gradient of a loss on one triplet, by autograd of the library's losses."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dmlteach.losses import contrastive_loss, sst_loss, triplet_loss
from dmlteach.options import one_of

LABELS = torch.tensor([0, 0, 1])  # anchor and positive share a class
ONE_TRIPLET = torch.tensor([[1], [-1], [-1]])  # only row 0 is an anchor, its target is row 1
# Exactly at the margin the hinge is 0 and so is its gradient; in floating point the last digit of a sum would
# decide. A margin smaller by EDGE decides it, and changes no other value that anyone could see.
EDGE = 1e-9

# Each maps (embeddings (3, D), margin) to the loss of this one triplet.
LOSSES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "triplet": lambda z, margin: triplet_loss(z, LABELS, margin=margin - EDGE, targets=ONE_TRIPLET),
    "sst": lambda z, margin: sst_loss(z, LABELS, targets=ONE_TRIPLET),
    "contrastive": lambda z, margin: contrastive_loss(z, LABELS),  # its margin is a distance: its default, 1
}


def loss_and_gradient(
    loss: str, points: Sequence[Sequence[float]], margin: float = 0.2
) -> tuple[float, list[list[float]]]:
    """Loss of one triplet and its gradient in each of the three points, in float64.

    Args:
        loss: "triplet", "sst" or "contrastive".
        points: (3, D) positions of anchor, positive and negative.
        margin: of the triplet loss, in squared distance.

    Returns:
        The loss, and ∂ℓ/∂z as (3, D).

    Raises:
        DMLTeachError: unknown loss.
    """
    one_of("loss", loss, LOSSES)
    z = torch.tensor(points, dtype=torch.float64, requires_grad=True)
    value = LOSSES[loss](z, margin)
    (gradient,) = torch.autograd.grad(value, z)
    return value.item(), gradient.tolist()
