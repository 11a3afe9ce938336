"""The three lifted structured losses: Song's, the generalised one of Hermans, the benchmark's on cosines."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlteach.errors import DMLTeachError
from dmlteach.losses.lifted import Lifted, lifted_loss
from dmlteach.losses.lifted_generalized import LiftedGeneralized, lifted_generalized_loss
from dmlteach.losses.lifted_modified import LiftedModified, lifted_modified_loss
from tests.losses.brute_force import mean
from tests.losses.test_contrastive import (
    batches,
    batches_and_memories,
    compared,
    cosine,
    distance,
)
from tests.losses.test_definitions import assert_same


def log_sum_exp(terms):
    largest = max(t.item() for t in terms)
    return torch.log(sum(torch.exp(t - largest) for t in terms)) + largest


def lifted_by_definition(z, y, margin):
    y, terms = y.tolist(), []
    for i in range(len(z)):
        for j in range(i + 1, len(z)):
            if y[i] == y[j]:
                negatives = [
                    margin - distance(z[e], z[k]) for e in (i, j) for k in range(len(z)) if y[k] != y[i]
                ]
                J = log_sum_exp(negatives) + distance(z[i], z[j]) if negatives else z.sum() * 0
                terms.append(torch.clamp(J, min=0) ** 2 / 2)
    return mean(terms, z)


def generalized_by_definition(z, y, memory, margin):
    terms = []
    for a, positives, negatives in compared(z, y, memory):
        if positives and negatives:
            pull = log_sum_exp([distance(a, p) for p in positives])
            push = log_sum_exp([margin - distance(a, n) for n in negatives])
            terms.append(torch.clamp(pull + push, min=0))
    return mean(terms, z)


def modified_by_definition(z, y, memory, alpha, beta, epsilon):
    total = z.sum() * 0
    for a, positives, negatives in compared(z, y, memory):
        s_p, s_n = [cosine(a, p) for p in positives], [cosine(a, n) for n in negatives]
        if s_p and s_n and epsilon is not None:
            low, high = min(s.item() for s in s_p), max(s.item() for s in s_n)
            s_p = [s for s in s_p if s < high + epsilon]
            s_n = [s for s in s_n if s > low - epsilon]
        if s_p and s_n:
            total = total + 2 / beta * log_sum_exp([-beta * s for s in s_p])
            total = total + 2 / alpha * log_sum_exp([alpha * s for s in s_n])
    return total / len(z)


@settings(max_examples=25, deadline=None)
@given(batches(), st.sampled_from([0.5, 1.0, 3.0]))
def test_lifted_is_its_definition(batch, margin):
    z, y = batch
    assert_same(lambda z: lifted_loss(z, y, margin), lambda z: lifted_by_definition(z, y, margin), z)


@settings(max_examples=25, deadline=None)
@given(batches_and_memories(), st.sampled_from([0.5, 1.0, 3.0]))
def test_generalized_is_its_definition_also_with_a_memory(given_, margin):
    z, y, memory = given_
    assert_same(
        lambda z: lifted_generalized_loss(z, y, margin, memory),
        lambda z: generalized_by_definition(z, y, memory, margin),
        z,
    )


@settings(max_examples=25, deadline=None)
@given(
    batches_and_memories(), st.sampled_from([(40.0, 2.0), (3.0, 1.5)]), st.sampled_from([None, 0.0123, 0.1])
)
def test_modified_is_its_definition_also_with_a_memory(given_, scales, epsilon):
    z, y, memory = given_
    assert_same(
        lambda z: lifted_modified_loss(z, y, *scales, epsilon, memory),
        lambda z: modified_by_definition(z, y, memory, *scales, epsilon),
        z,
    )


@pytest.mark.parametrize("which", ["A", "B"])
@pytest.mark.parametrize(("kind", "suffix"), [("raw", "_raw"), ("normalised", "")])
def test_they_equal_the_gold_values(shared, which, kind, suffix):
    inputs = json.loads((shared / "gold" / "losses.json").read_text())[which]
    z, y = torch.tensor(inputs[kind], dtype=torch.float64), torch.tensor(inputs["labels"])
    pairs = {
        lifted_loss(z, y): inputs[f"lifted_song_m1{suffix}"]["loss"],
        lifted_generalized_loss(z, y): inputs[f"lifted_hermans_m1{suffix}"]["mean"],
        lifted_modified_loss(z, y): inputs["lifted_wangxun_a40_b2"],
        lifted_modified_loss(z, y, epsilon=0.1): inputs["lifted_wangxun_a40_b2_mining"],
    }
    for ours, gold in pairs.items():
        assert ours.item() == pytest.approx(gold, abs=1e-9)


def test_lifted_of_three_points_is_as_worked_out_by_hand():
    z, y = torch.tensor([[0.0], [2.0], [3.0]], dtype=torch.float64), torch.tensor([0, 0, 1])
    J = torch.log(torch.exp(torch.tensor(1.0 - 3)) + torch.exp(torch.tensor(1.0 - 1))) + 2
    assert lifted_loss(z, y).item() == pytest.approx(J.item() ** 2 / 2)


def test_mining_skips_an_anchor_whose_pairs_are_all_easy_but_counts_it_in_the_mean():
    degrees = torch.tensor([0.0, 1.0, 178.0, 150.0, 120.0], dtype=torch.float64).deg2rad()
    z, y = torch.stack([degrees.cos(), degrees.sin()], 1), torch.tensor([0, 0, 1, 1, 2])
    # The class at 0° is far from all others: two anchors are skipped. The one at 120° has no positive. The
    # other two see cos 28° = 0.88 as positive: of 150°, the negative at cos 30° = 0.87 is within 0.1;
    # of 178°, the nearest negative is at cos 58° = 0.53 and everything is easy.
    c28, c30 = torch.tensor([28.0, 30.0], dtype=torch.float64).deg2rad().cos()
    expected = (2 / 2 * (-2 * c28) + 2 / 40 * (40 * c30)) / 5
    value = lifted_modified_loss(z, y, epsilon=0.1)
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    kept = LiftedModified(epsilon=0.1).active_tuples(z, y).item()
    assert kept == pytest.approx(2 / 20)  # one positive and one negative pair of twenty


def test_without_mining_all_pairs_count_of_anchors_that_have_both_kinds():
    z, y = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 0, 1, 2])
    assert LiftedModified().active_tuples(z, y).item() == pytest.approx(6 / 12)


@pytest.mark.parametrize(
    "loss", [Lifted(), LiftedGeneralized(), LiftedModified(), LiftedModified(epsilon=0.1)]
)
@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3]])
def test_one_class_and_singletons_give_a_zero_that_can_be_differentiated(loss, labels):
    z = torch.randn(4, 3, requires_grad=True)
    value = loss(z, torch.tensor(labels))
    (gradient,) = torch.autograd.grad(value, z)
    assert value.item() == 0
    assert gradient.eq(0).all()


@pytest.mark.parametrize("loss", [Lifted(), LiftedGeneralized()])
def test_collapsed_and_huge_embeddings_have_finite_gradients(loss):
    y = torch.arange(8) % 2
    for z in (torch.zeros(8, 4), torch.full((8, 4), 5e3), 5e3 * torch.randn(8, 4)):
        z.requires_grad_()
        value = loss(z, y)
        (gradient,) = torch.autograd.grad(value, z)
        assert value.isfinite()
        assert gradient.isfinite().all()


def test_active_tuples_are_the_terms_above_zero():
    z = torch.tensor([[0.0], [0.1], [50.0], [51.0], [51.5]])
    y = torch.tensor([0, 0, 1, 1, 2])
    # the pair near 0 is far from everything, the pair near 50 is not
    assert Lifted().active_tuples(z, y).item() == 0.5
    assert LiftedGeneralized().active_tuples(z, y).item() == 0.5


def test_a_nan_is_seen_through_mining():
    z = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    z[2, 1] = torch.nan
    assert lifted_modified_loss(z, torch.arange(8) % 2, epsilon=0.1).isnan()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Lifted(-1.0), "margin must be at least 0, not -1.0"),
        (lambda: LiftedGeneralized(-1.0), "margin must be at least 0, not -1.0"),
        (lambda: LiftedModified(alpha=0.0), "alpha must be positive, not 0.0"),
        (lambda: LiftedModified(beta=-2.0), "beta must be positive, not -2.0"),
        (lambda: LiftedModified(epsilon=-0.1), "epsilon must be at least 0, not -0.1: None keeps all pairs"),
        (lambda: lifted_loss(torch.zeros(3), torch.zeros(3).long()), "embeddings must be floats"),
    ],
)
def test_a_mistake_is_one_clear_error(call, message):
    with pytest.raises(DMLTeachError) as error:
        call()
    assert message in str(error.value)
