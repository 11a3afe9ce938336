"""BIER against its definition, pair by pair, and the numbers of its boosting weights."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlteach.errors import DMLTeachError
from dmlteach.losses.bier import BIER, bier_loss, boosting_weights, pair_logits

TIGHT = {"rtol": 0, "atol": 1e-9}


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def definition(z, labels, dims, variant="paper", alpha=2.0, beta=0.5, cost=25.0, count_self=False):
    """The loss by plain loops; weights are numbers, so they carry no gradient."""
    n, learners = len(z), len(dims)
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    num_positives = sum(labels[i] == labels[j] for i, j in pairs) + (n if count_self else 0)
    num_negatives = sum(labels[i] != labels[j] for i, j in pairs)
    total = z.sum() * 0
    for i, j in pairs:
        same = labels[i] == labels[j]
        w, similarity, act = 1.0, 0.0, 0.5
        for m in range(1, learners + 1):
            a, b = (z[r, sum(dims[: m - 1]) :][: dims[m - 1]] for r in (i, j))
            lengths = (a @ a + 1e-12).sqrt() * (b @ b + 1e-12).sqrt()
            s = (a @ b) / lengths
            my = 1.0 if same else -cost
            x = -alpha * (s - beta) * my
            deviance = torch.log1p(torch.exp(-abs(x))) + torch.clamp(x, min=0)
            total = total + w * deviance / (num_positives if same else num_negatives) / learners
            eta = 2 / (m + 1)
            similarity = (1 - eta) * similarity + eta * s.item()
            act = act + 0.06 * alpha * (s.item() - beta) * my
            if variant == "paper":
                w = sigmoid(-alpha * (similarity - beta) * my)
            elif variant == "code":
                w = sigmoid(-act) * (1 if same else 2)
    return total


@st.composite
def batches(draw):
    n, classes = draw(st.integers(1, 8)), draw(st.integers(1, 4))
    dims = draw(st.sampled_from([(4,), (2, 3), (1, 2, 3)]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    z = torch.randn(n, sum(dims), generator=generator, dtype=torch.float64)
    if draw(st.booleans()):
        z[n // 2] = z[0]
    return z, torch.randint(classes, (n,), generator=generator), dims


@settings(max_examples=25, deadline=None)
@given(
    batches(),
    st.sampled_from(["paper", "code", "none"]),
    st.booleans(),
    st.sampled_from([(2.0, 0.5, 25.0), (1.0, 0.2, 0.1)]),
)
def test_bier_is_its_definition(batch, variant, count_self, options):
    z, y, dims = batch
    z.requires_grad_()
    ours = bier_loss(z, y, dims, *options, variant, count_self)
    truth = definition(z, y.tolist(), dims, variant, *options, count_self)
    torch.testing.assert_close(ours, truth, **TIGHT)
    gradients = (torch.autograd.grad(value, z)[0] for value in (ours, truth))
    torch.testing.assert_close(*gradients, **TIGHT)


def batch(dims=(3, 5, 8), n=12):
    z = torch.randn(n, sum(dims), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return z, torch.arange(n) % 3, dims


@pytest.mark.parametrize("which", ["A", "B"])
@pytest.mark.parametrize("variant", ["paper", "code", "none"])
@pytest.mark.parametrize("cost", [1, 2, 10])
def test_one_learner_is_plain_binomial_deviance_whatever_the_boosting(shared, which, variant, cost):
    gold = json.loads((shared / "gold" / "losses.json").read_text())[which]
    z, y = torch.tensor(gold["normalised"], dtype=torch.float64), torch.tensor(gold["labels"])
    value = bier_loss(z, y, z.shape[1:], negative_cost=float(cost), variant=variant)
    assert value.item() == pytest.approx(gold[f"binomial_yi_a2_b0.5_c{cost}"], abs=1e-9)


def weights_of_second(similarity: float, same: bool, variant: str) -> float:
    """Weight of one pair for learner 2, when learner 1 sees it with this similarity (α 2, β ½, C 25)."""
    x = 2 * (similarity - 0.5) * (1 if same else -25)
    logits = [torch.full((2, 2), x, dtype=torch.float64)] * 2
    labels = torch.tensor([0, 0 if same else 1])
    return boosting_weights(logits, labels, variant)[1][0, 1].item()


@pytest.mark.parametrize(
    ("similarity", "same", "weight"),
    [
        (0.0, True, 0.39174),
        (0.0, False, 0.23841),
        (0.9, False, 1.33638),
        (0.5, True, 0.37754),
        (0.5, False, 0.75508),
    ],
)
def test_weights_of_the_released_code(similarity, same, weight):
    assert weights_of_second(similarity, same, "code") == pytest.approx(weight, abs=1e-5)


def test_weights_of_the_paper_fade_for_satisfied_pairs_and_reach_one_for_violated_ones():
    z, y, dims = batch()
    weights = boosting_weights(pair_logits(z, y, dims, 2.0, 0.5, 25.0), y)
    assert weights[0].eq(1).all()
    assert all((w > 0).all() and (w < 1).all() for w in weights[1:])
    assert weights_of_second(-1.0, False, "paper") < 1e-15
    assert weights_of_second(1.0, False, "paper") > 1 - 1e-9
    assert weights_of_second(1.0, True, "paper") < 0.5 < weights_of_second(-1.0, True, "paper")


def test_the_second_weight_looks_at_the_first_learner_alone():
    """η_1 = 1: the ensemble after one learner is that learner."""
    first, second = torch.randn(2, 4, 4, generator=torch.Generator().manual_seed(0))
    weights = boosting_weights([first, second, first], torch.arange(4))
    torch.testing.assert_close(weights[1], torch.sigmoid(-first))
    torch.testing.assert_close(weights[2], torch.sigmoid(-(first / 3 + second * 2 / 3)))


def test_two_equal_learners_without_boosting_are_one():
    z, y, _ = batch((6,))
    twice = bier_loss(torch.cat([z, z], 1), y, (6, 6), variant="none")
    torch.testing.assert_close(twice, bier_loss(z, y, (6,)))


def test_weights_carry_no_gradient_to_the_learners_before():
    z, y, dims = batch((4, 4))
    z.requires_grad_()
    gradient = torch.autograd.grad(bier_loss(z, y, dims), z)[0]
    alone = torch.autograd.grad(bier_loss(z[:, :4], y, (4,)) / 2, z)[0]
    torch.testing.assert_close(gradient[:, :4], alone[:, :4], **TIGHT)


def test_very_wrong_pairs_stay_finite():
    z = torch.ones(4, 6, requires_grad=True)
    loss = bier_loss(z, torch.arange(4), (3, 3), alpha=100.0)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(z.grad).all()


def test_active_pairs_are_those_that_pull():
    z, y, _ = batch((6,))
    unit = z / z.norm(dim=1, keepdim=True)
    s = unit @ unit.T
    pulls = [
        sigmoid(-2 * (s[i, j].item() - 0.5) * (1 if y[i] == y[j] else -25))
        for i in range(12)
        for j in range(12)
        if i != j
    ]
    share = BIER((6,)).stats(z, y)["active_tuples"].item()
    assert 0 < share < 1
    assert share == pytest.approx(sum(p > 0.01 for p in pulls) / len(pulls))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: BIER((4, 0)), "dims must be positive sizes"),
        (lambda: BIER((4,), variant="papr"), "did you mean 'paper'?"),
        (lambda: BIER((4,), negative_cost=0), "negative_cost must be positive, not 0"),
        (
            lambda: BIER((4, 6))(torch.zeros(2, 12), torch.zeros(2).long()),
            "embeddings have 12 numbers, but parts of sizes (4, 6) have 10",
        ),
    ],
)
def test_a_mistake_is_one_clear_error(call, message):
    with pytest.raises(DMLTeachError) as error:
        call()
    assert message in str(error.value)
