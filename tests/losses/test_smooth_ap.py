"""Smooth-AP: average precision with a sigmoid in place of each comparison."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import SmoothAPLoss

from dmlteach.errors import DMLTeachError
from dmlteach.losses import smooth_ap
from dmlteach.losses.smooth_ap import SmoothAP, smooth_ap_loss, smooth_average_precision
from tests.losses.brute_force import mean
from tests.losses.test_circle import random_batch, unit
from tests.losses.test_definitions import TIGHT, assert_same, batches
from tests.losses.test_histogram import on_a_circle


def brute_force(z, labels, tau, with_query=False):
    x = [unit(row) for row in z]
    terms = []
    for q in range(len(z)):
        others = [j for j in range(len(z)) if j != q or with_query]
        positives = [j for j in others if labels[j] == labels[q]]
        if len(positives) == with_query:
            continue
        s = {j: (x[q] * x[j]).sum() for j in others}
        total = z.sum() * 0
        for i in positives:
            before = {j: torch.sigmoid((s[j] - s[i]) / tau) for j in others if j != i}
            total = total + (1 + sum(before[j] for j in positives if j != i)) / (1 + sum(before.values()))
        terms.append(1 - total / len(positives))
    return mean(terms, z)


@settings(max_examples=25, deadline=None)
@given(batches(), st.sampled_from([0.01, 0.1, 1.0]))
def test_smooth_ap_is_its_definition(batch, tau):
    z, y = batch
    assert_same(lambda z: smooth_ap_loss(z, y, tau), lambda z: brute_force(z, y.tolist(), tau), z)


@pytest.mark.parametrize("at_once", [1, 100, 10**6])
@pytest.mark.parametrize("device", ["cpu", "elsewhere"])
def test_neither_the_size_of_a_block_nor_padding_changes_the_value(at_once, device, monkeypatch):
    """Elsewhere than on a CPU nobody looks how many positives there are: every row is ranked."""
    monkeypatch.setattr(smooth_ap, "AT_ONCE", {"cpu": at_once})
    if device == "elsewhere":
        every = torch.arange(16).expand(16, 16)
        monkeypatch.setattr(smooth_ap, "positives_of", lambda is_positive: (every, is_positive))
    z, y = random_batch()
    y[:3] = torch.tensor([7, 8, 8])  # classes of 1, 2, 3 and 4
    assert_same(lambda z: smooth_ap_loss(z, y, 0.1), lambda z: brute_force(z, y.tolist(), 0.1), z)


def test_pytorch_metric_learning_counts_the_query_among_its_positives():
    """Its definition by brute force: with the query, and as many classes as images of a class."""
    z, y = random_batch()
    y = y.sort().values
    theirs = SmoothAPLoss(temperature=0.1)(z, y)
    truth = brute_force(z, y.tolist(), 0.1, with_query=True)
    torch.testing.assert_close(theirs.double(), truth, rtol=1e-6, atol=1e-6)
    assert (smooth_ap_loss(z, y, 0.1) - theirs).item() > 0.1


def test_as_the_temperature_shrinks_it_is_1_minus_average_precision():
    """Of the query at 0°: positives at ranks 1 and 3 of 4, AP = (1/1 + 2/3) / 2."""
    z, y = on_a_circle(0, 10, 20, 30, 40), torch.tensor([0, 0, 1, 0, 2])
    precision, exists = smooth_average_precision(z, y, 1e-4)
    assert precision[0].item() == pytest.approx((1 + 2 / 3) / 2, abs=1e-9)
    assert exists.tolist() == [True, True, False, True, False]


def test_equals_stand_before_each_other_by_half():
    """n others at one similarity: each positive has the rank 1 + (n − 1)/2 among all of them."""
    z, y = torch.eye(5, dtype=torch.float64), torch.tensor([0, 0, 0, 1, 2])
    expected = 1 - (1 + 1 / 2) / (1 + 3 / 2)
    torch.testing.assert_close(smooth_ap_loss(z, y), torch.tensor(expected, dtype=torch.float64), **TIGHT)


def test_a_perfect_ranking_costs_nothing():
    z, y = on_a_circle(0, 10, 180, 190), torch.tensor([0, 0, 1, 1])
    assert smooth_ap_loss(z, y).item() == pytest.approx(0, abs=1e-9)
    assert SmoothAP().active_tuples(z, y).item() == 0


def test_memory_grows_with_the_square_of_a_batch_of_one_class(monkeypatch):
    """Where all others are positives, the comparisons are N³ numbers; a block holds a few queries'."""
    seen = []
    whole = smooth_ap._average_precision

    def watch(tau, s, *others):
        seen.append(len(s))
        return whole(tau, s, *others)

    monkeypatch.setattr(smooth_ap, "_average_precision", watch)
    z, y = random_batch(n=64, classes=1)
    monkeypatch.setattr(smooth_ap, "AT_ONCE", {"cpu": 4 * 63 * 64})
    smooth_ap_loss(z, y)
    assert max(seen) == 4 and sum(seen) == 64


def test_active_queries_are_those_whose_ranking_is_not_perfect():
    z, y = on_a_circle(0, 10, 180, 195, 185), torch.tensor([0, 0, 1, 1, 2])
    # the images of class 1 have the one of class 2 between them
    assert SmoothAP().active_tuples(z, y).item() == pytest.approx(2 / 4)


@pytest.mark.parametrize("make", [lambda t: SmoothAP(t), lambda t: smooth_ap_loss(*random_batch(), t)])
def test_the_temperature_must_be_positive(make):
    with pytest.raises(DMLTeachError, match="temperature must be positive, not 0: the loss divides by it"):
        make(0)
