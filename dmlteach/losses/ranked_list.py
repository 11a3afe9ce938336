"""Ranked list loss: Wang et al., "Ranked list loss for deep metric learning", CVPR 2019."""

from torch import Tensor

from dmlteach.distances import normalize, pairwise_distances
from dmlteach.errors import DMLTeachError
from dmlteach.interfaces import Loss
from dmlteach.losses.batch import loss_function
from dmlteach.losses.pairs import pair_masks
from dmlteach.losses.tuples import as_numbers, masked_mean, sunk
from dmlteach.options import at_least, between


def violations(
    embeddings: Tensor, labels: Tensor, alpha: float = 1.2, margin: float = 0.4
) -> tuple[Tensor, Tensor, Tensor]:
    """How far pairs are on the wrong side of their bound.

    Args:
        embeddings, labels, alpha, margin: of `ranked_list_loss`.

    Returns:
        d − (α − m) of positives and α − d of negatives, (N, N); masks (N, N) of the positives and of the
        negatives where it is above 0.
    """
    d = pairwise_distances(normalize(embeddings))
    is_positive, is_negative = pair_masks(labels)
    excess = (d - (alpha - margin)) * as_numbers(is_positive, d) + (alpha - d) * as_numbers(is_negative, d)
    wrong = excess > 0
    return excess, is_positive & wrong, is_negative & wrong


@loss_function
def ranked_list_loss(
    embeddings: Tensor,
    labels: Tensor,
    alpha: float = 1.2,
    margin: float = 0.4,
    temperature: float = 10.0,
    lambda_: float = 0.5,
) -> Tensor:
    """Mean over anchors of (1 − λ) mean_p (d(a,p) − (α − m)) + λ Σ_n w_an (α − d(a,n)), of those beyond
    their bound.

    d is the distance on the unit sphere. Positives should lie within α − m and negatives outside of α; the
    rest is left alone. The negatives' weights w_an ∝ exp(T (α − d(a,n))) sum to 1 for each anchor and are
    constants of the gradient; T = 0 weighs them alike. Where an anchor has nothing beyond a bound, that
    part is 0; it stays in the mean.

    Args:
        embeddings: (N, D); normalised here.
        labels: (N,) class of each embedding.
        alpha: α, the bound of the negatives.
        margin: m, by which the positives' bound is nearer.
        temperature: T; the larger, the more the nearest negatives count.
        lambda_: λ, weight of the negatives.

    Returns:
        Scalar; a differentiable 0 if no pair is beyond its bound.

    Raises:
        DMLTeachError: shapes or dtypes do not fit, or an option is out of its range.
    """
    _check(alpha, margin, temperature, lambda_)
    excess, positives, negatives = violations(embeddings, labels, alpha, margin)
    shares = as_numbers(positives, excess)
    shares = shares / shares.sum(1, keepdim=True).clamp_min(1)
    weights = sunk(temperature * excess.detach(), negatives).softmax(1) * as_numbers(negatives, excess)
    return (((1 - lambda_) * shares + lambda_ * weights) * excess).sum(1).mean()


def _check(alpha: float, margin: float, temperature: float, lambda_: float) -> None:
    if not 0 <= margin <= alpha:
        raise DMLTeachError(
            f"margin must be from 0 to alpha = {alpha}, not {margin}: "
            "positives should lie within their difference."
        )
    at_least("temperature", temperature, 0)
    between("lambda_", lambda_, 0, 1)


class RankedList(Loss):
    """Ranked list loss over all pairs of the batch that are beyond their bound."""

    geometry = "sphere"

    def __init__(
        self, alpha: float = 1.2, margin: float = 0.4, temperature: float = 10.0, lambda_: float = 0.5
    ):
        super().__init__()
        _check(alpha, margin, temperature, lambda_)
        self.alpha = alpha
        self.margin = margin
        self.temperature = temperature
        self.lambda_ = lambda_

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        return ranked_list_loss(embeddings, labels, self.alpha, self.margin, self.temperature, self.lambda_)

    def active_tuples(self, embeddings, labels, tuples=None) -> Tensor:
        """Share of the batch's pairs that are beyond their bound, those that give a gradient."""
        _, positives, negatives = violations(embeddings, labels, self.alpha, self.margin)
        is_positive, is_negative = pair_masks(labels)
        return masked_mean((positives | negatives).float(), is_positive | is_negative)
