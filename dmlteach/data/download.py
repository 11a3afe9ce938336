"""Get the files of a data set: resumable download, checksum, safe unpacking.

Nothing is ever half there: an interrupted download waits in NAME.part to be continued, a file gets its
name once its checksum fits, and an archive's folder appears once it is unpacked as a whole.
"""

import hashlib
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm.auto import tqdm

from dmlteach.data.unpack import unpack
from dmlteach.errors import DMLTeachError
from dmlteach.files import check_room

_TRIES = 4  # connections for one file, before the user is asked to repeat the command
_PAUSE = 2.0  # seconds between them
_TIMEOUT = 60  # seconds without any data
_BLOCK = 1 << 16  # bytes; what has arrived of one when the connection breaks is lost


@dataclass(frozen=True)
class Remote:
    """A file that a data set consists of.

    Attributes:
        name: of the file, directly in the root.
        size: bytes, where known.
        checksum: "sha256:…" or "md5:…"; None where nobody has published one.
        url: its official place; None where that is gone or asks for an agreement.
        holds: the folder that the archive unpacks to; None for a plain file.
    """

    name: str
    size: int | None = None
    checksum: str | None = None
    url: str | None = None
    holds: str | None = None

    @property
    def gives(self) -> str:
        """What is in the root once this is done."""
        return self.holds or self.name

    @property
    def may_be_downloaded(self) -> bool:
        return self.url is not None and _is_safe(self.url, self.checksum)

    def __str__(self) -> str:
        facts = [f"{self.size:,} bytes"] if self.size else []
        facts.append(self.checksum or "no checksum is published")
        return f"{self.name} ({', '.join(facts)})"


def fetch(dataset: str, choices: Sequence[Sequence[Remote]], root: Path, progress: bool = True) -> None:
    """Download, check and unpack what is not there yet.

    Archives are removed once unpacked if they were downloaded here; those you brought stay.

    Args:
        dataset: name, for messages.
        choices: sets of files of which one is enough; that with most files in `root` is taken.
        root: folder for them; made if needed.
        progress: say what is done, with bars.

    Raises:
        DMLTeachError: a file has to be put there by hand, cannot be reached, is not the published one,
            or is an archive that nobody should unpack.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DMLTeachError(f"{root} cannot be made a folder for the data set: {error.strerror}.") from error
    files = max(choices, key=lambda files: sum(_is_begun(file, root) for file in files))
    wanted = [file for file in files if file.holds is None or not (root / file.holds).exists()]
    absent = [file for file in wanted if not (root / file.name).exists()]
    by_hand = [file for file in absent if not file.may_be_downloaded]
    if by_hand:
        raise _put_by_hand(dataset, by_hand, root)
    check_room(
        _bytes_needed(wanted, absent), root, f"data set {dataset!r}", "Make room, or choose another --root."
    )
    for file in wanted:
        if file in absent:
            _download(file, root, progress)
        else:
            _check(file, root)
        if file.holds:
            unpack(root / file.name, file.holds, root, progress)
            if file in absent:
                (root / file.name).unlink()


def _is_begun(file: Remote, root: Path) -> bool:
    return (root / file.name).exists() or (root / file.gives).exists()


def _bytes_needed(wanted: Sequence[Remote], absent: Sequence[Remote]) -> int:
    """Images hardly compress, and of the archives downloaded one is there at a time."""
    unpacked = sum(file.size or 0 for file in wanted if file.holds)
    plain = sum(file.size or 0 for file in absent if not file.holds)
    return unpacked + plain + max([file.size or 0 for file in absent if file.holds], default=0)


def _put_by_hand(dataset: str, files: Sequence[Remote], root: Path) -> DMLTeachError:
    lines = [f"put these files of {dataset!r} into {root.resolve()} yourself, then repeat the command:"]
    lines += [f"    {file}" for file in files]
    return DMLTeachError("\n".join([*lines, f"`dmlteach data get {dataset}` says where they are."]))


def _is_safe(url: str, checksum: str | None) -> bool:
    """Nobody on the way can put something else in its place."""
    return url.startswith("https://") or (checksum or "").startswith("sha256:")


def _check(file: Remote, root: Path) -> None:
    """Refuse a file, brought by the user or left by an earlier call, that is not the published one."""
    if not _fits(root / file.name, file.checksum):
        raise DMLTeachError(
            f"{root / file.name} is not the published file ({file.checksum}). It may be cut off: delete it "
            "and get it again. A copy that was packed anew can be unpacked by hand; `dmlteach data check` "
            "tells if it is complete."
        )


def _fits(path: Path, checksum: str | None) -> bool:
    if checksum is None:
        return True
    algorithm, _, digest = checksum.partition(":")
    with open(path, "rb") as content:
        return hashlib.file_digest(content, algorithm).hexdigest() == digest


def _download(file: Remote, root: Path, progress: bool) -> None:
    """One file from its official place, under its name once the checksum fits."""
    import requests

    part = root / f"{file.name}.part"
    try:
        _fetch_whole(file, part, progress)
    except requests.RequestException as error:
        there = part.stat().st_size if part.exists() else 0
        kept = f" {there:,} bytes are kept; repeat the command to continue." if there else ""
        raise DMLTeachError(
            f"{file.url} cannot be downloaded ({_reason(error)}).{kept} Or put {file} into {root.resolve()} "
            "yourself and repeat the command."
        ) from error
    except OSError as error:
        raise DMLTeachError(f"{file.name} cannot be written in {root}: {error.strerror or error}.") from error
    if not _fits(part, file.checksum):
        part.unlink()
        raise DMLTeachError(
            f"{file.url} gave another file than the published one ({file.checksum}); it was deleted. "
            "Repeat the command; if that does not help, the place has changed."
        )
    os.replace(part, root / file.name)


def _fetch_whole(file: Remote, part: Path, progress: bool) -> None:
    """Continue `part` until it is whole; a connection that breaks is tried again."""
    import requests

    for left in reversed(range(_TRIES)):
        try:
            return _fetch_rest(file, part, progress)
        except requests.HTTPError:
            raise  # the server has answered, and will answer so again
        except requests.RequestException:
            if not left:
                raise
            time.sleep(_PAUSE)


def _fetch_rest(file: Remote, part: Path, progress: bool) -> None:
    """Append to `part` what it lacks; from the beginning where the server cannot continue."""
    import requests

    start = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"}  # bytes as they lie on the server
    if start:
        headers["Range"] = f"bytes={start}-"
    with requests.get(file.url or "", headers=headers, stream=True, timeout=_TIMEOUT) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            return  # nothing is left to send; the checksum decides
        answer.raise_for_status()
        if not _is_safe(answer.url, file.checksum):
            raise DMLTeachError(
                f"{file.url} leads to {answer.url}, which is not safe; nothing was downloaded."
            )
        continued = answer.status_code == requests.codes.partial_content
        start = start if continued else 0
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length else None
        bar = tqdm(
            total=total,
            initial=start,
            desc=file.name,
            unit="B",
            unit_scale=True,
            disable=not progress,
            file=sys.stderr,
        )
        with open(part, "ab" if continued else "wb") as content, bar:
            for block in answer.iter_content(_BLOCK):
                content.write(block)
                bar.update(len(block))
        if total is not None and part.stat().st_size < total:
            raise requests.ConnectionError("the connection ended early")


def _reason(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return f"the server answers {status}" if status else type(error).__name__
