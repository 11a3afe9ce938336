"""Decode once: the images of a data set as memory-mapped uint8, resized, in the user's cache folder."""

import hashlib
import json
import os
import shutil
import sys
import time
import uuid
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import platformdirs
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from dmlteach.data.dataset import ImageDataset, Source
from dmlteach.errors import DMLTeachError
from dmlteach.files import check_room, readable
from dmlteach.options import at_least, check_type, one_of

Mode = Literal["square", "short_side"]

_FORMAT = 1  # counts up when the files or the resizing change
_CHUNK = 256  # images read and resized at once
_STALE = 24 * 3600  # seconds after which an unfinished build is taken as abandoned


@dataclass(frozen=True)
class Packed:
    """Images of different sizes in one flat buffer, so that a device can crop them all at once."""

    data: Tensor  # (bytes,) uint8; each image as (H, W, C)
    offsets: Tensor  # (N,) where each image starts
    sizes: Tensor  # (N, 2) height and width
    channels: int
    short_side: int  # asked for; smaller images are not enlarged

    def to(self, device: torch.device, non_blocking: bool = False) -> "Packed":
        tensors = (self.data, self.offsets, self.sizes)
        data, offsets, sizes = (t.to(device, non_blocking=non_blocking) for t in tensors)
        return Packed(data, offsets, sizes, self.channels, self.short_side)

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, rows: slice) -> "Packed":
        return replace(self, offsets=self.offsets[rows], sizes=self.sizes[rows])


class CachedImages:
    """Resized images of one data set, row i = image i.

    Args:
        dataset: the data set they belong to.
        folder: a finished cache folder of its source.
        size: side of the squares, or the short side.
        mode: square or short_side.
    """

    def __init__(self, dataset: ImageDataset, folder: Path, size: int, mode: Mode):
        self.name, self.split = dataset.name, dataset.split
        self.labels = dataset.labels
        self.channels = dataset.channels
        self.size, self.mode, self.folder = size, mode, folder
        self._rows = dataset.rows.numpy()
        self._bytes = np.memmap(folder / "images.bin", dtype=np.uint8, mode="r")
        self._shapes = np.load(folder / "shapes.npy")  # (M, 2) height, width
        lengths = self._shapes.prod(1) * self.channels
        self._offsets = np.concatenate([[0], lengths.cumsum()])

    def __len__(self) -> int:
        return len(self._rows)

    def gather(self, indices) -> "Tensor | Packed":
        """The images `indices` (n,) of the data set, copied out of the cache.

        Returns:
            (n, C, size, size) uint8 in mode square; `Packed` in mode short_side.
        """
        rows = self._rows[np.asarray(indices, dtype=np.int64)]
        if self.mode == "square":
            squares = self._bytes.reshape(-1, self.channels, self.size, self.size)
            return torch.from_numpy(np.asarray(squares[rows]))
        starts, ends = self._offsets[rows], self._offsets[rows + 1]
        pieces = [self._bytes[a:b] for a, b in zip(starts, ends, strict=True)]
        data = np.concatenate(pieces) if pieces else np.empty(0, np.uint8)
        offsets = np.concatenate([[0], (ends - starts).cumsum()])[:-1]
        shapes = torch.from_numpy(self._shapes[rows])
        return Packed(torch.from_numpy(data), torch.from_numpy(offsets), shapes, self.channels, self.size)


def cached(
    dataset: ImageDataset,
    size: int,
    mode: Mode = "square",
    folder: str | Path | None = None,
    progress: bool = True,
) -> CachedImages:
    """The images of `dataset` resized, from the cache; built on first use.

    Train, fit and val of one data set share a cache. Two processes may build the same cache at once, and an
    interrupted build is never taken for a complete one.

    Args:
        dataset: the images.
        size: side in pixels.
        mode: square squashes every image to size × size; short_side keeps its shape and makes the
            short side `size` (smaller images stay as they are).
        folder: where caches live; by default DMLTEACH_CACHE or the user's cache folder.
        progress: print the disk space needed and show a progress bar while building.

    Returns:
        The images, memory-mapped.

    Raises:
        DMLTeachError: an image cannot be read, or the disk has no room.
    """
    one_of("cache mode", mode, get_args(Mode))
    check_type("size", int, size)
    at_least("size", size, 1, because="it is a number of pixels")
    home = cache_folder(folder)
    key = hashlib.sha256(f"{_FORMAT} {dataset.source.fingerprint} {size} {mode}".encode()).hexdigest()[:20]
    finished = home / f"{dataset.name}-{size}-{mode}-{key}"
    if not _is_complete(finished, dataset.source, size, mode):
        _build(dataset, size, mode, finished, progress)
    return CachedImages(dataset, finished, size, mode)


def cache_folder(folder: str | Path | None = None) -> Path:
    """`folder`, else $DMLTEACH_CACHE, else the user's cache folder."""
    return Path(folder or os.environ.get("DMLTEACH_CACHE") or platformdirs.user_cache_dir("dmlteach"))


def _is_complete(folder: Path, source: Source, size: int, mode: Mode) -> bool:
    """Whether a cache is as it was built: it appeared whole, by renaming, but may have been changed since."""
    try:
        written = json.loads((folder / "cache.json").read_text())
        checksum = zlib.crc32((folder / "shapes.npy").read_bytes())
        shapes = np.load(folder / "shapes.npy", mmap_mode="r")  # never more than the file holds
        total = (folder / "images.bin").stat().st_size
        return (
            written["bytes"] == total
            and written.get("shapes", checksum) == checksum  # older caches have none
            and (shapes.dtype, shapes.shape) == (np.int64, (len(source), 2))
            and 0 < shapes.min() <= shapes.max() < 2**31
            and (mode != "square" or bool((shapes == size).all()))
            and float(shapes.prod(1).sum(dtype=np.float64)) * source.channels == total
        )
    except Exception:  # a damaged file raises nearly anything
        return False


def _build(dataset: ImageDataset, size: int, mode: Mode, finished: Path, progress: bool) -> None:
    """Write under a name of this build's own, then rename: readers see a whole cache or none."""
    _remove_abandoned(finished.parent)
    need = _bytes_needed(dataset.source, size, mode)
    building = finished.with_name(f"{finished.name}.building-{uuid.uuid4().hex[:12]}")
    try:
        building.mkdir(parents=True)
        cure = "Make room, choose a smaller size, or name another folder in DMLTEACH_CACHE."
        check_room(need, finished.parent, "the image cache", cure)
        if progress:
            print(f"{_what(dataset)}: {readable(need)} in {finished.parent}", file=sys.stderr)
        _write(dataset, size, mode, building, progress)
        _publish(building, finished, dataset.source, size, mode)
    except OSError as error:
        raise DMLTeachError(
            f"the image cache cannot be written in {finished.parent}: {error}. "
            "Name another folder in the environment variable DMLTEACH_CACHE."
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _write(dataset: ImageDataset, size: int, mode: Mode, building: Path, progress: bool) -> None:
    source = dataset.source
    shapes = []
    bar = tqdm(total=len(source), desc=_what(dataset), unit="img", disable=not progress, delay=1)
    with open(building / "images.bin", "wb") as file, bar:
        for rows in torch.arange(len(source)).split(_CHUNK):
            for block in source.read(rows, lambda images: resize(images, size, mode)):
                # a square is kept as (C, H, W), ready for use; a packed image as (H, W, C), so that
                # cropping finds the channels of a pixel side by side
                stored = block if mode == "square" else block.permute(0, 2, 3, 1)
                file.write(stored.contiguous().numpy().tobytes())
                shapes += [block.shape[2:]] * len(block)
            bar.update(len(rows))
    np.save(building / "shapes.npy", np.array(shapes, dtype=np.int64))
    facts = {
        "bytes": (building / "images.bin").stat().st_size,
        "images": len(source),
        "shapes": zlib.crc32((building / "shapes.npy").read_bytes()),
    }
    (building / "cache.json").write_text(json.dumps(facts))


def _publish(building: Path, finished: Path, source: Source, size: int, mode: Mode) -> None:
    """Rename into place. If another builder was first, its cache is as good as this one."""
    for _ in range(3):
        try:
            os.replace(building, finished)
            return
        except OSError:
            if _is_complete(finished, source, size, mode):
                return
            shutil.rmtree(finished, ignore_errors=True)  # damaged since it was built
    os.replace(building, finished)


def resize(images: Tensor, size: int, mode: Mode) -> Tensor:
    """Resize uint8 images (n, C, H, W), bilinear with antialiasing, as `cached` does."""
    height, width = images.shape[2:]
    if mode == "square":
        target = (size, size)
    else:
        scale = min(1.0, size / min(height, width))
        target = (max(1, round(height * scale)), max(1, round(width * scale)))
    if target == (height, width):
        return images
    return F.interpolate(images, size=target, mode="bilinear", antialias=True)


def _bytes_needed(source: Source, size: int, mode: Mode) -> int:
    """Exact for squares; for the short side estimated from 200 images spread over the source."""
    if mode == "square":
        return len(source) * source.channels * size * size
    some = torch.linspace(0, len(source) - 1, min(len(source), 200)).long()
    sizes = source.sizes(some).double()
    scale = (size / sizes.amin(1, keepdim=True)).clamp_max(1)
    return int((sizes * scale).prod(1).mean().item() * len(source) * source.channels)


def _remove_abandoned(home: Path) -> None:
    """Delete what killed builders left behind: nobody will read it, and it takes room."""
    for building in home.glob("*.building-*"):
        try:
            newest = max(p.stat().st_mtime for p in [building, *building.rglob("*")])
        except OSError:
            continue  # its builder has just finished
        if time.time() - newest > _STALE and building.is_dir():
            shutil.rmtree(building, ignore_errors=True)
        elif time.time() - newest > _STALE:
            building.unlink(missing_ok=True)


def _what(dataset: ImageDataset) -> str:
    return f"Preparing {len(dataset.source):,} images of {dataset.name}"
