"""What learners of an ensemble hand on: the weight of every pair in each of them, by HDC and by BIER."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from dmlteach.losses import bier_loss, hdc_loss
from dmlteach.losses.bier import boosting_weights
from dmlteach.losses.hdc import hard_sets
from dmlteach.options import one_of

RATIOS = (1.0, 0.5, 0.2)  # h_k of HDC
MARGIN = 1.0  # of HDC, in squared distance
ALPHA, BETA = 2.0, 0.5  # of BIER
ZERO = 1e-6  # a smaller loss of HDC is at rest
PULLS = 0.01  # from this w σ(−x) on a pair of BIER pulls, as the library counts


class Family(NamedTuple):
    """A way in which pairs are handed on.

    Attributes:
        label: as it is shown.
        library: the library's loss, of (embeddings, labels, dims).
        mode: of HDC; "" for BIER.
        cost: C of BIER.
    """

    label: str
    library: Callable[[Tensor, Tensor, tuple[int, ...]], Tensor]
    mode: Literal["nested", "independent", ""] = ""
    cost: float = 0.0


FAMILIES = {
    "hdc": Family(
        "HDC, a cascade",
        lambda z, y, dims: hdc_loss(z, y, dims, RATIOS, margin=MARGIN),
        mode="nested",
    ),
    "hdc_own": Family(
        "HDC, each chooses for itself",
        lambda z, y, dims: hdc_loss(z, y, dims, RATIOS, mode="independent", margin=MARGIN),
        mode="independent",
    ),
    "bier": Family(
        "BIER, negative cost 2",
        lambda z, y, dims: bier_loss(z, y, dims, ALPHA, BETA, 2.0),
        cost=2.0,
    ),
    "bier_25": Family(
        "BIER, negative cost 25",
        lambda z, y, dims: bier_loss(z, y, dims, ALPHA, BETA, 25.0),
        cost=25.0,
    ),
}


class Handed(NamedTuple):
    """What becomes of P pairs in M learners.

    Attributes:
        value: of the loss.
        weights: (M, P) that earlier learners leave each pair: kept or not in a cascade, w in BIER.
        gradients: (M, P), ∂L/∂cos.
        learns: (M, P), whether a pair still pulls a learner.
    """

    value: Tensor
    weights: Tensor
    gradients: Tensor
    learns: Tensor


def handed_on(family: str, cosines: Tensor, is_positive: Tensor) -> Handed:
    """What each learner makes of each pair.

    Args:
        family: one of `FAMILIES`.
        cosines: (M, P) of every pair in every learner.
        is_positive: (P,) whether it is a pair of one class.

    Raises:
        DMLTeachError: an unknown family.
    """
    one_of("family", family, FAMILIES)
    of, s = FAMILIES[family], cosines.detach().clone().requires_grad_()
    value, weights, learns = _hdc(of, s, is_positive) if of.mode else _bier(of, s, is_positive)
    (gradients,) = torch.autograd.grad(value, s)
    return Handed(value.detach(), weights.detach(), gradients, learns)


def _hdc(of: Family, s: Tensor, is_positive: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    d2 = 2 - 2 * s
    terms = torch.where(is_positive, d2, (MARGIN - d2).relu())
    kept = hard_sets(terms, is_positive, RATIOS, of.mode or "nested")
    learns = kept & (terms > ZERO)
    per_learner = terms.masked_fill(~kept, 0).sum(1) / learns.sum(1).clamp_min(1)
    return per_learner.sum(), kept.to(s.dtype), learns


def _bier(of: Family, s: Tensor, is_positive: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    x = ALPHA * (s - BETA) * torch.where(is_positive, 1.0, -of.cost)
    weights = torch.stack(boosting_weights([*x], is_positive))
    of_kind = torch.where(is_positive, is_positive.sum(), (~is_positive).sum())
    value = (weights * softplus(-x) / of_kind).sum(1).mean()
    return value, weights, weights * torch.sigmoid(-x) > PULLS


def shares(handed: Handed, is_positive: Tensor, pair: int) -> Tensor:
    """The share that one pair has in what its kind pulls, learner by learner, (M,).

    Args:
        handed: what becomes of all pairs.
        is_positive: (P,) their kinds.
        pair: which one.
    """
    of_kind = handed.gradients[:, is_positive == is_positive[pair]].abs().sum(1)
    return handed.gradients[:, pair].abs() / of_kind.clamp_min(1e-300)
