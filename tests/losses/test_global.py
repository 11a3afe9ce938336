"""Global loss, with and without its triplet term."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dmlteach.errors import DMLTeachError
from dmlteach.interfaces import Tuples
from dmlteach.losses.global_loss import Global, global_loss
from tests.losses.brute_force import d2
from tests.losses.test_definitions import TIGHT, assert_same, batches


def unit(x):
    return x / (x.square().sum() + 1e-12).sqrt()


def distance(x, y):
    return d2(x, y).sqrt() if d2(x, y) > 1e-12 else x.sum() * 0 + 1e-6


def all_triplets(labels):
    rows = range(len(labels))
    return [
        (a, p, n) for a in rows for p in rows for n in rows if p != a and labels[p] == labels[a] != labels[n]
    ]


def brute_force(z, labels, lam=0.8, t=0.4, gamma=0.0, triplets=None):
    """From given triplets; or the pairs from all of the batch, each once, and the triplet term from all."""
    x = [unit(row) for row in z]
    if triplets is None:
        pairs = [(i, j) for i in range(len(z)) for j in range(i)]
        near = [d2(x[i], x[j]) / 4 for i, j in pairs if labels[i] == labels[j]]
        far = [d2(x[i], x[j]) / 4 for i, j in pairs if labels[i] != labels[j]]
        triplets = all_triplets(labels)
    else:
        near = [d2(x[a], x[p]) / 4 for a, p, _ in triplets]
        far = [d2(x[a], x[n]) / 4 for a, _, n in triplets]
    if not near or not far:
        return z.sum() * 0
    mean_near, mean_far = sum(near) / len(near), sum(far) / len(far)
    value = sum((d - mean_near) ** 2 for d in near) / len(near)
    value = value + sum((d - mean_far) ** 2 for d in far) / len(far)
    value = value + lam * torch.clamp(mean_near - mean_far + t, min=0)
    ratios = [1 - distance(x[a], x[n]) / (distance(x[a], x[p]) + 0.01) for a, p, n in triplets]
    return value + gamma * sum(torch.clamp(r, min=0) for r in ratios) / len(ratios)


@settings(max_examples=25, deadline=None)
@given(batches(), st.sampled_from([(0.8, 0.4), (0.0, 0.4), (2.0, 0.05)]), st.sampled_from([0.0, 1.0]))
def test_global_is_its_definition_on_all_pairs(batch, constants, gamma):
    z, y = batch
    # In one dimension the sphere is two points, and distances between the rows of one are rounding.
    assume(gamma == 0 or z.shape[1] > 1)
    assert_same(
        lambda z: global_loss(z, y, *constants, gamma),
        lambda z: brute_force(z, y.tolist(), *constants, gamma),
        z,
    )


@settings(max_examples=25, deadline=None)
@given(batches(), st.integers(1, 9), st.sampled_from([0.0, 0.5]), st.randoms())
def test_global_is_its_definition_on_given_triplets(batch, count, gamma, random):
    z, y = batch
    known = all_triplets(y.tolist())
    assume(known and (gamma == 0 or z.shape[1] > 1))  # as above
    chosen = [random.choice(known) for _ in range(count)]  # one may come twice
    assert_same(
        lambda z: global_loss(z, y, triplet_weight=gamma, triplets=torch.tensor(chosen)),
        lambda z: brute_force(z, y.tolist(), gamma=gamma, triplets=chosen),
        z,
    )


def two_classes(angle):
    """Two classes of two identical unit vectors, `angle` apart."""
    a = torch.tensor([1.0, 0.0], dtype=torch.float64)
    b = torch.stack([angle.cos(), angle.sin()])
    return torch.stack([a, a, b, b]), torch.tensor([0, 0, 1, 1])


def test_it_is_zero_where_equal_distances_are_far_enough_apart():
    # d⁻ = sin²(angle / 2) of every negative pair, d⁺ = 0
    enough = 2 * torch.tensor(0.41, dtype=torch.float64).sqrt().asin()
    assert global_loss(*two_classes(enough)).item() == pytest.approx(0, abs=1e-12)
    little = 2 * torch.tensor(0.3, dtype=torch.float64).sqrt().asin()
    assert global_loss(*two_classes(little)).item() == pytest.approx(0.8 * 0.1)


def test_unequal_distances_cost_their_biased_variance():
    z = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    y = torch.tensor([0, 0, 1])
    # one positive pair at ½; negative pairs at 1 and ½, of biased variance 1/16; means ½ − ¾ + 0.4
    assert global_loss(z, y).item() == pytest.approx(1 / 16 + 0.8 * 0.15)


def test_collapsed_embeddings_give_lambda_times_the_threshold():
    z, y = torch.ones(6, 3), torch.arange(6) % 2
    assert global_loss(z, y, lambda_=0.7, threshold=0.3).item() == pytest.approx(0.7 * 0.3, abs=1e-6)


def test_the_order_of_the_triplets_does_not_matter():
    z = torch.randn(8, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.arange(8) % 2
    triplets = torch.tensor(all_triplets(y.tolist()))
    shuffled = triplets[torch.randperm(len(triplets), generator=torch.Generator().manual_seed(1))]
    loss = Global(triplet_weight=1.0)
    torch.testing.assert_close(
        loss(z, y, tuples=Tuples(triplets=triplets)), loss(z, y, tuples=Tuples(triplets=shuffled)), **TIGHT
    )


def test_only_the_rows_of_given_triplets_get_a_gradient():
    z = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    y = torch.arange(6) % 2
    loss = Global(triplet_weight=1.0)
    loss(z, y, tuples=Tuples(triplets=torch.tensor([[0, 2, 1], [0, 4, 1]]))).backward()
    assert z.grad[[3, 5]].abs().max() < 1e-6
    assert (z.grad[[0, 1, 2, 4]].abs().sum(1) > 1e-3).all()


def test_active_says_whether_the_means_still_move():
    loss = Global(threshold=0.4)
    apart = two_classes(2 * torch.tensor(0.41, dtype=torch.float64).sqrt().asin())
    close = two_classes(torch.tensor(0.1, dtype=torch.float64))
    assert loss.active_tuples(*apart).item() == 0
    assert loss.active_tuples(*close).item() == 1
    assert loss.active_tuples(close[0], torch.arange(4)).item() == 0  # no positive pair
    assert loss.active_tuples(*close, Tuples(triplets=torch.tensor([[0, 1, 2]]))).item() == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lambda_": -1}, "lambda_ must be at least 0, not -1"),
        ({"triplet_weight": -0.5}, "triplet_weight must be at least 0, not -0.5"),
        ({"triplet_margin": 0}, "triplet_margin must be positive, not 0"),
    ],
)
def test_a_wrong_option_is_one_clear_error(options, message):
    with pytest.raises(DMLTeachError) as error:
        Global(**options)
    assert message in str(error.value)
