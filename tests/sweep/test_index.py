"""The index of a sweep: claims in one transaction, ten thousand rows at once, and what a kill leaves."""

import json
import os
import random
import sqlite3
import threading
from collections import Counter
from multiprocessing import get_context
from pathlib import Path

import pytest

from dmlteach import models
from dmlteach.errors import DMLTeachError
from dmlteach.files import Lock
from dmlteach.methods import METHODS
from dmlteach.models import pretrained
from dmlteach.sweep import driver, index
from dmlteach.sweep.grid import Planned, plan
from dmlteach.sweep.index import FILE, Index, config_of
from dmlteach.sweep.one import Outcome
from dmlteach.sweep.overview import Overview
from dmlteach.train import TrainConfig

TEST = {"num_classes": 659, "num_queries": 13180}
DONE = {"untrained": {"recall@1": 0.2, **TEST}, "val": None, "final": {"recall@1": 0.5, **TEST}}


def some(count: int) -> list[Planned]:
    """Runs by name alone."""
    recipe = METHODS["sst"]
    return [Planned(f"{i:08d}", f"run-{i}", TrainConfig(seed=i), recipe) for i in range(count)]


def finish(folder: Path, runs: list[Planned]) -> None:
    with Index(folder) as rows:
        rows.want(runs)
    with sqlite3.connect(folder / FILE) as connection:
        connection.execute("UPDATE runs SET state = 'done', seconds = 2, metrics = ?", (json.dumps(DONE),))


def test_a_run_that_waits_finds_its_files_from_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text("def mine(embeddings, labels):\n    return embeddings.square().sum()\n")
    models.save(pretrained("untrained"), "start.safetensors")
    with Index(tmp_path / "sweep") as rows:
        rows.want(plan([{"loss": "mine.py:mine", "sampler": "random", "checkpoint": "start.safetensors"}]))
        row = rows.claim()
    assert row is not None
    config = config_of(row, None, tmp_path)
    assert (config.loss, config.checkpoint) == (
        f"{tmp_path / 'mine.py'}:mine",
        str(tmp_path / "start.safetensors"),
    )


def test_ten_thousand_finished_runs_are_opened_with_a_handful_of_queries_and_no_look_at_a_folder(
    tmp_path, monkeypatch
):
    runs = some(10_000)
    finish(tmp_path, runs)
    statements: list[str] = []
    connect = sqlite3.connect

    def traced(*given, **more):
        connection = connect(*given, **more)
        connection.set_trace_callback(lambda text: statements.append(text.split()[0]))
        return connection

    def looked(*_):
        raise AssertionError("a run's folder was looked at")

    monkeypatch.setattr(sqlite3, "connect", traced)
    monkeypatch.setattr(index, "is_free", looked)
    monkeypatch.setattr(driver, "check_data", lambda rows: [looked(row) for row in rows])
    overview = driver.sweep(runs, tmp_path, 2)
    assert (
        overview.line()
        == "10,000 of 10,000 runs done; best so far run-0, Recall@1 0.500 among 659 test classes"
    )
    asked = Counter(statements)
    assert asked.pop("INSERT") == len(runs)  # into a table in memory
    assert asked["UPDATE"] == 0 and sum(asked.values()) < 30
    assert {path.name for path in tmp_path.iterdir()} == {FILE}


def test_of_a_thousand_settings_the_hashes_take_one_look_at_each_kind_of_part(monkeypatch):
    """Resolving is what opening a large sweep costs: seeds share it, settings the check of their parts."""
    from dmlteach.sweep import grid

    calls: Counter[str] = Counter()
    for name in ("resolve", "_check_parts"):
        original = getattr(grid, name)
        monkeypatch.setattr(grid, name, lambda *given, n=name, f=original: (calls.update([n]), f(*given))[1])
    rates = [1e-5 * number for number in range(1, 101)]
    runs = plan([{"methods": "sst,triplet", "learning_rate": rates, "seeds": "0-9"}])
    assert len(runs) == 2000
    assert calls == {"resolve": 200, "_check_parts": 2}


def claim_all(folder: str, count: int, taken) -> None:
    with Index(Path(folder)) as rows:
        rows.want(some(count))
        while row := rows.claim():
            taken.put((os.getpid(), row.hash))
    taken.put(None)


def test_processes_that_claim_at_once_never_get_the_same_run(tmp_path):
    context = get_context("forkserver")  # this process may have threads
    context.set_forkserver_preload([__name__])
    taken = context.Queue()
    others = [context.Process(target=claim_all, args=(str(tmp_path), 100, taken)) for _ in range(3)]
    for one in others:
        one.start()
    found, ended = [], 0
    while ended < len(others):
        got = taken.get(timeout=600)
        ended, found = (ended + 1, found) if got is None else (ended, [*found, got[1]])
    for one in others:
        one.join()
    assert sorted(found) == [run.hash for run in some(100)]


def test_a_run_of_a_driver_that_is_gone_is_free_once_its_folder_is(tmp_path):
    runs = some(2)
    gone = Index(tmp_path)
    gone.want(runs)
    row = gone.claim()
    assert row is not None
    with Index(tmp_path) as rows:
        rows.want(runs)
        assert rows.release_abandoned() == 0
        assert [one.state for one in rows.rows()] == ["running", "waiting"]  # its driver is there
        gone.close()
        worker = Lock(tmp_path / row.folder)
        assert worker.take()
        assert rows.release_abandoned() == 1  # a worker of it is still saving
        assert [one.state for one in rows.rows()] == ["running", "waiting"]
        worker.release()
        assert rows.release_abandoned() == 0
        assert [one.state for one in rows.rows()] == ["interrupted", "waiting"]
        again = rows.claim()
        assert again and again.hash == row.hash


def test_a_run_goes_on_as_it_was_entered_with_the_paths_and_the_device_of_today(tmp_path):
    before = TrainConfig(method="triplet", root="old", epochs=3, loss_options={"margin": 0.3})
    now = TrainConfig(method="triplet", root="new", device="cpu", epochs=3, batch_size=256)
    with Index(tmp_path) as rows:
        rows.want([Planned("a", "one", before, METHODS["triplet"])])
        row = rows.claim()
    assert row is not None
    assert config_of(row, now, tmp_path) == TrainConfig(
        method="triplet", root="new", device="cpu", epochs=3, loss_options={"margin": 0.3},
        output=str(tmp_path / "one"), resume=True, progress=False,
    )  # fmt: skip


def test_what_has_become_of_a_run_is_its_row(tmp_path):
    with Index(tmp_path) as rows:
        rows.want(some(1))
        for state, seconds in (("interrupted", 2.0), ("died", 3.0), ("done", 4.0)):
            row = rows.claim()
            assert row is not None
            outcome = Outcome(state, None, DONE if state == "done" else None, seconds, 7, "here")
            rows.ended(row.hash, outcome)
        (row,) = rows.rows()
    assert (row.state, row.deaths, row.seconds, row.peak_memory, row.host) == ("done", 1, 9.0, 7, "here")
    assert row.metrics == DONE and row.config == {}


def test_an_index_that_is_damaged_or_of_another_version_is_one_sentence_with_the_cure(tmp_path):
    noise = random.Random(0)
    (tmp_path / FILE).write_bytes(noise.randbytes(5000))
    with pytest.raises(DMLTeachError, match=r"index.sqlite is damaged \(file is not a database\). Remove it"):
        Index(tmp_path)
    (tmp_path / FILE).unlink()
    finish(tmp_path, some(500))
    content = bytearray((tmp_path / FILE).read_bytes())
    content[4096 * 2 :] = noise.randbytes(len(content) - 4096 * 2)
    (tmp_path / FILE).write_bytes(content)
    with (
        pytest.raises(DMLTeachError, match=r"is damaged \(.*malformed.*\). Remove it"),
        Index(tmp_path) as rows,
    ):
        rows.rows()
    (tmp_path / FILE).unlink()
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("PRAGMA user_version = 9")
    with pytest.raises(DMLTeachError, match="version 9, and this dmlteach reads version 1"):
        Index(tmp_path)
    with pytest.raises(DMLTeachError, match="is no folder of a sweep"):
        Index(tmp_path / "none", make=False)
    assert not (tmp_path / "drivers").exists()


def test_an_index_that_another_program_keeps_is_one_sentence(tmp_path, monkeypatch):
    finish(tmp_path, some(1))
    monkeypatch.setattr(index, "PATIENCE", 0.01)
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(DMLTeachError, match="was kept by another program for"):
        Index(tmp_path)
    other.execute("ROLLBACK")
    with Index(tmp_path) as rows:
        assert [row.state for row in rows.rows()] == ["done"]


def test_the_best_so_far_is_chosen_on_val_where_any_run_was_measured_there(tmp_path):
    with Index(tmp_path) as rows:
        rows.want(some(3))
        for final, val in ((0.9, None), (0.2, 0.6), (0.8, 0.5)):
            row = rows.claim()
            assert row is not None
            numbers = {
                "final": {"recall@1": final, **TEST},
                "val": val and {"recall@1": val, "num_classes": 9, "num_queries": 180},
            }
            rows.ended(row.hash, Outcome("done", metrics=numbers, seconds=1.0))
        overview = Overview(rows.rows(), 1)
    assert overview.line() == "3 of 3 runs done; best so far run-1, Recall@1 0.600 among 9 val classes"


def test_time_left_is_that_of_the_runs_that_are_done_shared_by_the_processes(tmp_path):
    with Index(tmp_path) as rows:
        rows.want(some(10))
        for seconds in (60.0, 120.0):
            row = rows.claim()
            assert row is not None
            rows.ended(row.hash, Outcome("done", metrics=DONE, seconds=seconds))
        found = rows.rows()
    assert Overview(found, 1).seconds_left() == 8 * 90
    assert Overview(found, 4).seconds_left() == 2 * 90
    assert Overview(found, 4).line().endswith("about 3 min left")
    assert Overview(found[2:], 4).seconds_left() is None


def test_a_sweep_that_is_asked_to_stop_says_so_and_which_runs_are_at_work(tmp_path):
    stop = threading.Event()
    with Index(tmp_path) as rows:
        rows.want(some(2))
        overview = Overview(rows.rows(), 1, stop)
        row = rows.claim()
        assert row is not None
        overview.begun(row)
    assert overview.line() == "0 of 2 runs done"
    assert overview.at_work() == ["run-0, 0 s"]
    stop.set()
    assert overview.line() == "0 of 2 runs done; stopping, once what runs is saved"
