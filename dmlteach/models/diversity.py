"""What keeps the learners of an ensemble apart: BIER (ICCV 2017) and A-BIER (PAMI 2018), Opitz et al.

All penalties look at outputs r_m = W_m x without bias and before normalisation, of features x that are
cut off from the backbone: they change the head's matrices and nothing below.
"""

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from dmlteach.distances import full_precision

Axis = Literal["input", "output"]  # whose weights together have norm 1
_SUMMED = {"input": 0, "output": 1}  # dimension of a weight (outputs, inputs) that is summed over


@full_precision
def activation_penalty(features: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """R = Σ_{i<j} mean over images and pairs of units u, v of (r_iu · r_jv)².

    0 exactly where every image excites one learner at most.

    Args:
        features: x, (N, F).
        matrices: W_m of every learner, (d_m, F).
    """
    # The mean over pairs of units is a product of two means: no N × d_i × d_j numbers are needed.
    energies = [linear(features.detach(), matrix).square().mean(1) for matrix in matrices]  # (N,) each
    shared = [(one * other).mean() for one, other in combinations(energies, 2)]
    return torch.stack(shared).sum() if shared else features.new_zeros(())


@full_precision
def adversarial_penalty(
    features: Tensor, matrices: Sequence[Tensor], regressors: Iterable[nn.Module]
) -> Tensor:
    """R = −Σ_{i<j} mean over images and units of (r_i ∘ g_ji(r_j))².

    A regressor g_ji foretells learner i from learner j: it learns to make R small, the outputs alike.
    Its inputs pass a gradient reversal, by which the learners learn to be unlike what it foretells.

    Args:
        features: x, (N, F).
        matrices: W_m of every learner, (d_m, F).
        regressors: g_ji of every pair i < j in the order of `itertools.combinations`.
    """
    outputs = [reverse_gradient(linear(features.detach(), matrix)) for matrix in matrices]
    pairs = zip(combinations(outputs, 2), regressors, strict=True)
    alike = [(one * regressor(other)).square().mean() for (one, other), regressor in pairs]
    return -torch.stack(alike).sum() if alike else features.new_zeros(())


def reverse_gradient(x: Tensor) -> Tensor:
    """x itself; its gradient changes sign (Ganin & Lempitsky, ICML 2015)."""
    return 2 * x.detach() - x


def unit_norm_penalty(weight: Tensor, axis: Axis) -> Tensor:
    """Mean of (‖w‖² − 1)² over inputs or outputs, w their weights in a matrix (outputs, inputs)."""
    return (weight.square().sum(_SUMMED[axis]) - 1).square().mean()


@torch.no_grad()
def to_unit_norm_(weight: Tensor, axis: Axis) -> None:
    """Scale the weights of every input or output to norm 1, in place."""
    weight /= weight.norm(dim=_SUMMED[axis], keepdim=True)
