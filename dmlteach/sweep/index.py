"""The index of a sweep: one row a run, in an SQLite file that drivers write and workers never see."""

import json
import os
import platform
import sqlite3
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from dmlteach.errors import DMLTeachError
from dmlteach.files import Lock, damaged, is_free, is_number
from dmlteach.sweep.grid import ASIDE, Planned, anywhere, given_of
from dmlteach.sweep.kept import check_metrics, check_options
from dmlteach.sweep.one import Outcome
from dmlteach.train.config import TrainConfig

FILE = "index.sqlite"
VERSION = 1
PATIENCE = 60.0  # seconds for which another driver may keep the file
DEATHS = 3  # of its worker, after which a run has failed

STATES = ("waiting", "running", "interrupted", "done", "failed")
CURE = "Remove it and start the sweep again: runs that are finished are measured anew, and not trained."
DAMAGE = ("malformed", "UTF-8", "no such", "corrupt")  # in what SQLite says where it calls the error another

SCHEMA = """
CREATE TABLE runs (
    hash TEXT PRIMARY KEY, -- of all that decides the result
    folder TEXT NOT NULL, -- in that of the sweep
    config TEXT NOT NULL, -- JSON: options that are not the usual ones
    state TEXT NOT NULL DEFAULT 'waiting', -- then running; interrupted, done or failed
    deaths INTEGER NOT NULL DEFAULT 0, -- of its workers
    error TEXT,
    metrics TEXT, -- JSON: untrained, val, final, made_with
    seconds REAL NOT NULL DEFAULT 0, -- of its workers, all starts together
    peak_memory INTEGER, -- bytes, of the last start
    host TEXT,
    driver TEXT -- who has it
);
CREATE INDEX by_state ON runs (state);
"""


class Row(NamedTuple):
    """A run as the index knows it."""

    hash: str
    folder: str
    config: dict[str, Any]
    state: str
    deaths: int
    error: str | None
    metrics: dict[str, Any] | None
    seconds: float
    peak_memory: int | None
    host: str | None


COLUMNS = ", ".join(Row._fields)


class Index:
    """The rows of a sweep, and the right of one driver to claim runs among them.

    Args:
        folder: of the sweep.
        make: whether a new index is made where there is none.

    Attributes:
        place: a folder that is there as long as this driver has the index.

    Raises:
        DMLTeachError: there is none, it is damaged, or it cannot be written.
    """

    def __init__(self, folder: Path, make: bool = True):
        self.folder, self.file = folder, folder / FILE
        if not make and not self.file.is_file():
            raise DMLTeachError(f"{folder} is no folder of a sweep: it has no {FILE}.")
        self.driver = f"{platform.node()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.place = self._place(self.driver)
        self._lock, self._wants = Lock(self.place), False
        if make:
            self._lock.take()
        try:
            with self._in_one_sentence():
                self.connection = sqlite3.connect(self.file, timeout=PATIENCE, isolation_level=None)
                if make:
                    self._prepare()
                self._check_version()
        except BaseException:
            self._lock.release()
            raise

    def close(self) -> None:
        """Give the file and the claims free."""
        self.connection.close()
        self._lock.release()

    def __enter__(self) -> "Index":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    # ── what is to be run ─────────────────────────────────────────────────────────────────────────────

    def want(self, runs: Iterable[Planned], retry_failed: bool = False) -> None:
        """Enter the runs that are new; from here on, this index is about these runs alone.

        Args:
            runs: of this sweep; others may stand in the same file.
            retry_failed: whether those that have failed are to be tried again.
        """
        by_hash = {run.hash: run for run in runs}
        with self._transaction() as rows:
            rows.execute("CREATE TEMP TABLE wanted (hash TEXT PRIMARY KEY)")
            rows.executemany("INSERT INTO wanted VALUES (?)", [(hash,) for hash in by_hash])
            missing = rows.execute(
                "SELECT hash FROM wanted WHERE hash NOT IN (SELECT hash FROM runs) ORDER BY wanted.rowid"
            ).fetchall()
            new = [by_hash[hash] for (hash,) in missing]
            rows.executemany(
                "INSERT INTO runs (hash, folder, config) VALUES (?, ?, ?)",
                [(run.hash, run.folder, json.dumps(anywhere(given_of(run.config)))) for run in new],
            )
            if retry_failed:
                rows.execute(
                    "UPDATE runs SET state = 'interrupted', deaths = 0, error = NULL "
                    "WHERE state = 'failed' AND hash IN (SELECT hash FROM wanted)"
                )
        self._wants = True

    def rows(self) -> list[Row]:
        """All rows, in the order in which they were entered; after `want`, only those."""
        with self._in_one_sentence():
            found = self.connection.execute(f"SELECT {COLUMNS} FROM runs {self._only()} ORDER BY rowid")
            return [_row(values, self.file) for values in found]

    def claim(self) -> Row | None:
        """Take the next run that waits or was interrupted: nobody else gets it. None where none is left."""
        open_ = f"SELECT rowid FROM runs {self._only()} AND state IN ('waiting', 'interrupted')"
        with self._in_one_sentence():
            if self.connection.execute(f"{open_} LIMIT 1").fetchone() is None:
                return None
        with self._transaction() as rows:
            found = rows.execute(
                f"UPDATE runs SET state = 'running', driver = ?, host = ? "
                f"WHERE rowid = ({open_} ORDER BY rowid LIMIT 1) RETURNING {COLUMNS}",
                (self.driver, platform.node()),
            ).fetchone()
        return found and _row(found, self.file)

    def ended(self, hash: str, outcome: Outcome) -> str:
        """Enter what has become of a run.

        Args:
            hash: of the run.
            outcome: of its worker.

        Returns:
            Its state: a run whose worker died is to be tried again, unless that was once too often.
        """
        died = outcome.state == "died"
        with self._transaction() as rows:
            (state,) = rows.execute(
                "UPDATE runs SET deaths = deaths + ?, state = CASE WHEN ? THEN "
                "CASE WHEN deaths + 1 < ? THEN 'interrupted' ELSE 'failed' END ELSE ? END, error = ?, "
                "metrics = ?, seconds = seconds + ?, peak_memory = COALESCE(?, peak_memory), "
                "host = COALESCE(?, host), driver = NULL WHERE hash = ? RETURNING state",
                (
                    died, died, DEATHS, outcome.state, outcome.error,
                    outcome.metrics and json.dumps(outcome.metrics), outcome.seconds, outcome.peak_memory,
                    outcome.host, hash,
                ),
            ).fetchone()  # fmt: skip
        return state

    # ── what others have left ─────────────────────────────────────────────────────────────────────────

    def release_abandoned(self) -> int:
        """Make runs free whose driver is gone: interrupted, once no worker of it is still saving them.

        Returns:
            How many runs are still held by such a worker.
        """
        with self._in_one_sentence():
            found = self.connection.execute(
                f"SELECT hash, folder, driver FROM runs {self._only()} AND state = 'running' AND driver != ?",
                (self.driver,),
            ).fetchall()
        gone = {driver: self._is_gone(driver) for driver in {driver for *_, driver in found}}
        held = 0
        for hash, folder, driver in found:
            if gone[driver] and is_free(self.folder / folder):
                with self._transaction() as rows:
                    rows.execute(
                        "UPDATE runs SET state = 'interrupted', driver = NULL WHERE hash = ? AND driver = ?",
                        (hash, driver),
                    )
            else:
                held += gone[driver]
        return held

    def _is_gone(self, driver: str) -> bool:
        place = self._place(driver)
        gone = is_free(place)
        if gone:
            with suppress(OSError):
                place.rmdir()  # a kill left it
        return gone

    def _place(self, driver: str) -> Path:
        return self.folder / "drivers" / driver

    def _only(self) -> str:
        return "WHERE hash IN (SELECT hash FROM wanted)" if self._wants else "WHERE 1"

    # ── the file ──────────────────────────────────────────────────────────────────────────────────────

    def _prepare(self) -> None:
        if self.connection.execute("PRAGMA user_version").fetchone() == (0,):
            with self._transaction() as rows:  # which another driver may have got first
                if rows.execute("PRAGMA user_version").fetchone() == (0,):
                    for statement in filter(str.strip, SCHEMA.split(";\n")):
                        rows.execute(statement)
                    rows.execute(f"PRAGMA user_version = {VERSION}")

    def _check_version(self) -> None:
        (version,) = self.connection.execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            raise DMLTeachError(
                f"{self.file} is an index of version {version}, and this dmlteach reads version {VERSION}; "
                "take the dmlteach that wrote it, or another folder for the sweep."
            )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Within it, nobody else writes; what the body does is kept as a whole or not at all."""
        with self._in_one_sentence():
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            finally:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")

    @contextmanager
    def _in_one_sentence(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter where SQLite quotes what is damaged
            raise DMLTeachError(_sentence(self.file, error)) from error


def config_of(row: Row, now: TrainConfig | None, folder: Path) -> TrainConfig:
    """The configuration with which a run begins or goes on.

    Args:
        row: of the run: what decides its result stays as it was entered.
        now: as it is asked for today: where its data lie, and on which device it trains; None: as before.
        folder: of the sweep.
    """
    aside = {name: getattr(now, name) for name in ASIDE} if now else {}
    own = {"output": str(folder / row.folder), "resume": True, "progress": False}
    known = {field.name for field in fields(TrainConfig)}
    return TrainConfig(**{k: v for k, v in row.config.items() if k in known} | aside | own)


def _row(values: tuple, file: Path) -> Row:
    """A row as the file holds it, if that is one."""
    row = Row(*values)
    try:
        if row.state not in STATES or not (is_number(row.deaths) and is_number(row.seconds)):
            raise ValueError("its state is none")
        if not isinstance(row.folder, str) or Path(row.folder).name != row.folder:
            raise ValueError("its folder is none")
        metrics = None if values[6] is None else check_metrics(json.loads(values[6]))
        if metrics is None and row.state == "done":
            raise ValueError("it has no numbers")
        return row._replace(config=check_options(json.loads(values[2])), metrics=metrics)
    except (TypeError, ValueError, RecursionError) as error:
        raise damaged(file, f"the row of {row.hash!r}: {error}", CURE) from error


def _sentence(file: Path, error: Exception) -> str:
    said = str(error)
    if "locked" in said or "busy" in said:
        return f"{file} was kept by another program for {PATIENCE:.0f} seconds; end that, and try again."
    if isinstance(error, sqlite3.OperationalError) and not any(word in said for word in DAMAGE):
        return f"{file} cannot be used ({said}); look whether its disk is full or not to be written in."
    return str(damaged(file, said, CURE))
