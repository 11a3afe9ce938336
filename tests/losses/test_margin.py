"""Margin loss, and distance-weighted sampling."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import MarginLoss

from dmlteach.distances import normalize, pairwise_distances
from dmlteach.errors import DMLTeachError
from dmlteach.interfaces import Tuples
from dmlteach.losses.margin import (
    Margin,
    draw_negatives,
    log_inverse_density,
    margin_loss,
    negative_probabilities,
    pair_hinges,
)
from dmlteach.losses.pairs import pair_masks
from tests.losses.brute_force import d2
from tests.losses.test_definitions import TIGHT, assert_same, batches


def unit(x):
    return x / (x.square().sum() + 1e-12).sqrt()


def all_triplets(labels):
    rows = range(len(labels))
    return [
        (a, p, n) for a in rows for p in rows for n in rows if p != a and labels[p] == labels[a] != labels[n]
    ]


def brute_force(z, labels, triplets, beta, alpha=0.2, nu=0.0):
    """Triplet by triplet; `beta` is a list with one boundary per class."""
    x = [unit(row) for row in z]

    def distance(i, j):
        return d2(x[i], x[j]).sqrt() if d2(x[i], x[j]) > 1e-12 else z.sum() * 0 + 1e-6

    total, active = z.sum() * 0, 0
    for a, p, n in triplets:
        boundary = beta[labels[a]]
        hinges = alpha + distance(a, p) - boundary, alpha - distance(a, n) + boundary
        total = total + sum(h for h in hinges if h > 0) + nu * boundary
        active += sum(bool(h > 0) for h in hinges)
    return total / active if active else z.sum() * 0


def gold_batch(shared, which):
    gold = json.loads((shared / "gold" / "losses.json").read_text())
    inputs = gold[which]
    return gold, torch.tensor(inputs["normalised"], dtype=torch.float64), torch.tensor(inputs["labels"])


@settings(max_examples=25, deadline=None)
@given(batches(), st.sampled_from([0.0, 0.1]), st.sampled_from([0.1, 0.2]))
def test_margin_over_all_triplets_is_its_definition(batch, nu, alpha):
    z, y = batch
    beta = [0.9, 1.1, 1.2, 1.3]
    assert_same(
        lambda z: margin_loss(z, y, torch.tensor(beta, dtype=torch.float64), alpha, nu, sampling="all"),
        lambda z: brute_force(z, y.tolist(), all_triplets(y.tolist()), beta, alpha, nu),
        z,
    )


@settings(max_examples=25, deadline=None)
@given(batches(), st.integers(0, 99))
def test_margin_over_sampled_triplets_is_its_definition(batch, seed):
    z, y = batch
    d = pairwise_distances(normalize(z))
    is_positive, is_negative = pair_masks(y)
    probabilities = negative_probabilities(d, is_negative, z.shape[1])
    times = draw_negatives(probabilities, is_positive, torch.Generator().manual_seed(seed))

    triplets = []  # as many as positives, in any order: the loss is a sum
    for a in range(len(z)):
        positives = [p for p in range(len(z)) if p != a and y[p] == y[a]]
        drawn = [n for n in range(len(z)) for _ in range(int(times[a, n]))]
        assert all(y[n] != y[a] for n in drawn)
        if len(drawn):
            triplets += [(a, p, n) for p, n in zip(positives, drawn, strict=True)]

    assert_same(
        lambda z: margin_loss(z, y, generator=torch.Generator().manual_seed(seed)),
        lambda z: brute_force(z, y.tolist(), triplets, [1.2] * 4),
        z,
    )


@pytest.mark.parametrize("which", ["A", "B"])
@pytest.mark.parametrize(
    ("key", "boundaries"),
    [("margin_fixed_b1.2", [1.2] * 4), ("margin_fixed_bclass(1+0.1c)", [1.0, 1.1, 1.2, 1.3])],
)
def test_margin_on_given_triplets_equals_the_gold_values(shared, which, key, boundaries):
    gold, z, y = gold_batch(shared, which)
    beta = torch.tensor(boundaries[: len(y.unique())], dtype=torch.float64, requires_grad=True)
    value = margin_loss(z, y, beta, triplets=torch.tensor(gold[which]["margin_fixed_triplets"]))
    assert value.item() == pytest.approx(gold[which][key]["loss"], abs=1e-9)
    expected = torch.tensor(gold[which][key]["grad_beta"], dtype=torch.float64)
    torch.testing.assert_close(torch.autograd.grad(value, beta)[0], expected, **TIGHT)


@pytest.mark.parametrize("which", ["A", "B"])
def test_margin_over_all_triplets_equals_the_gold_values(shared, which):
    gold, z, y = gold_batch(shared, which)
    expected = gold[which]["margin_all_triplets_b1.2"]
    loss = Margin(len(y.unique()), sampling="all").double()
    value = loss(z, y)
    value.backward()
    assert value.item() == pytest.approx(expected["loss"], abs=1e-7)  # 1.2 is stored in fp32
    expected_gradient = torch.tensor(expected["grad_beta"], dtype=torch.float64)
    torch.testing.assert_close(loss.beta.grad, expected_gradient, **TIGHT)
    assert margin_loss(z, y, sampling="all").item() == pytest.approx(expected["loss"], abs=1e-9)


@pytest.mark.parametrize("which", ["A", "B"])
def test_hinges_of_all_pairs_equal_the_gold_values(shared, which):
    gold, z, y = gold_batch(shared, which)
    expected = gold[which]["margin_pairs_b1.2"]
    hinges, _ = pair_hinges(pairwise_distances(normalize(z)), y)
    hinges.fill_diagonal_(0)
    assert hinges.sum().item() == pytest.approx(expected["sum_ordered"], abs=1e-9)
    assert (hinges > 0).sum().item() == expected["n_active"]
    share = expected["n_active"] / (len(z) * (len(z) - 1))
    assert Margin().active_tuples(z, y).item() == pytest.approx(share)


def test_margin_over_all_triplets_equals_pytorch_metric_learning():
    z = torch.randn(14, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.arange(14) % 4
    theirs = MarginLoss(beta=1.25)  # kept in fp32: a number that is exact there
    assert_same(lambda z: margin_loss(z, y, 1.25, sampling="all"), lambda z: theirs(z, y), z)


@pytest.mark.parametrize("which", ["A", "B"])
@pytest.mark.parametrize(
    ("key", "upper"), [("dws_rows_cut0.5_upper1.4", 1.4), ("dws_rows_cut0.5_noupper(ms_repo)", math.inf)]
)
def test_sampling_probabilities_equal_the_gold_values(shared, which, key, upper):
    gold, z, y = gold_batch(shared, which)
    d, (_, is_negative) = pairwise_distances(normalize(z)), pair_masks(y)
    ours = negative_probabilities(d, is_negative, z.shape[1], 0.5, upper)
    torch.testing.assert_close(ours, torch.tensor(gold[which][key], dtype=torch.float64), **TIGHT)


def test_inverse_density_equals_the_gold_table(shared):
    table = json.loads((shared / "gold" / "losses.json").read_text())["dws_log_inverse_q_table"]
    for dimensions, row in table.items():
        for d, expected in row.items():
            ours = log_inverse_density(torch.tensor(float(d), dtype=torch.float64), int(dimensions[1:]))
            assert ours.item() == pytest.approx(expected, abs=1e-9), (dimensions, d)


def test_inverse_density_undoes_the_density_of_random_points():
    """The mean of 1/q over random points below a distance is proportional to that distance."""
    generator = torch.Generator().manual_seed(0)
    x = torch.nn.functional.normalize(torch.randn(2000, 8, generator=generator, dtype=torch.float64))
    d = pairwise_distances(x)[torch.triu(torch.ones(2000, 2000, dtype=torch.bool), 1)]
    weight = log_inverse_density(d, 8).exp()
    parts = torch.stack([(weight * ((d > low) & (d <= low + 0.2))).sum() for low in (0.8, 1.0, 1.2, 1.4)])
    assert (parts / parts.mean() - 1).abs().max() < 0.03


def test_negatives_are_drawn_with_their_probability(shared):
    _, z, y = gold_batch(shared, "B")
    is_positive, is_negative = pair_masks(y)
    probabilities = negative_probabilities(pairwise_distances(normalize(z)), is_negative, 4)
    generator = torch.Generator().manual_seed(0)
    repeats = 1000
    times = sum(draw_negatives(probabilities, is_positive, generator) for _ in range(repeats))
    draws = 3 * repeats  # three positives each
    assert times.sum(1).eq(draws).all()
    deviation = (times / draws - probabilities).abs()
    assert (deviation <= 4.5 * (probabilities * (1 - probabilities) / draws).sqrt()).all()


def test_classes_of_any_size_draw_one_negative_per_positive():
    z = torch.randn(10, 4, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([0, 0, 0, 0, 0, 1, 1, 2, 3, 3])
    is_positive, is_negative = pair_masks(y)
    probabilities = negative_probabilities(pairwise_distances(normalize(z)), is_negative, 4)
    times = draw_negatives(probabilities, is_positive, torch.Generator().manual_seed(1))
    assert times.sum(1).tolist() == [4] * 5 + [1, 1, 0, 1, 1]
    assert times[~is_negative].eq(0).all()


def test_an_anchor_whose_negatives_are_all_too_far_draws_among_them_evenly():
    z = torch.tensor([[1.0, 0.0], [0.99, 0.1], [-1.0, 0.0], [-1.0, 0.1], [0.0, 1.0]])
    y = torch.tensor([0, 0, 1, 1, 2])
    _, is_negative = pair_masks(y)
    p = negative_probabilities(pairwise_distances(normalize(z)), is_negative, 2)
    # row 0: the antipodes and a right angle (√2), all beyond 1.4; row 1 has the right angle within reach
    torch.testing.assert_close(p[0], torch.tensor([0.0, 0.0, 1 / 3, 1 / 3, 1 / 3]))
    torch.testing.assert_close(p[1], torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0]))
    assert p.sum(1).allclose(torch.ones(5))


def test_without_any_negative_nothing_is_drawn():
    is_positive, is_negative = pair_masks(torch.zeros(4, dtype=torch.int64))
    p = negative_probabilities(torch.ones(4, 4), is_negative, 3)
    assert p.eq(0).all()
    assert draw_negatives(p, is_positive).eq(0).all()
    assert margin_loss(torch.randn(4, 3), torch.zeros(4, dtype=torch.int64)).item() == 0


@pytest.mark.parametrize("dim", [1, 2, 3, 512])
def test_antipodes_duplicates_and_any_dimension_give_finite_probabilities(dim):
    d = torch.tensor([[0.0, 2.0, 1e-6], [2.0, 0.0, 1.0], [1e-6, 1.0, 0.0]])
    _, is_negative = pair_masks(torch.arange(3))
    p = negative_probabilities(d, is_negative, dim, 0.5, math.inf)
    assert p.isfinite().all()
    assert p.sum(1).allclose(torch.ones(3))


def test_the_sample_is_a_function_of_generator_and_embeddings():
    z = torch.randn(20, 8, generator=torch.Generator().manual_seed(0))
    y = torch.arange(20) % 5
    loss = Margin()
    values = [loss(z, y, generator=torch.Generator().manual_seed(seed)).item() for seed in (1, 1, 2, 3)]
    assert values[0] == values[1]
    assert len(set(values)) > 1


def test_boundaries_are_learned_per_class_shared_or_fixed():
    z = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))
    y = torch.arange(12) % 3
    for num_classes, shape in ((5, (5,)), (None, ())):
        loss = Margin(num_classes, nu=0.01)
        loss(z, y, generator=torch.Generator().manual_seed(0)).backward()
        assert loss.beta.shape == shape
        assert loss.beta.grad.abs().sum() > 0
    fixed = Margin(5, learn_beta=False)
    assert list(fixed.parameters()) == []
    assert fixed.state_dict()["beta"].tolist() == pytest.approx([1.2] * 5)


def test_triplets_of_the_sampler_take_the_place_of_sampling():
    z = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.tensor([0, 0, 1, 1, 2, 2])
    chosen = [(0, 1, 2), (0, 1, 2), (3, 2, 5)]  # one of them twice
    expected = brute_force(z, y.tolist(), chosen, [1.2] * 3)
    ours = Margin()(z, y, tuples=Tuples(triplets=torch.tensor(chosen)))
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-6)  # 1.2 is stored in fp32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 0}, "num_classes must be at least 1, not 0"),
        ({"sampling": "distnce"}, "unknown sampling 'distnce'; did you mean 'distance'?"),
        ({"cutoff": 0}, "cutoff 0 must lie between 0 and nonzero_loss_cutoff 1.4"),
        ({"cutoff": 1.5}, "cutoff 1.5 must lie between 0 and nonzero_loss_cutoff 1.4"),
    ],
)
def test_a_wrong_option_is_one_clear_error(options, message):
    with pytest.raises(DMLTeachError) as error:
        Margin(**options)
    assert message in str(error.value)
