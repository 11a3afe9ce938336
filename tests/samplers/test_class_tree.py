"""The class tree of the hierarchical triplet loss: distances, linkage, levels."""

import numpy as np
import pytest
import torch
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.spatial.distance import squareform

from benchmarks.definitions import naive_tree
from dmlteach.errors import DMLTeachError
from dmlteach.interfaces import Space
from dmlteach.samplers.class_tree import average_linkage, class_distances, class_tree, measure_classes


def space_of(num_classes=12, per_class=5, dim=6, spread=0.6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(num_classes * per_class) % num_classes
    centers = torch.randn(num_classes, dim, generator=generator)
    return Space(centers[labels] + spread * torch.randn(len(labels), dim, generator=generator), labels)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("spread", [0.1, 0.6, 3.0])
def test_the_tree_is_that_of_the_naive_definition(spread, seed):
    space = space_of(spread=spread, seed=seed)
    tree = class_tree(space)
    levels, thresholds, spreads = naive_tree(space)
    assert np.array_equal(tree.levels.numpy(), levels)
    assert np.allclose(tree.thresholds, thresholds, atol=1e-6)
    assert np.allclose(tree.spreads, spreads, atol=1e-6)


def test_classes_may_differ_in_size_and_one_image_has_no_spread():
    space = space_of(num_classes=4, per_class=6)
    kept = torch.tensor([i for i in range(24) if space.labels[i] != 2 or i == 2])
    space = Space(space.embeddings[kept], space.labels[kept])
    tree = class_tree(space, num_levels=5)
    levels, thresholds, spreads = naive_tree(space, num_levels=5)
    assert np.array_equal(tree.levels.numpy(), levels)
    assert np.allclose(tree.thresholds, thresholds, atol=1e-6)  # d_0 leaves the single image out
    assert np.allclose(tree.spreads, spreads, atol=1e-6)
    assert tree.spreads[2] == 0


def test_class_distances_are_means_over_pairs_of_features():
    space = space_of()
    r = torch.nn.functional.normalize(space.embeddings.double())
    found = class_distances(measure_classes(space), torch.tensor([3, 7]))
    for row, p in enumerate((3, 7)):
        for q in range(12):
            pairs = torch.cdist(r[space.labels == p], r[space.labels == q]).square()
            assert found[row, q].item() == pytest.approx(pairs.mean().item(), abs=1e-5)


@pytest.mark.parametrize("n", [1, 2, 3, 40, 150])
def test_linkage_is_that_of_scipy(n):
    points = np.random.default_rng(n).normal(size=(n, 3)).astype(np.float32)
    d = ((points[:, None] - points[None]) ** 2).sum(2)
    heights = np.zeros((n, n))
    for one, other, height in average_linkage(d.copy()):
        heights[np.ix_(one, other)] = heights[np.ix_(other, one)] = height
    if n == 1:
        assert heights.tolist() == [[0.0]]
        return
    expected = squareform(cophenet(linkage(squareform(d, checks=False), method="average")))
    assert np.allclose(heights, expected, atol=1e-5)


def test_equal_distances_merge_everything_at_one_height():
    merges = list(average_linkage(np.ones((9, 9), dtype=np.float32)))
    assert [height for _, _, height in merges] == [1.0] * 8
    last, other, _ = merges[-1]
    assert sorted([*last, *other]) == list(range(9))


# ── what holds of every tree ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seed", range(4))
def test_levels_are_symmetric_and_ultrametric_and_thresholds_rise_from_d0_to_four(seed):
    space = space_of(num_classes=20, seed=seed)
    tree = class_tree(space)
    d_h = tree.thresholds[tree.levels.int()]
    assert torch.equal(tree.levels, tree.levels.T)
    assert len(tree.levels.unique()) > 3
    for p in range(20):
        for q in range(20):
            others = [r for r in range(20) if r not in (p, q)]
            if p != q:
                assert all(d_h[p, q] <= max(d_h[p, r], d_h[r, q]) for r in others)
                assert d_h[p, q] >= tree.thresholds[0]
    assert (tree.thresholds.diff() > 0).all()
    assert tree.thresholds[0] == pytest.approx(tree.spreads.mean().item())
    assert tree.thresholds[-1] == 4


def test_identical_classes_merge_at_level_zero():
    one = space_of(num_classes=1, per_class=6).embeddings
    far = -one
    labels = torch.tensor([0] * 6 + [1] * 6 + [2] * 6)
    tree = class_tree(Space(torch.cat([one, one, far]), labels))
    assert tree.levels[0, 1] == 0
    assert tree.levels[0, 2] > 0


def test_opposite_classes_merge_only_at_the_root():
    embeddings = torch.tensor([[1.0, 0], [1, 0], [-1, 0], [-1, 0]]) * 7
    tree = class_tree(Space(embeddings, torch.tensor([0, 0, 1, 1])))
    assert tree.levels.tolist() == [[0, 16], [16, 0]]


def test_a_collapsed_network_gives_one_level_and_no_spread():
    tree = class_tree(Space(torch.ones(30, 8), torch.arange(30) % 10))
    assert tree.levels.eq(0).all()
    assert tree.spreads.abs().max() < 1e-6


def test_rows_that_were_not_embedded_do_not_count():
    space = space_of()
    with_holes = Space(
        torch.cat([space.embeddings, torch.full((12, 6), torch.nan)]),
        torch.cat([space.labels, torch.arange(12)]),
    )
    for found, expected in zip(class_tree(with_holes), class_tree(space), strict=True):
        assert torch.equal(found, expected)


def test_a_class_without_embedding_or_a_diverged_network_is_one_clear_error():
    space = space_of()
    hole = space.embeddings.clone()
    hole[space.labels == 3] = torch.nan
    with pytest.raises(DMLTeachError, match="class 3 has no embedding"):
        class_tree(Space(hole, space.labels))
    space.embeddings[5, 1] = torch.inf
    with pytest.raises(DMLTeachError, match="training has diverged"):
        class_tree(space)
