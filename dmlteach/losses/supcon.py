"""Supervised contrastive loss: Khosla et al., "Supervised contrastive learning", NeurIPS 2020."""

from torch import Tensor

from dmlteach.interfaces import Loss
from dmlteach.losses.batch import loss_function
from dmlteach.losses.pairs import cosine_pairs
from dmlteach.losses.tuples import as_numbers, has_any, masked_logsumexp, masked_mean
from dmlteach.options import positive


@loss_function
def supcon_loss(
    embeddings: Tensor,
    labels: Tensor,
    temperature: float = 0.1,
    reference: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Mean over anchors of −1/|P| Σ_p log( exp(S_ap/τ) / Σ_{b ≠ a} exp(S_ab/τ) ).

    S is the cosine and P the positives of a, each of which is compared with everyone (the form
    with the sum outside the logarithm, L_out). Anchors without a positive are left out of the mean.

    Args:
        embeddings: (N, D); normalised here.
        labels: (N,) class of each embedding.
        temperature: τ.
        reference: embeddings (M, D) and labels (M,) of a memory to compare the batch with, instead
            of with itself; label -1 is an empty slot.

    Returns:
        Scalar; a differentiable 0 if no anchor has a positive.

    Raises:
        DMLTeachError: shapes or dtypes do not fit.
    """
    cosine, is_positive, is_negative = cosine_pairs(embeddings, labels, reference)  # (N, M)
    logits = cosine / temperature
    everyone = masked_logsumexp(logits, is_positive | is_negative)  # (N,)
    num_positives = is_positive.sum(1)
    mean_positive = (as_numbers(is_positive, logits) * logits).sum(1) / num_positives.clamp_min(1)
    return masked_mean(everyone - mean_positive, num_positives > 0)


class SupCon(Loss):
    """Supervised contrastive loss over all pairs of the batch, or of the batch with a memory."""

    geometry = "sphere"
    uses = frozenset({"reference"})

    def __init__(self, temperature: float = 0.1):
        super().__init__()
        positive("temperature", temperature)
        self.temperature = temperature

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        return supcon_loss(embeddings, labels, self.temperature, reference)

    def active_tuples(self, embeddings, labels, tuples=None) -> Tensor:
        """Share of anchors whose negatives hold more than 0.01 of the softmax, of those with a positive."""
        cosine, is_positive, is_negative = cosine_pairs(embeddings, labels)
        logits = cosine / self.temperature
        # log of how often a negative is taken for every time a positive is
        odds = masked_logsumexp(logits, is_negative) - masked_logsumexp(logits, is_positive)
        return masked_mean((odds.sigmoid() > 0.01).float(), has_any(is_positive))
