"""faiss and the torch versions find the same neighbours and clusters."""

import sys

import pytest
import torch

from dmlteach.errors import DMLTeachError
from dmlteach.neighbors import import_faiss, kmeans, means_of, nearest, nearest_others, spread_rows


@pytest.fixture(params=["faiss", "torch"])
def backend(request, monkeypatch):
    """With faiss, and where faiss cannot be imported."""
    if request.param == "torch":
        monkeypatch.setitem(sys.modules, "faiss", None)
    assert (import_faiss() is None) == (request.param == "torch")


def blobs(num_blobs: int = 6, per_blob: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    of = torch.arange(num_blobs * per_blob) % num_blobs
    return torch.eye(num_blobs)[of] * 20 + torch.randn(len(of), num_blobs, generator=generator), of


def test_nearest_are_those_of_sorted_distances(backend):
    generator = torch.Generator().manual_seed(1)
    queries, gallery = torch.randn(30, 5, generator=generator), torch.randn(70, 5, generator=generator)
    d2, rows = nearest(queries, gallery, 7)
    expected = (queries[:, None].double() - gallery[None].double()).square().sum(2).sort(1)
    assert torch.equal(rows, expected.indices[:, :7])
    assert torch.allclose(d2.double(), expected.values[:, :7], atol=1e-5)


def test_in_float64_neighbours_and_clusters_are_told_apart_that_fp32_takes_for_one(backend):
    x = 1 + 2.0**-40 * torch.tensor([0, 1, 3, 100, 101, 104], dtype=torch.float64)[:, None]
    d2, rows = nearest(x, x, 2)
    assert rows.tolist() == [[0, 1], [1, 0], [2, 1], [3, 4], [4, 3], [5, 4]]
    expected = 2.0**-80 * torch.tensor([1, 1, 4, 1, 1, 9], dtype=torch.float64)
    torch.testing.assert_close(d2[:, 1], expected, rtol=1e-9, atol=0)
    centroids, clusters = kmeans(x, 2, seed=0)
    assert centroids.dtype == torch.float64 and len(set(clusters[:3].tolist())) == 1
    assert clusters[:3].tolist() != clusters[3:].tolist()


def test_neighbours_far_from_the_origin_are_still_told_apart(backend):
    x = torch.arange(50.0)[:, None] * 0.1 + 1000
    d2, rows = nearest(x, x, 1)
    assert torch.equal(rows[:, 0], torch.arange(50)) and (d2 >= 0).all()


def test_too_many_neighbours_or_another_width_is_one_clear_error(backend):
    with pytest.raises(DMLTeachError, match="choose 1 to 3"):
        nearest(torch.randn(2, 4), torch.randn(3, 4), 4)
    with pytest.raises(DMLTeachError, match="5 dimensions"):
        nearest(torch.randn(2, 5), torch.randn(3, 4), 1)


def test_a_cluster_is_the_rows_nearest_to_its_centroid(backend):
    x, _ = blobs()
    centroids, cluster = kmeans(x, 4, seed=0)
    assert centroids.shape == (4, 6)
    assert torch.equal(cluster, torch.cdist(x, centroids).argmin(1))


def test_with_enough_iterations_a_centroid_is_the_mean_of_its_rows(backend):
    x, _ = blobs()
    centroids, cluster = kmeans(x, 4, seed=0, iterations=50)
    for c in cluster.unique():
        assert torch.allclose(centroids[c], x[cluster == c].mean(0), atol=1e-4)


def test_equal_seeds_give_equal_clusters_and_others_differ(backend):
    x = torch.randn(400, 8, generator=torch.Generator().manual_seed(2))
    first, again, other = (kmeans(x, 20, seed=s)[1] for s in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_a_global_seed_does_not_matter_and_is_left_alone(backend):
    x, _ = blobs()
    torch.manual_seed(5)
    first, drawn = kmeans(x, 5, seed=0)[1], torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))
    assert torch.equal(first, kmeans(x, 5, seed=0)[1])


@pytest.mark.parametrize("k", [1, 3, 12])
def test_any_number_of_clusters_up_to_the_rows(backend, k):
    x = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
    _, cluster = kmeans(x, k, seed=0)
    assert cluster.min() >= 0 and cluster.max() < k
    assert len(cluster.unique()) == k or k == 12


def test_identical_rows_share_a_cluster_and_others_stay_empty(backend):
    centroids, cluster = kmeans(torch.ones(40, 3), 5, seed=0)
    assert len(cluster.unique()) == 1
    assert torch.allclose(centroids[cluster[0]], torch.ones(3))


@pytest.mark.parametrize("k", [0, 11])
def test_a_number_of_clusters_out_of_range_is_one_clear_error(backend, k):
    with pytest.raises(DMLTeachError, match="choose 1 to 10"):
        kmeans(torch.randn(10, 2), k, seed=0)


def test_embeddings_that_are_not_finite_are_one_clear_error(backend):
    x = torch.randn(10, 2)
    x[3, 1] = torch.nan
    with pytest.raises(DMLTeachError, match="not finite"):
        kmeans(x, 2, seed=0)


@pytest.mark.parametrize("wrong", ["queries", "rows of the gallery"])
def test_a_row_that_is_not_finite_has_no_neighbours_and_it_is_said_so(backend, wrong):
    sets = {"queries": torch.randn(5, 2), "rows of the gallery": torch.randn(60, 2)}
    sets[wrong][2, 1] = torch.nan
    with pytest.raises(DMLTeachError, match=f"1 of {len(sets[wrong])} {wrong} are not finite .*row 2"):
        nearest(*sets.values(), 1)


def test_rows_to_start_from_are_one_of_each_far_blob():
    x, of = blobs(num_blobs=6)
    rows = spread_rows(x, 6, starts=20, seed=0)
    assert rows.shape == (20, 6)
    assert of[rows].sort(1).values.eq(torch.arange(6)).all()  # with rows at random 1.5 % of the starts do
    assert len(rows[:, 0].unique()) > 10
    assert torch.equal(rows, spread_rows(x, 6, starts=20, seed=0))


def test_rows_to_start_from_repeat_only_where_too_few_differ():
    x = torch.tensor([[0.0], [0.0], [1.0], [7.0]])
    for rows in spread_rows(x, 3, starts=10, seed=0):
        assert sorted(x[rows, 0].tolist()) == [0, 1, 7]
    assert spread_rows(torch.ones(5, 2), 4, starts=2, seed=0).shape == (2, 4)


def test_k_means_starts_from_the_rows_it_is_given(backend):
    x = torch.tensor([[0.0], [0.2], [5.0], [5.2], [9.0], [9.2]])
    start = torch.tensor([0, 2, 4])
    centroids, cluster = kmeans(x, 3, seed=0, start=start)
    assert cluster.tolist() == [0, 0, 1, 1, 2, 2]
    torch.testing.assert_close(centroids, torch.tensor([[0.1], [5.1], [9.1]]))


def test_nearest_others_are_the_nearest_without_the_row_itself(backend):
    x = torch.randn(60, 5, generator=torch.Generator().manual_seed(3))
    rows = torch.tensor([7, 0, 59, 30])
    d2, found = nearest_others(x, rows, 9)
    exact = (x[rows, None].double() - x[None].double()).square().sum(2)
    exact[torch.arange(4), rows] = torch.inf
    expected = exact.sort(1)
    assert torch.equal(found, expected.indices[:, :9])
    assert torch.allclose(d2.double(), expected.values[:, :9], atol=1e-5)


def test_among_equal_rows_no_row_is_its_own_neighbour(backend):
    rows = torch.arange(40)
    d2, found = nearest_others(torch.ones(40, 3), rows, 4)
    assert found.shape == d2.shape == (40, 4)
    assert (found != rows[:, None]).all() and d2.abs().max() < 1e-5
    assert all(len(set(neighbours)) == 4 for neighbours in found.tolist())


def test_all_others_can_be_asked_for_and_no_more(backend):
    x = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    _, found = nearest_others(x, torch.arange(6), 5)
    assert all(sorted([row, *others]) == list(range(6)) for row, others in enumerate(found.tolist()))
    with pytest.raises(DMLTeachError, match="choose 1 to 6"):
        nearest_others(x, torch.arange(6), 6)


def test_means_of_groups_are_those_of_a_loop_and_an_empty_group_lies_at_zero():
    rows = torch.randn(50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    groups = torch.arange(50) % 6
    groups[groups == 3] = 4
    means = means_of(rows, groups, 7)
    for group in range(7):
        its = rows[groups == group]
        torch.testing.assert_close(means[group], its.mean(0) if len(its) else torch.zeros(4).double())
