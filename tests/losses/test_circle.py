"""Circle loss, the one that is on no list: it shows what adding a loss takes."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import CircleLoss

from dmlteach.errors import DMLTeachError
from dmlteach.losses.circle import Circle, circle_loss
from tests.losses.brute_force import mean
from tests.losses.test_definitions import TIGHT, assert_same, batches


def unit(x):
    return x / (x.square().sum() + 1e-12).sqrt()


def brute_force(z, labels, margin, gamma, anchors=None):
    x = [unit(row) for row in z]
    terms = []
    for a in range(len(z) if anchors is None else anchors):
        positives, negatives = [], []
        for b in range(anchors or 0, len(z)):
            s = (x[a] * x[b]).sum()
            if b != a and labels[b] == labels[a]:
                weight = max(1 + margin - s.item(), 0)
                positives.append(-gamma * weight * (s - (1 - margin)))
            elif b != a:
                weight = max(s.item() + margin, 0)
                negatives.append(gamma * weight * (s - margin))
        if positives and negatives:
            product = sum(torch.exp(p) for p in positives) * sum(torch.exp(n) for n in negatives)
            terms.append(torch.log1p(product))
    return mean(terms, z)


def random_batch(n=16, classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 5, generator=generator, dtype=torch.float64), torch.arange(n) % classes


@settings(max_examples=25, deadline=None)
@given(batches(), st.sampled_from([(0.4, 80.0), (0.25, 32.0)]))
def test_circle_is_its_definition(batch, constants):
    z, y = batch
    assert_same(lambda z: circle_loss(z, y, *constants), lambda z: brute_force(z, y.tolist(), *constants), z)


@pytest.mark.parametrize(("margin", "gamma"), [(0.4, 80.0), (0.25, 256.0)])
def test_circle_equals_pytorch_metric_learning(margin, gamma):
    z, y = random_batch()
    assert_same(lambda z: circle_loss(z, y, margin, gamma), lambda z: CircleLoss(margin, gamma)(z, y), z)


def test_the_boundary_is_a_circle():
    """With one positive and one negative the exponent is γ(s_n² + (1 − s_p)² − 2m²), the paper's eq. 8."""
    margin, gamma = 0.25, 8.0
    s_p, s_n = 0.6, 0.3
    z = torch.tensor([[1.0, 0.0], [s_p, math.sqrt(1 - s_p**2)], [s_n, math.sqrt(1 - s_n**2)]])
    anchor, others = (z[:1], torch.tensor([0])), (z[1:], torch.tensor([0, 1]))
    exponent = gamma * (s_n**2 + (1 - s_p) ** 2 - 2 * margin**2)
    value = circle_loss(*anchor, margin, gamma, reference=others)
    assert value.item() == pytest.approx(math.log1p(math.exp(exponent)), abs=1e-5)


def test_a_memory_takes_the_place_of_the_batch():
    z, y = random_batch()
    memory, slots = torch.cat([z[4:], torch.ones(2, 5)]), torch.cat([y[4:], torch.tensor([-1, -1])])
    ours = Circle()(z[:4], y[:4], reference=(memory, slots))
    torch.testing.assert_close(ours, brute_force(z, y.tolist(), 0.4, 80.0, anchors=4), **TIGHT)


def test_active_anchors_are_those_that_are_moved():
    z = torch.tensor([[1.0, 0.0], [1.0, 0.01], [0.0, 1.0], [0.0, -1.0], [0.1, 1.0]])
    y = torch.tensor([0, 0, 1, 1, 2])
    # rows 0 and 1 are done, 2 and 3 are opposite each other, 4 has no positive
    assert Circle().active_tuples(z, y).item() == pytest.approx(2 / 4)


def test_gamma_must_be_positive():
    with pytest.raises(DMLTeachError, match="gamma must be positive, not 0"):
        Circle(gamma=0)
