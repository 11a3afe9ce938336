"""Binomial deviance loss: Yi, Lei & Li, "Deep metric learning for practical person …", 2014."""

from typing import Literal

import torch
from torch import Tensor

from dmlteach.interfaces import Loss
from dmlteach.losses.batch import loss_function
from dmlteach.losses.pairs import cosine_pairs, has_both
from dmlteach.losses.tuples import masked_mean, softplus
from dmlteach.options import one_of, positive

VARIANTS = ("all_pairs", "per_anchor")


def deviance_exponents(
    embeddings: Tensor,
    labels: Tensor,
    alpha: float = 2.0,
    beta: float = 0.5,
    negative_cost: float = 1.0,
    reference: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """−α(cos − β) of positive pairs and c α(cos − β) of the others, with the masks of both kinds.

    Args:
        embeddings, labels, alpha, beta, negative_cost, reference: of `binomial_deviance_loss`.

    Returns:
        Exponents and two boolean masks, all (N, N) or (N, M).
    """
    s, is_positive, is_negative = cosine_pairs(embeddings, labels, reference)
    x = alpha * (s - beta)
    return torch.where(is_positive, -x, negative_cost * x), is_positive, is_negative


@loss_function
def binomial_deviance_loss(
    embeddings: Tensor,
    labels: Tensor,
    alpha: float = 2.0,
    beta: float = 0.5,
    negative_cost: float = 1.0,
    variant: Literal["all_pairs", "per_anchor"] = "all_pairs",
    reference: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Mean of log(1 + e^(−α(cos − β))) over positive + mean of log(1 + e^(c α(cos − β))) over negative pairs.

    The variant "per_anchor" takes the two means for each anchor, and then the mean over anchors;
    an anchor that lacks a positive or a negative counts with 0. With c = 20 that is the form of a
    public benchmark (github.com/bnu-wangxun/Deep_Metric: slopes 2 and 40, m = 0.5).

    Args:
        embeddings: (N, D); the cosine normalises them.
        labels: (N,) class of each embedding.
        alpha: α, slope.
        beta: β, the cosine that separates positive from negative pairs.
        negative_cost: c, by which negative pairs are steeper; 2 in Yi's use, 10 (CUB) and 25
            (SOP) in Ustinova & Lempitsky, NIPS 2016.
        variant: "all_pairs" or "per_anchor".
        reference: embeddings (M, D) and labels (M,) to compare with in place of the batch, label -1
            where empty.

    Returns:
        Scalar; a differentiable 0 if the batch holds no pair.

    Raises:
        DMLTeachError: shapes or dtypes do not fit, or an option is out of range.
    """
    _check_options(alpha, negative_cost, variant)
    exponents, is_positive, is_negative = deviance_exponents(
        embeddings, labels, alpha, beta, negative_cost, reference
    )
    terms = softplus(exponents)
    if variant == "all_pairs":
        return masked_mean(terms, is_positive) + masked_mean(terms, is_negative)
    complete = has_both(is_positive, is_negative)
    means = _mean_of_rows(terms, is_positive) + _mean_of_rows(terms, is_negative)
    return means.masked_fill(~complete, 0).mean()


def _mean_of_rows(values: Tensor, mask: Tensor) -> Tensor:
    return values.masked_fill(~mask, 0).sum(1) / mask.sum(1).clamp_min(1)


def _check_options(alpha: float, negative_cost: float, variant: str) -> None:
    one_of("variant of the binomial_deviance loss", variant, VARIANTS)
    positive("alpha", alpha)
    positive("negative_cost", negative_cost)


class BinomialDeviance(Loss):
    """Binomial deviance over all pairs of the batch, or of the batch with a memory."""

    geometry = "sphere"
    uses = frozenset({"reference"})

    def __init__(
        self,
        alpha: float = 2.0,
        beta: float = 0.5,
        negative_cost: float = 1.0,
        variant: Literal["all_pairs", "per_anchor"] = "all_pairs",
    ):
        super().__init__()
        _check_options(alpha, negative_cost, variant)
        self.alpha = alpha
        self.beta = beta
        self.negative_cost = negative_cost
        self.variant = variant

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        return binomial_deviance_loss(
            embeddings, labels, self.alpha, self.beta, self.negative_cost, self.variant, reference
        )

    def active_tuples(self, embeddings, labels, tuples=None) -> Tensor:
        """Share of pairs that are pulled or pushed, with a weight above 0.01."""
        exponents, is_positive, is_negative = deviance_exponents(
            embeddings, labels, self.alpha, self.beta, self.negative_cost
        )
        return masked_mean((exponents.sigmoid() > 0.01).float(), is_positive | is_negative)
