"""BIER, boosting independent embeddings robustly: Opitz et al., ICCV 2017 and PAMI 2018."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from dmlteach.distances import pairwise_cosine
from dmlteach.interfaces import Loss
from dmlteach.losses.batch import loss_function
from dmlteach.losses.pairs import pair_masks
from dmlteach.losses.parts import check_dims, split_parts
from dmlteach.losses.tuples import masked_mean
from dmlteach.options import one_of, positive

Variant = Literal["paper", "code", "none"]


def pair_logits(
    embeddings: Tensor, labels: Tensor, dims: Sequence[int], alpha: float, beta: float, negative_cost: float
) -> list[Tensor]:
    """x_m(i, j) = α (cos_m(i, j) − β) · (1 if positive, −C if negative) of every learner, (N, N) each."""
    same = labels[:, None] == labels[None, :]
    scores = [alpha * (pairwise_cosine(part) - beta) for part in split_parts(embeddings, dims)]
    return [torch.where(same, score, -negative_cost * score) for score in scores]


@torch.no_grad()
def boosting_weights(logits: list[Tensor], labels: Tensor, variant: Variant = "paper") -> list[Tensor]:
    """Weight w_m(i, j) of every pair for every learner: how wrong the learners before it are together.

    Args:
        logits: x_m of every learner, (N, N) each.
        labels: (N,).
        variant: "paper": A_m = (1 − η_m) A_{m−1} + η_m x_m with η_m = 2/(m + 1), w_{m+1} = σ(−A_m).
            "code" (released): A_0 = ½, A_m = A_{m−1} + 0.06 x_m, w_{m+1} = σ(−A_m), twice that for negatives.
            "none": all weights are 1, learners know nothing of each other.

    Returns:
        (N, N) each; 1 for the first learner.
    """
    weights = [torch.ones_like(logits[0])]
    ensemble = torch.full_like(logits[0], 0.5 if variant == "code" else 0.0)
    same = labels[:, None] == labels[None, :]
    for m, learner in enumerate(logits[:-1], start=1):
        if variant == "paper":
            ensemble = torch.lerp(ensemble, learner, 2 / (m + 1))
            weights.append(torch.sigmoid(-ensemble))
        elif variant == "code":
            ensemble = ensemble + 0.06 * learner
            weights.append(torch.sigmoid(-ensemble) * torch.where(same, 1, 2))
        else:
            weights.append(weights[0])
    return weights


@loss_function
def bier_loss(
    embeddings: Tensor,
    labels: Tensor,
    dims: Sequence[int],
    alpha: float = 2.0,
    beta: float = 0.5,
    negative_cost: float = 25.0,
    variant: Variant = "paper",
    count_self: bool = False,
) -> Tensor:
    """1/M Σ_m Σ_{i≠j} w_m(i, j) W(i, j) log(1 + exp(−x_m(i, j))): boosted binomial deviance.

    x_m = α (cos_m − β) for positives and −C α (cos_m − β) for negatives; W is 1/#positives and
    1/#negatives. Learner m + 1 sees the pairs weighted by the negative gradient of the deviance of
    learners 1 … m; these weights are constants, so that each learner learns through its own similarity.

    Args:
        embeddings: (N, D), the learners' embeddings side by side; each is normalised here.
        labels: (N,) class of each embedding.
        dims: sizes of the learners' embeddings.
        alpha: slope α.
        beta: similarity β at which positives and negatives part.
        negative_cost: C, how much steeper negatives are.
        variant: of the boosting: "paper", "code" (released) or "none", see `boosting_weights`.
        count_self: count each example as a positive of itself in #positives, as the released code does.

    Returns:
        Scalar; a differentiable 0 if the batch holds no pair.

    Raises:
        DMLTeachError: shapes or dtypes do not fit, or an option is out of range.
    """
    _check_options(alpha, negative_cost, variant)
    logits = pair_logits(embeddings, labels, dims, alpha, beta, negative_cost)
    weights = boosting_weights(logits, labels, variant)
    share = _pair_shares(labels, logits[0].dtype, count_self)
    deviances = [(w * share * -logsigmoid(x)).sum() for w, x in zip(weights, logits, strict=True)]
    return torch.stack(deviances).mean()


def _pair_shares(labels: Tensor, dtype: torch.dtype, count_self: bool) -> Tensor:
    """W(i, j), (N, N): 1/#positives or 1/#negatives, 0 on the diagonal."""
    is_positive, is_negative = pair_masks(labels)
    num_positives = is_positive.sum() + (len(labels) if count_self else 0)
    shares = is_positive.to(dtype) / num_positives.clamp_min(1)
    return shares + is_negative.to(dtype) / is_negative.sum().clamp_min(1)


class BIER(Loss):
    """BIER loss; made for the `bier` head, whose `dims` it takes. One part is plain binomial deviance."""

    geometry = "sphere"
    compares = "examples within one head"

    def __init__(
        self,
        dims: Sequence[int],
        alpha: float = 2.0,
        beta: float = 0.5,
        negative_cost: float = 25.0,
        variant: Variant = "paper",
        count_self: bool = False,
    ):
        super().__init__()
        _check_options(alpha, negative_cost, variant)
        self.dims, self.alpha, self.beta, self.negative_cost = check_dims(dims), alpha, beta, negative_cost
        self.variant, self.count_self = variant, count_self

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        return bier_loss(
            embeddings, labels, self.dims, self.alpha, self.beta, self.negative_cost,
            self.variant, self.count_self,
        )  # fmt: skip

    def active_tuples(self, embeddings, labels, tuples=None) -> Tensor:
        """Share of pairs that pull, with a gradient weight w σ(−x) above 0.01, averaged over learners."""
        logits = pair_logits(embeddings, labels, self.dims, self.alpha, self.beta, self.negative_cost)
        weights = boosting_weights(logits, labels, self.variant)
        pulls = torch.stack([w * torch.sigmoid(-x) for w, x in zip(weights, logits, strict=True)])
        is_positive, is_negative = pair_masks(labels)
        return masked_mean((pulls > 0.01).float(), is_positive | is_negative)


def _check_options(alpha: float, negative_cost: float, variant: str) -> None:
    one_of("variant of the bier loss", variant, ("paper", "code", "none"))
    positive("alpha", alpha)
    positive("negative_cost", negative_cost)
