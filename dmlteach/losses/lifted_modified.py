"""Lifted structured loss as a public benchmark modified it: github.com/bnu-wangxun/Deep_Metric (2018).

Hinge, square and margin are gone, similarities stand in for distances, and each side has its own
scale; its author derives it from binomial deviance (issue 37 there).
"""

from torch import Tensor

from dmlteach.interfaces import Loss
from dmlteach.losses.batch import loss_function
from dmlteach.losses.pairs import cosine_pairs, has_both, mine_pairs
from dmlteach.losses.tuples import masked_logsumexp, masked_mean
from dmlteach.options import at_least, positive


@loss_function
def lifted_modified_loss(
    embeddings: Tensor,
    labels: Tensor,
    alpha: float = 40.0,
    beta: float = 2.0,
    epsilon: float | None = None,
    reference: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Mean over anchors of 2/β log Σ_p e^(−β cos(a,p)) + 2/α log Σ_n e^(α cos(a,n)).

    p are all positives of the anchor and n all its negatives. An anchor that lacks either counts
    with 0 in the mean, as in the benchmark. The value may be negative.

    Args:
        embeddings: (N, D); the cosine normalises them.
        labels: (N,) class of each embedding.
        alpha: α, scale of the negatives; the larger, the more the hardest counts.
        beta: β, scale of the positives.
        epsilon: ε of the benchmark's mining (0.1 there): keep negatives with
            cos > min cos(a,p) − ε and positives with cos < max cos(a,n) + ε. Default: keep all.
        reference: embeddings (M, D) and labels (M,) that positives and negatives come from in place
            of the batch, label -1 where empty.

    Returns:
        Scalar; a differentiable 0 if no anchor has both a positive and a negative.

    Raises:
        DMLTeachError: shapes or dtypes do not fit, or an option is out of range.
    """
    _check_options(alpha, beta, epsilon)
    s, is_positive, is_negative = cosine_pairs(embeddings, labels, reference)
    if epsilon is not None:
        is_positive, is_negative = mine_pairs(s, is_positive, is_negative, epsilon)
    pull = 2 / beta * masked_logsumexp(-beta * s, is_positive)
    push = 2 / alpha * masked_logsumexp(alpha * s, is_negative)
    return (pull + push).masked_fill(~has_both(is_positive, is_negative), 0).mean()


def _check_options(alpha: float, beta: float, epsilon: float | None) -> None:
    positive("alpha", alpha)
    positive("beta", beta)
    if epsilon is not None:
        at_least("epsilon", epsilon, 0, because="None keeps all pairs")


class LiftedModified(Loss):
    """The benchmark's lifted loss on cosines, in the batch or with a memory's rows."""

    geometry = "sphere"
    uses = frozenset({"reference"})

    def __init__(self, alpha: float = 40.0, beta: float = 2.0, epsilon: float | None = None):
        super().__init__()
        _check_options(alpha, beta, epsilon)
        self.alpha = alpha
        self.beta = beta
        self.epsilon = epsilon

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        return lifted_modified_loss(embeddings, labels, self.alpha, self.beta, self.epsilon, reference)

    def active_tuples(self, embeddings, labels, tuples=None) -> Tensor:
        """Share of pairs that count: those that mining keeps, of anchors with a positive and a negative."""
        s, is_positive, is_negative = cosine_pairs(embeddings, labels)
        is_pair = is_positive | is_negative
        if self.epsilon is not None:
            is_positive, is_negative = mine_pairs(s, is_positive, is_negative, self.epsilon)
        complete = has_both(is_positive, is_negative)[:, None]
        return masked_mean(((is_positive | is_negative) & complete).float(), is_pair)
