"""Contrastive loss: Hadsell, Chopra & LeCun, "Dimensionality reduction by …", CVPR 2006."""

from typing import Literal

from torch import Tensor
from torch.nn.functional import threshold

from dmlteach.errors import DMLTeachError
from dmlteach.interfaces import Loss
from dmlteach.losses.batch import loss_function
from dmlteach.losses.pairs import cosine_pairs, distance_pairs
from dmlteach.losses.tuples import as_numbers, masked_mean
from dmlteach.options import at_least, one_of

VARIANTS = ("euclidean", "cosine")


def pair_terms(
    embeddings: Tensor,
    labels: Tensor,
    margin: float = 1.0,
    variant: Literal["euclidean", "cosine"] = "euclidean",
    reference: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """What each pair adds to the contrastive loss, and which pairs are positive, which negative.

    Args:
        embeddings, labels, margin, variant, reference: of `contrastive_loss`.

    Returns:
        Terms, 0 where there is no pair, and two boolean masks, all (N, N) or (N, M).
    """
    if variant == "cosine":
        s, is_positive, is_negative = cosine_pairs(embeddings, labels, reference)
        pull, push = 1 - s, threshold(s, margin, 0.0)
        terms = as_numbers(is_positive, s) * pull + as_numbers(is_negative, s) * push
    else:
        d, is_positive, is_negative = distance_pairs(embeddings, labels, reference)
        pull, push = d, (margin - d).relu()
        # A pair is positive or negative, or neither: at most one of the summands is not 0.
        terms = (as_numbers(is_positive, d) * pull + as_numbers(is_negative, d) * push).square() / 2
    return terms, is_positive, is_negative


@loss_function
def contrastive_loss(
    embeddings: Tensor,
    labels: Tensor,
    margin: float = 1.0,
    variant: Literal["euclidean", "cosine"] = "euclidean",
    reference: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Mean over pairs of ½d² (same class) and ½[m − d]₊² (different classes).

    The variant "cosine" is that of a public benchmark (github.com/bnu-wangxun/Deep_Metric, m = 0.5):
    the sum over pairs of 1 − cos (same class) and of cos where it exceeds m (different classes),
    divided by the number of anchors. It normalises the embeddings.

    Args:
        embeddings: (N, D), as the network gives them.
        labels: (N,) class of each embedding.
        margin: m, the distance beyond which a negative is left alone; with "cosine", the cosine
            below which it is.
        variant: "euclidean" or "cosine".
        reference: embeddings (M, D) and labels (M,) to compare with in place of the batch, label -1
            where empty.

    Returns:
        Scalar; a differentiable 0 if the batch holds no pair.

    Raises:
        DMLTeachError: shapes or dtypes do not fit, or an option is out of range.
    """
    _check_options(margin, variant)
    terms, is_positive, is_negative = pair_terms(embeddings, labels, margin, variant, reference)
    if variant == "cosine":
        return terms.sum() / len(embeddings)
    return terms.sum() / (is_positive | is_negative).sum().clamp_min(1)


def _check_options(margin: float, variant: str) -> None:
    one_of("variant of the contrastive loss", variant, VARIANTS)
    if variant == "euclidean":
        at_least("margin", margin, 0)
    if variant == "cosine" and margin >= 1:
        raise DMLTeachError(f"no cosine exceeds a margin of {margin}; choose one below 1, e.g. margin=0.5.")


class Contrastive(Loss):
    """Contrastive loss over all pairs of the batch, or of the batch with a memory."""

    geometry: Literal["euclidean", "sphere"] = "euclidean"
    uses = frozenset({"reference"})

    def __init__(self, margin: float = 1.0, variant: Literal["euclidean", "cosine"] = "euclidean"):
        super().__init__()
        _check_options(margin, variant)
        self.margin = margin
        self.variant = variant
        if variant == "cosine":
            self.geometry = "sphere"

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        return contrastive_loss(embeddings, labels, self.margin, self.variant, reference)

    def active_tuples(self, embeddings, labels, tuples=None) -> Tensor:
        """Share of negative pairs inside the margin, those that give a gradient."""
        terms, _, is_negative = pair_terms(embeddings, labels, self.margin, self.variant)
        return masked_mean((terms > 0).float(), is_negative)
