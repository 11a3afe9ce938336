"""NCA loss."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlteach.errors import DMLTeachError
from dmlteach.losses.nca import NCA, nca_loss
from tests.losses.brute_force import d2, mean
from tests.losses.test_definitions import TIGHT, assert_same, batches, value_and_gradient


def log_p(z, labels, a, scale):
    """log Σ_b p_ab of anchor a; None if it has no positive."""
    exponents = {j: -scale * d2(z[a], z[j]) for j in range(len(z)) if j != a}
    own = [e for j, e in exponents.items() if labels[j] == labels[a]]
    if not own:
        return None
    largest = max(e.item() for e in own)  # so that own classes far away do not underflow
    highest = max(e.item() for e in exponents.values())
    own_sum = sum(torch.exp(e - largest) for e in own)
    everyone = sum(torch.exp(e - highest) for e in exponents.values())
    return torch.log(own_sum) + largest - torch.log(everyone) - highest


def brute_force(z, labels, log, scale):
    logs = [log_p(z, labels, a, scale) for a in range(len(z))]
    return -mean([p if log else torch.exp(p) for p in logs if p is not None], z)


@settings(max_examples=25, deadline=None)
@given(batches(), st.booleans(), st.sampled_from([0.5, 1.0, 3.0]))
def test_nca_is_its_definition(batch, log, scale):
    z, y = batch
    assert_same(lambda z: nca_loss(z, y, log, scale), lambda z: brute_force(z, y.tolist(), log, scale), z)


@pytest.mark.parametrize("which", ["A", "B"])
@pytest.mark.parametrize(("kind", "key"), [("raw", "nca_scale1_raw"), ("normalised", "nca_scale1")])
def test_nca_equals_the_gold_values(shared, which, kind, key):
    gold = json.loads((shared / "gold" / "losses.json").read_text())[which]
    z, y = torch.tensor(gold[kind], dtype=torch.float64), torch.tensor(gold["labels"])
    assert NCA()(z, y).item() == pytest.approx(gold[key]["neg_mean_p"], abs=1e-9)
    assert NCA(log=True)(z, y).item() == pytest.approx(gold[key]["neg_log_mean"], abs=1e-9)


@pytest.mark.parametrize("which", ["A", "B"])
def test_on_the_sphere_a_scale_of_8_is_a_cosine_with_scale_16(shared, which):
    gold = json.loads((shared / "gold" / "losses.json").read_text())[which]
    z, y = torch.tensor(gold["normalised"], dtype=torch.float64), torch.tensor(gold["labels"])
    assert nca_loss(z, y, log=True, scale=8).item() == pytest.approx(gold["nca_cosine_scale16"], abs=1e-8)


def test_anchors_without_a_positive_are_left_out_of_the_mean():
    z = torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64)
    y = torch.tensor([0, 0, 1])
    p = [1 / (1 + torch.exp(torch.tensor(-8.0))), 1 / (1 + torch.exp(torch.tensor(-3.0)))]
    assert nca_loss(z, y).item() == pytest.approx(-sum(p).item() / 2, abs=1e-6)


def test_the_logarithm_still_pulls_where_the_probability_has_vanished():
    z = torch.tensor([[0.0, 0.0], [40.0, 0.0], [0.0, 1.0], [40.0, 1.0]], dtype=torch.float64)
    y = torch.tensor([0, 0, 1, 1])
    value, gradient = value_and_gradient(lambda z: nca_loss(z, y), z)
    assert value == 0 and gradient.abs().max() == 0  # exp(−1600)
    value, gradient = value_and_gradient(lambda z: nca_loss(z, y, log=True), z)
    assert value.item() == pytest.approx(1599)
    assert gradient.abs().max() > 1


def test_a_memory_gives_the_neighbours():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(9, 3, generator=generator, dtype=torch.float64)
    y = torch.arange(9) % 3
    memory, slots = torch.cat([z[3:], torch.zeros(2, 3)]), torch.cat([y[3:], torch.tensor([-1, -1])])
    alone = [torch.cat([z[a : a + 1], z[3:]]) for a in range(3)]
    labels = [[int(y[a]), *y[3:].tolist()] for a in range(3)]
    expected = -sum(log_p(rows, own, 0, 1.0) for rows, own in zip(alone, labels, strict=True)) / 3
    ours = NCA(log=True)(z[:3], y[:3], reference=(memory, slots))
    torch.testing.assert_close(ours, expected, **TIGHT)


def test_active_anchors_are_those_that_are_moved():
    z = torch.tensor([[0.0], [0.1], [9.0], [9.1], [0.05], [50.0]], dtype=torch.float64)
    y = torch.tensor([0, 0, 1, 1, 2, 2])
    # anchors 2 and 3 are settled; 0 and 1 hesitate; 4 and 5 have lost their positive
    assert NCA(log=True).active_tuples(z, y).item() == pytest.approx(4 / 6)
    assert NCA().active_tuples(z, y).item() == pytest.approx(2 / 6)


def test_a_scale_must_be_positive():
    with pytest.raises(DMLTeachError, match="scale must be positive, not 0"):
        NCA(scale=0)
