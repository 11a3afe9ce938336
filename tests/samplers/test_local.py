"""Batches are neighbourhoods of the epoch-start embeddings, with the targets chosen there."""

import numpy as np
import pytest
import torch

from dmlteach import samplers
from dmlteach.errors import DMLTeachError
from dmlteach.interfaces import Space
from dmlteach.neighbors import kmeans
from dmlteach.samplers import local


def space_of(n: int = 300, dim: int = 6, num_classes: int = 10) -> Space:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, num_classes, (n,), generator=generator)
    centers = torch.randn(num_classes, dim, generator=generator)
    return Space(centers[labels] + torch.randn(n, dim, generator=generator), labels)


def planned(space: Space, batch_size: int, **options):
    sampler = samplers.create("local", space.labels, batch_size, **options)
    return sampler, sampler.plan(0, space)


@pytest.fixture
def clusters(monkeypatch) -> list:
    """What k-means gave."""
    given = []

    def watched(*args, **kwargs):
        given.append(kmeans(*args, **kwargs)[1])
        return kmeans(*args, **kwargs)

    monkeypatch.setattr(local, "kmeans", watched)
    return given


def test_all_images_of_a_batch_lie_in_one_cluster(clusters):
    space = space_of()
    sampler, _ = planned(space, 32)
    (cluster,) = clusters
    assert int(cluster.max()) + 1 <= 300 // 32
    used = [cluster[batch].unique().tolist() for batch in sampler]
    assert all(len(c) == 1 for c in used) and len({c[0] for c in used}) == len(used)


def test_small_clusters_are_used_whole_and_large_ones_sub_sampled(clusters):
    space = space_of()
    sampler, report = planned(space, 32)
    (cluster,) = clusters
    sizes = torch.bincount(cluster)
    assert sizes.min() < 32 < sizes.max()
    for batch in sampler:
        assert len(batch) == len(set(batch)) == min(int(sizes[cluster[batch[0]]]), 32)
    assert report["coverage"] == sum(len(b) for b in sampler) / 300


def test_targets_are_the_nearest_of_the_class_within_the_batch():
    space = space_of()
    sampler, _ = planned(space, 32, num_targets=3)
    for batch in sampler:
        z, y = space.embeddings[batch].double(), space.labels[batch]
        for anchor, targets in enumerate(batch.tuples.targets.tolist()):
            d2 = (z - z[anchor]).square().sum(1)
            same = [i for i in range(len(batch)) if y[i] == y[anchor] and i != anchor]
            nearest = sorted(same, key=lambda i: (d2[i], i))[:3]
            assert targets == nearest + [-1] * (3 - len(nearest))


def test_equally_near_targets_are_taken_by_index():
    space = Space(torch.zeros(12, 2), torch.arange(12) % 2)
    sampler, _ = planned(space, 12, num_targets=2)
    (batch,) = sampler
    assert list(batch) == list(range(12))
    assert batch.tuples.targets[:4].tolist() == [[2, 4], [3, 5], [0, 4], [1, 5]]


def test_one_cluster_is_random_sampling():
    space = space_of(40)
    batches = []
    sampler = samplers.create("local", space.labels, 30)
    for epoch in range(3):
        sampler.plan(epoch, space)
        (batch,) = sampler
        batches.append(set(batch))
    assert all(len(b) == 30 for b in batches) and batches[0] != batches[1] != batches[2]


def test_batches_without_a_triplet_are_dropped_and_reported(monkeypatch):
    cluster = torch.arange(24) // 8
    monkeypatch.setattr(local, "kmeans", lambda *args, **kwargs: (torch.zeros(3, 2), cluster))
    one_class, all_different, two_classes = [0] * 8, list(range(1, 9)), [20, 21] * 4
    labels = torch.tensor(one_class + all_different + two_classes)
    sampler, report = planned(Space(torch.randn(24, 2), labels), 8)
    (batch,) = sampler
    assert sorted(batch) == list(range(16, 24))
    assert report["batches"] == 1 and report["batches_without_triplet"] == 2
    assert report["anchors_without_positive"] == pytest.approx(8 / 24)
    assert report["coverage"] == pytest.approx(8 / 24)


def test_the_report_holds_plain_numbers_and_the_sizes_of_all_clusters():
    space = space_of()
    _, report = planned(space, 32)
    histogram = report["cluster_sizes"]
    assert sum(histogram["counts"]) == 300 // 32
    assert len(histogram["edges"]) == len(histogram["counts"]) + 1
    assert report["kmeans_seconds"] > 0


@pytest.mark.parametrize("n, batch_size", [(300, 32), (300, 30), (301, 300), (97, 96), (50, 50), (64, 1)])
def test_balanced_batches_hold_every_image_once_and_sizes_differ_by_at_most_one(n, batch_size):
    space = space_of(n)
    sampler, report = planned(space, batch_size, balance=True)
    sizes = [len(batch) for batch in sampler]
    assert len(sizes) == -(-n // batch_size)
    assert max(sizes) <= batch_size and max(sizes) - min(sizes) <= 1
    assert sorted(i for batch in sampler for i in batch) == list(range(n))
    assert report["coverage"] == 1


def test_a_collapsed_embedding_can_be_balanced():
    space = Space(torch.zeros(200, 3), torch.arange(200) % 7)
    sampler, _ = planned(space, 16, balance=True)
    assert sorted(i for batch in sampler for i in batch) == list(range(200))


def test_an_image_leaves_its_cluster_only_if_nearer_ones_fill_it():
    embeddings = torch.tensor([[0.0], [1.0], [2.0], [3.0], [10.0], [11.0]])
    centroids = torch.tensor([[1.0], [10.5]])
    assigned = local.assign_evenly(embeddings, centroids, torch.tensor([0, 0, 0, 0, 1, 1]))
    assert assigned.tolist() == [0, 0, 0, 1, 1, 1]  # 0, 2 are as near as it gets; 3 moves


def test_balanced_batches_are_neighbourhoods(clusters):
    space = space_of()
    sampler, _ = planned(space, 30, balance=True)
    spread = np.mean([space.embeddings[b].var(0).sum() for b in sampler])
    random = samplers.create("random", space.labels, 30)
    assert spread < 0.8 * np.mean([space.embeddings[b].var(0).sum() for b in random])


def test_iterating_before_planning_shows_the_two_lines_needed():
    sampler = samplers.create("local", torch.arange(20) % 2, 5)
    with pytest.raises(DMLTeachError, match=r"sampler\.plan\(epoch, space\)"):
        iter(sampler)
    with pytest.raises(DMLTeachError, match=r"sampler\.plan\(epoch, space\)"):
        sampler.plan(0)


def test_a_space_of_another_data_set_or_no_targets_is_one_clear_error():
    sampler = samplers.create("local", torch.arange(20) % 2, 5)
    with pytest.raises(DMLTeachError, match="300 embeddings, the sampler 20 labels"):
        sampler.plan(0, space_of())
    with pytest.raises(DMLTeachError, match="num_targets"):
        samplers.create("local", torch.arange(20) % 2, 5, num_targets=0)
