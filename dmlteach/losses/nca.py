"""Neighbourhood components analysis (NCA) loss: Salakhutdinov & Hinton, AISTATS 2007."""

from torch import Tensor

from dmlteach.interfaces import Loss
from dmlteach.losses.batch import loss_function
from dmlteach.losses.pairs import squared_distance_pairs
from dmlteach.losses.tuples import has_any, masked_logsumexp, masked_mean
from dmlteach.options import positive


def log_neighbor_probability(
    embeddings: Tensor,
    labels: Tensor,
    scale: float = 1.0,
    reference: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """log p_a, where p_a = Σ_b p_ab over the anchor's class, p_ab ∝ exp(−s d²(a,b)).

    Args:
        embeddings: (N, D), as the network gives them.
        labels: (N,) class of each embedding.
        scale: s, an inverse temperature.
        reference: embeddings and labels of a memory, which then gives all neighbours.

    Returns:
        log p_a (N,), and a mask (N,) of the anchors that have a positive; elsewhere log p_a is 0.
    """
    d2, is_positive, is_negative = squared_distance_pairs(embeddings, labels, reference)  # (N, M)
    exponents = -scale * d2
    own_class = masked_logsumexp(exponents, is_positive)  # (N,)
    everyone = masked_logsumexp(exponents, is_positive | is_negative)
    has_positive = has_any(is_positive)
    # Filled before any exp: without positives this is -inf, or NaN where there is nobody at all.
    return (own_class - everyone).masked_fill(~has_positive, 0), has_positive


@loss_function
def nca_loss(
    embeddings: Tensor,
    labels: Tensor,
    log: bool = False,
    scale: float = 1.0,
    reference: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """−mean p_a, where p_a = Σ_{b in class of a} exp(−s d²(a,b)) / Σ_{z ≠ a} exp(−s d²(a,z)).

    p_a is the chance that a chooses a neighbour of its own class; the paper maximises its sum. The
    mean is over the anchors that have a positive: the others could only have p_a = 0.

    Args:
        embeddings: (N, D), as the network gives them; the paper does not normalise.
        labels: (N,) class of each embedding.
        log: minimise −mean log p_a instead, which also pulls at anchors whose p_a is almost 0.
        scale: s, an inverse temperature.
        reference: embeddings (M, D) and labels (M,) of a memory to choose neighbours from, instead
            of the batch; label -1 is an empty slot.

    Returns:
        Scalar; a differentiable 0 if no anchor has a positive.

    Raises:
        DMLTeachError: shapes or dtypes do not fit.
    """
    log_p, has_positive = log_neighbor_probability(embeddings, labels, scale, reference)
    return -masked_mean(log_p if log else log_p.exp(), has_positive)


class NCA(Loss):
    """NCA loss over all pairs of the batch, or of the batch with a memory."""

    geometry = "euclidean"
    uses = frozenset({"reference"})

    def __init__(self, log: bool = False, scale: float = 1.0):
        super().__init__()
        positive("scale", scale)
        self.log = log
        self.scale = scale

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        return nca_loss(embeddings, labels, self.log, self.scale, reference)

    def active_tuples(self, embeddings, labels, tuples=None) -> Tensor:
        """Share of anchors that are moved, with a weight 1 − p (log) or p(1 − p) above 0.01."""
        log_p, has_positive = log_neighbor_probability(embeddings, labels, self.scale)
        p = log_p.exp()
        weight = 1 - p if self.log else p * (1 - p)
        return masked_mean((weight > 0.01).float(), has_positive)
