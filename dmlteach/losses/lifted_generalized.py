"""Generalised lifted structured loss: Hermans, Beyer & Leibe, "In defense of the triplet loss …", 2017."""

from torch import Tensor

from dmlteach.interfaces import Loss
from dmlteach.losses.batch import loss_function
from dmlteach.losses.pairs import distance_pairs, has_both
from dmlteach.losses.tuples import masked_logsumexp, masked_mean
from dmlteach.options import at_least


def anchor_terms(
    embeddings: Tensor,
    labels: Tensor,
    margin: float = 1.0,
    reference: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """log Σ_p e^d(a,p) + log Σ_n e^(m − d(a,n)) of each anchor.

    Args:
        embeddings, labels, margin, reference: of `lifted_generalized_loss`.

    Returns:
        Terms (N,), and a mask (N,) of the anchors that have a positive and a negative.
    """
    d, is_positive, is_negative = distance_pairs(embeddings, labels, reference)
    terms = masked_logsumexp(d, is_positive) + masked_logsumexp(margin - d, is_negative)
    return terms, has_both(is_positive, is_negative)


@loss_function
def lifted_generalized_loss(
    embeddings: Tensor,
    labels: Tensor,
    margin: float = 1.0,
    reference: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Mean over anchors of [log Σ_p e^d(a,p) + log Σ_n e^(m − d(a,n))]₊.

    p are all positives of the anchor and n all its negatives: a smooth form of the batch-hard
    triplet loss. Anchors without a positive or without a negative are left out of the mean.

    Args:
        embeddings: (N, D), as the network gives them; the paper does not normalise.
        labels: (N,) class of each embedding.
        margin: m, in distance.
        reference: embeddings (M, D) and labels (M,) that positives and negatives come from in place
            of the batch, label -1 where empty.

    Returns:
        Scalar; a differentiable 0 if no anchor has both a positive and a negative.

    Raises:
        DMLTeachError: shapes or dtypes do not fit.
    """
    terms, complete = anchor_terms(embeddings, labels, margin, reference)
    return masked_mean(terms.relu(), complete)


class LiftedGeneralized(Loss):
    """Generalised lifted structured loss, in the batch or with a memory's rows."""

    geometry = "euclidean"
    uses = frozenset({"reference"})

    def __init__(self, margin: float = 1.0):
        super().__init__()
        at_least("margin", margin, 0)
        self.margin = margin

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        return lifted_generalized_loss(embeddings, labels, self.margin, reference)

    def active_tuples(self, embeddings, labels, tuples=None) -> Tensor:
        """Share of anchors whose term is above 0, those that give a gradient."""
        terms, complete = anchor_terms(embeddings, labels, self.margin)
        return masked_mean((terms > 0).float(), complete)
