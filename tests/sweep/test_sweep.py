"""Sweeps with real processes: interrupted in every way, they end in the same weights as single trainings."""

import json
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dmlteach.cli import app
from dmlteach.errors import DMLTeachError
from dmlteach.sweep import driver
from dmlteach.sweep.grid import plan
from dmlteach.sweep.index import DEATHS, FILE, Index, Row
from dmlteach.train import TrainConfig, fit
from tests.sweep.runs import QUICK, worker
from tests.train.runs import ENVIRONMENT, TINY, assert_equal_runs, saved_position

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE = {name: value for name, value in TINY.items() if name != "progress"}
TABLE: dict[str, Any] = {**SIZE, "methods": "contrastive,semihard", "seeds": "0-1"}

# A worker that is hit at epoch 1, step 1 of a run (the second epoch): the signal falls where it is meant to.
# Where its driver is hit, it waits there until it is told to stop, or its driver is gone.
HIT = """
import os, signal, sys
from dmlteach import train
from dmlteach.sweep import one
run_name, who, how = {run!r}, {who!r}, signal.{how}
train_on, train_one = train.Run.train_on, one.train_one
def kept(config, stop):
    global asked
    asked = stop
    return train_one(config, stop)
def hit(run, *arguments):
    train_on(run, *arguments)
    mark = str(run.folder) + "-" + how.name
    if run.folder.name.startswith(run_name) and (run.epoch, run.step) == (1, 1) and not os.path.exists(mark):
        open(mark, "x").close()
        os.kill(os.getppid() if who == "driver" else os.getpid(), how)
        asked.wait()
train.Run.train_on, one.train_one = hit, kept
one.main()
"""
DRIVER = """
import json, sys
from pathlib import Path
from dmlteach.sweep import driver, grid, workers
workers.PROGRAM = (sys.argv[3],)
driver.sweep(grid.plan([json.loads(sys.argv[1])]), Path(sys.argv[2]), 1)
"""


def states(folder: Path) -> dict[str, str]:
    """State of each run, by its name without the hash."""
    with Index(folder, make=False) as index:
        return {row.folder[:-9]: row.state for row in index.rows()}


def test_a_sweep_that_is_hit_in_every_way_ends_in_the_weights_of_single_trainings(tmp_path, monkeypatch):
    folder, runs = tmp_path / "sweep", plan([TABLE])
    place = {run.folder[:-9]: folder / run.folder for run in runs}

    # the driver is killed: what it trained stands as running, saved by a worker that is still there
    script = worker(
        tmp_path / "a.py", monkeypatch, HIT.format(run="contrastive", who="driver", how="SIGKILL")
    )
    arguments = [sys.executable, "-c", DRIVER, json.dumps(TABLE), str(folder), str(script)]
    done = subprocess.run(arguments, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    assert Counter(states(folder).values()) == {"running": 1, "waiting": 3}

    # the next one takes it over, and is stopped by Ctrl-C in another run
    worker(tmp_path / "b.py", monkeypatch, HIT.format(run="semihard", who="driver", how="SIGINT"))
    with pytest.raises(KeyboardInterrupt, match="goes on from there"):
        driver.sweep(runs, folder, 1)
    found = states(folder)
    assert found == {
        "contrastive-omniglot-0": "done", "semihard-omniglot-0": "interrupted",
        "contrastive-omniglot-1": "waiting", "semihard-omniglot-1": "waiting",
    }  # fmt: skip
    assert saved_position(place["semihard-omniglot-0"]) == (1, 1)

    # in the last one a worker is killed, and its run is tried again
    worker(
        tmp_path / "c.py", monkeypatch, HIT.format(run="contrastive-omniglot-1", who="worker", how="SIGKILL")
    )
    events: list[str] = []
    overview = driver.sweep(runs, folder, 2, show=lambda overview, event: events.append(event))
    assert set(states(folder).values()) == {"done"}
    again = [event for event in events if "tried again" in event]
    assert len(again) == 1 and "SIGKILL" in again[0] and "contrastive-omniglot-1" in again[0]
    assert overview.line().startswith("4 of 4 runs done; best so far ")

    for run in runs:
        config = {**TINY, "method": run.config.method, "seed": run.config.seed}
        fit(TrainConfig(**config, output=str(tmp_path / "truth" / run.folder)))
        assert_equal_runs(folder / run.folder, tmp_path / "truth" / run.folder)
    with Index(folder, make=False) as index:
        rows = index.rows()
    assert sorted(row.deaths for row in rows) == [0, 0, 0, 1]
    for row in rows:
        check_row(row, folder)
    assert not list((folder / "drivers").glob("*"))

    worker(tmp_path / "d.py", monkeypatch, "raise SystemExit('nothing is left to train')")
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("metrics.json")}
    assert driver.sweep(runs, folder, 2).line() == overview.line()
    assert {file: file.stat().st_mtime_ns for file in before} == before

    told = CliRunner().invoke(app, ["compare", str(folder)])
    assert told.exit_code == 0, told.output
    assert "480 images of 24 test classes; untrained 0." in told.stdout
    assert (folder / "comparison.png").stat().st_size > 5000

    # an index that is lost is made anew: what is finished is measured again, and not trained
    monkeypatch.undo()
    (folder / FILE).unlink()
    saved = (folder / runs[0].folder / "checkpoint.pt").stat().st_mtime_ns
    driver.sweep(runs[:1], folder, 1)
    assert states(folder) == {"contrastive-omniglot-0": "done"}
    assert (folder / runs[0].folder / "checkpoint.pt").stat().st_mtime_ns == saved
    assert_equal_runs(folder / runs[0].folder, tmp_path / "truth" / runs[0].folder)


def check_row(row: Row, folder: Path) -> None:
    """A run's row says what its folder says, and what its training took."""
    metrics = json.loads((folder / row.folder / "metrics.json").read_text())
    assert row.metrics and row.metrics["final"] == metrics["final"]
    assert row.metrics["untrained"] == metrics["untrained"]
    assert row.metrics["made_with"]["threads"] == 1
    assert row.seconds > 0 and row.host
    assert row.peak_memory is None or row.peak_memory > 100e6  # torch alone is more


def test_two_sweeps_on_one_index_train_each_run_once(tmp_path, monkeypatch):
    folder, log = tmp_path / "sweep", tmp_path / "log"
    worker(tmp_path / "quick.py", monkeypatch, QUICK.format(log=str(log)))
    runs = plan([{**TABLE, "seeds": "0-5"}])
    together = threading.Barrier(2)

    def drive() -> None:
        together.wait()
        driver.sweep(runs, folder, 2)

    drivers = [threading.Thread(target=drive) for _ in range(2)]
    for one in drivers:
        one.start()
    for one in drivers:
        one.join()
    assert sorted(log.read_text().split()) == sorted(str(folder / run.folder) for run in runs)
    assert set(states(folder).values()) == {"done"}
    with sqlite3.connect(folder / FILE) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_sweeps_of_other_runs_share_an_index_and_leave_each_others_alone(tmp_path, monkeypatch):
    folder, log = tmp_path / "sweep", tmp_path / "log"
    worker(tmp_path / "quick.py", monkeypatch, QUICK.format(log=str(log)))
    with Index(folder) as index:
        index.want(plan([{**TABLE, "seeds": "7"}]))
    assert driver.sweep(plan([TABLE]), folder, 2).line().startswith("4 of 4 runs done")
    assert Counter(states(folder).values()) == {"done": 4, "waiting": 2}


def test_a_run_whose_worker_dies_again_and_again_has_failed_with_the_end_of_its_log(tmp_path, monkeypatch):
    folder, runs = tmp_path / "sweep", plan([{**TABLE, "methods": "contrastive", "seeds": "0"}])
    code = "import os, sys; print('the disk sang', file=sys.stderr, flush=True); os.kill(os.getpid(), 9)"
    worker(tmp_path / "dies.py", monkeypatch, code)
    overview = driver.sweep(runs, folder, 1)
    assert (folder / runs[0].folder / "log.txt").read_text().count("the disk sang") == DEATHS == 3
    assert overview.line().startswith("0 of 1 run done; 1 failed")
    (reason,) = overview.failed.values()
    assert "SIGKILL" in reason and "the disk sang" in reason
    driver.sweep(runs, folder, 1)  # it stays as it is, until it is asked for
    assert (folder / runs[0].folder / "log.txt").read_text().count("the disk sang") == 3
    worker(tmp_path / "quick.py", monkeypatch, QUICK.format(log=str(tmp_path / "log")))
    assert driver.sweep(runs, folder, 1, retry_failed=True).failed == {}
    assert set(states(folder).values()) == {"done"}


def test_what_a_user_can_cure_fails_once_with_its_sentence(tmp_path, monkeypatch):
    """A batch that is larger than the images is found by the worker, when it has them."""
    table = {**TABLE, "methods": "contrastive", "seeds": "0", "batch_size": 100_000}
    overview = driver.sweep(plan([table]), tmp_path / "sweep", 1)
    (reason,) = overview.failed.values()
    assert "batch" in reason and "Traceback" not in reason
    with Index(tmp_path / "sweep", make=False) as index:
        (row,) = index.rows()
    assert (row.state, row.deaths, row.error) == ("failed", 0, reason)


def test_data_that_are_not_there_are_told_before_the_first_run(tmp_path, monkeypatch):
    worker(tmp_path / "never.py", monkeypatch, "raise SystemExit('no run may begin')")
    table = {**TABLE, "datasets": "omniglot,cub200", "root": str(tmp_path / "nowhere"), "weights": "none"}
    with pytest.raises(DMLTeachError, match="the run with method=contrastive, dataset=.* cannot begin: "):
        driver.sweep(plan([table]), tmp_path / "sweep", 1)
    assert not list((tmp_path / "sweep").glob("contrastive*"))


def test_train_with_seeds_is_a_sweep_and_its_comparison(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    worker(tmp_path / "quick.py", monkeypatch, QUICK.format(log=str(tmp_path / "log")))
    words = [
        "train",
        "--method",
        "triplet",
        "--classes",
        "24",
        "--loss-option",
        "margin=0.1",
        "--seeds",
        "0-2",
    ]
    done = CliRunner().invoke(app, [*words, "--sampler-option", "k=3", "--output", "mine"])
    assert done.exit_code == 2 and "cannot begin" in done.stderr and "option" in done.stderr
    done = CliRunner().invoke(app, [*words, "--output", "mine"])
    assert done.exit_code == 0, done.output
    assert "0.500 ± 0.000" in done.stdout and "480 images of 24 test classes" in done.stdout
    with Index(tmp_path / "mine", make=False) as index:
        assert [row.config for row in index.rows()] == [
            {"method": "triplet", "classes": 24, "loss_options": {"margin": 0.1}} | ({"seed": s} if s else {})
            for s in range(3)
        ]
    assert done.stderr.count("\n") == 3  # piped: a line for each run
    beside = CliRunner().invoke(app, [*words, "--seed", "3"])
    assert beside.exit_code == 2 and "takes the place of --seed" in beside.stderr


def test_a_worker_whose_driver_is_gone_before_it_has_begun_trains_nothing(tmp_path):
    config = json.dumps({**TINY, "output": str(tmp_path / "run")})
    command = [sys.executable, "-m", "dmlteach.sweep.one", config]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] == "interrupted"
    assert not (tmp_path / "run").exists()
