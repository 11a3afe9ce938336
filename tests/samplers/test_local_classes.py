"""Local sampling of classes: neighbours share batches, anchors have positives, few images are embedded."""

import numpy as np
import pytest
import torch

from dmlteach import samplers
from dmlteach.errors import DMLTeachError
from dmlteach.interfaces import Space

LABELS = torch.arange(40).repeat_interleave(10)  # 40 classes of 10 images


def islands(labels=LABELS, seed=0):
    """Classes 0–9 lie near each other, 10–19 near each other, …"""
    generator = torch.Generator().manual_seed(seed)
    places = torch.eye(4)[labels // 10] * 100
    return places + torch.randn(len(labels), 4, generator=generator)


def planned(**options):
    sampler = samplers.create("local_classes", LABELS, 20, **{"images_per_class": 4, **options})
    return sampler, sampler.plan(0, Space(islands(), LABELS))


def test_one_neighbourhood_a_batch_holds_neighbours_only():
    sampler, _ = planned(neighbourhoods=1)
    alone = [len(np.unique(LABELS[batch] // 10)) == 1 for batch in sampler]
    by_chance = [len(np.unique(LABELS[b] // 10)) == 1 for b in samplers.create("class_balanced", LABELS, 20)]
    assert np.mean(alone) > np.mean(by_chance) + 0.4


def test_every_anchor_has_k_minus_one_positives():
    sampler, report = planned()
    assert len(sampler) == len(LABELS) // 20
    assert report["anchors_without_positive"] == 0
    for batch in sampler:
        assert LABELS[batch].bincount()[LABELS[batch]].tolist() == [4] * 20
        assert len(set(batch)) == 20


def test_only_the_rows_it_asked_for_are_read():
    sampler = samplers.create("local_classes", LABELS, 20, images_per_class=4, embedded_per_class=2)
    rows = sampler.rows_to_embed(0)
    assert LABELS[rows].bincount().tolist() == [2] * 40
    some = torch.full((len(LABELS), 4), torch.nan)
    some[rows] = islands()[rows]
    sampler.plan(0, Space(some, LABELS))
    alone = [len(np.unique(LABELS[batch] // 10)) <= 4 for batch in sampler]
    assert all(alone)


def test_equal_seeds_give_equal_batches_and_epochs_differ():
    first, again = (list(planned()[0]) for _ in range(2))
    assert first == again
    sampler, _ = planned()
    sampler.plan(1, Space(islands(), LABELS))
    assert list(sampler) != first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neighbourhoods": 0}, "neighbourhoods must be from 1 to 5, not 0: a batch has no more classes"),
        ({"neighbourhoods": 6}, "neighbourhoods must be from 1 to 5, not 6"),
        ({"embedded_per_class": 0}, "embedded_per_class must be at least 1"),
        ({"images_per_class": 3}, "choose a batch_size divisible by it"),
    ],
)
def test_impossible_options_are_one_clear_error(options, message):
    with pytest.raises(DMLTeachError, match=message):
        planned(**options)


def test_iterating_before_plan_shows_the_lines_that_are_needed():
    with pytest.raises(DMLTeachError, match=r"sampler.plan\(epoch, space\)"):
        next(iter(samplers.create("local_classes", LABELS, 20, images_per_class=4)))
