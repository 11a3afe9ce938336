"""Binomial deviance: a logistic regression on the cosines of pairs."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlteach.errors import DMLTeachError
from dmlteach.losses.binomial_deviance import BinomialDeviance, binomial_deviance_loss
from tests.losses.brute_force import mean
from tests.losses.test_contrastive import batches_and_memories, compared, cosine
from tests.losses.test_definitions import assert_same


def log_one_plus_exp(x):
    return torch.log1p(torch.exp(-abs(x))) + torch.clamp(x, min=0)


def by_definition(z, y, memory, alpha, beta, cost, variant):
    pulls, pushes, anchors = [], [], []
    for a, positives, negatives in compared(z, y, memory):
        pull = [log_one_plus_exp(-alpha * (cosine(a, p) - beta)) for p in positives]
        push = [log_one_plus_exp(cost * alpha * (cosine(a, n) - beta)) for n in negatives]
        anchors.append(mean(pull, z) + mean(push, z) if pull and push else z.sum() * 0)
        pulls, pushes = pulls + pull, pushes + push
    return mean(anchors, z) if variant == "per_anchor" else mean(pulls, z) + mean(pushes, z)


@settings(max_examples=25, deadline=None)
@given(
    batches_and_memories(),
    st.sampled_from([(2.0, 0.5), (2.5, 0.3)]),
    st.sampled_from([1.0, 2.0, 25.0]),
    st.sampled_from(["all_pairs", "per_anchor"]),
)
def test_it_is_its_definition_also_with_a_memory(given_, options, cost, variant):
    z, y, memory = given_
    assert_same(
        lambda z: binomial_deviance_loss(z, y, *options, cost, variant, memory),
        lambda z: by_definition(z, y, memory, *options, cost, variant),
        z,
    )


@pytest.mark.parametrize("which", ["A", "B"])
@pytest.mark.parametrize("kind", ["raw", "normalised"])
@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({}, "binomial_yi_a2_b0.5_c1"),
        ({"negative_cost": 2}, "binomial_yi_a2_b0.5_c2"),
        ({"negative_cost": 10}, "binomial_yi_a2_b0.5_c10"),
        ({"negative_cost": 20, "variant": "per_anchor"}, "binomial_wangxun_a40_m0.5"),
    ],
)
def test_it_equals_the_gold_values_whatever_the_norms(shared, which, kind, options, key):
    inputs = json.loads((shared / "gold" / "losses.json").read_text())[which]
    z, y = torch.tensor(inputs[kind], dtype=torch.float64), torch.tensor(inputs["labels"])
    assert binomial_deviance_loss(z, y, **options).item() == pytest.approx(inputs[key], abs=1e-9)


def test_collapsed_embeddings_are_certain_positives():
    z, y = torch.ones(6, 3), torch.arange(6) % 2
    expected = math.log1p(math.exp(-1)) + math.log1p(math.exp(3))
    assert binomial_deviance_loss(z, y, negative_cost=3).item() == pytest.approx(expected, rel=1e-5)


def test_a_deviance_is_exact_where_it_is_nearly_straight():
    z, y = torch.ones(2, 3, dtype=torch.float64), torch.tensor([0, 1])
    ours = binomial_deviance_loss(z, y, alpha=41.0).item()  # 41 (1 − 0.5) = 20.5
    assert ours == pytest.approx(math.log1p(math.exp(20.5)), rel=1e-11)


def test_one_class_has_positive_pairs_only_and_per_anchor_then_nothing():
    z, y = torch.ones(3, 2, requires_grad=True), torch.zeros(3, dtype=torch.int64)
    assert binomial_deviance_loss(z, y).item() == pytest.approx(math.log1p(math.exp(-1)), rel=1e-5)
    value = binomial_deviance_loss(z, y, variant="per_anchor")
    (gradient,) = torch.autograd.grad(value, z)
    assert value.item() == 0
    assert gradient.eq(0).all()


def test_active_tuples_are_the_pairs_with_a_weight_above_a_hundredth():
    z = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    y = torch.tensor([0, 0, 1])
    # weights at c = 1: positives σ(−1), negatives σ(−3), all above; at c = 2 negatives σ(−6) = 0.002
    assert BinomialDeviance().active_tuples(z, y).item() == 1
    assert BinomialDeviance(negative_cost=2.0).active_tuples(z, y).item() == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: BinomialDeviance(alpha=0.0), "alpha must be positive, not 0.0"),
        (lambda: BinomialDeviance(negative_cost=-1.0), "negative_cost must be positive, not -1.0"),
        (lambda: BinomialDeviance(variant="per_anker"), "did you mean 'per_anchor'?"),
    ],
)
def test_a_mistake_is_one_clear_error(call, message):
    with pytest.raises(DMLTeachError) as error:
        call()
    assert message in str(error.value)
