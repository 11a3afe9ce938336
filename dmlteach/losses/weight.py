"""The "Weight" loss of the public Deep_Metric benchmark: a reconstruction, as its code was never published.

The benchmark's script for its best rows names a loss `Weight` whose file is in no public commit. Its author
called it a weighted binomial deviance with mining, and its published form is the multi-similarity loss
(Wang et al., CVPR 2019). Form and constants here are inferred from the neighbouring losses of that code.
"""

from torch import Tensor

from dmlteach.interfaces import Loss
from dmlteach.losses.batch import loss_function
from dmlteach.losses.multi_similarity import check_steepness, mined_share, multi_similarity_loss


@loss_function
def weight_loss(
    embeddings: Tensor,
    labels: Tensor,
    alpha: float = 40.0,
    beta: float = 2.0,
    base: float = 0.5,
    epsilon: float = 0.1,
    reference: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Mean over anchors of 2/β log(1 + Σ_p exp(−β(S_ap − λ))) + 2/α log(1 + Σ_n exp(α(S_an − λ))).

    A reconstruction: no public code shows the original. It is twice the multi-similarity loss with
    α and β exchanged, over the same mined pairs; an anchor that keeps no pair adds 0.

    Args:
        embeddings: (N, D); normalised here.
        labels: (N,) class of each embedding.
        alpha: α, steepness for negatives (not for positives, as in the multi-similarity loss).
        beta: β, steepness for positives.
        base: λ, the cosine about which pairs are weighed.
        epsilon: ε of the mining, in cosine.
        reference: embeddings (M, D) and labels (M,) of a memory to compare the batch with, instead
            of with itself; label -1 is an empty slot.

    Returns:
        Scalar; a differentiable 0 if no pair is kept.

    Raises:
        DMLTeachError: shapes or dtypes do not fit.
    """
    return 2 * multi_similarity_loss(embeddings, labels, beta, alpha, base, epsilon, reference)


class Weight(Loss):
    """The reconstructed "Weight" loss over the mined pairs of the batch, or of the batch with a memory."""

    geometry = "sphere"
    uses = frozenset({"reference"})

    def __init__(self, alpha: float = 40.0, beta: float = 2.0, base: float = 0.5, epsilon: float = 0.1):
        super().__init__()
        check_steepness(alpha, beta, epsilon)
        self.alpha = alpha
        self.beta = beta
        self.base = base
        self.epsilon = epsilon

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        return weight_loss(embeddings, labels, self.alpha, self.beta, self.base, self.epsilon, reference)

    def active_tuples(self, embeddings, labels, tuples=None) -> Tensor:
        """Share of pairs that mining keeps, those that give a gradient."""
        return mined_share(embeddings, labels, self.epsilon)
