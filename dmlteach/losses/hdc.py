"""HDC, hard-aware deeply cascaded embedding: Yuan, Yang & Zhang, ICCV 2017."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

import torch
from torch import Tensor

from dmlteach.distances import normalize, pairwise_squared_distances
from dmlteach.errors import DMLTeachError
from dmlteach.interfaces import Loss
from dmlteach.losses.batch import loss_function
from dmlteach.losses.parts import check_dims, split_parts
from dmlteach.options import one_of, positive, share

Mode = Literal["nested", "independent"]
RankBy = Literal["previous", "own"]

_ZERO = 1e-6  # a squared distance below is the rounding error of equal rows


def pair_terms(
    embeddings: Tensor, labels: Tensor, dims: Sequence[int], margin: float = 1.0, neg_weight: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Contrastive loss of every unordered pair at every depth: d² if positive, else w [m − d²]₊.

    Returns:
        Terms (K, P), and which of the P = N(N − 1)/2 pairs are positive (P,).
    """
    first, second = torch.triu_indices(len(labels), len(labels), 1, device=labels.device)
    is_positive = labels[first] == labels[second]
    terms = []
    for part in split_parts(embeddings, dims):
        d2 = pairwise_squared_distances(normalize(part))[first, second]  # (P,)
        terms.append(torch.where(is_positive, d2, neg_weight * (margin - d2).relu()))
    return torch.stack(terms), is_positive


@torch.no_grad()
def hard_sets(
    terms: Tensor,
    is_positive: Tensor,
    hard_ratios: Sequence[float] = (1.0, 0.5, 0.2),
    mode: Mode = "nested",
    rank_by: RankBy = "previous",
) -> Tensor:
    """Which pairs each depth learns from; positives and negatives are chosen separately.

    Args:
        terms: (K, P) loss of every pair at every depth.
        is_positive: (P,).
        hard_ratios: h_k, share of all pairs that depth k keeps.
        mode: "nested": depth k keeps max(1, ⌊h_k n⌋) of the pairs that depth k − 1 kept.
            "independent": ⌊h_k n⌋ of all pairs, the hardest at depth k itself.
        rank_by: depth whose losses order the nested sets: the "previous" one, or the depth's "own".

    Returns:
        (K, P) masks; equal losses are kept in the order of the pairs.
    """
    kept: list[Tensor] = []
    everything = torch.ones_like(is_positive)
    for k, ratio in enumerate(hard_ratios):
        if ratio == 1:
            kept.append(everything)
            continue
        nested = mode == "nested"
        among = kept[-1] if nested else everything
        ranking = terms[k - 1] if nested and rank_by == "previous" else terms[k]
        chosen = torch.zeros_like(is_positive)
        for kind in (is_positive, ~is_positive):
            count = _floor_share(kind.sum(), ratio).clamp_min(int(nested))
            chosen = chosen | _hardest(ranking, among & kind, count)
        kept.append(chosen)
    return torch.stack(kept)


def _floor_share(count: Tensor, ratio: float) -> Tensor:
    """⌊ratio · count⌋, exact: 0.29 of 100 is 29, not the 28 of floating point."""
    exact = Fraction(ratio).limit_denominator(1_000_000)
    return count * exact.numerator // exact.denominator


def _hardest(losses: Tensor, members: Tensor, count: Tensor) -> Tensor:
    """Mask (P,) of the `count` members with the largest losses, equal ones in order."""
    # Ranks, and not topk: how many there are is known on the device only.
    order = losses.masked_fill(~members, -torch.inf).argsort(descending=True, stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device)
    return members & (rank < count)


@loss_function
def hdc_loss(
    embeddings: Tensor,
    labels: Tensor,
    dims: Sequence[int],
    hard_ratios: Sequence[float] = (1.0, 0.5, 0.2),
    mode: Mode = "nested",
    rank_by: RankBy = "previous",
    margin: float = 1.0,
    neg_weight: float = 1.0,
) -> Tensor:
    """Σ_k L_k: at depth k, the mean over its hard pairs with a loss above 0 of d² or w [m − d²]₊.

    Every depth has its own part of the embedding, compared on its own unit sphere. The first learns
    from all pairs, each further depth from the pairs that are hard for the one before. A choice of
    pairs carries no gradient.

    Args:
        embeddings: (N, D), the parts of all depths side by side; each is normalised here.
        labels: (N,) class of each embedding.
        dims: sizes of the parts.
        hard_ratios: h_k, share of all pairs that depth k keeps.
        mode: "nested" (the paper) or "independent" (the authors' released code).
        rank_by: depth whose losses order the nested sets: the "previous" one, or the depth's "own".
        margin: m, the squared distance beyond which a negative is left alone.
        neg_weight: w, of the negatives; 1 in the paper, 10 in the released code.

    Returns:
        Scalar; a differentiable 0 if no pair has a loss.

    Raises:
        DMLTeachError: shapes or dtypes do not fit, or an option is out of range.
    """
    _check_options(dims, hard_ratios, mode, rank_by, margin, neg_weight)
    terms, is_positive = pair_terms(embeddings, labels, dims, margin, neg_weight)
    kept = hard_sets(terms, is_positive, hard_ratios, mode, rank_by)
    active = (kept & (terms > _ZERO)).sum(1)  # (K,)
    return (terms.masked_fill(~kept, 0).sum(1) / active.clamp_min(1)).sum()


class HDC(Loss):
    """HDC loss; made for the `cascade` head, whose `dims` it takes.

    The released code, which "independent" follows, lists every negative pair twice when it sums the
    loss, though not in its gradient, and drops the factor 2 of the gradient of d². Here each pair is
    counted once, and the gradient is that of the loss.
    """

    geometry = "sphere"
    compares = "examples within one head"

    def __init__(
        self,
        dims: Sequence[int],
        hard_ratios: Sequence[float] = (1.0, 0.5, 0.2),
        mode: Mode = "nested",
        rank_by: RankBy = "previous",
        margin: float = 1.0,
        neg_weight: float = 1.0,
    ):
        super().__init__()
        self.dims, self.hard_ratios = check_dims(dims), tuple(hard_ratios)
        self.mode, self.rank_by, self.margin, self.neg_weight = mode, rank_by, margin, neg_weight
        _check_options(self.dims, self.hard_ratios, mode, rank_by, margin, neg_weight)

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        return hdc_loss(
            embeddings, labels, self.dims, self.hard_ratios, self.mode, self.rank_by,
            self.margin, self.neg_weight,
        )  # fmt: skip

    def active_tuples(self, embeddings, labels, tuples=None) -> Tensor:
        """Share of pairs that give a gradient, averaged over the depths."""
        terms, is_positive = pair_terms(embeddings, labels, self.dims, self.margin, self.neg_weight)
        kept = hard_sets(terms, is_positive, self.hard_ratios, self.mode, self.rank_by)
        return (kept & (terms > _ZERO)).sum() / max(kept.numel(), 1)


def _check_options(
    dims: Sequence[int],
    ratios: Sequence[float],
    mode: str,
    rank_by: str,
    margin: float,
    neg_weight: float,
) -> None:
    one_of("mode of the hdc loss", mode, ("nested", "independent"))
    one_of("rank_by of the hdc loss", rank_by, ("previous", "own"))
    positive("margin", margin)
    positive("neg_weight", neg_weight)
    if len(ratios) != len(dims):
        raise DMLTeachError(
            f"hdc has a hard ratio for each part of the embedding, but {len(ratios)} ratios {tuple(ratios)} "
            f"meet {len(dims)} parts {tuple(dims)}; choose the cascade head, or other hard_ratios."
        )
    for ratio in ratios:
        share("each of hard_ratios", ratio)
    if mode == "nested" and (ratios[0] != 1 or list(ratios) != sorted(ratios, reverse=True)):
        raise DMLTeachError(f"nested hard_ratios must start at 1 and never grow, unlike {tuple(ratios)}.")
