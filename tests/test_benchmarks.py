"""Every benchmark runs in its quick form, and says what it is asked to say."""

import importlib
import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import benchmarks
from benchmarks import grid, record
from benchmarks.__main__ import NAMES
from dmlteach.cli import app

SCRIPTS = ("birds", "comparison", "domains", "methods")
HELPERS = ("__init__", "__main__", "children", "definitions", "grid", "measure", "record")
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
