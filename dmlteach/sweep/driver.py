"""The driver of a sweep: what is to be run is claimed in the index, trained, and entered there."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dmlteach.errors import DMLTeachError, counted
from dmlteach.sweep.grid import Planned, check_data
from dmlteach.sweep.index import FILE, Index, Row, config_of
from dmlteach.sweep.one import Outcome
from dmlteach.sweep.overview import Overview
from dmlteach.sweep.workers import SAVING, Worker, run_all
from dmlteach.train.config import TrainConfig
from dmlteach.train.ending import stop_on_signal

if TYPE_CHECKING:
    from dmlteach.sweep.ray_cluster import Cluster


def sweep(
    runs: Sequence[Planned],
    folder: Path,
    jobs: int,
    retry_failed: bool = False,
    show: Callable[[Overview, str], None] = lambda overview, event: None,
    cluster: "Cluster | None" = None,
) -> Overview:
    """Train all runs that are not finished; those that were interrupted go on where they stood.

    Several sweeps may share a folder, at the same time as well: each run is trained by one of them.

    Args:
        runs: what `plan` gives.
        folder: of the sweep: its index, and the folders of the runs.
        jobs: runs side by side.
        retry_failed: whether runs that have failed before are tried again.
        show: called with the overview, and what has just happened: a sentence, or "" where nothing has.
        cluster: of Ray, which trains; None: processes of this machine.

    Returns:
        The overview, as it is in the end.

    Raises:
        DMLTeachError: the data cannot be used, or the index.
        KeyboardInterrupt: after Ctrl-C, once all that was running is saved.
    """
    asked = {run.hash: run for run in runs}
    if new := not (folder / FILE).is_file():
        check_data(runs)  # before anything is written
    with Index(folder) as index, stop_on_signal(threading.Event()) as stop:
        index.want(runs, retry_failed)
        _wait_for_workers(index, stop)
        overview = Overview(index.rows(), jobs, stop)
        if not new:
            check_data(asked[row.hash] for row in overview.open())

        def take() -> tuple[Row, TrainConfig] | None:
            index.release_abandoned()
            row = index.claim()
            if row is None:
                show(overview, "")
                return None
            overview.begun(row)
            show(overview, "")
            return row, config_of(row, asked[row.hash].config, folder)

        def report(row: Row, outcome: Outcome) -> None:
            if outcome.state == "interrupted" and not stop.is_set():
                outcome = outcome._replace(state="died", error="its process stopped without being asked to.")
            state = index.ended(row.hash, outcome)
            show(overview, overview.ended(row, outcome, state))

        run_all(take, jobs, report, stop, cluster.beginner(index.place) if cluster else Worker)
        overview.update(index.rows())
    if stop.is_set():
        raise KeyboardInterrupt(f"stopped; {folder} is saved, the same command goes on from there")
    return overview


def _wait_for_workers(index: Index, stop: threading.Event) -> None:
    """Let the workers of a driver that was killed save what they have, then take their runs over."""
    until = time.monotonic() + SAVING
    while held := index.release_abandoned():
        if stop.is_set():
            return
        if time.monotonic() > until:
            raise DMLTeachError(
                f"{counted(held, 'run')} in {index.folder} are still being trained by processes whose sweep "
                "has ended; end those (dmlteach.sweep.one), then start again."
            )
        time.sleep(0.2)
