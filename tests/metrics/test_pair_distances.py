"""Distances of random pairs against all pairs, enumerated."""

import numpy as np
import pytest
import torch

from dmlteach.errors import DMLTeachError
from dmlteach.metrics import pair_distances


def sample(sizes=(5, 1, 3, 8), dim=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.cat([torch.full((size,), 10 * c) for c, size in enumerate(sizes)])
    labels = labels[torch.randperm(len(labels), generator=generator)]
    return torch.randn(len(labels), dim, generator=generator), labels


def all_pairs(z, labels):
    """Distances of every image to each of its own class and to each of another, with their probability."""
    found = {True: [], False: []}
    drawn = [i for i in range(len(z)) if (labels == labels[i]).sum() > 1]
    for i in drawn:
        for kind in found:
            others = [j for j in range(len(z)) if j != i and bool(labels[j] == labels[i]) == kind]
            found[kind] += [
                (float((z[i] - z[j]).double().norm()), 1 / len(drawn) / len(others)) for j in others
            ]
    return found


def test_each_pair_is_drawn_as_often_as_it_should():
    z, labels = sample()
    same, other = pair_distances(z, labels, pairs=200_000)
    for drawn, kind in ((same, True), (other, False)):
        values, weights = map(np.array, zip(*all_pairs(z, labels)[kind], strict=True))
        nearest = np.abs(drawn.numpy()[:, None] - np.unique(values.round(9))).argmin(1)
        assert np.abs(np.unique(values.round(9))[nearest] - drawn.numpy()).max() < 1e-6
        share = np.bincount(nearest, minlength=len(np.unique(values.round(9)))) / len(drawn)
        expected = [weights[values.round(9) == v].sum() for v in np.unique(values.round(9))]
        assert share == pytest.approx(expected, abs=6 * (max(expected) / len(drawn)) ** 0.5)


def test_confused_is_the_share_of_wrong_order_and_one_half_for_a_collapsed_embedding():
    z, labels = sample((30, 30))
    assert pair_distances(z, labels).confused == pytest.approx(0.5, abs=0.05)  # noise
    assert pair_distances(torch.zeros(60, 3), labels).confused == 0.5
    assert pair_distances(labels[:, None].float(), labels).confused == 0


def test_equal_seeds_give_equal_pairs_and_others_other_ones():
    z, labels = sample()
    first, again, another = (pair_distances(z, labels, 100, seed) for seed in (3, 3, 4))
    assert torch.equal(first.same, again.same) and torch.equal(first.other, again.other)
    assert not torch.equal(first.same, another.same)


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2]])
def test_without_two_kinds_of_pairs_there_is_one_clear_error(labels):
    with pytest.raises(DMLTeachError, match="two classes, and two images of one"):
        pair_distances(torch.randn(3, 2), torch.tensor(labels))
