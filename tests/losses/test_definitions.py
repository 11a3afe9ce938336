"""Every loss, value and gradient, against its definition by brute force and against gold values."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlteach import losses
from dmlteach.losses import contrastive_loss, nearest_targets, softmax_loss, sst_loss, triplet_loss
from tests.losses import brute_force

TIGHT = {"rtol": 0, "atol": 1e-9}


def value_and_gradient(function, z):
    z = z.clone().requires_grad_()
    value = function(z)
    return value.detach(), torch.autograd.grad(value, z)[0]


def assert_same(ours, truth, z):
    torch.testing.assert_close(value_and_gradient(ours, z), value_and_gradient(truth, z), **TIGHT)


@st.composite
def batches(draw):
    """Small batches with repeated rows, singletons, one class, any scale."""
    n, dim, classes = draw(st.integers(1, 9)), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    z = torch.randn(n, dim, generator=generator, dtype=torch.float64) * draw(st.sampled_from([0.1, 1.0, 5.0]))
    if draw(st.booleans()):
        z[n // 2] = z[0]
    return z, torch.randint(classes, (n,), generator=generator)


@settings(max_examples=25, deadline=None)
@given(batches(), st.integers(1, 5))
def test_sst_is_its_definition(batch, k):
    z, y = batch
    assert_same(lambda z: sst_loss(z, y, k), lambda z: brute_force.sst(z, y.tolist(), k), z)


@settings(max_examples=25, deadline=None)
@given(batches(), st.integers(1, 5), st.sampled_from([0.0, 0.2, 1.0]))
def test_triplet_is_its_definition(batch, k, margin):
    z, y = batch
    # margin 0 with equal points stands on the hinge's corner, where any gradient is a subgradient
    margin = margin + 1e-3
    truth = lambda z: brute_force.triplet(z, y.tolist(), k, margin)  # noqa: E731
    assert_same(lambda z: triplet_loss(z, y, margin, k), truth, z)


@settings(max_examples=25, deadline=None)
@given(batches(), st.sampled_from([0.5, 1.0, 4.0]))
def test_contrastive_is_its_definition(batch, margin):
    z, y = batch
    truth = brute_force.contrastive(z, y.tolist(), margin)
    torch.testing.assert_close(contrastive_loss(z, y, margin), truth, rtol=0, atol=1e-5 if len(z) > 1 else 0)
    if len(torch.unique(z, dim=0)) == len(z):  # the distance has no gradient where two rows coincide
        assert_same(
            lambda z: contrastive_loss(z, y, margin),
            lambda z: brute_force.contrastive(z, y.tolist(), margin),
            z,
        )


@settings(max_examples=30, deadline=None)
@given(batches())
def test_softmax_is_its_definition(batch):
    z, y = batch
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(5, z.shape[1], generator=generator, dtype=torch.float64)
    bias = torch.randn(5, generator=generator, dtype=torch.float64)
    truth = lambda z: brute_force.softmax(z, y.tolist(), weight, bias)  # noqa: E731
    assert_same(lambda z: softmax_loss(z, y, weight, bias), truth, z)


@pytest.mark.parametrize("which", ["A", "B"])
@pytest.mark.parametrize("kind", ["raw", "normalised"])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_sst_and_triplet_equal_the_gold_values(shared, which, kind, k):
    inputs = json.loads((shared / "gold" / "losses.json").read_text())[which]
    gold = json.loads((shared / "gold" / "sst.json").read_text())[which][kind][f"k={k}"]
    z, y = torch.tensor(inputs[kind], dtype=torch.float64), torch.tensor(inputs["labels"])

    value, gradient = value_and_gradient(lambda z: sst_loss(z, y, k), z)

    assert value.item() == pytest.approx(gold["sst"], abs=1e-9)
    torch.testing.assert_close(gradient, torch.tensor(gold["sst_gradient"], dtype=torch.float64), **TIGHT)
    assert triplet_loss(z, y, 0.2, k).item() == pytest.approx(gold["triplet_m0.2"], abs=1e-9)
    active = losses.create("triplet", num_targets=k).stats(z, y)["active_tuples"].item()
    assert active == pytest.approx(gold["triplet_active"] / gold["num_triplets"])


@pytest.mark.parametrize("which", ["A", "B"])
@pytest.mark.parametrize(
    ("kind", "key"), [("raw", "contrastive_hadsell_m1_raw"), ("normalised", "contrastive_hadsell_m1")]
)
def test_contrastive_equals_the_gold_values(shared, which, kind, key):
    inputs = json.loads((shared / "gold" / "losses.json").read_text())[which]
    z, y = torch.tensor(inputs[kind], dtype=torch.float64), torch.tensor(inputs["labels"])
    assert contrastive_loss(z, y).item() == pytest.approx(inputs[key]["mean_unordered_pairs"], abs=1e-9)


def one_triplet(z):
    """Tuple choice such that row 0 is the only anchor, row 1 its target, row 2 the impostor."""
    return torch.tensor([0, 0, 1]), torch.tensor([[1], [-1], [-1]])


@pytest.mark.parametrize("seed", range(5))
def test_sst_gradients_are_those_of_the_paper(seed):
    z = torch.randn(3, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    labels, targets = one_triplet(z)
    _, gradient = value_and_gradient(lambda z: sst_loss(z, labels, targets=targets), z)
    a, p, n = z
    d_ap, d_an, d_pn = (a - p).square().sum(), (a - n).square().sum(), (p - n).square().sum()
    s = torch.sigmoid(d_ap - (d_an + d_pn) / 2)
    formula = torch.stack([s * (a - 2 * p + n), s * (p - 2 * a + n), s * (a + p - 2 * n)])
    torch.testing.assert_close(gradient, formula, **TIGHT)
    torch.testing.assert_close(gradient.sum(0), torch.zeros(4, dtype=torch.float64), **TIGHT)


@pytest.mark.parametrize("seed", range(5))
def test_triplet_gradients_are_those_of_the_paper(seed):
    z = torch.randn(3, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    labels, targets = one_triplet(z)
    margin = 50.0 if seed % 2 else -50.0  # active, or satisfied
    _, gradient = value_and_gradient(lambda z: triplet_loss(z, labels, margin, targets=targets), z)
    a, p, n = z
    formula = torch.stack([2 * (n - p), 2 * (p - a), 2 * (a - n)]) * (margin > 0)
    torch.testing.assert_close(gradient, formula, **TIGHT)


def test_exchanging_anchor_and_positive_leaves_sst_unchanged():
    z = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels, targets = one_triplet(z)
    swapped = z[[1, 0, 2]]
    torch.testing.assert_close(
        sst_loss(z, labels, targets=targets), sst_loss(swapped, labels, targets=targets), **TIGHT
    )


def test_sst_does_not_change_under_translation_and_rotation():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(12, 4, generator=generator, dtype=torch.float64)
    y = torch.arange(12) % 3
    rotation, _ = torch.linalg.qr(torch.randn(4, 4, generator=generator, dtype=torch.float64))
    torch.testing.assert_close(sst_loss(z @ rotation + 100, y), sst_loss(z, y), **TIGHT)


def test_collapsed_embeddings_give_sst_log_two_and_triplet_its_margin():
    z, y = torch.zeros(6, 3), torch.arange(6) % 2
    assert sst_loss(z, y).item() == pytest.approx(brute_force.LOG2)
    assert triplet_loss(z, y, margin=0.3).item() == pytest.approx(0.3)


def test_ties_between_targets_are_broken_by_index():
    d2 = torch.zeros(6, 6)
    labels = torch.zeros(6, dtype=torch.int64)
    assert nearest_targets(d2, labels, 2).tolist() == [[1, 2], [0, 2], [0, 1], [0, 1], [0, 1], [0, 1]]


def test_stored_targets_take_the_place_of_the_nearest():
    z = torch.tensor([[0.0], [1.0], [3.0], [2.0]], dtype=torch.float64)
    y = torch.tensor([0, 0, 0, 1])
    stored = torch.tensor([[2], [-1], [-1], [-1]])  # the far positive of row 0, and nothing else
    u = 9 - (4 + 1) / 2
    expected = torch.log1p(torch.exp(torch.tensor(-u, dtype=torch.float64))) + u
    torch.testing.assert_close(sst_loss(z, y, targets=stored), expected, **TIGHT)


@pytest.mark.parametrize("name", ["sst", "triplet", "contrastive", "softmax"])
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_any_finite_batch_gives_finite_value_and_gradient(name, data):
    n = data.draw(st.integers(1, 24))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31)))
    scale = data.draw(st.sampled_from([0.0, 1e-20, 1e-6, 1.0, 1e4 / 3]))
    z = torch.randn(n, 8, generator=generator) * scale
    if data.draw(st.booleans()):
        z[:] = z[0]  # collapsed
    classes = data.draw(st.sampled_from([1, 2, n]))
    y = torch.arange(n) % classes
    options = {"num_classes": n, "embedding_dim": 8} if name == "softmax" else {}
    loss = losses.create(name, **options)
    z.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=data.draw(st.booleans())):
        value = loss(z, y)
    value.backward()
    assert value.dtype == torch.float32
    assert torch.isfinite(value)
    assert torch.isfinite(z.grad).all()


@pytest.mark.parametrize("name", ["sst", "triplet", "contrastive"])
def test_nan_in_gives_nan_out(name):
    z = torch.randn(8, 3)
    z[2, 1] = torch.nan
    assert losses.create(name)(z, torch.arange(8) % 2).isnan()


@pytest.mark.parametrize("name", ["sst", "triplet", "contrastive"])
def test_a_batch_without_tuples_gives_a_zero_that_can_be_differentiated(name):
    z = torch.randn(1, 3, requires_grad=True)
    value = losses.create(name)(z, torch.tensor([0]))
    value.backward()
    assert value.item() == 0
    assert z.grad.eq(0).all()


@pytest.mark.parametrize("name", ["sst", "triplet", "contrastive"])
def test_half_precision_input_is_computed_in_fp32(name):
    z = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
    y = torch.arange(16) % 4
    half = z.bfloat16()
    assert losses.create(name)(half, y) == losses.create(name)(half.float(), y)
