import json
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from dmlteach.errors import DMLTeachError
from dmlteach.plots.curves import Curve, curves_over_seeds, read_curve, training_curves

METRICS = {
    "epochs": [
        {"epoch": 0, "loss": 2.0, "seconds": 50, "plan_seconds": 10, "val": {"recall@1": 0.4}},
        {"epoch": 1, "loss": 1.0, "seconds": 50, "plan_seconds": 10},
        {"epoch": 2, "loss": 0.5, "seconds": 50, "plan_seconds": 10, "val": {"recall@1": 0.6}},
    ]
}


def test_a_run_folder_and_its_metrics_give_the_same_curve(tmp_path):
    (tmp_path / "metrics.json").write_text(json.dumps(METRICS))
    from_file, from_dict = read_curve(tmp_path), read_curve(METRICS)
    assert from_file.epochs == from_dict.epochs == [1, 2, 3]
    assert from_file.loss == [2.0, 1.0, 0.5] and from_file.minutes == [1.0, 2.0, 3.0]
    assert np.isnan(from_file.recall[1]) and from_file.recall[::2] == [0.4, 0.6]


def test_planning_the_epoch_counts_as_training_time():
    assert read_curve(METRICS).minutes[0] == (50 + 10) / 60


def test_a_recording_starts_before_training_where_no_loss_is_known():
    recording = SimpleNamespace(
        epochs=[0, 1, 4], loss=[np.nan, 2.0, 0.5], recall=[0.2, 0.6, 0.8], seconds=[0, 30, 120]
    )
    figure = training_curves({"sst": recording, "triplet": recording})
    loss, recall, by_minute = (axes.lines[0] for axes in figure.axes)
    assert loss.get_xdata().tolist() == [1, 4] and loss.get_ydata().tolist() == [1.0, 0.25]
    assert recall.get_xdata().tolist() == [0, 1, 4] and by_minute.get_xdata().tolist() == [0, 0.5, 2]
    assert "the loss goes from 2 to 0.5, Recall@1 from 0.200 to 0.800" in figure.alt


def test_without_times_there_is_no_panel_by_minute():
    recording = SimpleNamespace(epochs=[0, 4], loss=[1.0, 0.5], recall=[0.2, 0.8])
    assert read_curve(recording).minutes == [] and len(training_curves({"sst": recording}).axes) == 2


def test_one_run_keeps_its_unit_and_several_start_at_one():
    one, two = training_curves({"sst": METRICS}), training_curves({"sst": METRICS, "triplet": METRICS})
    assert one.axes[0].lines[0].get_ydata().tolist() == [2.0, 1.0, 0.5]
    assert two.axes[0].lines[0].get_ydata().tolist() == [1.0, 0.5, 0.25]
    assert two.axes[0].get_ylabel() == "loss ÷ its first value"


def test_epochs_without_evaluation_leave_no_gap_and_no_point():
    recall = training_curves({"sst": METRICS}).axes[1].lines[0]
    assert recall.get_xdata().tolist() == [1, 3] and recall.get_ydata().tolist() == [0.4, 0.6]


def test_alt_text_tells_the_first_and_last_numbers():
    assert "Recall@1 from 0.400 to 0.600 in 3 epochs" in training_curves({"sst": METRICS}).alt


def test_a_run_that_kept_no_val_classes_has_no_empty_panels():
    rows = [{k: v for k, v in row.items() if k != "val"} for row in METRICS["epochs"]]
    figure = training_curves({"sst": {"epochs": rows}})
    assert [axes.get_ylabel() for axes in figure.axes] == ["training loss"]
    assert "Recall" not in figure.alt


def test_epochs_are_whole_numbers_and_axes_begin_at_nothing():
    figure = training_curves({"sst": {"epochs": METRICS["epochs"][:1]}}, untrained=0.3)
    figure.draw_without_rendering()
    loss, recall, minutes = figure.axes
    for axes in (loss, recall):
        assert all(float(tick).is_integer() for tick in axes.get_xticks())
    assert all(axes.get_xlim()[0] == 0 for axes in figure.axes)
    assert loss.get_ylim()[0] == 0 and recall.get_ylim() == minutes.get_ylim() == (0, 1)


def test_a_negative_loss_is_seen_together_with_zero():
    rows = [row | {"loss": -row["loss"]} for row in METRICS["epochs"]]
    low, high = training_curves({"sst": {"epochs": rows}}).axes[0].get_ylim()
    assert low < -2 and high == 0


def test_the_untrained_network_is_a_line_on_the_axes_of_recall_and_in_the_alt_text():
    figure = training_curves({"sst": METRICS}, untrained=0.3)
    for axes in figure.axes[1:]:
        assert axes.lines[-1].get_ydata() == [0.3, 0.3]
        assert [text.get_text() for text in axes.texts] == ["untrained"]
    assert len(figure.axes[0].lines) == 1 and "Untrained, the network has 0.300." in figure.alt


@pytest.mark.parametrize(("untrained", "is_below"), [(0.3, True), (0.7, False), (0.02, False)])
def test_the_name_of_the_untrained_network_stands_off_the_curve(untrained, is_below):
    figure = training_curves({"sst": METRICS}, untrained=untrained, start="at the start")
    figure.draw_without_rendering()
    (name,) = figure.axes[1].texts
    line = figure.axes[1].transData.transform((0, untrained))[1]
    box = name.get_window_extent()
    assert name.get_text() == "at the start" and "At the start, the network has" in figure.alt
    assert (box.y1 < line) if is_below else (box.y0 > line)


def run_of(*recalls: float) -> dict:
    rows = [
        {"epoch": i, "loss": 1.0, "seconds": 1, "val": {"recall@1": recall}}
        for i, recall in enumerate(recalls)
    ]
    return {"epochs": rows}


def test_over_seeds_there_are_a_line_a_seed_their_mean_and_its_interval():
    figure = curves_over_seeds({"sst": [run_of(0.5, 0.7), run_of(0.6, 0.6), run_of(0.7, 0.8)]})
    *seeds, mean = (line for line in figure.axes[0].lines if len(line.get_xdata()))
    assert [line.get_ydata().tolist() for line in seeds] == [[0.5, 0.7], [0.6, 0.6], [0.7, 0.8]]
    assert mean.get_xdata().tolist() == [1, 2] and mean.get_ydata() == pytest.approx([0.6, 0.7])
    (band,) = figure.axes[0].collections
    heights = band.get_paths()[0].vertices[:, 1]
    low, _ = stats.t.interval(0.95, 2, loc=0.6, scale=stats.sem([0.5, 0.6, 0.7]))
    _, high = stats.t.interval(0.95, 2, loc=0.7, scale=stats.sem([0.7, 0.6, 0.8]))
    assert (heights.min(), heights.max()) == pytest.approx((low, high))
    assert "at the end 0.700, 0.600, 0.800" in figure.alt


def test_untrained_networks_stand_at_epoch_0_and_one_seed_has_no_band():
    figure = curves_over_seeds({"sst": [run_of(0.5)]}, "some classes", untrained=[0.25])
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata())]
    assert all(line.get_xdata().tolist() == [0, 1] for line in lines)
    assert all(line.get_ydata().tolist() == [0.25, 0.5] for line in lines)
    assert not any(len(c.get_paths()) for c in figure.axes[0].collections)
    assert figure.alt.endswith("Untrained: 0.250.")


@pytest.mark.parametrize(
    ("untrained", "last"), [(1.0, 1.0), (1.0, 0.98), (0.5, 0.5), (0.5, 0.49), (0.02, 0.02)]
)
def test_the_name_of_the_untrained_network_keeps_off_the_last_mark_of_a_curve(untrained, last):
    curve = Curve([1.0, 2.0], [1.0, 0.5], [last, last], [1.0, 2.0])
    figure = training_curves({"sst": curve}, untrained=untrained)
    figure.draw_without_rendering()
    for axes in figure.axes[1:]:
        (box,) = (text.get_window_extent() for text in axes.texts)
        y = axes.transData.transform((2.0, last))[1]
        mark = axes.lines[0].get_markersize() * figure.dpi / 72
        assert box.y0 > y + mark or box.y1 < y - mark
        assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1


def test_a_folder_without_a_run_is_one_clear_error(tmp_path):
    with pytest.raises(DMLTeachError, match=r"no metrics\.json"):
        training_curves({"sst": tmp_path})
    with pytest.raises(DMLTeachError, match="not finished an epoch"):
        training_curves({"sst": {"epochs": []}})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "[" * 100_000,
        "null",
        "[]",
        "{}",
        '{"epochs": 3}',
        '{"epochs": {}}',
        '{"epochs": [1]}',
        '{"epochs": [{}]}',
        '{"epochs": [{"epoch": 0, "loss": "low", "seconds": 1}]}',
        '{"epochs": [{"epoch": 0, "loss": null, "seconds": 1}]}',
        '{"epochs": [{"epoch": 0, "loss": 1, "seconds": 1e999}]}',
        '{"epochs": [{"epoch": 1e300, "loss": 1, "seconds": 1}]}',
        '{"epochs": [{"epoch": 0, "loss": 1, "seconds": 1, "val": 3}]}',
        "\udcff",
    ],
)
def test_a_damaged_metrics_file_is_named_with_the_cure(tmp_path, text):
    (tmp_path / "metrics.json").write_text(text, errors="surrogateescape")
    with pytest.raises(DMLTeachError) as error:
        read_curve(tmp_path)
    if "not finished an epoch" not in str(error.value):
        assert str(tmp_path / "metrics.json") in str(error.value)
        assert "Resume the run with --resume" in str(error.value)


def test_a_run_whose_losses_are_all_unknown_is_drawn():
    rows = [{"epoch": i, "loss": float("nan"), "seconds": 1, "val": {"recall@1": 0.5}} for i in range(2)]
    figure = training_curves({"one": {"epochs": rows}, "two": METRICS})
    assert "one: no loss" in figure.alt
