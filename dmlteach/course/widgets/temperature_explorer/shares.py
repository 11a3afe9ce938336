"""The gradient of a log-softmax loss, pair by pair: of one anchor in a recorded batch."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from dmlteach.course.widgets.weight_explorer import curves
from dmlteach.errors import DMLTeachError
from dmlteach.losses import n_pair_loss, nca_loss, supcon_loss
from dmlteach.options import one_of

EMBEDDINGS = ("untrained", "trained")  # of those that are recorded
BATCH = 0  # of the eight that are recorded
STEPS = (1, 1.25, 1.6, 2, 2.5, 3.2, 4, 5, 6.3, 8)  # of a decade
TEMPERATURES = tuple(round(low * step, 5) for low in (0.01, 0.1, 1.0) for step in STEPS if low * step <= 2)


class Member(NamedTuple):
    """One loss of the family, on cosines.

    Attributes:
        label: as readers know it.
        paired: whether it looks at one positive, and at one picture of each other pair; else at all.
        inside: whether the sum over the positives is inside the logarithm; else outside.
    """

    label: str
    paired: bool
    inside: bool


MEMBERS = {
    "n_pair": Member("InfoNCE, one positive", True, False),
    "nca": Member("NCA, sum inside the log", False, True),
    "supcon": Member("SupCon, sum outside the log", False, False),
}


class Row(NamedTuple):
    """What one anchor is compared with.

    Attributes:
        cosine: (63,) with the others of the batch, the positives first, each part by falling cosine.
        is_positive: (63,).
        is_paired: (63,) whether N-pair looks at it: the anchor's own partner, and those of other classes.
    """

    cosine: Tensor
    is_positive: Tensor
    is_paired: Tensor


def loss_of(member: str, temperature: float) -> Callable[[Tensor, Tensor], Tensor]:
    """The library's loss, of embeddings of length 1 and labels.

    Args:
        member: one of MEMBERS.
        temperature: of the cosine; for NCA, d² = 2 − 2 S makes that the scale 1/(2τ), for N-pair, which has
            no temperature, the length 1/√τ.
    """
    if member == "nca":
        return lambda z, labels: nca_loss(z, labels, log=True, scale=1 / (2 * temperature))
    if member == "n_pair":
        return lambda z, labels: n_pair_loss(z / temperature**0.5, labels)
    return lambda z, labels: supcon_loss(z, labels, temperature)


def weights_of(member: str, temperature: float, row: Row) -> Tensor:
    """∂L/∂S of an anchor's pairs, (63,): above 0 pushed apart, below 0 pulled together; not looked at: 0.

    Args:
        member: one of MEMBERS.
        temperature: of the cosine.
        row: of one anchor.
    """
    _, paired, inside = MEMBERS[member]
    among = row.is_paired if paired else torch.ones_like(row.is_paired)
    positive = among & row.is_positive
    logits = row.cosine / temperature
    chosen = logits.masked_fill(~among, -torch.inf).softmax(0)
    if inside:
        wanted = logits.masked_fill(~positive, -torch.inf).softmax(0)
    else:
        wanted = positive.to(logits) / positive.sum()
    return (chosen - wanted) / temperature


def shares_of(weights: Tensor, row: Row) -> Tensor:
    """Each negative's share of the push on all negatives, (60,).

    Args:
        weights: of `weights_of`.
        row: of one anchor.
    """
    push = weights[~row.is_positive]
    return push / push.sum()


def effective_number(shares: Tensor) -> float:
    """exp of the entropy of shares that sum to 1: K where K are equal and the others 0.

    Args:
        shares: (K,).
    """
    return float(torch.special.entr(shares).sum().exp())


@cache
def row_of(embedding: str, anchor: int) -> Row:
    """An anchor's cosines with the rest of its batch.

    Args:
        embedding: one of EMBEDDINGS.
        anchor: 0 to 15; the first picture of this class of the batch.

    Raises:
        DMLTeachError: no such embedding or class.
    """
    one_of("embedding", embedding, EMBEDDINGS)
    if not 0 <= anchor < curves.CLASSES:
        raise DMLTeachError(f"anchor must be a class of the batch, 0 to {curves.CLASSES - 1}, not {anchor}.")
    z, labels = curves.load().points[embedding][BATCH], curves.labels_of_batch()
    first = anchor * curves.PER_CLASS
    same, place = labels == anchor, torch.arange(len(labels))
    # N-pair cuts a class into its first and second picture, third and fourth; negatives are the second ones.
    paired = (place % 2 == 1) & (~same | (place == first + 1))
    cosine = z @ z[first]
    order = [i for i in cosine.argsort(descending=True).tolist() if i != first]
    order.sort(key=lambda i: not same[i])  # stable: the positives first
    return Row(cosine[order], same[order], paired[order])


@cache
def losses_of(member: str, embedding: str) -> tuple[float, ...]:
    """Mean of the library's loss over the recorded batches, at each of TEMPERATURES.

    Args:
        member: one of MEMBERS.
        embedding: one of EMBEDDINGS.
    """
    record = curves.load()
    return tuple(
        float(torch.stack([loss_of(member, t)(z, record.labels) for z in record.points[embedding]]).mean())
        for t in TEMPERATURES
    )
