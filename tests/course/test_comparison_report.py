"""The report on many runs: of the benchmark, and of a sweep of one's own."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from dmlteach.cli import app
from dmlteach.course import measured, reports
from dmlteach.course.reports import comparison
from dmlteach.errors import DMLTeachError
from dmlteach.sweep.compare import Setting, Table

RECALLS = {"triplet": (0.50, 0.52, 0.54), "sst": (0.60, 0.63, 0.66), "nca": (0.59, 0.64, 0.65)}


def keep(folder: Path, config: dict, recall: float, classes: int = 659, untrained: float = 0.25) -> str:
    """A run folder with numbers that were made up, as `dmlteach train` would leave it."""
    folder.mkdir()
    of_test = {"num_classes": classes, "num_queries": 20 * classes}
    final = {"recall@1": recall, "map@r": recall / 2} | of_test
    metrics = {"epochs": [], "final": final, "untrained": {"recall@1": untrained} | of_test}
    (folder / "config.json").write_text(json.dumps({"config": config | {"output": str(folder)}}))
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return str(folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> str:
    home = tmp_path_factory.mktemp("my runs")
    return ", ".join(
        keep(home / f"{method}-{seed}", {"method": method, "dataset": "omniglot", "seed": seed}, recall)
        for method, recalls in RECALLS.items()
        for seed, recall in enumerate(recalls)
    )


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


def test_a_table_of_two_options_is_labelled_with_its_own_test_set(tmp_path):
    runs = [keep(tmp_path / "one", {"method": "sst", "dataset": "omniglot", "seed": 0}, 0.9)]
    for method in ("sst", "triplet"):
        for size in (40, 80):
            config = {"method": method, "dataset": "cub200", "batch_size": size, "seed": 0}
            runs.append(keep(tmp_path / f"{method}-{size}", config, 0.4, classes=100, untrained=0.1))
    *_, grid = comparison.pictures(comparison.open_runs(",".join(runs), "recall@1", "test"))
    assert "Table of Recall@1 among 100 classes by method and batch_size" in grid.alt
    assert "Untrained: 0.100" in grid.alt


@pytest.mark.parametrize(
    ("best", "second", "said"),
    [
        ({0: 0.80, 1: 0.80, 2: 0.99}, {0: 0.85, 1: 0.8501}, "yet over 2 shared seeds `b` is higher"),
        ({0: 0.90, 1: 0.91}, {0: 0.85, 1: 0.86}, "85.5 %, more than the interval of their difference."),
        ({0: 0.90, 1: 0.80}, {0: 0.80, 1: 0.85}, "which 2 shared seeds cannot tell from chance"),
        ({0: 0.90, 1: 0.91}, {2: 0.85, 3: 0.86}, "no seed is in both"),
    ],
)
def test_the_first_lines_say_what_the_seeds_tell_that_both_have(best, second, said):
    table = Table(
        "omniglot", 659, 13180, "test", "recall@1", [Setting("a", {}, best), Setting("b", {}, second)]
    )
    text = comparison.first_lines(comparison.Comparison("runs", [table], 0, [])).markdown
    assert "`a` has the highest mean" in text and said in text


def test_the_command_that_writes_the_page_again_can_be_pasted(folders):
    found = comparison.open_runs(folders, "map@r", "test")
    told = comparison.provenance(found, "map@r", "test", None).markdown
    command = next(line for line in told.splitlines() if "this page again" in line).split("`")[1]
    assert shlex.split(command)[3:] == ["--parameter", f"runs={folders}", "--parameter", "measure=map@r"]


def test_what_differs_in_more_than_its_batches_stands_in_no_table_of_batches(monkeypatch):
    every = measured.runs()
    other = measured.of("sst").runs[0]._replace(variant="on the sphere", recall=0.0)
    monkeypatch.setattr(measured, "_read", lambda: (*every, other))
    ((_, (_, _, cells)),) = comparison.open_runs(None, "recall@1", "test").grids
    assert cells["sst", other.sampler] == [run.recall for run in every if run[:2] == ("sst", "")]


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
