"""Whole files or none, one sentence for what a disk refuses or has damaged, one process in a folder."""

import errno
import io
import json
import os
import shutil
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dmlteach.errors import DMLTeachError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

REASONS = {
    errno.ENOSPC: "the disk of {folder} is full",
    errno.EDQUOT: "your quota on the disk of {folder} is used up",
    errno.EFBIG: "it is larger than `ulimit -f` or the file system of {folder} allows",
    errno.EACCES: "you may not write in {folder}",
    errno.EPERM: "you may not write in {folder}",
    errno.EROFS: "the disk of {folder} can only be read",
    errno.EISDIR: "it is a folder",
    errno.ENOTDIR: "{folder} is not a folder",
    errno.EEXIST: "{folder} is not a folder",
    errno.ENOENT: "{folder} is not there, or not any more",
}
WANT_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
TRIES = 10  # to take a lock; a file system that numbers its files anew each time is believed after that
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # of file systems that know none


class Writer(io.BufferedWriter):
    """An open file that keeps the disk's first refusal for its owner, and drops what is written after it.

    Nothing, not even Ctrl-C, raises in the middle of torch's writers: they are C++, and what they do then
    ends the process or hides the reason.
    """

    refusal: OSError | KeyboardInterrupt | None = None

    def write(self, data: Any) -> int:
        self._unless_refused(super().write, data)
        return memoryview(data).nbytes

    def flush(self) -> None:
        self._unless_refused(super().flush)

    def become(self, path: Path) -> None:
        """Bring everything to the disk itself, and give the file its name."""
        self._unless_refused(super().flush)
        self._unless_refused(os.fsync, self.fileno())
        self._unless_refused(super().close)  # before the new name, for Windows
        self._unless_refused(os.replace, self.name, path)

    def _unless_refused(self, action: Callable[..., Any], *given: Any) -> None:
        if self.refusal is None:
            try:
                action(*given)
            except (OSError, KeyboardInterrupt) as error:
                self.refusal = error


@contextmanager
def whole(path: str | Path) -> Iterator[Writer]:
    """A file to write into, which takes the name `path` once the body has ended well.

    Until then `path` stays what it was, through a kill or a power cut as well, and a body that raises leaves
    nothing behind. The file gets the permissions of any new file. A device, as /dev/null, is written to as it
    is.

    Args:
        path: of the file; its folder is made.

    Raises:
        DMLTeachError: the disk is full, or does not take the file for another reason.
    """
    path = Path(path)
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            part = None
            file = Writer(io.FileIO(path, "w"))  # a folder raises
        else:
            part = _part_of(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            file = Writer(io.FileIO(part, "x"))
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        yield file
        if part:
            file.become(path)
    finally:
        with suppress(OSError):
            file.close()
        if part:
            part.unlink(missing_ok=True)
        if isinstance(file.refusal, OSError):
            raise _cannot_write(path, file.refusal) from file.refusal
        if file.refusal:
            raise file.refusal


def check_place(path: str | Path) -> None:
    """Refuse, before the work whose result it will hold, a file that `whole` could not begin.

    Args:
        path: of the file; nothing is made.

    Raises:
        DMLTeachError: it is a folder, its name is too long, or its folder is none or must not be written in.
    """
    path = Path(path)
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        return  # a device
    try:
        if os.path.isdir(path):
            raise IsADirectoryError(errno.EISDIR, "")
        os.stat(_part_of(path))
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _cannot_write(path, error) from error
    there = next(place for place in path.absolute().parents if os.path.lexists(place))
    if not os.path.isdir(there):
        raise _cannot_write(path, OSError(errno.ENOTDIR, ""))
    if not os.access(there, os.W_OK | os.X_OK):
        raise _cannot_write(path, OSError(errno.EACCES, ""))


def write_text(path: str | Path, text: str) -> None:
    """Write a text as UTF-8, whole or not at all.

    Args:
        path: of the file; its folder is made.
        text: its content.

    Raises:
        DMLTeachError: the file cannot be written.
    """
    with whole(path) as file:
        file.write(text.encode())


def write_json(path: str | Path, content: Any) -> None:
    """Write a JSON file, whole or not at all.

    Args:
        path: of the file; its folder is made.
        content: what JSON can hold; a NaN is a ValueError.

    Raises:
        DMLTeachError: the file cannot be written.
    """
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_json_lines(path: str | Path, rows: Iterable[Any]) -> None:
    """Write one JSON value a line, the file whole or not at all.

    Args:
        path: of the file; its folder is made.
        rows: what JSON can hold; a NaN is a ValueError.

    Raises:
        DMLTeachError: the file cannot be written.
    """
    write_text(path, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))


def read_json(path: Path, cure: str) -> Any:
    """What a JSON file holds.

    Args:
        path: of the file.
        cure: a sentence that says what to do where it is damaged.

    Raises:
        DMLTeachError: it cannot be read, or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DMLTeachError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise damaged(path, str(error) or type(error).__name__, cure) from error


def damaged(path: Path, reason: str, cure: str) -> DMLTeachError:
    """The error for a file that holds something else than it should.

    Args:
        path: of the file.
        reason: what is wrong with it.
        cure: a sentence that says what to do.
    """
    return DMLTeachError(f"{path} is damaged ({reason}). {cure}")


def is_number(value: Any) -> bool:
    """Whether a value that a file holds is a number; infinity and NaN are, true and false are not.

    Args:
        value: what the file holds.
    """
    return type(value) in (int, float)


def remove_unfinished(folder: Path) -> None:
    """Remove what `whole` had begun when its process was killed; nobody else may be writing there.

    Args:
        folder: whose files.
    """
    for part in folder.glob("*.????????.part"):
        part.unlink(missing_ok=True)


class Lock:
    """The right of one process to work in a folder. The system takes it back however that process ends.

    Args:
        folder: made where it is missing, and removed again by `release` where nothing was put into it.
    """

    def __init__(self, folder: Path):
        self.folder, self.path = folder, folder / "run.lock"
        self._file: io.BufferedRandom | None = None
        self._made: list[Path] = []

    def take(self) -> bool:
        """Take the folder, or say that another process has it.

        To be called again before something is written: the folder may have been removed with its lock.

        Raises:
            DMLTeachError: the folder cannot be made, or nothing can be written in it.
        """
        try:
            for _ in range(TRIES):
                if self._is_in_place():
                    break
                self._close()
                self._made = [place for place in [self.folder, *self.folder.parents] if not place.exists()]
                self.folder.mkdir(parents=True, exist_ok=True)
                file = open(self.path, "a+b")  # noqa: SIM115
                if not try_lock(file.fileno()):
                    file.close()
                    return False
                self._file = file  # perhaps one that its last holder has just removed: look again
        except OSError as error:
            raise _cannot_write(self.path, error) from error
        return True

    def release(self) -> None:
        """Give the folder free, and leave no trace of the lock."""
        ours = self._is_in_place()
        if sys.platform == "win32":
            self._close()
        with suppress(OSError):
            if ours:
                self.path.unlink()
            for folder in self._made:
                folder.rmdir()  # raises where the run has left something
        self._close()

    def _is_in_place(self) -> bool:
        if self._file is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), os.stat(self.path))
        except OSError:
            return False

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None


def is_free(folder: Path) -> bool:
    """Whether no process works in a folder at this moment, as far as its lock tells.

    Args:
        folder: may be missing; it is not made.
    """
    if not folder.is_dir():
        return True
    lock = Lock(folder)
    free = lock.take()
    lock.release()
    return free


def try_lock(handle: int) -> bool:
    """Lock an open file without waiting; closing it, or the end of the process, frees it.

    Args:
        handle: the file's descriptor, opened for writing.

    Returns:
        False where another process holds the lock. True also where the file system knows no locks: better
        work without one than not at all.
    """
    try:
        if sys.platform == "win32":
            os.lseek(handle, 0, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in NO_LOCKS
    return True


def check_room(need: int, folder: Path, what: str, cure: str) -> None:
    """Refuse to start what a disk cannot hold.

    Args:
        need: bytes.
        folder: on the disk; may be missing yet.
        what: what needs them, for the message.
        cure: what to do, a sentence.

    Raises:
        DMLTeachError: less than `need` and a tenth is free.
    """
    free = _free(folder)
    if need * 1.1 > free:
        raise DMLTeachError(f"{what} needs {readable(need)}, and {folder} has {readable(free)} free. {cure}")


def readable(count: int) -> str:
    """A number of bytes for people: "12.3 MB".

    Args:
        count: bytes.
    """
    if count < 1e9:
        return f"{count / 1e6:,.1f} MB"
    return f"{count / 1e9:,.1f} GB"


def _free(folder: Path) -> int:
    """Bytes free on the disk of a folder, or where it would be made."""
    there = next(place for place in [folder, *folder.absolute().parents] if os.path.isdir(place))
    return shutil.disk_usage(there).free


def _part_of(path: Path) -> Path:
    """A name beside a file's, new each time: two writers at work on one file leave one of both, whole."""
    return path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.part")


def _cannot_write(path: Path, error: OSError) -> DMLTeachError:
    folder = path.parent
    reason = REASONS.get(error.errno or 0, error.strerror or str(error)).format(folder=folder)
    cure = "Choose another folder"
    if error.errno in WANT_ROOM:
        reason, cure = f"{reason} ({readable(_free(folder))} free)", "Make room, or choose another folder"
    kept = "; the file that stands there is unchanged." if os.path.isfile(path) else "."
    return DMLTeachError(f"{path} cannot be written: {reason}. {cure}{kept}")
