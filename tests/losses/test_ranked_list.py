"""Ranked list loss: two bounds, and weights for negatives."""

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import RankedListLoss

from dmlteach.errors import DMLTeachError
from dmlteach.losses.ranked_list import RankedList, ranked_list_loss
from tests.losses.brute_force import d2
from tests.losses.test_circle import random_batch, unit
from tests.losses.test_definitions import TIGHT, assert_same, batches
from tests.losses.test_histogram import on_a_circle


def brute_force(z, labels, alpha, margin, temperature, lambda_):
    """Weights by their values: they are constants of the gradient."""
    x = [unit(row) for row in z]
    terms = []
    for a in range(len(z)):
        pull, push, weights = [], [], []
        for j in range(len(z)):
            square = d2(x[a], x[j])
            d = square.sqrt() if square > 1e-12 else z.sum() * 0 + 1e-6
            if j != a and labels[j] == labels[a] and d > alpha - margin:
                pull.append(d - (alpha - margin))
            elif labels[j] != labels[a] and d < alpha:
                push.append(alpha - d)
                weights.append(torch.exp(temperature * (alpha - d)).item())
        nothing = z.sum() * 0
        of_positives = sum(pull) / len(pull) if pull else nothing
        of_negatives = (
            sum(w * p for w, p in zip(weights, push, strict=True)) / sum(weights) if push else nothing
        )
        terms.append((1 - lambda_) * of_positives + lambda_ * of_negatives)
    return torch.stack(terms).mean()


@settings(max_examples=40, deadline=None)
@given(batches(), st.sampled_from([(1.2, 0.4, 10.0, 0.5), (1.4, 0.2, 0.0, 0.3), (0.8, 0.0, 3.0, 1.0)]))
def test_ranked_list_is_its_definition(batch, constants):
    z, y = batch
    assert_same(
        lambda z: ranked_list_loss(z, y, *constants), lambda z: brute_force(z, y.tolist(), *constants), z
    )


@pytest.mark.parametrize("temperature", [0.0, 3.0])
def test_ranked_list_has_the_value_of_pytorch_metric_learning(temperature):
    """Up to 1e-5 for each pair of the batch, which the peer adds to the sums of weights."""
    z, y = random_batch()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = RankedListLoss(margin=0.4, Tn=temperature, alpha=1.2)(z, y)
    ours = ranked_list_loss(z, y, 1.2, 0.4, temperature)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=0)
    assert abs(ours - theirs) > 1e-9


def test_pairs_within_their_bounds_are_left_alone():
    """Positives nearer than α − m = 0.8, negatives farther than α = 1.2."""
    z, y = on_a_circle(0, 45, 180, 225).requires_grad_(), torch.tensor([0, 0, 1, 1])
    value = ranked_list_loss(z, y)
    (gradient,) = torch.autograd.grad(value, z)
    assert value.item() == 0 and not gradient.any()
    assert RankedList().active_tuples(z, y).item() == 0


def test_a_temperature_of_0_weighs_negatives_alike():
    z, y = on_a_circle(0, 20, 40), torch.tensor([0, 1, 2])
    d = [(z[0] - z[1]).norm(), (z[0] - z[2]).norm(), (z[1] - z[2]).norm()]
    expected = 0.5 * sum((1.2 - one) * 2 for one in d) / 2 / 3
    torch.testing.assert_close(ranked_list_loss(z, y, temperature=0.0), expected, **TIGHT)
    # and a high one takes the nearest alone
    nearest = 0.5 * (1.2 - d[0])
    torch.testing.assert_close(ranked_list_loss(z, y, temperature=1e4), nearest, rtol=1e-6, atol=1e-6)


def test_an_anchor_without_positives_still_pushes_its_negatives():
    z, y = on_a_circle(0, 20).requires_grad_(), torch.tensor([0, 1])
    value = ranked_list_loss(z, y)
    torch.testing.assert_close(value, 0.5 * (1.2 - (z[0] - z[1]).norm()), **TIGHT)
    assert torch.autograd.grad(value, z)[0].abs().sum() > 0


def test_the_weights_have_no_gradient():
    """Of two negatives the nearer has nearly all the weight, and only it is pushed."""
    z, y = on_a_circle(0, 10, 60).requires_grad_(), torch.tensor([0, 1, 2])
    (gradient,) = torch.autograd.grad(ranked_list_loss(z[:3], y, temperature=200.0), z)
    towards = torch.tensor([[0.0, 1.0], [0.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    assert (gradient * towards).sum() > 0  # row 0 goes away from row 1
    assert gradient.abs().max() < 1  # with weights in the gradient it would grow with T


def test_active_pairs_are_those_beyond_their_bound():
    z, y = on_a_circle(0, 90, 180, 200), torch.tensor([0, 0, 1, 1])
    # beyond: (0, 1) at 1.41 > 0.8; within: (2, 3) at 0.35, the negatives at 1.41 and more
    assert RankedList().active_tuples(z, y).item() == pytest.approx(1 / 6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"margin": 1.3}, "margin must be from 0 to alpha = 1.2, not 1.3"),
        ({"alpha": 0.1}, "margin must be from 0 to alpha = 0.1, not 0.4"),
        ({"margin": -0.1}, "margin must be from 0"),
        ({"temperature": -1}, "temperature must be at least 0"),
        ({"lambda_": 1.1}, "lambda_ must be from 0 to 1"),
    ],
)
def test_an_option_out_of_range_is_one_sentence(options, message):
    with pytest.raises(DMLTeachError, match=message):
        RankedList(**options)
