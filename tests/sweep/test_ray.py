"""Sweeps on a Ray cluster: whatever is killed, they end in the weights of single trainings."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dmlteach.cli import app
from dmlteach.errors import DMLTeachError
from dmlteach.sweep import driver, ray_cluster, workers
from dmlteach.sweep.grid import plan
from dmlteach.sweep.index import Index
from dmlteach.train import TrainConfig, fit
from tests.sweep.runs import QUICK, worker
from tests.train.runs import TINY, assert_equal_runs

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {**TINY, "batches_per_epoch": 2}
TABLE: dict[str, Any] = {n: v for n, v in SMALL.items() if n != "progress"}
TABLE |= {"methods": "contrastive,semihard", "seeds": "0-5"}

# A worker that kills the process whose number stands beside it, once, in the middle of an epoch; then it
# waits until it is told to stop: until its line to the driver has ended. Where the number is that of a
# machine's Ray, only a worker of that machine does. It notes how each of its trainings has ended.
HIT = """
import os, signal
from pathlib import Path
import psutil
from dmlteach import train
from dmlteach.sweep import one
beside = Path(__file__)
victim, is_machine = int(beside.with_suffix(".pid").read_text()), {is_machine}
train_on, train_one = train.Run.train_on, one.train_one
def noted(config, stop):
    global asked
    asked = stop
    outcome = train_one(config, stop)
    with open(beside.with_suffix(".log"), "a") as log:
        print(outcome.state, config["output"], file=log)
    return outcome
def mine():
    return not is_machine or psutil.Process(os.getppid()).ppid() == victim
def hit(run, *arguments):
    train_on(run, *arguments)
    if (run.epoch, run.step) == (1, 1) and mine():
        try:
            open(beside.with_suffix(".hit"), "x").close()
        except FileExistsError:
            return
        os.kill(victim, signal.SIGKILL)
        asked.wait()
train.Run.train_on, one.train_one = hit, noted
one.main()
"""
# A worker that is as good as Ctrl-C for its driver, once, and trains until it is told to stop.
STOPS = """
import os, signal, sys
try:
    open({mark!r}, "x").close()
    os.kill({driver}, signal.SIGINT)
except FileExistsError:
    pass
sys.stdin.read()
print('{{"state": "interrupted"}}')
"""
# The command `dmlteach`, whose workers run another program, and which writes down its number.
COMMAND = """
import os, sys
from pathlib import Path
from dmlteach.cli import app
from dmlteach.sweep import workers
Path(sys.argv[1] + ".driver").write_text(str(os.getpid()))
workers.PROGRAM = (sys.argv[1],)
app(sys.argv[2:])
"""


@contextmanager
def lean_ray(folder: Path) -> Iterator[Any]:
    """Ray, whose processes do without a second of imports that they have no use for, and report nothing."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'dmlteach[ray]'")
    (folder / "rfc3987_syntax.py").write_text("raise ImportError('jsonschema can do without')\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # 15 is usual: behind all that is tested beside it
        paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        before = signal.getsignal(signal.SIGTERM)
        import ray

        yield ray
        signal.signal(signal.SIGTERM, before)  # which Ray has taken


@contextmanager
def two_machines(folder: Path) -> Iterator[tuple[str, int]]:
    """A cluster of two nodes with a CPU each: its address, and the number of the second one's Ray."""
    with lean_ray(folder):
        from ray.cluster_utils import Cluster

        cluster = Cluster(shutdown_at_exit=True)
        usual = {"num_cpus": 1, "object_store_memory": ray_cluster.STORE, "include_log_monitor": False}
        try:
            started(lambda: cluster.add_node(**usual, no_monitor=True, include_dashboard=False))
            second = started(lambda: cluster.add_node(**usual))
            (process,) = second.all_processes["raylet"]
            yield cluster.address, process.process.pid
        finally:
            cluster.shutdown()


def started(start, tries: int = 5):
    """Ray gives its parts seconds to start, and a machine that has much else to do needs more."""
    for left in reversed(range(tries)):
        try:
            return start()
        except Exception as error:
            if not left or "timed out" not in str(error):
                raise
            cluster_is_late = error
    raise cluster_is_late


def in_a_shell(table: dict[str, Any]) -> list[str]:
    return [word for name, value in table.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def test_a_sweep_on_two_machines_survives_the_end_of_its_driver_and_of_a_machine(tmp_path, monkeypatch):
    """Of twelve runs; once the driver is gone, two others share the rest, and lose the machine."""
    folder, runs = tmp_path / "sweep", plan([TABLE])
    first, second = tmp_path / "first.py", tmp_path / "second.py"
    lean = tmp_path / "lean"
    lean.mkdir()

    def command(script: Path, address: str) -> subprocess.Popen:
        words = ["sweep", *in_a_shell(TABLE), "--output", str(folder), "--ray", address]
        call = [sys.executable, "-c", COMMAND, str(script), *words]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            call, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )

    with two_machines(lean) as (address, machine):
        (tmp_path / "first.pid").symlink_to("first.py.driver")
        first.write_text(HIT.format(is_machine=False))
        killed = command(first, address)
        said = killed.communicate(timeout=900)[0]
        assert killed.returncode == -signal.SIGKILL, said
        with Index(folder, make=False) as index:
            assert Counter(row.state for row in index.rows()) == {"running": 2, "waiting": 10}

        (tmp_path / "second.pid").write_text(str(machine))
        worker(second, monkeypatch, HIT.format(is_machine=True))
        other = command(second, address)
        events: list[str] = []
        with ray_cluster.connected(address, None) as cluster:
            assert cluster.room("cpu") == 2
            driver.sweep(runs, folder, 2, show=lambda _, event: events.append(event), cluster=cluster)
        said = other.communicate(timeout=900)[0]
        assert other.returncode == 0, said

    with Index(folder, make=False) as index:
        rows = index.rows()
    assert [row.state for row in rows] == ["done"] * 12
    assert (tmp_path / "second.hit").exists() and sum(row.deaths for row in rows) >= 1
    told = r"tried again: (its place in the Ray cluster is gone|Ray has ended on)"
    assert re.search(told, said + " ".join(events))
    saved, ends = (
        [line.split() for line in (tmp_path / log).read_text().splitlines()]
        for log in ("first.log", "second.log")
    )
    assert "interrupted" in [state for state, _ in saved]  # in good order, with nobody left to tell
    assert [state for state, _ in ends].count("interrupted") == 1
    places = sorted(str(folder / run.folder) for run in runs)
    assert sorted(place for state, place in ends if state == "done") == places  # each was trained by one
    for run, row in zip(runs, rows, strict=True):
        config = {**SMALL, "method": run.config.method, "seed": run.config.seed}
        fit(TrainConfig(**config, output=str(tmp_path / "truth" / run.folder)))
        assert_equal_runs(folder / run.folder, tmp_path / "truth" / run.folder)
        assert row.metrics and row.metrics["made_with"]["threads"] == 1 and row.seconds > 0 and row.host


def test_ray_local_is_started_and_stopped_by_the_sweep_which_alone_speaks(tmp_path, monkeypatch, capfd):
    """Ctrl-C lets runs save, and Ray is gone after it; the same command without Ray goes on."""
    words = ["sweep", *in_a_shell(TABLE), "--output", str(tmp_path / "sweep"), "--jobs", "2"]
    with lean_ray(tmp_path) as ray:
        worker(
            tmp_path / "stops.py", monkeypatch, STOPS.format(driver=os.getpid(), mark=str(tmp_path / "mark"))
        )
        done = CliRunner().invoke(app, [*words, "--ray", "local"])
        assert done.exit_code == 130 and "goes on from there" in done.stderr, done.output
        assert not ray.is_initialized()
        assert capfd.readouterr() == ("", "")  # Ray says nothing
    worker(tmp_path / "quick.py", monkeypatch, QUICK.format(log=str(tmp_path / "log")))
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0 and "12 of 12 runs done" in done.stdout, done.output
    with Index(tmp_path / "sweep", make=False) as index:
        assert sum(row.deaths for row in index.rows()) == 0


class NoRay:
    """A cluster by what it says of itself."""

    def __init__(self, **resources: float):
        self.cluster_resources = lambda: resources


def test_a_run_takes_a_cpu_and_where_it_trains_on_a_gpu_one_of_these():
    def room(device: str, **resources: float) -> int:
        return ray_cluster.Cluster(NoRay(**resources)).room(device)

    assert room("cpu", CPU=16.0, GPU=2.0) == 16
    assert room("cuda", CPU=16.0, GPU=2.0) == room("auto", CPU=16.0, GPU=2.0) == 2
    assert room("auto", CPU=16.0) == 16
    with pytest.raises(DMLTeachError, match="has no GPU for a run; add machines that have one"):
        room("cuda", CPU=16.0)
    with pytest.raises(DMLTeachError, match="has no CPU for a run"):
        room("cpu")


def test_a_machine_that_does_not_see_the_sweep_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mark = tmp_path / "sweep" / "drivers" / "someone"
    mark.mkdir(parents=True)
    config = {**TINY, "output": "sweep/run"}
    worker(tmp_path / "quick.py", monkeypatch, QUICK.format(log=str(tmp_path / "log")))
    for here, sign in ((tmp_path, mark), (tmp_path, mark.relative_to(tmp_path))):
        outcome = ray_cluster.train_there(workers.PROGRAM, config, str(here), str(sign))
        assert outcome.state == "done" and outcome.metrics
    for here, sign in ((tmp_path, "sweep/drivers/other"), (tmp_path / "elsewhere", mark)):
        with pytest.raises(
            DMLTeachError, match="does not see .*(sweep|elsewhere); start the sweep in a folder"
        ):
            ray_cluster.train_there(workers.PROGRAM, config, str(here), str(sign))
    assert (tmp_path / "log").read_text().split() == ["sweep/run"] * 2


def test_what_no_sweep_can_be_started_on_is_one_sentence_and_writes_nothing(tmp_path, monkeypatch):
    words = ["sweep", *in_a_shell(TABLE), "--output", str(tmp_path / "sweep")]
    monkeypatch.setattr(ray_cluster, "need", lambda module, part: None)  # it is not asked for anything
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    for address, why in (
        ("head", "--ray takes HOST:PORT of a cluster's head, or local, not 'head'"),
        ("ray://head:10001", "is to be started on a machine of the cluster"),
        (f"127.0.0.1:{free}", f"no Ray cluster can be used at 127.0.0.1:{free}: "),
    ):
        done = CliRunner().invoke(app, [*words, "--ray", address])
        assert done.exit_code == 2 and why in " ".join(done.stderr.split()), done.output
    monkeypatch.undo()
    monkeypatch.setattr("dmlteach.errors.find_spec", lambda name: None)
    done = CliRunner().invoke(app, [*words, "--ray", "local"])
    assert "ray is not installed; it comes with: pip install 'dmlteach[ray]'" in " ".join(done.stderr.split())
    assert not (tmp_path / "sweep").exists()
