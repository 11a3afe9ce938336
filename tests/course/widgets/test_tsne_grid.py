"""The t-SNE grid in the kernel: numbers are the library's, states are checked, the output suits all hosts."""

import base64
import json
import re

import numpy as np
import pytest
import torch

from dmlteach import models
from dmlteach.course.widgets import TSNEGrid
from dmlteach.course.widgets.explorable import FOLDER
from dmlteach.course.widgets.tsne_grid.maps import (
    FILE,
    ITERATIONS,
    LEVELS,
    NETWORK,
    OTHER,
    PERPLEXITIES,
    SEEDS,
    Setting,
    drawings,
    load_maps,
    settings,
)
from dmlteach.course.widgets.tsne_grid.record import measure, stages, to_levels
from dmlteach.course.widgets.tsne_grid.widget import packed_recording
from dmlteach.embeddings import embed
from dmlteach.errors import DMLTeachError
from dmlteach.metrics import recall_at_k
from dmlteach.plots.tsne import kept_neighbours, tsne


@pytest.fixture(scope="module")
def embeddings():
    """(2000, D) of each network that is drawn."""
    shown = drawings()
    return {name: embed(models.pretrained(name), shown) for name in (NETWORK, OTHER)}


def row(**setting) -> int:
    return settings().index(Setting(**{"network": NETWORK, "seed": 0, "iterations": 750} | setting))


# --- the recording


def test_the_recording_holds_the_grid_and_the_other_network():
    maps = load_maps()
    grid = [s for s in settings() if s.network == NETWORK]
    assert len(set(grid)) == len(PERPLEXITIES) * len(SEEDS) * len(ITERATIONS) == 60
    assert maps.points.shape == (len(settings()), 2000, 2)
    assert len({points.tobytes() for points in maps.points}) == len(settings())  # no map twice
    assert maps.points.max() == LEVELS - 1
    assert torch.equal(torch.from_numpy(maps.labels).long(), drawings().labels)


def test_recorded_numbers_are_the_librarys_at_the_positions_shown(embeddings):
    maps, labels = load_maps(), drawings().labels
    for name, z in embeddings.items():
        assert maps.embedding_recall[name] == pytest.approx(recall_at_k(z, labels, (1,))[1], abs=1e-3)
    for i, setting in enumerate(settings()):
        positions = torch.from_numpy(maps.points[i].astype(np.float32))
        assert maps.recall[i] == pytest.approx(recall_at_k(positions, labels, (1,))[1], abs=1e-4)
        if setting.seed == 0:
            kept = kept_neighbours(embeddings[setting.network], positions.numpy())
            assert maps.kept[i] == pytest.approx(kept, abs=2e-3)


def test_stages_of_one_run_are_the_maps_that_tsne_draws():
    z = torch.randn(120, 8, generator=torch.Generator().manual_seed(0))
    for iterations, points in zip((5, 12, 30), stages(z, 10, 1, (5, 12, 30)), strict=True):
        assert np.array_equal(points, tsne(z, 10, 1, "random", iterations))


def test_a_recorded_map_can_be_drawn_again(embeddings):
    z, first = embeddings[NETWORK], {"perplexity": 3, "iterations": ITERATIONS[0]}
    again = to_levels(tsne(z, 3, 0, "random", ITERATIONS[0]))
    # Positions may differ where sums are rounded otherwise; what a map keeps does not.
    kept, recall = measure(z, again, drawings().labels)
    assert kept == pytest.approx(load_maps().kept[row(**first)], abs=0.02)
    assert recall == pytest.approx(load_maps().recall[row(**first)], abs=0.02)


def test_positions_keep_the_shape_of_a_map():
    levels = to_levels(np.array([[0.0, 0.0], [4.0, 1.0], [2.0, 2.0]]))
    assert levels.tolist() == [[0, 256], [1023, 512], [512, 767]]
    assert to_levels(np.zeros((3, 2))).tolist() == [[512, 512]] * 3


# --- what the texts say


def test_one_embedding_gives_very_different_numbers_on_the_map():
    maps = load_maps()
    recall = [maps.recall[i] for i, s in enumerate(settings()) if s.network == NETWORK]
    assert min(recall) < 0.3 and max(recall) > 0.9


@pytest.mark.parametrize("seed", SEEDS)
def test_a_large_perplexity_or_an_early_stop_keeps_less(seed):
    kept = load_maps().kept
    assert kept[row(perplexity=500, seed=seed)] < kept[row(perplexity=30, seed=seed)]
    assert kept[row(perplexity=100, seed=seed, iterations=10)] < kept[row(perplexity=100, seed=seed)]


def test_both_numbers_on_the_maps_of_pair_4_favour_the_network_that_the_embedding_does_not():
    grid = TSNEGrid(a={"perplexity": 10}, b={"network": OTHER, "perplexity": 500})
    a, b = grid.measured["a"], grid.measured["b"]
    assert a["kept"] > b["kept"] and a["recall"] > b["recall"]
    assert a["embedding_recall"] < b["embedding_recall"]


# --- the widget


def test_a_setting_may_be_given_in_part_and_measured_follows_it():
    grid = TSNEGrid(a={"perplexity": 3, "seed": 2})
    assert grid.a == {"network": "sst", "perplexity": 3, "seed": 2, "iterations": 750}
    assert grid.measured["a"]["kept"] == pytest.approx(load_maps().kept[row(perplexity=3, seed=2)])
    grid.set_state({"a": {"network": "sst", "perplexity": 30, "seed": 1, "iterations": 25}})  # a message
    assert grid.measured["a"]["recall"] == pytest.approx(
        load_maps().recall[row(perplexity=30, seed=1, iterations=25)]
    )
    assert grid.measured["a"]["embedding_recall"] == grid.measured["b"]["embedding_recall"]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("a", {"perplexity": 7}, "perplexity 7 is not recorded; choose one of 3, 10, 30"),
        ("b", {"network": "softmax"}, "'softmax' is not recorded; choose one of sst, triplet"),
        ("a", {"perplexty": 3}, "did you mean 'perplexity'"),
        ("b", {"network": "triplet", "seed": 1}, "only seed 0 with 750"),
        ("guess", "c", "unknown answer 'c'.*a, b, neither"),
    ],
)
def test_a_state_that_cannot_be_is_refused_by_name(name, value, message):
    with pytest.raises(DMLTeachError, match=message):
        TSNEGrid(**{name: value})
    grid = TSNEGrid()
    before = getattr(grid, name)
    with pytest.raises(DMLTeachError, match=message):
        setattr(grid, name, value)
    assert getattr(grid, name) == before


def test_packed_positions_are_those_recorded():
    data = np.frombuffer(base64.b64decode(packed_recording()["points"]), np.uint8)
    bits = np.unpackbits(data, bitorder="little")[: load_maps().points.size * 10].reshape(-1, 10)
    assert np.array_equal(bits @ (1 << np.arange(10)), load_maps().points.ravel())


def test_highlighted_rows_are_all_drawings_of_their_character():
    labels = drawings().labels
    for label, highlight in enumerate(packed_recording()["highlights"]):
        assert len(highlight["rows"]) == 20
        assert set(labels[highlight["rows"]].tolist()) == {label}


def test_output_holds_the_widget_and_html_that_loads_nothing():
    data, _ = TSNEGrid(b={"perplexity": 100}, guess="a")._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    page = data["text/html"]
    assert not re.search(r"""(src|href)=["'](?!data:)|url\(["']?http|\bimport\b""", page)
    assert TSNEGrid._esm in page
    state = json.loads(re.search(r'data-state="([^"]+)"', page)[1].replace("&quot;", '"'))
    assert state["b"]["perplexity"] == 100 and state["guess"] == "a"


def test_the_picture_says_what_it_shows_and_keeps_the_answer_until_asked():
    def alt(guess: str) -> str:
        page = TSNEGrid(guess=guess)._repr_mimebundle_()[0]["text/html"]
        return re.search(r'<img alt="([^"]+)"', page)[1]

    kept = load_maps().kept[row(perplexity=10)]
    assert f"A, perplexity 10, seed 0, 750 iterations: keeps {kept:.0%} of the neighbours" in alt("")
    assert "in the embedding" not in alt("")
    recall = load_maps().embedding_recall[NETWORK]
    assert alt("neither").count(f"in the embedding {recall:.3f} (SST network)") == 2


def test_module_data_and_recording_are_small():
    assert len(TSNEGrid._esm.encode()) <= 40_000
    page = TSNEGrid()._repr_mimebundle_()[0]["text/html"]
    assert len(page) - len(TSNEGrid._esm) - len(TSNEGrid._css) <= 500_000
    assert (FOLDER / "tsne_grid" / FILE).stat().st_size <= 300_000
