"""Multi-similarity loss: Wang et al., "Multi-similarity loss with general pair weighting …", CVPR 2019."""

from torch import Tensor

from dmlteach.interfaces import Loss
from dmlteach.losses.batch import loss_function
from dmlteach.losses.pairs import cosine_pairs, mine_pairs
from dmlteach.losses.tuples import masked_logsumexp, masked_mean, softplus
from dmlteach.options import at_least, positive


@loss_function
def multi_similarity_loss(
    embeddings: Tensor,
    labels: Tensor,
    alpha: float = 2.0,
    beta: float = 50.0,
    base: float = 1.0,
    epsilon: float = 0.1,
    reference: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Mean over anchors of 1/α log(1 + Σ_p exp(−α(S_ap − λ))) + 1/β log(1 + Σ_n exp(β(S_an − λ))).

    S is the cosine. The sums run over the pairs that mining keeps: negatives more similar than the
    least similar positive less ε, positives less similar than the most similar negative plus ε.
    An anchor that keeps none adds 0 and stays in the mean. The constants are the paper's; the
    authors' code has (α, β, λ) = (2, 40, 0.5), and 2, 50, 0.5 is common practice.

    Args:
        embeddings: (N, D); normalised here.
        labels: (N,) class of each embedding.
        alpha: α, steepness for positives.
        beta: β, steepness for negatives.
        base: λ, the cosine about which pairs are weighed.
        epsilon: ε of the mining, in cosine.
        reference: embeddings (M, D) and labels (M,) of a memory to compare the batch with, instead
            of with itself; label -1 is an empty slot.

    Returns:
        Scalar; a differentiable 0 if no pair is kept.

    Raises:
        DMLTeachError: shapes or dtypes do not fit.
    """
    cosine, is_positive, is_negative = cosine_pairs(embeddings, labels, reference)  # (N, M)
    positives, negatives = mine_pairs(cosine, is_positive, is_negative, epsilon)
    # softplus(log Σ exp) = log(1 + Σ exp)
    pull = softplus(masked_logsumexp(alpha * (base - cosine), positives)) / alpha  # (N,)
    push = softplus(masked_logsumexp(beta * (cosine - base), negatives)) / beta
    return (pull + push).mean()


def mined_share(embeddings: Tensor, labels: Tensor, epsilon: float) -> Tensor:
    """Share of the batch's pairs that mining keeps, a scalar."""
    cosine, is_positive, is_negative = cosine_pairs(embeddings, labels)
    positives, negatives = mine_pairs(cosine, is_positive, is_negative, epsilon)
    return masked_mean((positives | negatives).float(), is_positive | is_negative)


def check_steepness(alpha: float, beta: float, epsilon: float) -> None:
    """Raise unless α > 0, β > 0 and ε ≥ 0.

    Raises:
        DMLTeachError: says which value is out of range.
    """
    positive("alpha", alpha, because="the loss divides by it")
    positive("beta", beta, because="the loss divides by it")
    at_least("epsilon", epsilon, 0)


class MultiSimilarity(Loss):
    """Multi-similarity loss over the mined pairs of the batch, or of the batch with a memory."""

    geometry = "sphere"
    uses = frozenset({"reference"})

    def __init__(self, alpha: float = 2.0, beta: float = 50.0, base: float = 1.0, epsilon: float = 0.1):
        super().__init__()
        check_steepness(alpha, beta, epsilon)
        self.alpha = alpha
        self.beta = beta
        self.base = base
        self.epsilon = epsilon

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        return multi_similarity_loss(
            embeddings, labels, self.alpha, self.beta, self.base, self.epsilon, reference
        )

    def active_tuples(self, embeddings, labels, tuples=None) -> Tensor:
        """Share of pairs that mining keeps, those that give a gradient."""
        return mined_share(embeddings, labels, self.epsilon)
