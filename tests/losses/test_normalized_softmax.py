"""Normalised softmax: cross-entropy over cosines."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlteach.errors import DMLTeachError
from dmlteach.losses.normalized_softmax import NormalizedSoftmax, normalized_softmax_loss
from tests.losses import brute_force
from tests.losses.test_definitions import batches, value_and_gradient
from tests.losses.test_proxy_nca import of_length, proxies_of


def definition(z, labels, weight, temperature):
    scaled = torch.stack([of_length(x, 1) for x in z])
    directions = torch.stack([of_length(w, 1) for w in weight]) / temperature
    return brute_force.softmax(scaled, labels, directions, torch.zeros(len(weight)))


@settings(max_examples=25, deadline=None)
@given(batches(), st.sampled_from([0.05, 1.0]))
def test_normalized_softmax_is_its_definition_in_embeddings_and_directions(batch, temperature):
    z, y = batch
    weight = proxies_of(5, z.shape[1])
    for ours, truth, argument in (
        (
            lambda x: normalized_softmax_loss(x, y, weight, temperature),
            lambda x: definition(x, y.tolist(), weight, temperature),
            z,
        ),
        (
            lambda w: normalized_softmax_loss(z, y, w, temperature),
            lambda w: definition(z, y.tolist(), w, temperature),
            weight,
        ),
    ):
        torch.testing.assert_close(
            value_and_gradient(ours, argument), value_and_gradient(truth, argument), rtol=1e-9, atol=1e-9
        )


def test_normalized_softmax_is_that_of_pytorch_metric_learning():
    from pytorch_metric_learning.losses import NormalizedSoftmaxLoss

    theirs = NormalizedSoftmaxLoss(num_classes=5, embedding_size=4).double()
    theirs.W.data = proxies_of(5, 4).T
    z, y = proxies_of(12, 4) + 0.3, torch.arange(12) % 5
    torch.testing.assert_close(
        normalized_softmax_loss(z, y, proxies_of(5, 4)), theirs(z, y), rtol=1e-7, atol=1e-7
    )


def test_neither_lengths_of_embeddings_nor_of_directions_matter():
    z, y, weight = proxies_of(12, 4) + 0.3, torch.arange(12) % 5, proxies_of(5, 4)
    torch.testing.assert_close(
        normalized_softmax_loss(z * 7, y, weight * 0.1), normalized_softmax_loss(z, y, weight)
    )


def test_active_tuples_are_the_images_classified_wrongly():
    loss = NormalizedSoftmax(2, 2)
    loss.weight.data = torch.eye(2)
    z = torch.tensor([[9.0, 1.0], [1.0, 0.1]])
    assert loss.active_tuples(z, torch.tensor([0, 1])).item() == 0.5


def test_the_temperature_must_be_positive():
    with pytest.raises(DMLTeachError, match="temperature must be positive, not 0"):
        NormalizedSoftmax(3, 4, temperature=0)
