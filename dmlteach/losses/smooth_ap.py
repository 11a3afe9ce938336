"""Smooth-AP loss: Brown et al., "Smooth-AP: smoothing the path towards large-scale …", ECCV 2020."""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dmlteach.distances import full_precision, pairwise_cosine
from dmlteach.interfaces import Loss
from dmlteach.losses.batch import loss_function
from dmlteach.losses.pairs import pair_masks
from dmlteach.losses.tuples import as_numbers, has_any, masked_mean
from dmlteach.options import positive

AT_ONCE = {"cpu": 2**18}  # numbers in a block of comparisons: on a CPU as many as stay in its cache …
AT_ONCE_ELSEWHERE = 2**24  # … on a GPU so many that it is busy


class _SmoothAP(torch.autograd.Function):
    """AP (N,) of the rankings in the rows of s (N, N), in blocks of rows.

    The AP of a row depends on that row of s alone. So its gradient is (N, N), too, and is made along with
    it: of the comparisons, N numbers for each positive, only those of one block are there at a time.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        s: Tensor, is_positive: Tensor, rows: Tensor, exists: Tensor, tau: float
    ) -> tuple[Tensor, Tensor]:
        at_once = AT_ONCE.get(s.device.type, AT_ONCE_ELSEWHERE)
        step = max(at_once // max(rows.shape[1] * s.shape[1], 1), 1)
        given = (s, as_numbers(is_positive, s), rows, as_numbers(exists, s))
        blocks = zip(*(tensor.split(step) for tensor in given), strict=True)
        parts = [_average_precision(tau, *block) for block in blocks]
        precision, gradient = (torch.cat(part) for part in zip(*parts, strict=True))
        return precision, gradient

    @staticmethod
    def setup_context(ctx, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor, _: None) -> tuple[Tensor, None, None, None, None]:
        (of_rows,) = ctx.saved_tensors
        return gradient[:, None] * of_rows, None, None, None, None


def _average_precision(
    tau: float, s: Tensor, is_positive: Tensor, rows: Tensor, exists: Tensor
) -> tuple[Tensor, Tensor]:
    """AP (B,) of some rows s (B, N), and its gradient (B, N) with respect to them; masks as numbers."""
    s_i = s.gather(1, rows)  # (B, P)
    g = ((s[:, None, :] - s_i[:, :, None]) / tau).sigmoid()  # (B, P, N) how surely j stands before i
    # An example stands before itself by 1/2: with the other half it is the 1 of a rank.
    rank_among_positives = (g * is_positive[:, None, :]).sum(2) + 0.5  # (B, P)
    rank = g.sum(2) + 0.5
    u = exists / (rank * exists.sum(1, keepdim=True).clamp_min(1))
    v = u * rank_among_positives / rank
    # AP = Σ_i u_i · rank⁺_i; of one comparison g_ij its derivative is u_i [j positive] − v_i.
    slope = g * (1 - g) / tau
    slope = slope * (u[:, :, None] * is_positive[:, None, :] - v[:, :, None])
    gradient = slope.sum(1).scatter_add(1, rows, -slope.sum(2))
    return (u * rank_among_positives).sum(1), gradient


def positives_of(is_positive: Tensor) -> tuple[Tensor, Tensor]:
    """Columns that hold the positives of each row, and which of them do, (N, P) each.

    On a CPU, P is the largest number of positives of a row. A device would have to be waited for to know
    it; there P is N.

    Args:
        is_positive: (N, N) mask.
    """
    if is_positive.device.type != "cpu":
        return torch.arange(len(is_positive), device=is_positive.device).expand_as(is_positive), is_positive
    most = int(is_positive.sum(1).max())
    exists, rows = is_positive.view(torch.uint8).topk(most, dim=1)
    return rows, exists > 0


@full_precision
def smooth_average_precision(embeddings: Tensor, labels: Tensor, tau: float = 0.01) -> tuple[Tensor, Tensor]:
    """AP of each query's ranking of the others, with a sigmoid in place of each comparison.

    Args:
        embeddings: (N, D); normalised here.
        labels: (N,) class of each embedding.
        tau: τ.

    Returns:
        AP (N,), and a mask (N,) of the queries that have a positive.
    """
    is_positive, _ = pair_masks(labels)
    s = pairwise_cosine(embeddings)
    itself = torch.eye(len(s), dtype=torch.bool, device=s.device)
    s = s.masked_fill(itself, -torch.finfo(s.dtype).max / 4)  # the query stands behind all others
    precision, _ = _SmoothAP.apply(s, is_positive, *positives_of(is_positive), tau)
    return precision, has_any(is_positive)


@loss_function
def smooth_ap_loss(embeddings: Tensor, labels: Tensor, temperature: float = 0.01) -> Tensor:
    """Mean over queries of 1 − AP, AP = mean_i (1 + Σ_{j ∈ P} G(s_j − s_i)) / (1 + Σ_j G(s_j − s_i)), j ≠ i.

    s is the cosine with the query, i one of its positives P and j any other image but the query.
    G(x) = 1 / (1 + exp(−x/τ)) says how surely j stands before i, so the fraction is rank among positives by
    rank among all. As τ shrinks, AP becomes that of the ranking. Queries without a positive are left out.

    On a CPU time is O(N² P), P the positives of a query; a GPU would have to wait for P, and takes N in
    its place. Memory is O(N²): comparisons are made in blocks of at most 2¹⁸ numbers (elsewhere than on a
    CPU 2²⁴), or of one query where it has more.

    Args:
        embeddings: (N, D); normalised here.
        labels: (N,) class of each embedding.
        temperature: τ; the smaller, the nearer to AP, and the fewer comparisons give a gradient.

    Returns:
        Scalar; a differentiable 0 if no query has a positive.

    Raises:
        DMLTeachError: shapes or dtypes do not fit, or τ is not positive.
    """
    positive("temperature", temperature, because="the loss divides by it")
    precision, exists = smooth_average_precision(embeddings, labels, temperature)
    return masked_mean(1 - precision, exists)


class SmoothAP(Loss):
    """Smooth-AP over the batch, each image the query of all others."""

    geometry = "sphere"

    def __init__(self, temperature: float = 0.01):
        super().__init__()
        positive("temperature", temperature, because="the loss divides by it")
        self.temperature = temperature

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        return smooth_ap_loss(embeddings, labels, self.temperature)

    def active_tuples(self, embeddings, labels, tuples=None) -> Tensor:
        """Share of queries whose AP is more than 0.01 below 1."""
        precision, exists = smooth_average_precision(embeddings, labels, self.temperature)
        return masked_mean((precision < 0.99).float(), exists)
