"""Imprinting: learned class vectors start where their classes are."""

import pytest
import torch
from torch.nn.functional import cosine_similarity

from dmlteach import losses
from dmlteach.interfaces import Space
from dmlteach.neighbors import means_of
from tests.losses.cases import DIM, NUM_CLASSES, create

WITH_VECTORS = [n for n, loss in losses.LOSSES.items() if loss.compares == "learned class vectors"]


@pytest.fixture
def space():
    """Three embeddings of each class, the classes apart, in random order."""
    random = torch.Generator().manual_seed(3)  # not the numbers of the vectors themselves
    centers = 3 * torch.randn(NUM_CLASSES, DIM, generator=random)
    labels = torch.randperm(3 * NUM_CLASSES, generator=random) % NUM_CLASSES
    return Space(centers[labels] + 0.05 * torch.randn(len(labels), DIM, generator=random), labels)


def test_class_means_are_the_means_of_each_class(space):
    means = means_of(*space, NUM_CLASSES)
    for c in range(NUM_CLASSES):
        torch.testing.assert_close(means[c], space.embeddings[space.labels == c].mean(0))


def test_there_are_losses_with_class_vectors():
    assert set(WITH_VECTORS) == {
        "arcface", "softmax", "normalized_softmax", "proxy_nca", "proxy_anchor", "soft_triple"
    }  # fmt: skip


@pytest.mark.parametrize("name", WITH_VECTORS)
def test_imprinted_vectors_tell_the_classes_apart_at_once(name, space):
    loss = create(name)
    assert loss.active_tuples(*space) > 0.5
    loss.imprint(space)
    assert loss.active_tuples(*space) == 0


@pytest.mark.parametrize(
    ("name", "vectors"),
    [("normalized_softmax", "weight"), ("proxy_nca", "proxies"), ("proxy_anchor", "proxies")],
)
def test_imprinting_turns_vectors_and_keeps_their_lengths(name, vectors, space):
    loss = create(name)
    before = getattr(loss, vectors).detach().norm(dim=1)
    loss.imprint(space)
    after = getattr(loss, vectors)
    assert after.requires_grad
    torch.testing.assert_close(after.norm(dim=1), before)
    alike = cosine_similarity(after, means_of(*space, NUM_CLASSES))
    torch.testing.assert_close(alike, torch.ones(NUM_CLASSES))


def test_the_imprinted_classifier_prefers_the_nearest_mean(space):
    loss = create("softmax")
    loss.imprint(space)
    z = torch.randn(50, DIM, generator=torch.Generator().manual_seed(1))
    nearest = torch.cdist(z, means_of(*space, NUM_CLASSES)).argmin(1)
    assert torch.equal(loss.classifier(z).argmax(1), nearest)


def test_centers_of_one_class_stay_apart(space):
    loss = create("soft_triple")
    loss.imprint(space)
    assert (loss.centers[:, 0] - loss.centers[:, 1]).norm(dim=1).min() > 1e-3


@pytest.mark.parametrize("name", sorted(set(losses.names()) - set(WITH_VECTORS)))
def test_other_losses_have_nothing_to_imprint(name, space):
    loss = create(name)
    before = [parameter.detach().clone() for parameter in loss.parameters()]
    loss.imprint(space)
    assert all(torch.equal(a, b) for a, b in zip(before, loss.parameters(), strict=True))
