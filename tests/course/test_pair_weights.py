"""Weights of pairs, read off a gradient: those that the formulas of the losses give."""

from itertools import product

import pytest
import torch

from dmlteach import losses
from dmlteach.course.pair_weights import pair_weights
from dmlteach.distances import normalize
from dmlteach.errors import DMLTeachError

LABELS = torch.arange(6).repeat_interleave(3)


@pytest.fixture
def z():
    return normalize(torch.randn(18, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64))


def both_orders(w):
    return w + w.T


def test_of_a_loss_on_cosines_they_are_its_derivatives_with_respect_to_the_cosines(z):
    """Any function of the matrix of cosines: autograd with the matrix itself as the variable."""
    factors = torch.randn(18, 18, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def of_cosines(s):
        return (factors * s).sin().sum() + (s @ s).square().mean()

    s = (z @ z.T).requires_grad_()
    (expected,) = torch.autograd.grad(of_cosines(s), s)
    found = pair_weights(lambda z, labels: of_cosines(normalize(z) @ normalize(z).T), z, LABELS)
    off = ~torch.eye(18, dtype=torch.bool)
    torch.testing.assert_close(found[off], both_orders(expected)[off], rtol=1e-7, atol=1e-9)


def test_of_contrastive_they_are_those_of_its_formula(z):
    margin, d = 1.4, (2 - 2 * z @ z.T).clamp_min(0).sqrt()
    same = LABELS[:, None] == LABELS
    found = pair_weights(losses.create("contrastive", margin=margin), z, LABELS)
    push = torch.where(
        same, torch.zeros_like(d), (margin - d).clamp_min(0) / d
    )  # −½ d(m − d)²/dS, up to a factor
    factor = found[~same].sum() / push.sum()
    torch.testing.assert_close(found[~same], (factor * push)[~same], rtol=1e-7, atol=1e-12)
    pull = found[same & ~torch.eye(18, dtype=torch.bool)]
    torch.testing.assert_close(pull, pull[:1].expand_as(pull), rtol=1e-7, atol=0)  # d²: the same for each


def test_of_triplets_they_count_the_open_ones(z):
    found = pair_weights(losses.create("triplet_all", squared=True, margin=0.2), z, LABELS)
    cosine = z @ z.T
    expected = torch.zeros_like(cosine)
    for a, p, n in product(range(18), repeat=3):
        is_triplet = a != p and LABELS[a] == LABELS[p] != LABELS[n]
        if is_triplet and 0.2 - 2 * cosine[a, p] + 2 * cosine[a, n] > 0:
            expected[a, p] -= 1
            expected[a, n] += 1
    expected = both_orders(expected)
    torch.testing.assert_close(found / found.max(), expected / expected.max(), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    "name", ["multi_similarity", "binomial_deviance", "margin", "sst", "fast_ap", "smooth_ap"]
)
def test_they_are_symmetric_and_give_back_the_gradient(name, z):
    torch.manual_seed(0)
    found = pair_weights(losses.create(name), z, LABELS)
    torch.testing.assert_close(found, found.T, rtol=1e-6, atol=1e-9)
    variable = z.clone().requires_grad_()
    torch.manual_seed(0)  # margin draws
    (gradient,) = torch.autograd.grad(losses.create(name)(variable, LABELS), variable)
    gradient -= (gradient * z).sum(1, keepdim=True) * z
    moved = torch.stack(
        [sum(found[n, j] * (z[j] - z[n] * (z[n] @ z[j])) for j in range(18)) for n in range(18)]
    )
    torch.testing.assert_close(moved, gradient, rtol=1e-6, atol=1e-9)


def test_what_has_no_such_weights_is_one_sentence(z):
    with pytest.raises(
        DMLTeachError, match="18 examples need more than 18 dimensions, not 10; give a smaller batch"
    ):
        pair_weights(losses.create("contrastive"), z[:, :10], LABELS)
    with pytest.raises(DMLTeachError, match="no sum over pairs"):
        pair_weights(lambda z, labels: z[:, 0].sum(), z, LABELS)  # of a place, not of pairs
