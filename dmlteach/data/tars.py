"""Tar archives, with the bounds that a damaged or evil one needs."""

import bz2
import gzip
import lzma
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

_MOST_AT_ONCE = 1 << 24  # bytes; images are copied in pieces, and longer names or headers nobody has
_OPENERS = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}


class _Header(tarfile.TarInfo):
    """A member whose length is no number below 0: it would lead back, and round and round."""

    def _block(self, count: int) -> int:
        if count < 0:
            raise tarfile.ReadError("a member has a negative size")
        return super()._block(count)  # type: ignore[misc]


class _Pieces:
    """A file that is read in pieces of a bounded size."""

    def __init__(self, file: IO[bytes]):
        self.file, self.seek, self.tell, self.mode = file, file.seek, file.tell, "rb"

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MOST_AT_ONCE:
            raise tarfile.ReadError("a header is too long")
        return self.file.read(size)


@contextmanager
def open_tar(path: Path) -> Iterator[tarfile.TarFile]:
    """A tar archive, compressed or not, to be read member by member.

    Args:
        path: of the archive.

    Raises:
        Exception: of nearly any kind, where it is damaged.
    """
    with open(path, "rb") as file:
        opener: Any = _OPENERS.get(file.read(2))
        file.seek(0)
        pieces: Any = _Pieces(opener(file) if opener else file)
        with tarfile.open(fileobj=pieces, mode="r:", tarinfo=_Header) as archive:
            yield archive
