"""Supervised contrastive loss."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import SupConLoss

from dmlteach.errors import DMLTeachError
from dmlteach.losses.supcon import SupCon, supcon_loss
from tests.losses.brute_force import mean
from tests.losses.test_definitions import TIGHT, assert_same, batches


def unit(x):
    return x / (x.square().sum() + 1e-12).sqrt()


def brute_force(z, labels, temperature, anchors=None):
    x = [unit(row) for row in z]
    terms = []
    for a in range(len(z) if anchors is None else anchors):
        others = [b for b in range(anchors or 0, len(z)) if b != a]
        logits = {b: (x[a] * x[b]).sum() / temperature for b in others}
        positives = [b for b in others if labels[b] == labels[a]]
        if not positives:
            continue
        everyone = sum(torch.exp(s) for s in logits.values())
        terms.append(-sum(torch.log(torch.exp(logits[p]) / everyone) for p in positives) / len(positives))
    return mean(terms, z)


def random_batch(n=16, classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 5, generator=generator, dtype=torch.float64), torch.arange(n) % classes


@settings(max_examples=25, deadline=None)
@given(batches(), st.sampled_from([0.05, 0.1, 1.0]))
def test_supcon_is_its_definition(batch, temperature):
    z, y = batch
    assert_same(
        lambda z: supcon_loss(z, y, temperature), lambda z: brute_force(z, y.tolist(), temperature), z
    )


@pytest.mark.parametrize("temperature", [0.07, 0.1, 0.5])
def test_supcon_equals_pytorch_metric_learning(temperature):
    z, y = random_batch()
    assert_same(lambda z: supcon_loss(z, y, temperature), lambda z: SupConLoss(temperature)(z, y), z)


def test_unequal_classes_weigh_their_positives_equally():
    z, _ = random_batch(9)
    y = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2, 3])
    assert_same(lambda z: supcon_loss(z, y), lambda z: SupConLoss(0.1)(z, y), z)


def test_collapsed_embeddings_give_the_logarithm_of_the_number_of_others():
    z, y = torch.ones(8, 3), torch.arange(8) % 2
    assert supcon_loss(z, y).item() == pytest.approx(torch.tensor(7.0).log().item(), abs=1e-5)


def test_a_memory_takes_the_place_of_the_batch():
    z, y = random_batch()
    memory, slots = torch.cat([z[4:], torch.ones(2, 5)]), torch.cat([y[4:], torch.tensor([-1, -1])])
    ours = SupCon()(z[:4], y[:4], reference=(memory, slots))
    torch.testing.assert_close(ours, brute_force(z, y.tolist(), 0.1, anchors=4), **TIGHT)


def test_active_anchors_are_those_whose_softmax_sees_a_negative():
    z = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.0, -1.0], [0.1, 1.0]])
    y = torch.tensor([0, 0, 1, 1, 2])
    # rows 0 and 1 have found each other, 2 has a negative nearer, 3 is as far from all; 4 has no positive
    assert SupCon().active_tuples(z, y).item() == pytest.approx(2 / 4)


def test_a_temperature_must_be_positive():
    with pytest.raises(DMLTeachError, match="temperature must be positive, not 0"):
        SupCon(temperature=0)
