"""Margin loss: Wu et al., "Sampling matters in deep embedding learning", ICCV 2017.

Whatever chooses the triplets, the loss is a weighted sum over pairs: only how often each pair occurs in
a triplet matters. So every function here works on (N, N) matrices.
"""

import torch
from torch import Tensor, nn

from dmlteach.distances import normalize, pairwise_distances
from dmlteach.errors import DMLTeachError, unknown_name
from dmlteach.inputs import check_classes
from dmlteach.interfaces import Loss
from dmlteach.losses.batch import loss_function
from dmlteach.losses.pairs import pair_masks
from dmlteach.losses.tuples import as_numbers, has_any, masked_mean, raised, sunk
from dmlteach.options import at_least, one_of

SAMPLING = ("all", "distance")


def log_inverse_density(d: Tensor, dim: int) -> Tensor:
    """log(1/q(d)), up to a constant, of the distance d between random points of the unit sphere.

    q(d) ∝ d^(n−2) (1 − d²/4)^((n−3)/2) in n = `dim` dimensions. It is steep: at n = 128 a distance of
    0.5 is e⁹² times rarer than one of √2. At the antipode, d = 2, the value is held finite.
    """
    return (2 - dim) * d.log() - (dim - 3) / 2 * (1 - d.square() / 4).clamp_min(1e-8).log()


@torch.no_grad()
def negative_probabilities(
    d: Tensor, is_negative: Tensor, dim: int, cutoff: float = 0.5, nonzero_loss_cutoff: float = 1.4
) -> Tensor:
    """P(n | a) ∝ 1/q(d(a, n)) over the negatives of every anchor: distance-weighted sampling.

    Args:
        d: (N, N) distances on the unit sphere.
        is_negative: (N, N) mask of the negatives of each row's anchor.
        dim: n, dimensions of the embedding.
        cutoff: smaller distances count as this one, so that the nearest are not drawn every time.
        nonzero_loss_cutoff: negatives from here on are not drawn; a loss of 0 would teach nothing.

    Returns:
        (N, N). Rows sum to 1: uniform over the negatives where all of them are too far, and 0 where
        there is no negative.
    """
    in_reach = is_negative & (d < nonzero_loss_cutoff)
    reaches_any = has_any(in_reach)[:, None]  # (N, 1)
    log_weight = log_inverse_density(d.clamp_min(cutoff), dim) * reaches_any
    may_be_drawn = in_reach | (is_negative & ~reaches_any)
    return sunk(log_weight, may_be_drawn).softmax(1) * as_numbers(is_negative, d)


@torch.no_grad()
def draw_negatives(
    probabilities: Tensor, is_positive: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """For every positive pair (a, p) draw one negative of a, with replacement.

    Args:
        probabilities: (N, N) P(n | a), from `negative_probabilities`.
        is_positive: (N, N) mask of the positive pairs.
        generator: gives the random numbers; default torch's own.

    Returns:
        (N, N): how often n was drawn for a. Rows sum to the anchor's positives, or to 0 without a negative.
    """
    device = probabilities.device if generator is None else generator.device
    # One number per pair, used where the pair is positive: how many there are is never asked. The others
    # are searched beyond the end, all alike, which a processor does in a quarter of the time.
    u = torch.rand(probabilities.shape, generator=generator, device=device).to(probabilities)
    cumulative = probabilities.cumsum(1)
    drawn = torch.searchsorted(cumulative, raised(u * cumulative[:, -1:], is_positive), right=True)
    drawn = drawn.clamp_max(len(probabilities) - 1)
    times = torch.zeros_like(probabilities).scatter_add_(1, drawn, as_numbers(is_positive, probabilities))
    return times * probabilities.sign()


def times_in_triplets(is_positive: Tensor, is_negative: Tensor, times_drawn: Tensor | None = None) -> Tensor:
    """In how many triplets each pair is, (N, N): anchor with positive, or anchor with negative.

    Args:
        is_positive: (N, N) mask of the positive pairs.
        is_negative: (N, N) mask of the negative pairs.
        times_drawn: (N, N) how often each negative was drawn, one for each positive of its anchor;
            default: every triplet of the batch.
    """
    if times_drawn is not None:
        return times_drawn + as_numbers(is_positive & has_any(is_negative)[:, None], times_drawn)
    positive, negative = is_positive.float(), is_negative.float()
    return positive * negative.sum(1, keepdim=True) + negative * positive.sum(1, keepdim=True)


def times_in_given(triplets: Tensor, size: int) -> Tensor:
    """In how many of the triplets (T, 3) each pair of `size` examples is, (N, N)."""
    times = torch.zeros(size, size, device=triplets.device)
    one = times.new_ones(())
    anchor, positive, negative = triplets.unbind(1)
    times.index_put_((anchor, positive), one, accumulate=True)
    return times.index_put_((anchor, negative), one, accumulate=True)


def pair_hinges(
    d: Tensor, labels: Tensor, beta: Tensor | float = 1.2, alpha: float = 0.2
) -> tuple[Tensor, Tensor]:
    """[α + d − β(a)]₊ of each positive pair, [α − d + β(a)]₊ of each negative one.

    Args:
        d: (N, N) distances on the unit sphere.
        labels: (N,) class of each embedding.
        beta: β, one number or one per class (C,).
        alpha: α, half the width of the margin.

    Returns:
        Hinges (N, N), and β of each anchor, broadcastable to them.
    """
    if isinstance(beta, Tensor):
        beta = beta.to(d)
        if beta.ndim:
            check_classes(labels, len(beta))
            beta = beta[labels.long()][:, None]
    else:
        beta = d.new_full((), beta)
    sign = 2 * as_numbers(labels[:, None] == labels[None, :], d) - 1
    return (alpha + sign * (d - beta)).relu(), beta


@loss_function
def margin_loss(
    embeddings: Tensor,
    labels: Tensor,
    beta: Tensor | float = 1.2,
    alpha: float = 0.2,
    nu: float = 0.0,
    sampling: str = "distance",
    cutoff: float = 0.5,
    nonzero_loss_cutoff: float = 1.4,
    triplets: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Σ over triplets of [α + d(a,p) − β]₊ + [α − d(a,n) + β]₊ + νβ, divided by the number of hinges above 0.

    d is the plain distance on the unit sphere, β = β(a) the boundary of the anchor's class. For each
    positive pair one negative is drawn with P(n | a) ∝ 1/q(d(a,n)), where q is the density of distances
    between random points: N(K − 1) triplets. The sampling sees the distances without their gradient.

    Args:
        embeddings: (N, D); normalised here.
        labels: (N,) class of each embedding.
        beta: β, one number, or one per class (C,).
        alpha: α, the margin on either side of the boundary.
        nu: ν, price of a large β.
        sampling: "distance", or "all" for every triplet of the batch (in closed form).
        cutoff: smaller distances are sampled as this one.
        nonzero_loss_cutoff: negatives at this distance or beyond are not sampled.
        triplets: (T, 3) anchor, positive, negative chosen elsewhere, instead of sampling.
        generator: for the sampling; default torch's own.

    Returns:
        Scalar; a differentiable 0 if no hinge is above 0.

    Raises:
        DMLTeachError: shapes or dtypes do not fit, no such sampling, or, with a boundary per class, a label
            (looked at on the CPU only) that is no class.
    """
    d = pairwise_distances(normalize(embeddings))  # (N, N)
    is_positive, is_negative = pair_masks(labels)
    if triplets is not None:
        times = times_in_given(triplets, len(labels))
    elif sampling == "all":
        times = times_in_triplets(is_positive, is_negative)
    elif sampling == "distance":
        p = negative_probabilities(d, is_negative, embeddings.shape[1], cutoff, nonzero_loss_cutoff)
        times = times_in_triplets(is_positive, is_negative, draw_negatives(p, is_positive, generator))
    else:
        raise unknown_name("sampling", sampling, SAMPLING)

    hinges, beta = pair_hinges(d, labels, beta, alpha)
    num_active = (times * hinges.sign()).sum()
    total = (times * hinges).sum()
    if nu:  # every triplet pays for the boundary of its anchor
        total = total + nu * (times * as_numbers(is_positive, d) * beta).sum()
    return total * (num_active > 0) / num_active.clamp_min(1)


class Margin(Loss):
    """Margin loss with a learnable boundary per class, over distance-weighted triplets.

    Without `num_classes` all classes share one boundary. Weight decay would pull the boundary
    to 0, where no pair is negative enough: give it none.
    """

    geometry = "sphere"
    uses = frozenset({"triplets"})
    beta: Tensor

    def __init__(
        self,
        num_classes: int | None = None,
        alpha: float = 0.2,
        beta: float = 1.2,
        nu: float = 0.0,
        learn_beta: bool = True,
        sampling: str = "distance",
        cutoff: float = 0.5,
        nonzero_loss_cutoff: float = 1.4,
    ):
        super().__init__()
        if num_classes is not None:
            at_least("num_classes", num_classes, 1)
        one_of("sampling", sampling, SAMPLING)
        if not 0 < cutoff < nonzero_loss_cutoff:
            raise DMLTeachError(
                f"cutoff {cutoff} must lie between 0 and nonzero_loss_cutoff {nonzero_loss_cutoff}."
            )
        start = torch.full(() if num_classes is None else (num_classes,), float(beta))
        if learn_beta:
            self.beta = nn.Parameter(start)
        else:
            self.register_buffer("beta", start)
        self.alpha = alpha
        self.nu = nu
        self.sampling = sampling
        self.cutoff = cutoff
        self.nonzero_loss_cutoff = nonzero_loss_cutoff

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        return margin_loss(
            embeddings, labels, self.beta, self.alpha, self.nu, self.sampling, self.cutoff,
            self.nonzero_loss_cutoff, tuples.triplets if tuples else None, generator,
        )  # fmt: skip

    def active_tuples(self, embeddings, labels, tuples=None) -> Tensor:
        """Share of the batch's pairs on the wrong side of their margin, those that can give a gradient."""
        hinges, _ = pair_hinges(pairwise_distances(normalize(embeddings)), labels, self.beta, self.alpha)
        is_positive, is_negative = pair_masks(labels)
        return masked_mean((hinges > 0).float(), is_positive | is_negative)
