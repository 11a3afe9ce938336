"""The report on many runs: of the benchmark, and of a sweep of one's own."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from dmlteach.cli import app
from dmlteach.course import measured, reports
from dmlteach.course.reports import comparison
from dmlteach.errors import DMLTeachError

RECALLS = {"triplet": (0.50, 0.52, 0.54), "sst": (0.60, 0.63, 0.66), "nca": (0.59, 0.64, 0.65)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> str:
    """Run folders with numbers that were made up, as `dmlteach train` would leave them."""
    home, places = tmp_path_factory.mktemp("runs"), []
    for method, recalls in RECALLS.items():
        for seed, recall in enumerate(recalls):
            folder = home / f"{method}-{seed}"
            folder.mkdir()
            config = {"method": method, "dataset": "omniglot", "seed": seed, "output": str(folder)}
            numbers = {"recall@1": recall, "map@r": recall / 2, "num_classes": 659, "num_queries": 13180}
            before = {"recall@1": 0.25, "num_classes": 659, "num_queries": 13180}
            metrics = {"epochs": [], "final": numbers, "untrained": before}
            (folder / "config.json").write_text(json.dumps({"config": config}))
            (folder / "metrics.json").write_text(json.dumps(metrics))
            places.append(str(folder))
    return ", ".join(places)


def test_runs_of_ones_own_are_ranked_with_differences_by_seed(folders):
    found = comparison.open_runs(folders, "recall@1", "test")
    (table,) = found.tables
    assert [setting.name for setting in table.settings] == ["sst", "nca", "triplet"]
    text = comparison.table(found, None).markdown
    differences = np.subtract(RECALLS["triplet"], RECALLS["sst"])
    assert f"{differences.mean():+.3f}" in text
    row = next(line for line in text.splitlines() if line.startswith("| `nca`"))
    assert "cannot be told from 3 seeds" in row
    assert (
        "3 settings" in comparison.title(found).markdown
        and "untrained 0.250" in comparison.title(found).markdown
    )
    first = comparison.first_lines(found).markdown
    assert "`sst` has the highest mean, 63.0 %" in first and "cannot tell from chance" in first
    assert comparison.told(found) is None  # these runs are not the benchmark's


def test_differences_are_taken_from_the_setting_that_is_named(folders):
    found = comparison.open_runs(folders, "recall@1", "test")
    assert "minus `triplet`" in comparison.table(found, "triplet").markdown
    with pytest.raises(DMLTeachError, match="unknown setting 'triplets'.*did you mean 'triplet'"):
        comparison.table(found, "triplets")


def test_one_figure_ranks_all_and_says_so(folders):
    (figure,) = comparison.pictures(comparison.open_runs(folders, "recall@1", "test"))
    assert "sst 0.630" in figure.alt and "Untrained: 0.250" in figure.alt


def test_the_benchmark_is_there_with_every_method_that_was_measured():
    found = comparison.open_runs(None, "recall@1", "test")
    names = {setting.name for table in found.tables for setting in table.settings}
    assert names == {run.method for run in measured.runs(variant=measured.RECIPE)}
    best = max(measured.ranking(), key=lambda one: one.recall()[0])
    assert found.tables[0].settings[0].name == best.name
    assert "ends" in comparison.told(found).markdown
    ranking, samplers = comparison.pictures(found)
    assert f"{best.name} {best.recall()[0]:.3f}" in ranking.alt and "sst with random" in samplers.alt


@pytest.mark.parametrize(
    ("given", "said"),
    [(("recall@8", "test"), "measure of the benchmark 'recall@8'"), (("map@r", "val"), "'val'")],
)
def test_what_the_benchmark_has_not_measured_is_one_sentence(given, said):
    with pytest.raises(DMLTeachError, match=said):
        comparison.open_runs(None, *given)


def test_a_mistake_in_the_parameters_is_told_before_anything_is_written(tmp_path):
    for words, said in (
        (["--parameter", "run=x"], "did you mean 'runs'"),
        (["--method", "sst"], "unknown parameter of the report 'method'"),
    ):
        done = CliRunner().invoke(app, ["report", "--comparison", "--output", str(tmp_path / "out"), *words])
        assert done.exit_code != 0 and said in " ".join(done.output.split())
    assert not (tmp_path / "out").exists()


def test_the_report_of_a_sweep_is_a_page_beside_its_notebook(folders, tmp_path):
    page = reports.run(output=tmp_path, notebook=reports.COMPARISON, runs=folders, measure="map@r")
    text = page.read_text(encoding="utf-8")
    assert (
        "3 settings beside each other" in text and "MAP@R" in text and "questions of this project" not in text
    )
    assert "<script" not in text
