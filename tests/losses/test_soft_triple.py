"""SoftTriple: several centers per class."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlteach.errors import DMLTeachError
from dmlteach.losses.normalized_softmax import normalized_softmax_loss
from dmlteach.losses.soft_triple import SoftTriple, center_spread, soft_triple_loss
from tests.losses import brute_force
from tests.losses.test_definitions import TIGHT, batches, value_and_gradient
from tests.losses.test_proxy_nca import of_length, proxies_of


def centers_of(num_classes, k, dim):
    return proxies_of(num_classes * k, dim).view(num_classes, k, dim)


def definition(z, labels, centers, scale, gamma, margin, tau):
    unit = [[of_length(w, 1) for w in of_class] for of_class in centers]
    terms = []
    for x, own in zip(z, labels, strict=True):
        logits = []
        for c, of_class in enumerate(unit):
            s = torch.stack([(of_length(x, 1) * w).sum() for w in of_class])
            share = torch.exp(s / gamma) / torch.exp(s / gamma).sum()
            logits.append(scale * ((share * s).sum() - (margin if c == own else 0)))
        terms.append(torch.log(sum(torch.exp(e) for e in logits)) - logits[own])
    spread = [
        brute_force.d2(of_class[s], of_class[t]).sqrt()
        for of_class in unit
        for s in range(len(of_class))
        for t in range(s + 1, len(of_class))
    ]
    k = len(unit[0])
    regularizer = sum(spread) / (len(unit) * k * (k - 1)) if spread else 0
    return brute_force.mean(terms, z) + tau * regularizer


@settings(max_examples=20, deadline=None)
@given(batches(), st.integers(1, 3), st.sampled_from([(20.0, 0.1, 0.01, 0.2), (5.0, 0.5, 0.2, 0.0)]))
def test_soft_triple_is_its_definition_in_embeddings_and_centers(batch, k, options):
    z, y = batch
    if z.shape[1] == 1:  # on a line, centers coincide: their distance has no gradient there
        z = torch.cat([z, z.flip(0) + 1], dim=1)
    centers = centers_of(4, k, z.shape[1])
    for ours, truth, argument in (
        (
            lambda x: soft_triple_loss(x, y, centers, *options),
            lambda x: definition(x, y.tolist(), centers, *options),
            z,
        ),
        (
            lambda w: soft_triple_loss(z, y, w, *options),
            lambda w: definition(z, y.tolist(), w, *options),
            centers,
        ),
    ):
        torch.testing.assert_close(
            value_and_gradient(ours, argument), value_and_gradient(truth, argument), rtol=1e-8, atol=1e-8
        )


@pytest.mark.parametrize("tau", [0.0, 0.2])
def test_soft_triple_is_that_of_pytorch_metric_learning(tau):
    from pytorch_metric_learning.losses import SoftTripleLoss
    from pytorch_metric_learning.regularizers import SparseCentersRegularizer

    centers = centers_of(5, 3, 4)
    theirs = SoftTripleLoss(
        num_classes=5,
        embedding_size=4,
        centers_per_class=3,
        weight_regularizer=SparseCentersRegularizer(5, 3) if tau else None,
        weight_reg_weight=tau,
    ).double()
    theirs.fc.data = centers.flatten(0, 1).T
    z, y = proxies_of(12, 4) + 0.3, torch.arange(12) % 5
    ours = soft_triple_loss(z, y, centers, tau=tau)
    torch.testing.assert_close(ours, theirs(z, y), rtol=1e-6, atol=1e-6)


def test_with_one_center_it_is_normalized_softmax_but_for_the_margin():
    z, y, centers = proxies_of(12, 4) + 0.3, torch.arange(12) % 5, centers_of(5, 1, 4)
    ours = soft_triple_loss(z, y, centers, margin=0.0)
    torch.testing.assert_close(ours, normalized_softmax_loss(z, y, centers[:, 0], 1 / 20), **TIGHT)


def test_coinciding_centers_have_no_spread_and_a_finite_gradient():
    centers = torch.ones(3, 4, 5, requires_grad=True)
    value = center_spread(centers)
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-6)
    assert centers.grad.eq(0).all()


def test_the_spread_term_draws_the_centers_of_a_class_together():
    centers = centers_of(3, 4, 5).requires_grad_()
    moved = centers - 0.1 * torch.autograd.grad(center_spread(centers), centers)[0]
    assert center_spread(moved) < center_spread(centers)


def test_active_tuples_are_the_images_more_similar_to_another_class():
    loss = SoftTriple(2, 2, centers_per_class=2)
    loss.centers.data = torch.tensor([[[1.0, 0], [0.9, 0.1]], [[0, 1.0], [0, 2.0]]])
    z = torch.tensor([[9.0, 1.0], [1.0, 0.1]])
    assert loss.active_tuples(z, torch.tensor([0, 1])).item() == 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"centers_per_class": 0}, "centers_per_class must be at least 1, not 0"),
        ({"scale": 0.0}, "scale must be positive, not 0.0"),
        ({"gamma": -1.0}, "gamma must be positive"),
        ({"tau": -0.1}, "tau must be at least 0, not -0.1"),
    ],
)
def test_a_mistake_is_one_clear_error(options, message):
    with pytest.raises(DMLTeachError) as error:
        SoftTriple(3, 4, **options)
    assert message in str(error.value)
