"""Several trainings beside each other, read back from what is drawn."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from scipy import stats

from dmlteach.plots.comparison import comparison, heat_map, ranking
from dmlteach.plots.style import LOSS_COLOURS

TABLE = {
    ("sst", "random"): [0.4, 0.5, 0.6], ("sst", "local"): [0.7, 0.7, 0.73],
    ("triplet", "random"): [0.3, 0.2, 0.25], ("triplet", "local"): [0.6],
}  # fmt: skip


def ends(values) -> tuple[float, float]:
    return stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))


def test_every_run_is_a_dot_and_every_mean_stands_in_its_interval():
    axes = comparison(TABLE).axes[0]
    dots = np.concatenate([c.get_offsets()[:, 1] for c in axes.collections])
    assert sorted(dots) == pytest.approx(sorted(v for values in TABLE.values() for v in values))
    drawn = np.concatenate([np.ravel(line.get_ydata()) for line in axes.lines])
    for values in TABLE.values():
        expected = [np.mean(values), *(ends(values) if len(values) > 1 else ())]
        assert all(np.isclose(drawn, end, atol=1e-9).any() for end in expected)


def test_a_loss_keeps_its_colour_and_the_legend_names_each_once():
    axes = comparison(TABLE).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["sst", "triplet"]
    colours = [to_rgb(handle.get_color()) for handle in axes.get_legend().legend_handles]
    assert colours == [to_rgb(LOSS_COLOURS[name]) for name in ("sst", "triplet")]


def test_one_seed_gives_no_interval():
    figure = comparison({("sst", "local"): [0.5], ("sst", "random"): [0.5, 0.6]})
    assert "sst with local 0.500 (1 seed)" in figure.alt and "± 0.635 (2 seeds)" in figure.alt


def test_a_heat_map_says_mean_and_interval_in_percent_and_that_a_missing_cell_was_not_run():
    table = {key: values for key, values in TABLE.items() if key != ("triplet", "random")}
    figure = heat_map(table, untrained=0.28)
    mesh = figure.axes[0].collections[0]
    assert np.ma.filled(mesh.get_array().astype(float), np.nan).ravel() == pytest.approx(
        [50, 71, np.nan, 60], nan_ok=True
    )
    said = [text.get_text() for text in figure.axes[0].texts]
    assert said == ["50.0\n± 24.8", "71.0\n± 4.3", "60.0", "not run"]
    assert mesh.get_clim() == (0, 100)
    assert "triplet with local 0.600 (1 seed); triplet with random not run" in figure.alt
    assert figure.alt.endswith("Untrained: 0.280.")
    assert figure.axes[0].get_title("left") == "untrained: 28.0 %"


def contrast(one, other) -> float:
    """As WCAG 2 defines it; luminance by the mean gamma of 2.2."""
    lights = sorted(0.05 + np.dot([0.2126, 0.7152, 0.0722], np.power(to_rgb(c), 2.2)) for c in (one, other))
    return lights[1] / lights[0]


def test_the_numbers_of_a_heat_map_stand_out_on_every_colour():
    table = {("sst", f"{percent} %"): [percent / 100] for percent in range(0, 101, 5)}
    axes = heat_map(table).axes[0]
    pairs = list(zip(axes.texts, axes.collections[0].get_facecolor(), strict=True))
    assert len(pairs) == 21
    assert all(contrast(letters.get_color(), behind[:3]) > 4 for letters, behind in pairs)


def test_a_ranking_has_the_best_on_top_and_the_lines_to_compare_with():
    figure = ranking({"a": [0.2, 0.3], "b": [0.9, 0.8]}, lines={"untrained": 0.1})
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "a"]
    low, high = axes.get_ylim()
    assert low > high  # the first is on top
    assert [line.get_xdata() for line in axes.lines if line.get_linestyle() == "--"] == [[0.1, 0.1]]
    assert "Untrained: 0.100." in figure.alt
