"""Batch-hard triplet loss: the farthest positive and the nearest negative of each anchor."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlteach.errors import DMLTeachError
from dmlteach.losses.triplet_hard import TripletHard, triplet_hard_loss
from tests.losses.brute_force import mean
from tests.losses.test_contrastive import batches, batches_and_memories, compared, distance
from tests.losses.test_definitions import TIGHT, assert_same


def by_definition(z, y, memory, margin, soft_margin):
    terms = []
    for a, positives, negatives in compared(z, y, memory):
        if positives and negatives:
            farthest = max((distance(a, p) for p in positives), key=lambda d: d.item())
            nearest = min((distance(a, n) for n in negatives), key=lambda d: d.item())
            x = farthest - nearest
            if soft_margin:
                terms.append(torch.log1p(torch.exp(-abs(x))) + torch.clamp(x, min=0))
            else:
                terms.append(torch.clamp(margin + x, min=0))
    return mean(terms, z)


@settings(max_examples=25, deadline=None)
@given(batches_and_memories(distinct=True), st.sampled_from([0.1, 0.5, 1.0]), st.booleans())
def test_it_is_its_definition_also_with_a_memory(given_, margin, soft_margin):
    z, y, memory = given_
    assert_same(
        lambda z: triplet_hard_loss(z, y, margin, soft_margin, memory),
        lambda z: by_definition(z, y, memory, margin, soft_margin),
        z,
    )


@settings(max_examples=15, deadline=None)
@given(batches(), st.booleans())
def test_repeated_rows_have_the_value_of_the_definition(batch, soft_margin):
    z, y = batch  # which of two equally hard rows gets the gradient is not defined
    truth = by_definition(z, y, None, 0.2, soft_margin)
    torch.testing.assert_close(triplet_hard_loss(z, y, 0.2, soft_margin), truth, **TIGHT)


@pytest.mark.parametrize("which", ["A", "B"])
@pytest.mark.parametrize(("soft_margin", "key"), [(False, "hinge_mean"), (True, "softplus_mean")])
def test_it_equals_the_gold_values(shared, which, soft_margin, key):
    inputs = json.loads((shared / "gold" / "losses.json").read_text())[which]
    z, y = torch.tensor(inputs["normalised"], dtype=torch.float64), torch.tensor(inputs["labels"])
    ours = triplet_hard_loss(z, y, 0.2, soft_margin).item()
    assert ours == pytest.approx(inputs["triplet_batch_hard_m0.2"][key], abs=1e-9)


def test_collapsed_embeddings_give_the_margin_or_log_two():
    z, y = torch.zeros(6, 3), torch.arange(6) % 2
    assert triplet_hard_loss(z, y, 0.3).item() == pytest.approx(0.3)
    assert triplet_hard_loss(z, y, soft_margin=True).item() == pytest.approx(math.log(2))


def test_a_soft_margin_is_exact_where_it_is_nearly_straight():
    z = torch.tensor([[0.0], [21.5], [-1.0]], dtype=torch.float64)
    y = torch.tensor([0, 0, 1])  # differences 21.5 − 1 and 21.5 − 22.5
    expected = (math.log1p(math.exp(20.5)) + math.log1p(math.exp(-1))) / 2
    assert triplet_hard_loss(z, y, soft_margin=True).item() == pytest.approx(expected, rel=1e-12)


def test_an_anchor_without_positive_is_left_out_of_the_mean():
    z = torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64)
    y = torch.tensor([0, 0, 1])  # hinges of the two anchors: 2.5 + 1 − 3 and 2.5 + 1 − 2
    torch.testing.assert_close(triplet_hard_loss(z, y, 2.5), torch.tensor(1.0).double(), **TIGHT)


@pytest.mark.parametrize("soft_margin", [False, True])
@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3]])
def test_one_class_and_singletons_give_a_zero_that_can_be_differentiated(soft_margin, labels):
    z = torch.randn(4, 3, requires_grad=True)
    value = triplet_hard_loss(z, torch.tensor(labels), soft_margin=soft_margin)
    (gradient,) = torch.autograd.grad(value, z)
    assert value.item() == 0
    assert gradient.eq(0).all()


def test_active_tuples_are_the_anchors_inside_the_margin():
    z = torch.tensor([[0.0], [1.0], [3.0], [30.0]])
    y = torch.tensor([0, 0, 1, 2])  # differences of the two anchors with a positive: 1 − 3 and 1 − 2
    assert TripletHard(1.5).active_tuples(z, y).item() == 0.5
    assert TripletHard(3.0).active_tuples(z, y).item() == 1
    assert TripletHard(soft_margin=True).active_tuples(z, y).item() == 1  # weights 0.12 and 0.27
    assert TripletHard(soft_margin=True).active_tuples(10 * z, y).item() == 0


def test_a_negative_margin_is_one_clear_error():
    with pytest.raises(DMLTeachError, match="margin must be at least 0, not -0.1"):
        TripletHard(-0.1)
