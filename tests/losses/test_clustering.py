"""Facility-location clustering loss: worked numbers, naive definition, and what the search may not do."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import normalized_mutual_info_score

from benchmarks.definitions import assign, naive_medoids, naive_nmi
from dmlteach.errors import DMLTeachError
from dmlteach.losses.clustering import (
    Clustering,
    clustering_loss,
    facility_location_loss,
    medoids_of,
    violating_medoids,
)
from tests.losses.test_definitions import value_and_gradient
from tests.losses.test_proxy_nca import of_length

LINE = [-11.0, -10.0, -8.0, 0.0, 1.0, 2.0, 9.0, 10.0, 11.0]
LINE_LABELS = [1, 1, 1, 2, 2, 2, 0, 0, 0]

# ── the definition, one candidate at a time ───────────────────────────────────────────────────────


def facility(d, medoids):
    return -sum(d[i, medoids[k]] for i, k in enumerate(assign(d, medoids)))


def naive_oracle(d, y):
    return sum(max(-d[y == c, j].sum() for j in np.flatnonzero(y == c)) for c in np.unique(y))


def exact_loss(d, y, gamma):
    """Every set of medoids, tiny batches only."""
    sets = itertools.combinations(range(len(y)), len(np.unique(y)))
    violation = max(facility(d, list(s)) + gamma * (1 - naive_nmi(y, assign(d, list(s)))) for s in sets)
    return max(violation - naive_oracle(d, y), 0.0)


def points(n, classes, spread, seed, dim=3):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % classes
    centers = torch.randn(classes, dim, generator=generator, dtype=torch.float64)
    return centers[y] + spread * torch.randn(n, dim, generator=generator, dtype=torch.float64), y


def distances_of(z):
    return torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist")


# ── equal to the definition ───────────────────────────────────────────────────────────────────────


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 14),
    st.integers(1, 5),
    st.sampled_from([0.0, 1.0, 10.0, 100.0]),
    st.sampled_from([0.3, 1.0]),
    st.integers(0, 2**20),
)
def test_the_search_finds_the_medoids_of_the_naive_definition(n, classes, gamma, spread, seed):
    z, y = points(n, min(classes, n), spread, seed)
    d = distances_of(z).numpy()
    assert violating_medoids(d, y.numpy(), gamma).tolist() == naive_medoids(d, y.numpy(), gamma)


def definition(z, y, gamma, squared):
    """The loss by loops, its gradient through F(S) and F̃ with medoids and clusters fixed."""
    x = torch.stack([of_length(row, 1) for row in z])
    rows = [
        [((a - b).square().sum() if i != j else a.sum() * 0) for j, b in enumerate(x)]
        for i, a in enumerate(x)
    ]
    if not squared:
        rows = [[e.sqrt() if e > 0 else e for e in row] for row in rows]
    d = np.array([[e.item() for e in row] for row in rows])
    medoids = naive_medoids(d, y, gamma)
    cluster = assign(d, medoids)
    score = -sum(rows[i][medoids[k]] for i, k in enumerate(cluster))
    oracle = 0
    for c in np.unique(y):
        members = np.flatnonzero(y == c)
        best = members[np.argmax([-d[members, j].sum() for j in members])]
        oracle = oracle - sum(rows[i][best] for i in members)
    return (score + gamma * (1 - naive_nmi(y, cluster)) - oracle).clamp_min(0)


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_value_and_gradient_are_those_of_the_definition(squared, seed):
    z, y = points(13, 4, 0.8, seed)
    gamma = [0.0, 2.0, 10.0, 100.0][seed % 4]
    ours = value_and_gradient(lambda z: clustering_loss(z, y, gamma, squared), z)
    truth = value_and_gradient(lambda z: definition(z, y.numpy(), gamma, squared), z)
    torch.testing.assert_close(ours, truth, rtol=0, atol=1e-5 if gamma and not squared else 2e-5)


def test_nmi_is_that_of_scikit_learn():
    generator = np.random.default_rng(0)
    for _ in range(20):
        y, g = generator.integers(0, 4, 15), generator.integers(0, 5, 15)
        expected = normalized_mutual_info_score(y, g, average_method="geometric")
        assert naive_nmi(y, g) == pytest.approx(expected, abs=1e-12)


# ── worked numbers ────────────────────────────────────────────────────────────────────────────────


def on_the_line(squared, gamma):
    x = torch.tensor(LINE, dtype=torch.float64)[:, None]
    d = distances_of(x)
    d = d.square() if squared else d
    y = torch.tensor(LINE_LABELS)
    return d, y, facility_location_loss(d, y, gamma).item()


@pytest.mark.parametrize(
    ("squared", "gamma", "exact"),
    [(False, 30.0, 0.0), (False, 100.0, 25.4933), (True, 100.0, 0.0), (True, 1000.0, 292.933)],
)
def test_enumeration_gives_the_worked_numbers_and_the_search_never_more(squared, gamma, exact):
    d, y, found = on_the_line(squared, gamma)
    assert naive_oracle(d.numpy(), y.numpy()) == (-9 if squared else -7)
    assert exact_loss(d.numpy(), y.numpy(), gamma) == pytest.approx(exact, abs=1e-3)
    assert found <= exact + 1e-3


def test_greedy_choice_and_swaps_give_the_worked_medoids():
    d, y, found = on_the_line(False, 100.0)
    greedy = violating_medoids(d.numpy(), y.numpy(), 100.0, passes=0)
    score = facility(d.numpy(), greedy) + 100 * (1 - naive_nmi(y.numpy(), assign(d.numpy(), greedy)))
    assert score == pytest.approx(4.0807, abs=1e-3)
    assert sorted(violating_medoids(d.numpy(), y.numpy(), 100.0)) == [0, 2, 6]
    assert found == pytest.approx(25.4172, abs=1e-3)


def test_swaps_repair_what_the_greedy_choice_alone_gets_wrong():
    d, y, _ = on_the_line(True, 0.0)
    greedy = violating_medoids(d.numpy(), y.numpy(), 0.0, passes=0)
    assert greedy.tolist() == [3, 7, 1]
    assert facility(d.numpy(), greedy) == -12
    assert sorted(violating_medoids(d.numpy(), y.numpy(), 0.0, passes=1)) == [1, 4, 7]
    assert facility_location_loss(d, y, 0.0).item() == 0


@pytest.mark.parametrize("squared", [False, True])
def test_with_a_large_margin_the_search_stays_below_the_maximum(squared):
    d, y, found = on_the_line(squared, 1000.0)
    exact = exact_loss(d.numpy(), y.numpy(), 1000.0)
    assert 0 < found < exact


# ── what holds of every batch ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seed", range(10))
def test_enumeration_is_never_below_the_search_and_the_bound_never_below_enumeration(seed):
    z, y = points(9, 3, 1.0, seed)
    d, gamma = distances_of(z), 3.0
    found = facility_location_loss(d, y, gamma).item()
    exact = exact_loss(d.numpy(), y.numpy(), gamma)
    best = max(facility(d.numpy(), list(s)) for s in itertools.combinations(range(9), 3))
    assert found <= exact + 1e-9
    assert exact <= gamma + best - naive_oracle(d.numpy(), y.numpy()) + 1e-9
    assert best >= naive_oracle(d.numpy(), y.numpy()) - 1e-9  # so that γ = 0 gives an exact loss ≥ 0


def test_well_separated_classes_and_a_small_margin_cost_nothing():
    z, y = points(20, 4, 0.001, 0)
    assert clustering_loss(z, y, gamma=0.1).item() == 0


@pytest.mark.parametrize("seed", range(5))
def test_without_a_margin_the_loss_is_the_lead_of_the_medoids_over_the_classes(seed):
    z, y = points(15, 3, 2.0, seed)
    d = distances_of(z)
    medoids = violating_medoids(d.numpy(), y.numpy(), 0.0)
    lead = facility(d.numpy(), medoids) - naive_oracle(d.numpy(), y.numpy())
    assert facility_location_loss(d, y, 0.0).item() == pytest.approx(max(lead, 0), abs=1e-9)
    assert lead > 0


@pytest.mark.parametrize("seed", range(10))
def test_neither_the_order_of_points_nor_the_names_of_classes_matter(seed):
    z, y = points(16, 5, 1.0, seed)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(seed))
    value = clustering_loss(z, y, 10.0)
    torch.testing.assert_close(clustering_loss(z[order], y[order], 10.0), value)
    torch.testing.assert_close(clustering_loss(z, 40 - 7 * y, 10.0), value)


def test_one_class_or_one_image_of_each_costs_nothing():
    z, _ = points(8, 2, 1.0, 0)
    for y in (torch.zeros(8).long(), torch.arange(8)):
        value, gradient = value_and_gradient(lambda z, y=y: clustering_loss(z, y, 100.0), z)
        assert value.item() == pytest.approx(0, abs=1e-9)
        assert gradient.eq(0).all()


def test_active_tuples_are_the_examples_with_another_medoid():
    z, y = points(15, 3, 1.0, 1)
    loss = Clustering(gamma=10.0)
    x = torch.nn.functional.normalize(z)
    own, violating, _ = medoids_of(distances_of(x), y, 10.0)
    assert 0 < loss.active_tuples(z, y).item() == pytest.approx((own != violating).double().mean().item())
    assert Clustering(gamma=0.0).active_tuples(*points(20, 4, 0.001, 0)).item() == 0


# ── the margin's schedule ─────────────────────────────────────────────────────────────────────────


def test_the_margin_decays_by_epoch_and_continues_from_a_checkpoint():
    z, y = points(15, 3, 1.0, 1)
    loss = Clustering(gamma=50.0, decay=0.9)
    values = []
    for epoch in (0, 3):
        loss.plan(epoch, None)
        expected = clustering_loss(z, y, 50 * 0.9**epoch)
        torch.testing.assert_close(loss(z, y), expected)
        values.append(expected.item())
    assert values[0] > values[1]
    resumed = Clustering(gamma=50.0, decay=0.9)
    resumed.load_state_dict(loss.state_dict())
    assert resumed(z, y) == loss(z, y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gamma": -1.0}, "gamma must be at least 0, not -1.0"),
        ({"decay": 0.0}, "decay must be above 0 and at most 1, not 0.0"),
        ({"decay": 1.1}, "decay must be above 0 and at most 1, not 1.1"),
    ],
)
def test_a_mistake_is_one_clear_error(options, message):
    with pytest.raises(DMLTeachError) as error:
        Clustering(**options)
    assert message in str(error.value)
