"""Every benchmark runs in its quick form, and says what it is asked to say."""

import importlib
import json
import math
import shlex
import sys
from concurrent.futures import Executor, Future
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import benchmarks
from benchmarks import (
    birds,
    chapters,
    full_size,
    grid,
    limits,
    look_alikes,
    pace,
    pictures,
    record,
    repeated,
    sweep_files,
    trainings,
    tuned_page,
    tuning,
)
from benchmarks import losses as loss_speeds
from benchmarks.__main__ import NAMES
from dmlteach import data, evaluate, models
from dmlteach.cli import app
from dmlteach.course import CHECKOUT, execute, recordings
from dmlteach.course.reports import commands
from dmlteach.errors import DMLTeachError
from dmlteach.methods import Group
from dmlteach.sweep.choices import read_file
from dmlteach.sweep.grid import hash_of, plan
from dmlteach.train import Run, TrainConfig
from dmlteach.train.recipe import resolve

SCRIPTS = (
    "birds", "comparison", "domains", "full_size", "limits", "look_alikes", "methods", "pace", "repeated",
    "tuned",
)  # fmt: skip
HELPERS = (
    "__init__",
    "__main__",
    "birds_page",
    "children",
    "course_rows",
    "definitions",
    "grid",
    "larger",
    "measure",
    "pictures",
    "record",
    "sweep_files",
    "trainings",
    "tuned_page",
    "tuning",
)
HERE = {"made_with": {"device": "cpu", "processor": "a CPU"}, "side_by_side": 1}
ELSEWHERE = {"faults", "chapters"}  # have tests of their own


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


def test_the_seconds_of_all_losses_are_those_that_their_rows_show(monkeypatch):
    """And the page names each loss that is compared with a peer and has no row yet."""
    seconds = {"dmlteach": [1.0, 2.0, 9.0], "peer": [2.0, 4.0, 30.0]}
    monkeypatch.setattr(loss_speeds, "_row", lambda name, n, rounds: {
        "what": f"{name}, N = {n:,}", "peer": "theirs", "seconds": seconds, "ratio": 2.0,
    })  # fmt: skip
    monkeypatch.setattr(loss_speeds, "_memory_row", lambda name, n: {"what": f"{name}: memory"})
    rows = loss_speeds.rows(quick=True)
    (whole,) = (row for row in rows if row["what"].startswith("all of these"))
    count = len(loss_speeds.PEERS)
    assert whole["seconds"] == {"dmlteach": [2 * count], "peer": [4 * count]}
    assert whole["ratio"] == pytest.approx(2)
    assert loss_speeds.missing({"rows": rows}) == []
    kept = [row for row in rows if not row["what"].startswith(("arcface", "margin,"))]
    assert loss_speeds.missing({"rows": kept}) == ["Not measured yet: arcface, margin."]


@pytest.mark.parametrize("name", ["comparison", "methods"])
def test_a_table_of_trainings_has_a_row_for_each(name, run, tmp_path):
    folder = run(name, "--runs", str(tmp_path / "runs"), "--jobs", "1")
    runs = sorted(path.name for path in (tmp_path / "runs").iterdir() if path.is_dir())
    table = (folder / f"{name}.md").read_text()
    expected = {
        "comparison": (["softmax-random-0", "softmax-random-1"], "| softmax | `random` |"),
        "methods": (["triplet-0", "triplet-1", "triplet-das-0", "triplet-das-1"], "| `triplet` |"),
    }
    assert runs == expected[name][0]
    assert expected[name][1] in table
    config = tmp_path / "runs" / runs[0] / "config.json"
    kept = json.loads(config.read_text())
    kept["made_with"]["versions"]["torch"] = "that of the run"
    config.write_text(json.dumps(kept))
    told = record.summary(config.parent)
    assert told["command"].startswith("dmlteach train --method ") and told["torch"] == "that of the run"


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
    table = (folder / "tuned.md").read_text()
    assert "| `softmax` | random |" in table and "| method | drawings → restyled |" in table

    kept = rows[:-1]  # as if the last had been interrupted
    (folder / "tuned.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    run("tuned", "--jobs", "1", "--only", "softmax")
    again = [json.loads(line) for line in (folder / "tuned.jsonl").read_text().splitlines()]
    assert again[:-1] == kept and again[-1]["what"] == rows[-1]["what"]


@pytest.mark.parametrize("stage", ["tuning", "final", "long"])
def test_a_training_that_was_interrupted_goes_on_to_the_same_numbers(stage, tmp_path, monkeypatch):
    """Ended inside of its last epoch, as by a kill after the checkpoint of the one before."""
    what = tuning.task(("softmax", ""), stage, {"method": "softmax"}, 1e-3, 0)
    options = tuning.training(what, quick=True) | {"epochs": 2}
    whole = trainings.run(what, options, tmp_path / "whole")
    steps, train_on = [], Run.train_on

    def killed_in_the_second(run, *batch):
        if steps:
            raise KeyboardInterrupt
        steps.append(run.epoch)
        train_on(run, *batch)

    rows = tuning.Rows(tmp_path / "rows.jsonl")
    folder = trainings.unfinished(rows, what)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Run, "train_on", killed_in_the_second)
        trainings.run(what, options, folder)
    assert folder.is_dir() and steps == [0]
    counted: list[int] = []
    monkeypatch.setattr(
        Run, "train_on", lambda run, *batch: (counted.append(run.epoch), train_on(run, *batch))
    )
    again = trainings.run(what, options, folder)
    assert counted == [1]
    assert (again["recall@1"], again["map@r"]) == (whole["recall@1"], whole["map@r"])
    assert again.get("on_training_classes") == whole.get("on_training_classes")
    assert ("on_training_classes" in whole) == (stage == "long")
    if stage == "long":  # of the classes measured there, the network of the first step
        own = data.load("omniglot", "train").first_classes(whole["num_classes"])
        start = models.create("omniglot_cnn", 128, seed=0)
        assert whole["untrained_on_training_classes"] == evaluate(start, own)["recall@1"]


class InThisProcess(Executor):
    """A pool of one worker, which is this process."""

    def submit(self, function, /, *given, **options):
        future: Future = Future()
        try:
            future.set_result(function(*given, **options))
        except DMLTeachError as error:
            future.set_exception(error)
        return future


@pytest.fixture
def three(tmp_path) -> tuple[tuning.Rows, list]:
    """Rows of which there is none yet, and three short trainings."""
    whats = [tuning.task(("softmax", ""), "tuning", {"method": "softmax"}, 1e-3, seed) for seed in range(3)]
    return tuning.Rows(tmp_path / "rows.jsonl"), [(what, tuning.training(what, quick=True)) for what in whats]


def make_all(rows: tuning.Rows, tasks: list) -> None:
    trainings.side_by_side(tasks, rows, InThisProcess(), 1, math.inf)


def test_a_training_stays_until_its_row_is_there(three, monkeypatch):
    rows, tasks = three
    folder = trainings.unfinished(rows, tasks[0][0])

    def killed(row):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(rows, "add", killed)
        make_all(rows, tasks[:1])
    assert folder.is_dir()
    steps: list[int] = []
    monkeypatch.setattr(Run, "train_on", lambda run, *batch: steps.append(run.epoch))
    make_all(rows, tasks[:1])
    assert not steps and not folder.exists()  # the training had ended: its row is read from it
    (row,) = tuning.Rows(rows.file).rows
    assert row["what"] == tasks[0][0] and 0 < row["recall@1"] < 1


def test_only_a_training_that_diverged_has_a_row_that_says_so(three, monkeypatch):
    """A full disk is no result: no further training starts, and the same command goes on."""
    rows, tasks = three
    train_on = Run.train_on

    def refused(run, *batch):
        if run.config.seed == 0:
            next(run.model.parameters()).data.fill_(math.nan)
        elif run.config.seed == 1:
            raise DMLTeachError("the disk is full")
        train_on(run, *batch)

    with monkeypatch.context() as patch, pytest.raises(DMLTeachError, match="the disk is full"):
        patch.setattr(Run, "train_on", refused)
        make_all(rows, tasks)
    (row,) = tuning.Rows(rows.file).rows
    assert row["what"] == tasks[0][0] and "the loss became nan in epoch 1, step 1" in row["error"]
    make_all(rows, tasks)
    assert [row["what"] for row in tuning.Rows(rows.file).rows] == [what for what, _ in tasks]
    assert ["error" in row for row in rows.rows] == [True, False, False]


def test_a_command_that_cannot_go_on_ends_with_the_sentence(run, monkeypatch):
    def full(*given):
        raise DMLTeachError("the disk is full")

    monkeypatch.setattr(trainings, "ProcessPoolExecutor", lambda *given, **options: InThisProcess())
    monkeypatch.setattr(trainings, "run", full)
    with pytest.raises(SystemExit, match="error: the disk is full"):
        run("tuned", "--jobs", "1", "--only", "softmax")


def test_what_all_networks_miss_and_take_for_the_same_is_counted():
    labels = torch.tensor([0, 0, 0, 1, 1, 2, 2])
    found = {
        "one": torch.tensor([0, 1, 1, 1, 0, 0, 2]),
        "other": torch.tensor([0, 1, 1, 0, 0, 1, 0]),
    }
    kept = look_alikes.summary(found, labels)
    assert kept["recall@1"] == {"one": pytest.approx(3 / 7), "other": pytest.approx(1 / 7)}
    assert (kept["num_queries"], kept["num_classes"]) == (7, 3)
    assert (kept["missed_by_all"], kept["taken_for_the_same"]) == (4, 3)  # rows 1, 2, 4, 5; not row 5
    # What is taken for the other comes first: rows 1 and 2 of class 0, row 4 of class 1.
    assert kept["pairs"] == [{"classes": [0, 1], "taken_for_each_other": 3, "shown": [[1, 2, 0], [4, 3]]}]


def test_what_all_shipped_networks_miss_is_a_part_of_what_each_does(run):
    folder = run("look_alikes")
    kept = json.loads((folder / look_alikes.FILE).read_text())
    assert kept["num_classes"] == 30 and kept["num_queries"] == 600
    assert kept["missed_by_all"] <= 600 * (1 - max(kept["recall@1"].values())) + 1e-9
    assert 0 <= kept["taken_for_the_same"] <= kept["missed_by_all"]
    assert f"{kept['missed_by_all'] / 600:.1%} are missed by all" in (folder / look_alikes.PAGE).read_text()
    committed = json.loads((look_alikes.HOME / look_alikes.FILE).read_text())
    for name, recall in committed["recall@1"].items():
        assert recall == pytest.approx(recordings.card(name)["recall@1"], abs=1e-3)  # ties, and last bits


def test_birds_are_tuned_on_val_and_the_best_there_is_trained_for_longer_and_with_das(run):
    folder = run("birds", "--jobs", "1", "--only", "margin", "multi_similarity")
    rows = [json.loads(line) for line in (folder / "birds.jsonl").read_text().splitlines()]
    trials, sizes, finals, checks, long = (
        [r for r in rows if r["what"]["stage"] == stage]
        for stage in ("tuning", "size", "final", "check", "long")
    )
    of_cell: dict[tuple, dict] = {}
    for row in trials:
        rates = of_cell.setdefault(tuple(row["what"]["cell"]), {})
        rates[row["what"]["options"]["learning_rate"]] = row["recall@1"]
    assert all(set(birds.RATES) <= set(rates) for rates in of_cell.values())
    plain = {cell: max(rates.values()) for cell, rates in of_cell.items() if "with DAS" not in cell[1]}
    best = next(cell for cell in birds.CELLS if cell in plain and plain[cell] == max(plain.values()))
    assert set(of_cell) - set(plain) == {(best[0], f"{best[1]} with DAS".strip())}
    chosen = min(rate for rate, recall in of_cell[best].items() if recall == plain[best])
    smaller = sorted(rate for rate in of_cell[best] if rate <= chosen)[-birds.CHECKED :]
    (size,) = sizes
    assert size["what"]["options"] == {
        "method": best[0],
        **birds.CELLS[best],
        "learning_rate": chosen,
        "embedding_dim": birds.LARGER,
        "seed": 0,
    }
    dim = birds.LARGER if size["recall@1"] > plain[best] else 128
    assert {row["what"]["options"].get("embedding_dim", 128) for row in (*checks, *long)} == {dim}
    after_long = {row["what"]["options"]["learning_rate"]: row["recall@1"] for row in checks}
    assert {tuple(row["what"]["cell"]) for row in (*checks, *long)} == {best}
    first, further = [*after_long][: len(smaller)], [*after_long][len(smaller) :]
    assert first == smaller and further == sorted(further, reverse=True) and len(further) <= 2
    for number, rate in enumerate(further):  # each follows where the smallest before it is best
        before = {r: recall for r, recall in after_long.items() if r not in further[number:]}
        assert rate == max(r for r in birds.SERIES if r < min(before)) and before[min(before)] == max(
            before.values()
        )
    assert [row["what"]["options"]["learning_rate"] for row in long] == [
        min(rate for rate, recall in after_long.items() if recall == max(after_long.values()))
    ]
    for row in finals:
        cell = tuple(row["what"]["cell"])
        highest = [rate for rate, recall in of_cell[cell].items() if recall == max(of_cell[cell].values())]
        assert row["what"]["options"]["learning_rate"] == min(highest)
    assert len(finals) == len(of_cell) * len(birds.SEEDS)
    page = (folder / "birds.md").read_text()
    assert "| `multi_similarity` |" in page
    on_test = sorted({f"{row['untrained']:.1%}" for row in (*finals, *long)})  # those of checks are on val
    assert f"before the first step: {', '.join(on_test)}." in page
    assert not any({"root", "weights"} & set(row["what"]["options"]) for row in rows)


def test_birds_that_are_not_there_are_said_to_be_missing_before_a_row_is_written(
    monkeypatch, tmp_path, capsys
):
    words = ["birds", "--root", str(tmp_path / "none"), "--weights", "none", "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit):
        birds.main()
    assert f"--root: there is no {tmp_path / 'none'}" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cell", birds.CELLS, ids=" ".join)
def test_every_method_of_the_birds_trains_the_same_network_on_as_many_images(cell):
    what = {"cell": cell, "stage": "final", "options": {"method": cell[0], **birds.CELLS[cell]}}
    config = TrainConfig(**birds.training(what, {"root": "DIR", "weights": "FILE"}))
    recipe = resolve(config)
    assert (recipe.backbone, recipe.embedding_dim, recipe.transform) == (
        birds.NETWORK["backbone"],
        128,
        "resized_crop",
    )
    assert (recipe.batch_size, recipe.batches_per_epoch, recipe.epochs, recipe.schedule) == (
        80,
        62,
        4,
        "cosine",
    )
    assert recipe.frozen_epochs == 0 and recipe.groups.get("backbone", Group()).factor == 1


def test_the_pace_of_a_method_is_read_on_the_way_of_its_tuned_training(run, tmp_path):
    """The last measurement is what the same training reaches where nobody looks on the way."""
    folder = run("pace", "--only", "softmax")
    (row,) = tuning.Rows(folder / "pace.jsonl").rows
    chosen = tuning.Rows(pace.HOME / "tuned.jsonl").chosen(("softmax", ""))
    assert row["what"]["options"] == {**chosen, "seed": 0}
    (first, start, untrained), (last, seconds, recall) = row["curve"]
    assert (first, last) == (0, 1) and 0 <= start < seconds and row["memory"] > 0
    plain = trainings.run(row["what"], tuning.training(row["what"], quick=True), tmp_path / "plain")
    assert recall == plain["recall@1"] and row["num_classes"] == plain["num_classes"]
    page = (folder / "pace.md").read_text()
    assert f"reaches {untrained:.1%} to {untrained:.1%} there" in page
    assert "| `softmax` | random (its own) | – | – |" in page
    run("pace", "--only", "softmax")
    assert len(tuning.Rows(folder / "pace.jsonl").rows) == 1


def test_what_limits_is_seen_on_val_and_the_best_network_there_trains_for_longer_with_sst_beside(run):
    folder = run("limits", "--jobs", "1")
    rows = tuning.Rows(folder / "limits.jsonl")
    methods = limits.chosen(tuning.Rows(limits.HOME / "tuned.jsonl"))
    checks, long = limits.rows_of(rows, "check"), limits.rows_of(rows, "long")
    options = [row["what"]["options"] for row in (*checks, *long)]
    networks = list(limits.NETWORKS.values())
    assert options[: len(networks)] == [{**methods[0], "seed": 0, **network} for network in networks]
    best = limits.NETWORKS[max(checks, key=lambda row: row["map@r"])["what"]["cell"][1]]
    assert options[len(networks) :] == [{**method, "seed": 0, **best} for method in methods]
    assert [method["method"] for method in methods][1:] == ["sst"]
    page = (folder / "limits.md").read_text()
    for row in (*checks, *long):
        assert 0 < row["untrained"] < 1 and 0 < row["on_training_classes"] < 1
        assert 0 < row["untrained_on_training_classes"] < 1
        assert f"| {row['untrained']:.1%} | {row['recall@1']:.1%} | {row['map@r']:.1%} |" in page
    assert all(f"| {words} |" in page for words in limits.NETWORKS)


def test_the_committed_rows_have_every_network_that_may_limit_and_every_pace():
    rows = tuning.Rows(limits.HOME / "limits.jsonl")
    assert len(limits.rows_of(rows, "check")) == len(limits.NETWORKS)
    paces = tuning.Rows(pace.HOME / "pace.jsonl").rows
    assert {tuple(row["what"]["cell"]) for row in paces} == set(pace.CELLS)


@pytest.mark.parametrize("name", record.TABLES)
def test_a_page_of_results_is_written_from_its_committed_rows(name):
    assert (record.HOME / record.TABLES[name]).read_text(encoding="utf-8") == record.table(name)


def test_a_goal_is_reached_by_the_first_measurement_that_is_not_below_it():
    row = {"curve": [(0, 0.0, 0.1), (10, 2.0, 0.79), (20, 4.0, 0.8), (30, 6.0, 0.7), (40, 8.0, 0.9)]}
    assert [pace.reached(row, goal) for goal in (0.05, 0.8, 0.85, 0.95)] == [
        (0, 0.0),
        (20, 4.0),
        (40, 8.0),
        None,
    ]


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_a_figure_of_the_results_tells_what_the_committed_rows_say(name):
    figure, page = pictures.PICTURES[name](), (pictures.FIGURES.parent / "docs" / "results.md").read_text()
    committed = (pictures.FIGURES / f"{name}.alt.txt").read_text().strip()
    assert figure.alt == committed
    assert f"![{committed}](../figures/{name}.png)" in page
    assert (pictures.FIGURES / f"{name}.png").stat().st_size > 10_000


def test_hours_of_full_size_follow_from_a_measured_step(run):
    folder = run("full_size")
    row = json.loads((folder / "full_size.json").read_text())
    assert row["seconds"] and row["made_with"]["threads"] >= 1
    share = (row["image_size"] / 224) ** 2  # operations of convolutions grow with the area
    # 4.1 billion multiply-adds forward are 8.2 billion operations; backward takes twice as many.
    assert row["operations"] / row["batch_size"] / share == pytest.approx(3 * 8.2e9, rel=0.1)
    page = (folder / "full_size.md").read_text()
    name, rate = full_size.on_a_gpu()
    hours = full_size.IMAGES["sop"] * 150 / rate / 3600
    assert f"| `sop` | 59,551 | 150 | {hours:.1f} |" in page and name in page


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    """Committed rows of the benchmark that count today."""
    return tuning.Rows(sweep_files.HOME / "tuned.jsonl").of_today()


@pytest.mark.parametrize("name", [file.stem for file in sweep_files.FOLDER.glob("*.yaml")])
def test_the_benchmark_as_a_sweep_makes_exactly_its_runs(rows, name):
    file = sweep_files.FOLDER / f"{name}.yaml"
    assert file.read_text(encoding="utf-8") == sweep_files.text(name)
    configs = [TrainConfig(**tuning.training(row["what"])) for row in rows
               if row["what"]["stage"] == sweep_files.STAGES[name]]  # fmt: skip
    assert {run.hash for run in plan(read_file(file))} == {hash_of(c, resolve(c)) for c in configs}


def test_the_command_of_a_row_is_read_as_the_options_it_was_trained_with(rows, given_to_the_trainer):
    """One row for each set of options; what would be trained is only looked at."""
    kinds = {(*row["what"]["options"], row["what"]["stage"]): row["what"] for row in rows}
    for what in kinds.values():
        words = shlex.split(commands.training(tuning.training(what)))
        CliRunner().invoke(app, words[1:])
        assert given_to_the_trainer.pop() == TrainConfig(**tuning.training(what)), words
    assert len(kinds) > 5


def test_a_prediction_interval_holds_the_next_of_so_many_values_in_95_of_100_cases():
    random = np.random.default_rng(0)
    draws = random.normal(0.8, 0.01, (4000, 4))
    inside = [
        low <= next_one <= high for *known, next_one in draws for low, high in [repeated.prediction(known)]
    ]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.015)  # four standard errors


def test_a_row_that_is_repeated_is_trained_as_it_was_and_compared_only_on_its_own_processor(
    run, tmp_path, monkeypatch, rows
):
    finals = [row for row in rows if row["what"]["stage"] == "final" and row["what"]["cell"][1] == ""]
    here = next((row for row in finals if row["made_with"]["device"] == "cpu"), finals[0])
    trained = []
    monkeypatch.setattr(repeated, "run", lambda what, options, folder: trained.append(what) or here)
    method, seed = here["what"]["cell"][0], here["what"]["options"]["seed"]
    folder = run("repeated", method, "--seed", str(seed))
    assert trained == [here["what"]]
    (kept,) = repeated.read(folder / "repeated.jsonl")
    assert kept["first"] == kept["again"] == {name: here[name] for name in repeated.NUMBERS}
    assert (
        f"| `{method}`, seed {seed} | {here['recall@1']:.4%} | {here['recall@1']:.4%} | yes |"
        in (folder / "repeated.md").read_text()
    )

    monkeypatch.setattr(
        repeated, "run", lambda what, options, folder: here | {"made_with": {"device": "elsewhere"}}
    )
    run("repeated", method, "--seed", str(seed))
    assert len(repeated.read(folder / "repeated.jsonl")) == 1


def tried(rows: tuning.Rows, cell: tuning.Cell, options: dict, rate: float, recall: float) -> None:
    rows.add({"what": tuning.task(cell, "tuning", options, rate, 0), "recall@1": recall, "num_classes": 193})


def test_what_an_interruption_left_out_of_the_options_is_still_tried(tmp_path):
    """Also where a value that was tried is better than the recipe's own."""
    rows, cell, plain = tuning.Rows(tmp_path / "rows.jsonl"), ("triplet", ""), {"method": "triplet"}
    for rate in tuning.RATES:
        tried(rows, cell, plain, rate, 0.8 if rate == 1e-3 else 0.1)
    tried(rows, cell, {**plain, "loss_options": {"margin": 1.0}}, 1e-3, 0.9)
    *_, last = tuning.search(rows, [(cell, plain)])
    missing = [what["options"] for what in last if tuning.key(what) not in rows.done]
    assert [(o["learning_rate"], o["loss_options"]) for o in missing] == [(1e-3, {"margin": 5.0})]


def test_das_is_tuned_beside_the_option_chosen_without_it_and_has_as_many_trials(tmp_path):
    rows, plain = tuning.Rows(tmp_path / "rows.jsonl"), {"method": "margin"}
    for rate in tuning.RATES:
        tried(rows, ("margin", ""), plain, rate, 0.8 if rate == 3e-3 else 0.1)
    tried(rows, ("margin", ""), {**plain, "loss_options": {"alpha": 0.4}}, 3e-3, 0.9)
    tried(rows, ("margin", ""), {**plain, "loss_options": {"alpha": 0.1}}, 3e-3, 0.5)
    das = [setting for setting in tuning.of_das(rows) if setting[0] == ("margin", "with DAS, detached")]
    assert das[0][1]["loss_options"] == {"alpha": 0.4}
    rounds = tuning.search(rows, das)
    for count in (4, 0, 0, 2):
        asked = next(rounds)
        assert len(asked) == count
        for what in asked:
            rows.add({"what": what, "recall@1": 0.7 if what["options"]["learning_rate"] == 1e-3 else 0.2})
    assert [options["das_options"] for cell, options in tuning.of_das(rows) if cell[0] == "margin"] == [
        {"detach": False},
        {"detach": True},
    ]
    best = rows.chosen(("margin", "with DAS, detached"))
    assert best["das_options"]["detach"] and best["learning_rate"] == 1e-3


def test_the_best_of_the_finals_and_sst_in_its_best_batches_train_for_longer(tmp_path):
    rows = tuning.Rows(tmp_path / "rows.jsonl")
    recalls = {"sst": 0.5, "nca": 0.9, "lifted": 0.8, "margin": 0.7, "triplet": 0.6}
    for name, recall in recalls.items():
        tried(rows, (name, ""), {"method": name}, 1e-3, recall)
    for tasks in tuning.finals(rows):
        for what in tasks:
            better = 0.2 if what["cell"][1] == "with local_classes" else 0.0
            rows.add({"what": what, "recall@1": recalls[what["cell"][0]] + better})
    (last,) = tuning.longest(rows)
    assert [what["cell"] for what in last] == [
        ["nca", ""], ["lifted", ""], ["margin", ""], ["sst", "with local_classes"],
    ]  # fmt: skip
    assert {what["options"]["seed"] for what in last} == {0}
    assert tuning.training(last[-1])["epochs"] * tuning.training(last[-1])["batches_per_epoch"] >= 5000


def test_a_check_of_the_rates_has_the_chosen_one_and_its_neighbors_and_is_no_final(tmp_path):
    rows, cell, plain = tuning.Rows(tmp_path / "rows.jsonl"), ("softmax", ""), {"method": "softmax"}
    for rate in tuning.RATES:
        tried(rows, cell, plain, rate, 0.8 if rate == 3e-3 else 0.1)
    (asked,) = tuning.checks(rows)
    assert [what["options"]["learning_rate"] for what in asked] == [1e-3, 3e-3, 1e-2]
    for what in asked:
        assert tuning.training(what)["eval_every"] > 0
        rows.add({"what": what, "recall@1": what["options"]["learning_rate"], **HERE})
    assert len(rows.of(cell, "check")) == 3 and rows.of(cell, "final") == []
    assert rows.chosen(cell)["learning_rate"] == 3e-3
    page = [*tuned_page.page_of_checks(rows)]
    assert "on 193 val classes" in page[1] and "`softmax` ends 0.7 points below the best rate" in page[-1]
    lines = [line for line in page if line.startswith("| `softmax`")]
    assert [line.split("|")[2].strip() for line in lines] == ["0.001", "**0.003**", "0.01"]
    assert lines[1].split("|")[3:5] == [" 80.0% ", " 0.3% "]


def test_finals_count_with_what_is_chosen_today(tmp_path):
    """A final of an option that another has overtaken is no longer in the table."""
    rows, cell, plain = tuning.Rows(tmp_path / "rows.jsonl"), ("sst", ""), {"method": "sst"}
    tried(rows, cell, plain, 1e-3, 0.7)
    final = {"cell": list(cell), "stage": "final", "options": {**plain, "learning_rate": 1e-3, "seed": 0}}
    rows.add({"what": final, "recall@1": 0.6})
    assert len(rows.of(cell, "final")) == 1 and len(rows.of_today()) == 2
    tried(rows, cell, {**plain, "head_options": {"feature_scale": 0.3}}, 1e-3, 0.8)
    assert rows.of(cell, "final") == [] and len(rows.of_today()) == 2
    assert rows.chosen(("sst", "with random"))["head_options"] == {"feature_scale": 0.3}
    assert rows.chosen(("sst", "with random"))["sampler"] == "random"


def test_seconds_and_memory_of_a_chapter_are_those_of_its_kernel(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[
        nbformat.v4.new_code_cell("", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("import time\nheld = bytearray(b'x') * 400_000_000\ntime.sleep(1.5)"),
    ])  # fmt: skip
    nbformat.write(notebook, tmp_path / "first.ipynb")
    ((name, row),) = chapters.measure({"00": tmp_path / "first.ipynb"})
    assert name == "first"
    assert 0.4e9 < row["peak_bytes"] < 0.8e9
    assert row["seconds"] > 1.5 and row["cpu_seconds"] > 0


def test_the_plans_of_lessons_have_every_chapter():
    every = execute.notebooks(CHECKOUT)
    content = json.loads((chapters.HOME / chapters.FILE).read_text("utf-8"))
    assert set(content["chapters"]) == {path.stem for path in every.values()}


def test_an_unknown_chapter_is_told(capsys):
    with pytest.raises(SystemExit):
        chapters.main(["nowhere"])
    assert "unknown chapter 'nowhere'; known: start_here" in capsys.readouterr().err
