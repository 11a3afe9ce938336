"""Angular loss: the angle at the negative."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import AngularLoss

from dmlteach.errors import DMLTeachError
from dmlteach.losses.angular import Angular, angular_loss
from dmlteach.losses.n_pair import n_pair_loss
from tests.losses.brute_force import mean
from tests.losses.test_circle import random_batch, unit
from tests.losses.test_definitions import TIGHT, assert_same, batches


def brute_force(z, labels, alpha):
    x = [unit(row) for row in z]
    t2 = math.tan(math.radians(alpha)) ** 2
    rows = range(len(z))
    terms = []
    for a in rows:
        for p in rows:
            if p != a and labels[p] == labels[a]:
                exponents = [
                    4 * t2 * ((x[a] + x[p]) * x[n]).sum() - 2 * (1 + t2) * (x[a] * x[p]).sum()
                    for n in rows
                    if labels[n] != labels[a]
                ]
                total = sum((torch.exp(e) for e in exponents), z.sum() * 0)
                terms.append(torch.log1p(total))
    return mean(terms, z)


@settings(max_examples=25, deadline=None)
@given(batches(), st.sampled_from([0.0, 30.0, 45.0, 55.0]))
def test_angular_is_its_definition(batch, alpha):
    z, y = batch
    assert_same(lambda z: angular_loss(z, y, alpha), lambda z: brute_force(z, y.tolist(), alpha), z)


@pytest.mark.parametrize("alpha", [36, 45, 55])
def test_angular_equals_pytorch_metric_learning_on_unit_vectors(alpha):
    """The peer leaves the negatives as they are."""
    z, y = random_batch()
    z = torch.nn.functional.normalize(z)
    theirs = AngularLoss(alpha=alpha)(z, y)
    torch.testing.assert_close(angular_loss(z, y, alpha), theirs, rtol=1e-6, atol=1e-8)


def test_the_exponent_is_the_papers_inequality():
    """‖x_a − x_p‖² − 4 tan²α ‖x_n − (x_a + x_p)/2‖², of unit vectors, is the exponent but for constants."""
    z, y = random_batch(n=3, classes=3)[0], torch.tensor([0, 0, 1])
    a, p, n = (unit(row) for row in z)
    alpha = 40.0
    t2 = math.tan(math.radians(alpha)) ** 2
    violation = (a - p).square().sum() - 4 * t2 * (n - (a + p) / 2).square().sum()
    # −2 a·p − t2 (‖a‖² + ‖p‖² + 2 a·p) + 4 t2 n·(a + p) − 4 t2 ‖n‖² + ‖a‖² + ‖p‖²
    exponent = violation - 2 + 6 * t2
    torch.testing.assert_close(angular_loss(z, y, alpha), torch.log1p(exponent.exp()), **TIGHT)


def test_at_an_angle_of_0_negatives_push_nothing():
    z, y = random_batch(n=3, classes=3)[0].requires_grad_(), torch.tensor([0, 0, 1])
    value = angular_loss(z, y, alpha=0.0)
    (gradient,) = torch.autograd.grad(value, z)
    cosine = (unit(z[0]) * unit(z[1])).sum()
    assert gradient[2].abs().max() == 0 and gradient[0].abs().max() > 0
    torch.testing.assert_close(value, torch.log1p(torch.exp(-2 * cosine)), **TIGHT)


def test_the_n_pair_loss_is_added_on_the_embeddings_as_they_are():
    z, y = random_batch()
    for weight in (0.5, 2.0):
        expected = angular_loss(z, y) + weight * n_pair_loss(z, y)
        torch.testing.assert_close(Angular(npair_weight=weight)(z, y), expected, **TIGHT)


def test_a_batch_of_one_class_has_nothing_to_part():
    z = random_batch()[0].requires_grad_()
    value = angular_loss(z, torch.zeros(16, dtype=torch.int64))
    (gradient,) = torch.autograd.grad(value, z)
    assert value == 0 and not gradient.any()


@pytest.mark.parametrize("alpha", [0.0, 65.0])
def test_the_steepest_angle_is_finite_in_fp32(alpha):
    z = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    for y in ([0, 0, 1, 1], [0, 1, 1, 0]):
        value = angular_loss(z, torch.tensor(y), alpha)
        (gradient,) = torch.autograd.grad(value, z)
        assert torch.isfinite(value) and torch.isfinite(gradient).all()


def test_active_pairs_are_those_whose_negatives_have_weight():
    z = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.1], [-1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    # exponents at 45°: pair (0, 1) of class 0 has the negatives at 180° (−12) and at 90° (−4: weight 0.018)
    assert Angular().active_tuples(z[:4], torch.tensor([0, 0, 1, 1])).item() == 0
    assert Angular().active_tuples(z[:5], torch.tensor([0, 0, 1, 1, 2])).item() == pytest.approx(1)


@pytest.mark.parametrize("alpha", [-1, 66, 90])
def test_an_angle_that_overflows_is_refused(alpha):
    with pytest.raises(DMLTeachError, match="alpha must be from 0 to 65.0, not .*: in degrees"):
        Angular(alpha=alpha)
    with pytest.raises(DMLTeachError, match="alpha must be from 0 to 65.0"):
        angular_loss(*random_batch(), alpha=alpha)
