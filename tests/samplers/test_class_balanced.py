"""P classes with K images each."""

import sys
from collections import Counter

import pytest
import torch

from dmlteach import samplers
from dmlteach.errors import DMLTeachError


def classes_of(batch, labels) -> Counter:
    return Counter(labels[batch].tolist())


@pytest.mark.parametrize("k", [1, 2, 4, 12])
def test_each_batch_holds_p_classes_with_k_images(k):
    labels = torch.arange(260) % 13  # 20 images each
    sampler = samplers.create("class_balanced", labels, 12, images_per_class=k)
    assert len(sampler) == 260 // 12
    for batch in sampler:
        assert classes_of(batch, labels) == Counter(dict.fromkeys(classes_of(batch, labels), k))
        assert len(set(batch)) == 12


def test_no_image_comes_again_before_its_class_is_used_up():
    labels = torch.arange(60) % 3  # 20 images each, 5 visits use them up
    sampler = samplers.create("class_balanced", labels, 12, images_per_class=4)
    seen = [i for batch in sampler for i in batch]
    assert sorted(seen) == list(range(60))


def test_classes_are_visited_about_equally_often():
    labels = torch.arange(1000) % 50
    sampler = samplers.create("class_balanced", labels, 28, images_per_class=4)
    visits = sum((Counter(classes_of(batch, labels).keys()) for batch in sampler), Counter())
    assert max(visits.values()) - min(visits[c] for c in range(50)) <= 2


def test_a_class_with_fewer_than_k_images_gives_all_of_them_and_repeats_some():
    labels = torch.tensor([0] * 3 + [1] * 1 + [2] * 9)
    sampler = samplers.create("class_balanced", labels, 12, images_per_class=4)
    (batch,) = sampler
    images = Counter(batch)
    assert sorted(images[i] for i in range(3)) == [1, 1, 2]
    assert images[3] == 4
    assert sum(images[i] for i in range(4, 13)) == 4 and max(images[i] for i in range(4, 13)) == 1


def test_the_report_gives_the_share_of_images_seen():
    labels = torch.arange(103) % 13
    sampler = samplers.create("class_balanced", labels, 8, images_per_class=2)
    report = sampler.plan(0)
    assert report["coverage"] == len({i for batch in sampler for i in batch}) / 103


def test_what_cannot_be_composed_is_one_clear_error():
    labels = torch.arange(60) % 3
    with pytest.raises(DMLTeachError, match="divisible by it, e.g. 12"):
        samplers.create("class_balanced", labels, 10, images_per_class=4)
    with pytest.raises(DMLTeachError, match="needs 4 classes; the data has 3"):
        samplers.create("class_balanced", labels, 16, images_per_class=4)
    with pytest.raises(DMLTeachError, match="images_per_class"):
        samplers.create("class_balanced", labels, 16, images_per_class=0)


def test_an_epoch_of_60000_images_is_planned_with_fewer_than_two_python_calls_an_image():
    labels = torch.randint(0, 11_000, (60_000,), generator=torch.Generator().manual_seed(0))
    sampler = samplers.create("class_balanced", labels, 256, images_per_class=4)
    sampler.plan(0)  # what is loaded for the first time does not count
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        sampler.plan(1)
    finally:
        sys.setprofile(None)
    assert calls < 2 * len(labels)  # choosing is done in arrays; one call makes each index a number
