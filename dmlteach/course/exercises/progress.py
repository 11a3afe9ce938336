"""What a reader has done, in one JSON file of the user's data folder. Nothing leaves the machine."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import platformdirs

from dmlteach import files
from dmlteach.errors import DMLTeachError

VARIABLE = "DMLTEACH_PROGRESS"  # names another file
VERSION = 1
BETTER = ("not yet", "to compare", "right")  # statuses of records, each better than the one before
PATIENCE = 5.0  # seconds to wait for another process that writes


@dataclass
class Record:
    """Progress on one exercise.

    Attributes:
        status: of the best answer so far: "right", "to compare" or "not yet".
        tries: answers checked, the first right one included and none after it.
        hints: how many were read, at most.
        solution: whether it was read.
        when: time of the last change, UTC.
        answer: what was entered, as JSON: of predictions and of the questions that open and close the
            course; of exercises only what an import from the site brings.
    """

    status: str = "not yet"
    tries: int = 0
    hints: int = 0
    solution: bool = False
    when: str = ""
    answer: str = ""

    @property
    def done(self) -> bool:
        return self.status in ("right", "to compare")


def file() -> Path:
    """$DMLTEACH_PROGRESS, else `progress.json` in the user's data folder."""
    named = os.environ.get(VARIABLE)
    return (
        Path(named).expanduser() if named else Path(platformdirs.user_data_dir("dmlteach")) / "progress.json"
    )


def read() -> tuple[dict[str, Record], str]:
    """All records by exercise, and what is to say about the file ("" if nothing).

    Raises:
        DMLTeachError: a newer version wrote the file.
        OSError: it cannot be read.
    """
    try:
        return _parse(), ""
    except _Damaged:
        with _locked():
            return _read()


def add_try(id: str, status: str) -> str:
    """Note an answer that was checked; returns what is to say about the file ("" if nothing)."""

    def change(record: Record) -> None:
        if not record.done:
            record.tries += 1
            record.status = status

    return _change(id, change)


def keep_answer(id: str, answer: str) -> str:
    """Note an answer that is kept and not marked, in place of one before it.

    Args:
        id: of the question.
        answer: as JSON, as the site writes it.

    Returns:
        As `add_try`.
    """

    def change(record: Record) -> None:
        record.status, record.tries, record.answer = "to compare", 1, answer

    return _change(id, change)


def answer_of(id: str) -> Any:
    """The answer that is kept of a question, read from its JSON; None where there is none.

    Args:
        id: of the question.
    """
    try:
        record = _parse().get(id)
        return json.loads(record.answer) if record and record.answer else None
    except (OSError, ValueError, RecursionError, _Damaged, DMLTeachError):  # told where it is written
        return None


def add_hint(id: str, stage: int) -> str:
    """Note that hints up to this stage, from 1, were read; returns as `add_try`."""

    def change(record: Record) -> None:
        record.hints = max(record.hints, stage)

    return _change(id, change)


def add_solution(id: str) -> str:
    """Note that the solution was read; returns as `add_try`."""

    def change(record: Record) -> None:
        record.solution = True

    return _change(id, change)


def reset() -> None:
    """Forget everything.

    Raises:
        OSError: the file cannot be removed.
    """
    if file().exists():
        with _locked():
            file().unlink(missing_ok=True)


def export(target: str | Path) -> None:
    """Write all records to a file of the reader's choice.

    Args:
        target: a JSON file; its folder is made.

    Raises:
        DMLTeachError: as `read`, or the file cannot be written.
    """
    records, _ = read()
    files.write_text(Path(target).expanduser(), _as_json(records))


def exported(source: str | Path) -> dict[str, Record]:
    """The records of a file that the site or `dmlteach progress --export` has written.

    Args:
        source: the JSON file.

    Raises:
        DMLTeachError: it cannot be read, is none of progress, or a newer version wrote it.
    """
    source = Path(source).expanduser()
    try:
        return _parse(source)
    except _Damaged as error:
        raise DMLTeachError(
            f"{source} holds no progress; give one that the site or `dmlteach progress --export` has written."
        ) from error
    except OSError as error:
        raise DMLTeachError(
            f"{source} cannot be read: {error.strerror or error}; give the file that was exported."
        ) from error


def take_in(source: str | Path) -> int:
    """Add the records of an exported file, of this program or of the site; nothing here is deleted.

    Args:
        source: the JSON file.

    Returns:
        How many records became other ones, or are new.

    Raises:
        DMLTeachError: the file cannot be read, is none of progress, or a newer version wrote it.
        OSError: the own file cannot be written.
    """
    theirs = exported(source)
    file().parent.mkdir(parents=True, exist_ok=True)
    with _locked():
        mine, _ = _read()
        both = {id: merged(mine.get(id), theirs.get(id)) for id in [*mine, *(theirs.keys() - mine)]}
        changed = sum(record != mine.get(id) for id, record in both.items())
        if changed:
            files.write_text(file(), _as_json(both))
    return changed


def merged(mine: Record | None, theirs: Record | None) -> Record:
    """One record of two: the better status, and of all else the most.

    Args:
        mine: kept here; its answer stays where both statuses are equal.
        theirs: to be added.
    """
    if mine is None or theirs is None:
        return mine or theirs or Record()
    better = BETTER.index(theirs.status) > BETTER.index(mine.status)
    first, second = (theirs, mine) if better else (mine, theirs)
    return Record(
        first.status,
        max(mine.tries, theirs.tries),
        max(mine.hints, theirs.hints),
        mine.solution or theirs.solution,
        max(mine.when, theirs.when),
        first.answer or second.answer,
    )


def _change(id: str, change: Any) -> str:
    """Read, change and write one record, alone; a file that cannot be written is told, not raised."""
    try:
        file().parent.mkdir(parents=True, exist_ok=True)
        with _locked():
            records, note = _read()
            record = records.setdefault(id, Record())
            before = asdict(record)
            change(record)
            if asdict(record) != before or note:
                record.when = datetime.now(UTC).isoformat(timespec="seconds")
                files.write_text(file(), _as_json(records))
            return note
    except OSError as error:
        return f"progress could not be saved in {file()}: {error.strerror or error}"
    except DMLTeachError as error:
        return str(error)


class _Damaged(Exception):
    """The file holds something else than progress."""


def _parse(path: Path | None = None) -> dict[str, Record]:
    """Records of a file; of the own one, which may not be there yet, if none is given."""
    own, path = path is None, path or file()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version, entries = int(content["version"]), dict(content["exercises"])
        if version <= VERSION:
            return {id: _record(entry) for id, entry in entries.items()}
    except FileNotFoundError:
        if own:
            return {}
        raise
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise _Damaged from error
    raise DMLTeachError(
        f"{path} was written by a newer dmlteach and is left as it is; update dmlteach, or name another "
        + (f"file in {VARIABLE}." if own else "file.")
    )


def _read() -> tuple[dict[str, Record], str]:
    """As `read`, under the lock; a damaged file is put aside, so that nothing in it is lost."""
    try:
        return _parse(), ""
    except _Damaged:
        aside = _free_name(file())
        os.replace(file(), aside)
        return {}, f"the progress file was damaged; it is kept as {aside}, and a new one is begun"


def _record(entry: dict[str, Any]) -> Record:
    """From a file of this version or an older one: what is missing takes its default."""
    record = Record(**{f.name: entry[f.name] for f in fields(Record) if f.name in entry})
    for f in fields(Record):
        if type(getattr(record, f.name)) is not type(f.default):
            raise TypeError(f"{f.name} is {getattr(record, f.name)!r}")
    if record.status not in BETTER:
        raise ValueError(f"the status is {record.status!r}")
    if record.when and datetime.fromisoformat(record.when).tzinfo is None:
        raise ValueError(f"the time {record.when!r} is in no zone")
    if record.answer:
        json.loads(record.answer)
    return record


def _free_name(path: Path) -> Path:
    """A name beside `path` that nothing has: progress.damaged-1.json."""
    number = 1
    while (aside := path.with_name(f"{path.stem}.damaged-{number}{path.suffix}")).exists():
        number += 1
    return aside


def _as_json(records: dict[str, Record]) -> str:
    content = {"version": VERSION, "exercises": {id: asdict(r) for id, r in sorted(records.items())}}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


@contextmanager
def _locked() -> Iterator[None]:
    """Alone among all processes; the system frees the lock of one that dies.

    The lock is on a file of its own, because the progress file is replaced at each change.
    """
    with open(file().with_name(file().name + ".lock"), "a+b") as lock:
        end = time.monotonic() + PATIENCE
        while not files.try_lock(lock.fileno()):
            if time.monotonic() > end:
                raise OSError(None, "another process holds its lock", str(file()))
            time.sleep(0.01)
        yield  # closing the file frees it
