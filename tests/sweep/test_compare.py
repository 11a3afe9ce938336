"""Runs beside each other: the numbers are those that scipy gives for them, and a difference must be told."""

import shlex
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from dmlteach.cli import app
from dmlteach.errors import DMLTeachError
from dmlteach.sweep.compare import difference, read, tables
from dmlteach.sweep.grid import plan
from dmlteach.sweep.index import Index
from dmlteach.sweep.one import Outcome
from tests.conftest import CHECKOUT
from tests.sweep.runs import UNTRAINED, a_run, metrics_of

RECALLS = {
    ("sst", 0.001): [0.80, 0.84, 0.79], ("sst", 0.003): [0.70, 0.75, 0.71],
    ("triplet", 0.001): [0.79, 0.85, 0.77], ("triplet", 0.003): [0.50, 0.52, 0.49],
}  # fmt: skip


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A sweep whose runs are done, but one."""
    folder = tmp_path / "sweep"
    table = {"methods": "sst,triplet", "learning_rate": "1e-3,3e-3", "seeds": "0-2"}
    with Index(folder) as index:
        index.want([*plan([table]), *plan([{**table, "methods": "nca", "seeds": "0"}])][:13])
        for _ in range(12):
            row = index.claim()
            assert row is not None
            seed = row.config.get("seed", 0)
            recall = RECALLS[row.config.get("method", "sst"), row.config["learning_rate"]][seed]
            index.ended(row.hash, Outcome("done", None, metrics_of(recall, seed), 1.0))
    return folder


def test_means_intervals_and_paired_differences_are_those_of_scipy(sweep):
    runs, missing = read([sweep])
    assert missing == 1
    (table,) = tables(runs)
    assert (table.dataset, table.num_classes, table.num_queries) == ("omniglot", 659, 13180)
    assert table.untrained() == pytest.approx(np.mean(UNTRAINED))
    by_name = {setting.name: setting for setting in table.settings}
    assert [*by_name] == [
        "sst learning_rate=0.001", "triplet learning_rate=0.001", "sst learning_rate=0.003",
        "triplet learning_rate=0.003",
    ]  # fmt: skip
    reference = RECALLS["sst", 0.001]
    for (method, rate), values in RECALLS.items():
        setting = by_name[f"{method} learning_rate={rate:g}"]
        assert [setting.values[seed] for seed in range(3)] == values
        half = stats.sem(values) * stats.t.ppf(0.975, 2)
        assert setting.in_words("recall@1") == f"{np.mean(values):.3f} ± {half:.3f}"
        if values == reference:
            continue
        found = difference(setting, by_name["sst learning_rate=0.001"])
        truth = stats.ttest_rel(values, reference)
        low, high = truth.confidence_interval(0.95)
        assert found.mean - found.half == pytest.approx(low)
        assert found.mean + found.half == pytest.approx(high)
        assert found.is_told == (truth.pvalue < 0.05)


def test_a_difference_that_seeds_do_not_tell_is_said_to_be_none(sweep):
    (table,) = tables(read([sweep])[0])
    best, close, _, far = table.settings
    assert difference(close, best).in_words("recall@1").endswith("; cannot be told from 3 seeds")
    assert difference(far, best).is_told and "cannot" not in difference(far, best).in_words("recall@1")
    close.values = {0: 0.1}
    assert difference(close, best).in_words("recall@1") == "-0.700; cannot be told from 1 seed"
    close.values = {9: 0.1}
    assert difference(close, best).in_words("recall@1") == "no seed in common"


def test_the_command_prints_each_number_beside_classes_and_the_untrained_network_and_draws(sweep):
    done = CliRunner().invoke(app, ["compare", str(sweep), "--against", "triplet learning_rate=0.001"])
    assert done.exit_code == 0, done.output
    words = " ".join(done.stdout.split())
    assert "Recall@1 on omniglot, 13,180 images of 659 test classes; untrained 0.250" in words
    assert "sst learning_rate=0.001 3 0.810 ± 0.066" in words
    assert "1 run of these sweeps" in done.stderr
    assert {path.name for path in sweep.glob("*.alt.txt")} == {
        "comparison.alt.txt",
        "comparison-table.alt.txt",
    }
    drawn = (sweep / "comparison.alt.txt").read_text()
    assert drawn.startswith("Recall@1 on 659 test classes, mean") and "Untrained: 0.250" in drawn
    assert "method and learning_rate" in (sweep / "comparison-table.alt.txt").read_text()


def test_seconds_are_compared_in_seconds_and_val_by_its_own_classes(sweep):
    (table,) = tables(read([sweep])[0], "train_seconds")
    assert table.settings[0].in_words("train_seconds").startswith("81.0 ± ")
    assert not table.is_share() and table.untrained() is None
    (table,) = tables(read([sweep])[0], on="val")
    assert table.title().endswith("of 9 val classes; untrained was not measured")


def test_run_folders_stand_beside_each_other_by_test_set_with_their_curves(tmp_path):
    runs = [a_run(tmp_path / f"sst{seed}", 0.5 + seed / 10, seed=seed, loss_options={}) for seed in (0, 1)]
    runs += [
        a_run(tmp_path / "nca", 0.7, method="nca"),
        a_run(tmp_path / "few", 0.9, classes=20, classes_=20),
    ]
    few, many = sorted(tables(read(runs)[0]), key=lambda table: table.num_classes)
    assert [setting.values for setting in many.settings] == [{0: 0.7}, {0: 0.5, 1: 0.6}]
    assert [setting.values for setting in few.settings] == [{0: 0.9}]
    output = tmp_path / "drawn" / "mine"
    done = CliRunner().invoke(app, ["compare", *map(str, runs), "--output", str(output)])
    assert done.exit_code == 0, done.output
    assert {path.name for path in output.parent.glob("*.png")} == {
        "mine-1.png", "mine-1-curves.png", "mine-2.png", "mine-2-curves.png",
    }  # fmt: skip


def test_options_of_one_name_are_told_with_what_they_belong_to(tmp_path):
    runs = [
        a_run(tmp_path / f"{a}{b}", 0.5, loss_options={"num_targets": a}, sampler_options={"num_targets": b})
        for a in (3, 5)
        for b in (3, 5)
    ]
    (table,) = tables(read(runs)[0])
    assert sorted(setting.name for setting in table.settings) == [
        f"sst loss_options.num_targets={a} sampler_options.num_targets={b}" for a in (3, 5) for b in (3, 5)
    ]


def test_each_mistake_is_one_sentence(tmp_path, sweep):
    run = a_run(tmp_path / "a", 0.5)
    twice = a_run(tmp_path / "b", 0.6)
    going_on = a_run(tmp_path / "c", 0.6)
    (going_on / "metrics.json").write_text('{"epochs": []}')
    damaged = a_run(tmp_path / "d", 0.6)
    (damaged / "metrics.json").write_text("{")
    mistakes = {
        ("compare", str(tmp_path)): "is neither the folder of a sweep (index.sqlite) nor of a run",
        ("compare", str(run), str(twice)): "are the same training (sst, seed 0)",
        ("compare", str(going_on)): "has not come to an end; continue it with --resume",
        ("compare", str(damaged)): "is damaged",
        ("compare", str(run), "--measure", "recal@1"): "did you mean 'recall@1'?",
        ("compare", str(run), "--on", "vall"): "did you mean 'val'?",
        ("compare", str(sweep), "--against", "sst"): "unknown setting 'sst'",
        ("compare", str(run), "--output", "."): "--output . is a folder; name a file in it",
        ("compare", str(run), "--output", str(tmp_path / "a" / "config.json" / "x")): "is not a folder",
    }
    for words, said in mistakes.items():
        done = CliRunner().invoke(app, [*words])
        assert done.exit_code == 2 and said in done.stderr, (words, done.output)
        assert done.stderr.count("error: ") == 1


def test_a_sweep_of_which_nothing_is_done_has_nothing_to_compare(tmp_path):
    with Index(tmp_path) as index:
        index.want(plan([{"methods": "sst"}]))
    with pytest.raises(DMLTeachError, match="no run of these is done yet"):
        read([tmp_path])


@pytest.mark.parametrize("page", ["README.md", "docs/sweeps.md"])
def test_the_setting_that_a_page_compares_with_is_one_of_the_sweep_before_it(page, tmp_path):
    commands = [
        shlex.split(line)[1:]
        for line in (CHECKOUT / page).read_text(encoding="utf-8").splitlines()
        if line.startswith(("dmlteach sweep --", "dmlteach compare"))
    ]
    (sweep,) = (words for words in commands if words[0] == "sweep")
    options = dict(zip(sweep[1::2], sweep[2::2], strict=True))
    folder = options.pop("--output")
    with Index(tmp_path / folder) as index:
        index.want(plan([{name[2:].replace("-", "_"): value for name, value in options.items()}]))
        while row := index.claim():
            index.ended(row.hash, Outcome("done", None, metrics_of(0.5, 0), 1.0))
    compared = [words for words in commands if "--against" in words]
    assert compared
    for words in compared:
        there = [str(tmp_path / folder) if word == folder else word for word in words]
        done = CliRunner().invoke(app, there)
        assert done.exit_code == 0, done.output
