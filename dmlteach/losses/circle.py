"""Circle loss: Sun et al., "Circle loss: a unified perspective of pair similarity …", CVPR 2020."""

from torch import Tensor

from dmlteach.interfaces import Loss
from dmlteach.losses.batch import loss_function
from dmlteach.losses.pairs import cosine_pairs, has_both
from dmlteach.losses.tuples import masked_logsumexp, masked_mean, softplus
from dmlteach.options import at_least, positive


def circle_exponents(
    embeddings: Tensor,
    labels: Tensor,
    margin: float = 0.4,
    gamma: float = 80.0,
    reference: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """log Σ_n exp(γ α_n (S_an − m)) + log Σ_p exp(−γ α_p (S_ap − 1 + m)) of every anchor.

    The weights α_n = [S_an + m]₊ and α_p = [1 + m − S_ap]₊ are constants of the gradient.

    Returns:
        Exponents (N,), and a mask (N,) of the anchors that have a positive and a negative.
    """
    cosine, is_positive, is_negative = cosine_pairs(embeddings, labels, reference)  # (N, M)
    push = gamma * (cosine.detach() + margin).relu() * (cosine - margin)
    pull = gamma * (1 + margin - cosine.detach()).relu() * (1 - margin - cosine)
    exponents = masked_logsumexp(push, is_negative) + masked_logsumexp(pull, is_positive)
    return exponents, has_both(is_positive, is_negative)


@loss_function
def circle_loss(
    embeddings: Tensor,
    labels: Tensor,
    margin: float = 0.4,
    gamma: float = 80.0,
    reference: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Mean over anchors of log(1 + Σ_n exp(γ α_n (S_an − m)) Σ_p exp(−γ α_p (S_ap − 1 + m))).

    S is the cosine; α_n = [S_an + m]₊ and α_p = [1 + m − S_ap]₊ weigh a pair by how far it is from
    its optimum and carry no gradient. Anchors that lack positives or negatives are left out of the
    mean. The paper takes m = 0.4, γ = 80 for image retrieval and m = 0.25, γ = 256 for faces.

    Args:
        embeddings: (N, D); normalised here.
        labels: (N,) class of each embedding.
        margin: m, in cosine.
        gamma: γ, the scale.
        reference: embeddings (M, D) and labels (M,) of a memory to compare the batch with, instead
            of with itself; label -1 is an empty slot.

    Returns:
        Scalar; a differentiable 0 if no anchor has a positive and a negative.

    Raises:
        DMLTeachError: shapes or dtypes do not fit.
    """
    exponents, exists = circle_exponents(embeddings, labels, margin, gamma, reference)
    return masked_mean(softplus(exponents), exists)


class Circle(Loss):
    """Circle loss over all pairs of the batch, or of the batch with a memory."""

    geometry = "sphere"
    uses = frozenset({"reference"})

    def __init__(self, margin: float = 0.4, gamma: float = 80.0):
        super().__init__()
        at_least("margin", margin, 0)
        positive("gamma", gamma)
        self.margin = margin
        self.gamma = gamma

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        return circle_loss(embeddings, labels, self.margin, self.gamma, reference)

    def active_tuples(self, embeddings, labels, tuples=None) -> Tensor:
        """Share of anchors that are moved, with a weight sigmoid(exponent) above 0.01."""
        exponents, exists = circle_exponents(embeddings, labels, self.margin, self.gamma)
        return masked_mean((exponents.sigmoid() > 0.01).float(), exists)
