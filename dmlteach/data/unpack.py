"""Unpack an archive that came from elsewhere, trusting nothing in it."""

import os
import re
import shutil
import stat
import sys
import tarfile
import uuid
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from tqdm.auto import tqdm

from dmlteach.data.tars import open_tar
from dmlteach.errors import DMLTeachError

MOST_TIMES = 20  # times the archive's size that its content may take: images hardly compress
ALLOWANCE = 10_000_000  # bytes beside that, for small archives of text
_PER_MEMBER = 512  # bytes that each member counts at least, for archives of countless empty files


class _Member(NamedTuple):
    name: str
    size: int  # bytes, unpacked
    kind: str  # "file", "folder", or what it is that nobody should unpack
    open: Callable[[], IO[bytes]]


def unpack(archive: Path, holds: str, root: Path, progress: bool = True) -> None:
    """Unpack the folder `holds` of a zip or (compressed) tar archive into `root`, whole or not at all.

    Members become plain files with this process's permissions. Members outside `holds` are left out.

    Args:
        archive: a .zip, or a tar archive of any compression.
        holds: a folder at the top of the archive; must not be in `root` yet.
        root: where it is put.
        progress: show a bar.

    Raises:
        DMLTeachError: the archive is damaged, encrypted, lacks the folder, or has a member that would
            leave the folder, is a link or device, or unpacks to far more than images would.
    """
    unfinished = root / f".{archive.name}.unpacking-{uuid.uuid4().hex[:12]}"
    try:
        _write_members(archive, holds, unfinished, progress)
        if not (unfinished / holds).is_dir():
            raise DMLTeachError(f"{archive} holds no folder {holds!r}; it is not the published archive.")
        os.replace(unfinished / holds, root / holds)
    except DMLTeachError:
        raise
    except OSError as error:
        raise DMLTeachError(f"{archive} cannot be unpacked in {root}: {error.strerror or error}.") from error
    except Exception as error:  # a damaged archive raises nearly anything
        reason = str(error) or type(error).__name__
        raise DMLTeachError(
            f"{archive} is cut off or damaged ({reason}); delete it and get it again."
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write_members(archive: Path, holds: str, folder: Path, progress: bool) -> None:
    """Check each member before it is written; what was written before a bad one is thrown away."""
    limit = MOST_TIMES * archive.stat().st_size + ALLOWANCE
    total = 0
    bar = tqdm(desc=f"Unpacking {archive.name}", unit=" files", disable=not progress, file=sys.stderr)
    with bar:
        for member in _members(archive):
            path = _safe_path(member, archive)
            total += max(member.size, _PER_MEMBER)
            if total > limit:
                raise DMLTeachError(
                    f"{archive} would unpack to more than {limit:,} bytes, {MOST_TIMES} times its size; that "
                    "is no archive of images, and nothing was unpacked."
                )
            if member.kind == "folder" or path.parts[:1] != (holds,):
                continue
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with member.open() as source, open(target, "wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
            bar.update()


def _safe_path(member: _Member, archive: Path) -> PurePosixPath:
    name = member.name.replace("\\", "/")
    path = PurePosixPath(name)
    leaves = path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", name)
    if leaves or member.kind not in ("file", "folder"):
        what = "a path that leaves the folder" if leaves else f"a {member.kind}"
        raise DMLTeachError(f"{archive} has {what}: {member.name!r}. Nothing was unpacked; do not trust it.")
    return path


def _members(archive: Path) -> Iterator[_Member]:
    """One after the other, as they lie in the archive."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as file:
            for entry in file.infolist():
                if entry.flag_bits & 1:
                    raise DMLTeachError(
                        f"{archive} is encrypted; unpack it yourself, into {archive.parent}, with the "
                        "password that its makers send."
                    )
                yield _Member(entry.filename, entry.file_size, _kind_in_zip(entry), partial(file.open, entry))
    else:
        with open_tar(archive) as tar:
            for info in tar:
                yield _Member(info.name, info.size, _kind_in_tar(info), partial(_content, tar, info))


def _kind_in_zip(entry: zipfile.ZipInfo) -> str:
    mode = stat.S_IFMT(entry.external_attr >> 16)  # 0 where the archive was not made on Unix
    if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "link" if mode == stat.S_IFLNK else "device"
    return "folder" if entry.is_dir() else "file"


def _kind_in_tar(info: tarfile.TarInfo) -> str:
    if info.isfile():
        return "file"
    if info.isdir():
        return "folder"
    return "link" if info.issym() or info.islnk() else "device"


def _content(tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    content = tar.extractfile(info)
    assert content is not None  # it is a plain file
    return content
