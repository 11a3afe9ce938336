"""Files that are whole or not there, and one sentence where a disk takes no more."""

import errno
import io
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dmlteach.errors import DMLTeachError

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
            # Each writer has a name of its own: two at work on one file leave one of both, whole.
            part = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.part")
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


def _cannot_write(path: Path, error: OSError) -> DMLTeachError:
    folder = path.parent
    reason = REASONS.get(error.errno or 0, error.strerror or str(error)).format(folder=folder)
    cure = "Make room, or choose another folder" if error.errno in WANT_ROOM else "Choose another folder"
    kept = "; the file that stands there is unchanged." if os.path.isfile(path) else "."
    return DMLTeachError(f"{path} cannot be written: {reason} ({readable(_free(folder))} free). {cure}{kept}")
