"""Histogram loss: the overlap of two distributions of cosines."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import HistogramLoss

from dmlteach.errors import DMLTeachError
from dmlteach.losses.histogram import Histogram, histogram_loss
from dmlteach.losses.soft_histogram import soft_histograms
from tests.losses.test_circle import random_batch, unit
from tests.losses.test_definitions import assert_same, batches, value_and_gradient


def histogram(values, nodes):
    """Triangles around each node, as in the paper's equation 2."""
    step = 2 / (nodes - 1)
    shares = []
    for r in range(nodes):
        node = -1 + r * step
        shares.append(sum(torch.clamp(1 - abs(s - node) / step, min=0) for s in values) / len(values))
    return shares


def brute_force(z, labels, nodes):
    x = [unit(row) for row in z]
    cosines = {True: [], False: []}
    for i in range(len(z)):
        for j in range(i):
            cosines[labels[i] == labels[j]].append((x[i] * x[j]).sum())
    if not (cosines[True] and cosines[False]):
        return z.sum() * 0
    positive, negative = histogram(cosines[True], nodes), histogram(cosines[False], nodes)
    return sum(negative[r] * sum(positive[: r + 1]) for r in range(nodes))


@settings(max_examples=25, deadline=None)
@given(batches(), st.sampled_from([2, 11, 101]))
def test_histogram_is_its_definition(batch, nodes):
    z, y = batch
    assert_same(lambda z: histogram_loss(z, y, nodes), lambda z: brute_force(z, y.tolist(), nodes), z)


@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")
@pytest.mark.parametrize("bins", [10, 100])
def test_histogram_equals_pytorch_metric_learning_where_every_class_has_two_images(bins):
    """The peer leaves out negative pairs of two images that are alone of their class; it rounds to fp32."""
    z, y = random_batch()
    ours = value_and_gradient(lambda z: histogram_loss(z, y, bins + 1), z)
    theirs = value_and_gradient(lambda z: HistogramLoss(n_bins=bins)(z, y), z)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def on_a_circle(*degrees):
    angles = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], 1)


def test_classes_that_do_not_overlap_cost_nothing():
    """All positive cosines are two nodes and more above all negative ones."""
    z, y = on_a_circle(0, 10, 180, 190), torch.tensor([0, 0, 1, 1])
    assert histogram_loss(z, y).item() == 0
    assert Histogram().active_tuples(z, y).item() == 0


def test_a_collapsed_batch_costs_1():
    assert histogram_loss(torch.ones(6, 3), torch.arange(6) % 2).item() == pytest.approx(1)


def test_of_equal_histograms_half_is_before_and_ties_are_half_of_the_rest():
    """A heptagon where positives are sides, short and long diagonals like negatives: (1 + Σ h²) / 2."""
    z, y = on_a_circle(*(360 / 7 * k for k in range(7))), torch.tensor([0, 0, 1, 0, 1, 1, 2])
    h = torch.tensor(histogram([torch.tensor(math.cos(2 * math.pi * k / 7)) for k in (1, 2, 3)], 101))
    assert histogram_loss(z, y).item() == pytest.approx((1 + h.square().sum().item()) / 2, abs=1e-6)


def test_it_estimates_how_often_a_negative_is_more_similar_than_a_positive():
    z, y = random_batch(n=60, classes=6, seed=3)
    z = z + 1.5 * torch.nn.functional.one_hot(y % 5, 5)
    x = torch.nn.functional.normalize(z)
    cosine, same = x @ x.T, y[:, None] == y[None, :]
    below = torch.tril(torch.ones(60, 60, dtype=torch.bool), -1)
    positive, negative = cosine[same & below], cosine[~same & below]
    wrong = (negative[:, None] > positive[None, :]).double().mean().item()
    assert 0.01 < wrong < 0.4
    assert histogram_loss(z, y, 2001).item() == pytest.approx(wrong, abs=0.002)


@pytest.mark.parametrize(
    ("degrees", "labels", "nodes"),
    [
        ((0, 62, 63, 179), (0, 0, 1, 1), 101),
        ((0, 10, 95, 200, 111, 300), (0, 0, 1, 1, 2, 2), 41),
        # a positive pair between the nodes at 0.02 and 0.04, a negative one between those at 0.00 and 0.02
        ((0, 88.28, 180, 89.43), (0, 0, 1, 2), 101),
    ],
)
def test_active_pairs_are_those_with_a_gradient(degrees, labels, nodes):
    z, y = on_a_circle(*degrees), torch.tensor(labels)
    cosine = (z @ z.T).requires_grad_()
    kinds = (y[:, None] != y[None, :]).long().fill_diagonal_(2)
    h = soft_histograms((cosine + 1) * ((nodes - 1) / 2), kinds, 2, nodes).sum(0)
    (gradient,) = torch.autograd.grad((h[1] * h[0].cumsum(0)).sum(), cosine)
    share = (gradient.abs() > 1e-9).double().sum() / (len(z) * (len(z) - 1))
    assert 0.2 < share < 0.7
    assert Histogram(nodes).active_tuples(z, y).item() == pytest.approx(share.item())


def test_counting_is_exact_and_what_is_left_out_does_not_count():
    position = torch.tensor([[0.0, 0.25, 1.75, 2.0, 9.0, -3.0]], dtype=torch.float64)
    kinds = torch.tensor([[0, 0, 1, 1, 2, 0]])
    assert soft_histograms(position, kinds, 2, 3).tolist() == [[[2.75, 0.25, 0], [0, 0.25, 1.75]]]


def test_the_order_of_the_values_changes_no_bit():
    random = torch.Generator().manual_seed(0)
    position = torch.rand(1, 5000, generator=random) * 10
    kinds = torch.randint(3, (1, 5000), generator=random)
    order = torch.randperm(5000, generator=random)
    one = soft_histograms(position, kinds, 2, 11)
    assert torch.equal(soft_histograms(position[:, order], kinds[:, order], 2, 11), one)


@pytest.mark.parametrize("make", [lambda n: Histogram(n), lambda n: histogram_loss(*random_batch(), n)])
def test_one_node_is_no_histogram(make):
    with pytest.raises(DMLTeachError, match="num_nodes must be at least 2, not 1"):
        make(1)
