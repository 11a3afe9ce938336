"""Angular loss: Wang et al., "Deep metric learning with angular loss", ICCV 2017."""

from math import radians, tan

from torch import Tensor

from dmlteach.distances import pairwise_cosine, products
from dmlteach.interfaces import Loss
from dmlteach.losses.batch import loss_function
from dmlteach.losses.n_pair import n_pair_loss
from dmlteach.losses.pairs import pair_masks
from dmlteach.losses.tuples import as_numbers, masked_mean
from dmlteach.options import at_least, between

STEEPEST = 65.0  # sums of e^(8 tan² α), times their factor, are well within fp32


def angular_sums(embeddings: Tensor, labels: Tensor, alpha: float = 45.0) -> tuple[Tensor, Tensor]:
    """Σ_n exp(4 tan²α (x_a + x_p)·x_n − 2 (1 + tan²α) x_a·x_p) of every pair (a, p).

    Negatives of a are those of p, so the sum over n is one matrix product: with E_an = exp(4 tan²α
    x_a·x_n), and 0 where n is no negative, it is (E Eᵀ)_ap.

    Args:
        embeddings: (N, D); normalised here.
        labels: (N,) class of each embedding.
        alpha: α, in degrees.

    Returns:
        Sums (N, N), and a mask (N, N) of the pairs that are positive.
    """
    square = tan(radians(alpha)) ** 2
    cosine = pairwise_cosine(embeddings)
    is_positive, is_negative = pair_masks(labels)
    e = (4 * square * cosine).exp() * as_numbers(is_negative, cosine)
    return products(e) * (-2 * (1 + square) * cosine).exp(), is_positive


@loss_function
def angular_loss(
    embeddings: Tensor, labels: Tensor, alpha: float = 45.0, npair_weight: float = 0.0
) -> Tensor:
    """Mean over positive pairs (a, p) of log(1 + Σ_n exp(4 tan²α (x_a + x_p)·x_n − 2 (1 + tan²α) x_a·x_p)).

    x is the embedding on the unit sphere, n any image of another class. The exponent grows with
    ‖x_a − x_p‖² − 4 tan²α ‖x_n − c‖², c the midpoint of a and p: seen from n, half of their distance should
    take an angle less than α, however large the triangle is. The paper adds the N-pair loss, too.

    Args:
        embeddings: (N, D); normalised here, but for the N-pair loss.
        labels: (N,) class of each embedding.
        alpha: α, in degrees.
        npair_weight: w; w times the N-pair loss of the embeddings as they are is added.

    Returns:
        Scalar; a differentiable 0 if no class has two images, or there is one class only.

    Raises:
        DMLTeachError: shapes or dtypes do not fit, or α is too large.
    """
    between("alpha", alpha, 0, STEEPEST, because="in degrees; the loss grows as e^(8 tan² alpha)")
    sums, is_positive = angular_sums(embeddings, labels, alpha)
    value = masked_mean(sums.log1p(), is_positive)
    return value + npair_weight * n_pair_loss(embeddings, labels) if npair_weight else value


class Angular(Loss):
    """Angular loss over every positive pair with all its negatives, with or without the N-pair loss."""

    geometry = "sphere"

    def __init__(self, alpha: float = 45.0, npair_weight: float = 0.0):
        super().__init__()
        between("alpha", alpha, 0, STEEPEST, because="in degrees; the loss grows as e^(8 tan² alpha)")
        at_least("npair_weight", npair_weight, 0)
        self.alpha = alpha
        self.npair_weight = npair_weight

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        return angular_loss(embeddings, labels, self.alpha, self.npair_weight)

    def active_tuples(self, embeddings, labels, tuples=None) -> Tensor:
        """Share of positive pairs that are moved: the softmax gives more than 0.01 to the negatives."""
        sums, is_positive = angular_sums(embeddings, labels, self.alpha)
        return masked_mean((sums / (1 + sums) > 0.01).float(), is_positive)
