"""Image files, in a folder or inside a tar archive that is read in place."""

import gzip
import hashlib
import os
import stat
import uuid
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BufferedIOBase
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm.auto import tqdm

from dmlteach.data.cache import cache_folder
from dmlteach.data.dataset import Change
from dmlteach.data.decode import decode, pixels_of, size_of
from dmlteach.data.tars import open_tar
from dmlteach.data.unpack import ALLOWANCE, MOST_TIMES
from dmlteach.errors import DMLTeachError
from dmlteach.files import check_room


class StoredFile(NamedTuple):
    """A file by itself, or the part of an archive that holds one."""

    name: str  # relative to the data set, with /
    path: Path
    offset: int  # bytes before it in `path`
    size: int  # bytes
    modified: int  # ns

    def read(self) -> bytes:
        try:
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                return file.read(self.size)
        except OSError as error:
            raise DMLTeachError(f"cannot read {self}: {error}") from error

    def __str__(self) -> str:
        if self.path.suffix == ".tar" and self.offset:
            return f"{self.name} in {self.path}"
        return str(self.path)


class FileSource:
    """Images decoded from files to RGB when read, by as many threads as there are CPU cores.

    Args:
        files: one per image.
    """

    channels = 3

    def __init__(self, files: Sequence[StoredFile]):
        self.files = list(files)

    @property
    def fingerprint(self) -> str:
        """Names, sizes and times: reading every image would take as long as decoding them."""
        content = hashlib.sha256()
        for f in self.files:
            content.update(os.fsencode(f.name) + f"\0{f.offset} {f.size} {f.modified}\0".encode())
        return f"files {content.hexdigest()}"

    def __len__(self) -> int:
        return len(self.files)

    def read(self, rows: Tensor, change: Change | None = None) -> list[Tensor]:
        def one(row: int) -> Tensor:
            file = self.files[row]
            pixels = torch.from_numpy(pixels_of(decode(file.read(), str(file))))  # (H, W, 3)
            image = pixels.permute(2, 0, 1)[None]
            return change(image) if change else image

        threads = min(len(rows), os.cpu_count() or 1)
        if threads <= 1:
            return [one(row) for row in rows.tolist()]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(one, rows.tolist()))

    def sizes(self, rows: Tensor) -> Tensor:
        files = [self.files[row] for row in rows.tolist()]
        return torch.tensor([size_of(f.read(), str(f)) for f in files])

    def take(self, rows: Tensor) -> "FileSource":
        return FileSource([self.files[row] for row in rows.tolist()])


def is_hidden(name: str) -> bool:
    """Whether a file or folder called so is hidden, or macOS's copy of what a zip archive holds."""
    return name.startswith(".") or name == "__MACOSX"


def list_folder(root: Path, skip: Callable[[str], bool] = is_hidden) -> list[StoredFile]:
    """Every file below `root`, sorted by name; links are followed once.

    Args:
        root: the folder.
        skip: whether a file or folder called so is left out.

    Raises:
        DMLTeachError: a folder that cannot be looked into.
    """
    found, seen = [], set()
    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=_cannot_list):
        real = os.path.realpath(folder)
        if real in seen:  # a link back into the tree
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(s for s in subfolders if not skip(s))
        inside = Path(folder).relative_to(root).as_posix()
        prefix = "" if inside == "." else f"{inside}/"
        for name in names:
            if skip(name):
                continue
            path = Path(folder, name)
            with suppress(FileNotFoundError):  # a link that leads nowhere
                status = path.stat()
                if stat.S_ISREG(status.st_mode):
                    found.append(StoredFile(prefix + name, path, 0, status.st_size, status.st_mtime_ns))
    return sorted(found)


def list_archive(path: Path) -> list[StoredFile]:
    """Every file in a tar archive. A compressed one is first unpacked to a tar in the cache folder.

    Members are never written to disk under their own names, so an archive cannot place files anywhere.
    """
    if _is_plain_tar(path):
        return _members(path, path)
    plain = _decompress(path)
    with suppress(DMLTeachError):
        if _is_whole(plain):
            return _members(plain, path)
    plain.unlink(missing_ok=True)  # it was unpacked once, and may have been damaged since
    return _members(_decompress(path), path)


def _is_whole(tar: Path) -> bool:
    """Whether it ends as every archive ends, with two blocks of zeros: a cut, tarfile overlooks."""
    with open(tar, "rb") as file:
        file.seek(max(tar.stat().st_size - 1024, 0))
        return file.read() == bytes(1024)


def _members(plain: Path, path: Path) -> list[StoredFile]:
    """Files in an archive that is not compressed, or no longer; `path` is the user's."""
    modified = path.stat().st_mtime_ns
    try:
        with open_tar(plain) as archive:
            members = [m for m in archive if m.isfile()]
    except Exception as error:  # a damaged archive raises nearly anything
        reason = str(error) or type(error).__name__
        raise DMLTeachError(f"{path} is no complete tar archive ({reason}); download it again.") from error
    files = [
        StoredFile(m.name.removeprefix("./"), plain, m.offset_data, m.size, modified)
        for m in members
        if not any(is_hidden(part) for part in m.name.removeprefix("./").split("/"))
    ]
    end = plain.stat().st_size
    cut_off = [f.name for f in files if f.offset + f.size > end]
    if cut_off:
        raise DMLTeachError(f"{path} ends in the middle of {cut_off[0]}; download it again.")
    return sorted(files)


def _is_plain_tar(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(2) != b"\x1f\x8b"  # gzip's mark


def _decompress(path: Path) -> Path:
    """A .tgz as a .tar in the cache folder, once; renamed into place when whole."""
    status = path.stat()
    content = f"{path.name} {status.st_size} {status.st_mtime_ns}"
    key = hashlib.sha256(os.fsencode(content)).hexdigest()[:20]
    home = cache_folder()
    target = home / f"archive-{key}.tar"
    if target.exists():
        return target
    unfinished = home / f"{target.name}.building-{uuid.uuid4().hex[:12]}"
    try:
        home.mkdir(parents=True, exist_ok=True)
        cure = "Make room, or name another folder in DMLTEACH_CACHE."
        check_room(status.st_size, home, f"{path.name}, unpacked,", cure)  # images hardly compress
        with (
            open(path, "rb") as packed,
            tqdm.wrapattr(packed, "read", total=status.st_size, desc=f"Unpacking {path.name}") as counted,
            gzip.open(counted) as unpacked,
            open(unfinished, "wb") as file,
        ):
            _copy(unpacked, file, MOST_TIMES * (status.st_size + ALLOWANCE))
        os.replace(unfinished, target)
    except (OSError, EOFError, zlib.error, OverflowError) as error:
        raise DMLTeachError(f"{path} cannot be unpacked in {home}: {error}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return target


def _copy(source: BufferedIOBase, target: BufferedIOBase, most: int) -> None:
    """All of a file, if it is not longer than archives of images are."""
    while block := source.read(1 << 20):
        most -= len(block)
        if most < 0:
            raise OverflowError("it unpacks to far more than images would; do not trust it")
        target.write(block)


def _cannot_list(error: OSError) -> None:
    raise DMLTeachError(f"cannot look into {error.filename}: {error.strerror}.") from error
