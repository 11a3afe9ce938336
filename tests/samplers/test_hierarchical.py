"""Anchor-neighbour batches: random classes, each with those nearest to it."""

import numpy as np
import pytest
import torch

from dmlteach.errors import DMLTeachError
from dmlteach.interfaces import Space
from dmlteach.samplers.hierarchical import Hierarchical


def space_of(num_classes=24, per_class=10, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(num_classes * per_class) % num_classes
    centers = torch.randn(num_classes, 5, generator=generator)
    return Space(centers[labels] + 0.4 * torch.randn(len(labels), 5, generator=generator), labels)


def distance_between_classes(space):
    """d(p, q) over all pairs of normalised features."""
    x = torch.nn.functional.normalize(space.embeddings.double())
    d2 = torch.cdist(x, x).square()
    classes = range(int(space.labels.max()) + 1)
    is_of = [space.labels == c for c in classes]
    return [[d2[is_of[p]][:, is_of[q]].mean().item() for q in classes] for p in classes]


def planned(space, batch_size=48, epoch=0, **options):
    sampler = Hierarchical(space.labels, batch_size, **options)
    return sampler, sampler.plan(epoch, space)


@pytest.mark.parametrize("neighbourhood, images_per_class", [(4, 4), (3, 2), (1, 4), (12, 4)])
def test_a_batch_holds_different_classes_with_t_different_images_of_each(neighbourhood, images_per_class):
    space = space_of()
    options = {"neighbourhood": neighbourhood, "images_per_class": images_per_class}
    sampler, report = planned(space, 48, **options)
    assert len(sampler) == report["batches"] == 240 // 48
    for batch in sampler:
        classes, counts = space.labels[batch].unique(return_counts=True)
        assert len(batch) == len(set(batch)) == 48
        assert len(classes) == 48 // images_per_class
        assert (counts == images_per_class).all()


def test_each_anchor_class_brings_the_nearest_classes_that_are_not_there_yet():
    space = space_of()
    d = distance_between_classes(space)
    sampler, _ = planned(space, 48, neighbourhood=4, images_per_class=4)
    for batch in sampler:
        classes = space.labels[batch].view(-1, 4)[:, 0].tolist()  # 3 anchors, then 3 neighbours of each
        expected = classes[:3]
        for anchor in classes[:3]:
            nearest = sorted((c for c in range(24) if c not in expected), key=lambda c: d[anchor][c])
            expected += nearest[:3]
        assert classes == expected


def test_anchor_classes_are_dealt_evenly():
    space = space_of()
    sampler, _ = planned(space, 16, neighbourhood=2, images_per_class=4)
    anchors = [c for batch in sampler for c in space.labels[batch].view(-1, 4)[:2, 0].tolist()]
    assert len(anchors) == 2 * 15
    assert sorted(anchors[:24]) == list(range(24))


def test_epochs_differ_and_equal_seeds_give_equal_batches():
    space = space_of()
    first, again, other = (
        list(planned(space, epoch=epoch, seed=seed)[0]) for epoch, seed in ((0, 1), (0, 1), (1, 1))
    )
    assert first == again != other


def test_the_report_tells_the_mean_spread_of_a_class():
    space = space_of()
    _, report = planned(space)
    x = torch.nn.functional.normalize(space.embeddings.double())
    spreads = [torch.pdist(x[space.labels == c]).square().mean().item() for c in range(24)]
    assert report["class_spread"] == pytest.approx(np.mean(spreads), abs=1e-5)
    assert 0.5 < report["coverage"] <= 1


def test_it_needs_embeddings():
    with pytest.raises(DMLTeachError, match=r"sampler\.plan\(epoch, space\)"):
        Hierarchical(torch.arange(64) % 8, 16).plan(0)


@pytest.mark.parametrize(
    ("batch_size", "options", "message"),
    [
        (24, {}, "choose a multiple of 16"),
        (16, {"neighbourhood": 0}, "neighbourhood must be at least 1, not 0"),
        (18, {}, "divisible"),
        (160, {}, "needs 40 classes"),
    ],
)
def test_a_mistake_is_one_clear_error(batch_size, options, message):
    with pytest.raises(DMLTeachError, match=message):
        Hierarchical(space_of().labels, batch_size, **options)
