"""Every benchmark runs in its quick form, and says what it is asked to say."""

import importlib
import json
import shlex
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import benchmarks
from benchmarks import grid, pictures, record, repeat, sweep_files, tuned_page, tuning
from benchmarks.__main__ import NAMES
from dmlteach.cli import app
from dmlteach.sweep.choices import read_file
from dmlteach.sweep.grid import hash_of, plan
from dmlteach.train import TrainConfig
from dmlteach.train.recipe import resolve

SCRIPTS = ("birds", "comparison", "domains", "methods", "tuned")
HELPERS = (
    "__init__",
    "__main__",
    "children",
    "course_rows",
    "definitions",
    "grid",
    "measure",
    "pictures",
    "record",
    "repeat",
    "sweep_files",
    "tuned_page",
    "tuning",
)
ELSEWHERE = {"faults"}  # has a test of its own


def here(*words: str) -> None:
    """The command line in this process: half of a quick run would be the import of torch."""
    done = CliRunner().invoke(app, [*words])
    assert done.exit_code == 0, done.output


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs a script of benchmarks/ with its results in a folder of the test."""
    monkeypatch.setattr(grid, "dmlteach", here)

    def script(name: str, *options: str) -> Path:
        words = [name, "--quick", "--output", str(tmp_path), *options]
        monkeypatch.setattr(sys, "argv", words)
        importlib.import_module(f"benchmarks.{name}").main()
        return tmp_path

    return script


def test_every_module_has_a_quick_form_that_is_run_here():
    files = {path.stem for path in Path(benchmarks.__file__).parent.glob("*.py")}
    assert files - ELSEWHERE == {*NAMES, *SCRIPTS, *HELPERS}


@pytest.mark.parametrize("name", NAMES)
def test_a_speed_has_a_row_with_seconds_of_both_sides(name, run):
    folder = run("__main__", name)
    result = json.loads((folder / "results.json").read_text())[name]
    assert result["quick"] and result["rows"]
    for row in result["rows"]:
        assert all(second > 0 for seconds in row["seconds"].values() for second in seconds)
        assert row["what"] in (folder / "README.md").read_text()
    assert "no measure of speed" in (folder / "README.md").read_text()


@pytest.mark.parametrize("name", ["comparison", "methods", "birds"])
def test_a_table_of_trainings_has_a_row_for_each(name, run, tmp_path):
    folder = run(name, "--runs", str(tmp_path / "runs"), "--jobs", "1")
    runs = sorted(path.name for path in (tmp_path / "runs").iterdir() if path.is_dir())
    table = (folder / f"{name}.md").read_text()
    expected = {
        "comparison": (["softmax-random-0", "softmax-random-1"], "| softmax | `random` |"),
        "methods": (["triplet-0", "triplet-1", "triplet-das-0", "triplet-das-1"], "| `triplet` |"),
        "birds": (["margin-das"], "| margin-das |"),
    }
    assert runs == expected[name][0]
    assert expected[name][1] in table
    assert record.summary(tmp_path / "runs" / runs[0])["command"].startswith("dmlteach train --method ")


def test_the_table_across_domains_has_every_direction(run):
    table = (run("domains") / "domains.md").read_text()
    for direction in ("drawings → drawings (", "drawings → restyled (", "restyled → drawings ("):
        assert direction in table
    assert table.count("%") == 2 * 3


def test_what_is_tuned_is_chosen_on_val_and_a_second_start_runs_only_what_is_missing(run, tmp_path):
    folder = run("tuned", "--jobs", "1", "--only", "softmax", "--seconds", "600")
    rows = [json.loads(line) for line in (folder / "tuned.jsonl").read_text().splitlines()]
    trials, finals = ([r for r in rows if r["what"]["stage"] == stage] for stage in ("tuning", "final"))
    tried = {row["what"]["options"]["learning_rate"]: row["recall@1"] for row in trials}
    assert set(tuning.RATES) <= set(tried) and len(tried) == len(trials)
    best = max(tried.values())
    chosen = {row["what"]["options"]["learning_rate"] for row in finals}
    assert chosen == {min(rate for rate, recall in tried.items() if recall == best)}
    assert [row["what"]["options"]["seed"] for row in finals] == [*tuning.SEEDS]
    assert "| `softmax` | random |" in (folder / "tuned.md").read_text()

    kept = rows[:-1]  # as if the last had been interrupted
    (folder / "tuned.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    run("tuned", "--jobs", "1", "--only", "softmax")
    again = [json.loads(line) for line in (folder / "tuned.jsonl").read_text().splitlines()]
    assert again[:-1] == kept and again[-1]["what"] == rows[-1]["what"]


def test_the_page_of_tuned_methods_is_drawn_from_its_committed_rows():
    home = Path(benchmarks.__file__).parent
    rows = tuning.Rows(home / "tuned.jsonl")
    assert (home / "tuned.md").read_text().splitlines() == "\n".join(tuned_page.page(rows)).splitlines()


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_a_figure_of_the_results_tells_what_the_committed_rows_say(name):
    figure, page = pictures.PICTURES[name](), (pictures.FIGURES.parent / "docs" / "results.md").read_text()
    committed = (pictures.FIGURES / f"{name}.alt.txt").read_text().strip()
    assert figure.alt == committed
    assert f"![{committed}](../figures/{name}.png)" in page
    assert (pictures.FIGURES / f"{name}.png").stat().st_size > 10_000


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    """Committed rows of the benchmark."""
    return tuning.Rows(sweep_files.HOME / "tuned.jsonl").rows


@pytest.mark.parametrize("name", sweep_files.STAGES)
def test_the_benchmark_as_a_sweep_makes_exactly_its_runs(rows, name):
    file = sweep_files.FOLDER / f"{name}.yaml"
    assert file.read_text(encoding="utf-8") == sweep_files.text(name)
    configs = [TrainConfig(**tuning.training(row["what"])) for row in rows
               if row["what"]["stage"] == sweep_files.STAGES[name]]  # fmt: skip
    assert {run.hash for run in plan(read_file(file))} == {hash_of(c, resolve(c)) for c in configs}


def test_the_command_of_a_row_is_read_as_the_options_it_was_trained_with(rows, monkeypatch):
    """One row for each set of options; what would be trained is only looked at."""
    given = []
    monkeypatch.setattr("dmlteach.train.fit", lambda config: given.append(config) or 1 / 0)
    kinds = {(*row["what"]["options"], row["what"]["stage"]): row["what"] for row in rows}
    for what in kinds.values():
        words = shlex.split(repeat.command(tuning.training(what)))
        CliRunner().invoke(app, words[1:])
        assert given.pop() == TrainConfig(**tuning.training(what)), words
    assert len(kinds) > 5


def test_what_an_interruption_left_out_of_the_options_is_still_tried(tmp_path):
    """Also where a value that was tried is better than the recipe's own."""
    rows = tuning.Rows(tmp_path / "rows.jsonl")
    for rate in tuning.RATES:
        row = {"what": tuning.task(("triplet", ""), "tuning", {"method": "triplet"}, rate, 0)}
        rows.add({**row, "recall@1": 0.8 if rate == 1e-3 else 0.1})
    tried = tuning.task(("triplet", ""), "tuning", {"method": "triplet"}, 1e-3, 0, margin=1.0)
    rows.add({"what": tried, "recall@1": 0.9})
    *_, last = tuning.tuning(rows)
    missing = [what["options"] for what in last if tuning.key(what) not in rows.done]
    assert [(o["learning_rate"], o["loss_options"]) for o in missing] == [(1e-3, {"margin": 5.0})]
