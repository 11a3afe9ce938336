import numpy as np
import pytest
import torch

from dmlteach.errors import DMLTeachError
from dmlteach.plots.tsne import kept_neighbours, place_thumbnails, tsne, tsne_map, tsne_panels

LABELS = torch.arange(6).repeat_interleave(20)
CENTRES = torch.randn(6, 16, generator=torch.Generator().manual_seed(0)) * 4
BLOBS = CENTRES[LABELS] + torch.randn(120, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def blob_map():
    return tsne(BLOBS, perplexity=10, iterations=150)


def test_the_same_seed_draws_the_same_map(blob_map):
    assert np.array_equal(blob_map, tsne(BLOBS, perplexity=10, iterations=150))


@pytest.mark.parametrize("start", ["pca", "random"])
def test_equal_embeddings_are_drawn_as_one_place_and_it_is_said(start, tmp_path):
    with pytest.warns(UserWarning, match="all 120 embeddings are equal: the network has collapsed"):
        points = tsne(torch.ones(120, 16) + 1e-8 * BLOBS, perplexity=10, initialization=start)
    assert points.shape == (120, 2) and np.ptp(points, axis=0).max() == 0
    figure = tsne_map(points, LABELS, torch.zeros(120, 8, 8, dtype=torch.uint8), highlight=[1])
    figure.savefig(tmp_path / "map.png")
    tsne_panels({"collapsed": points}, LABELS).savefig(tmp_path / "panels.png")


def test_embeddings_of_one_number_are_drawn():
    points = tsne(BLOBS[:, :1], perplexity=10, iterations=20)
    assert points.shape == (120, 2) and np.isfinite(points).all()


def test_a_map_of_embeddings_that_are_not_finite_is_one_sentence():
    wrong = BLOBS.clone()
    wrong[5, 2] = torch.inf
    with pytest.raises(DMLTeachError, match="1 of 120 embeddings are not finite .*row 5"):
        tsne(wrong, perplexity=10)


def test_another_random_start_draws_another_map():
    maps = [tsne(BLOBS, 10, seed, initialization="random", iterations=50) for seed in (0, 1)]
    assert not np.allclose(*maps, atol=0.1)


def test_separate_classes_are_separate_islands(blob_map):
    islands = np.stack([blob_map[c == LABELS].mean(0) for c in range(6)])
    nearest_island = np.linalg.norm(blob_map[:, None] - islands, axis=2).argmin(1)
    assert (nearest_island == LABELS.numpy()).mean() > 0.98


def test_a_map_that_is_the_embedding_keeps_every_neighbour():
    plane = torch.randn(80, 2)
    assert kept_neighbours(plane, plane.numpy() * 3 + 1, k=5) == 1.0


def test_shuffled_points_keep_as_many_neighbours_as_chance():
    z = torch.randn(400, 8, generator=torch.Generator().manual_seed(0))
    chance = kept_neighbours(z, np.random.default_rng(0).normal(size=(400, 2)), k=10)
    assert chance == pytest.approx(10 / 399, abs=0.01)


def test_kept_neighbours_equals_a_loop_over_points():
    z, points = torch.randn(40, 5), np.random.default_rng(1).normal(size=(40, 2))

    def near(x, i, k=3):
        d = ((x - x[i]) ** 2).sum(1)
        return set(np.argsort(np.where(np.arange(len(x)) == i, np.inf, d))[:k])

    shares = [len(near(z.numpy(), i) & near(points, i)) / 3 for i in range(40)]
    assert kept_neighbours(z, points, k=3) == pytest.approx(np.mean(shares))


def test_a_perplexity_that_does_not_fit_is_refused():
    with pytest.raises(DMLTeachError, match="perplexity 30 does not fit 20 points: choose from 1 to 6"):
        tsne(torch.randn(20, 4), perplexity=30)


@pytest.mark.parametrize("count", [5, 6, 10, 20, 91, 92])
def test_without_a_perplexity_few_points_are_drawn_with_one_that_fits(count):
    z = BLOBS[:count]
    fitting = max(p for p in range(1, 31) if p < (count - 1) / 3)
    points = tsne(z, iterations=20)
    assert np.isfinite(points).all() and np.ptp(points, axis=0).max() > 0
    assert np.array_equal(points, tsne(z, fitting, iterations=20))


@pytest.mark.parametrize("count", [1, 2, 4])
def test_fewer_than_five_points_make_no_map(count):
    with pytest.raises(DMLTeachError, match=f"needs 5 points or more, not {count}"):
        tsne(torch.randn(count, 4))


def test_each_cell_shows_the_point_nearest_to_its_centre():
    points = np.array([[0.1, 0.1], [0.24, 0.26], [0.9, 0.9]])
    assert place_thumbnails(points, cells=2) == {(0, 0): 1, (1, 1): 2}


def test_map_says_how_many_thumbnails_it_shows(blob_map):
    images = torch.full((120, 1, 8, 8), 255, dtype=torch.uint8)
    figure = tsne_map(blob_map, LABELS, images, highlight=[0, 3], cells=10)
    canvas = np.asarray(figure.axes[0].images[0].get_array())
    tiles = canvas.reshape(10, 8, 10, 8, 4)[..., 3].max((1, 3)).sum()
    assert f"with {tiles:.0f} thumbnails" in figure.alt and "2 classes are highlighted" in figure.alt


def test_nine_colours_are_refused():
    with pytest.raises(DMLTeachError, match="8 at most"):
        tsne_map(np.zeros((9, 2)), torch.arange(9), highlight=range(9))


def test_panels_carry_their_titles_in_the_alt_text(blob_map):
    figure = tsne_panels({"one\nkept 40 %": blob_map, "two": blob_map}, LABELS)
    assert [axes.get_title() for axes in figure.axes] == ["one\nkept 40 %", "two"]
    assert "one, kept 40 %; two" in figure.alt
