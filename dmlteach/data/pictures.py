"""Images as they lie in folders: no split, and a class only where there are class folders."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from dmlteach.data.dataset import Change, ImageDataset
from dmlteach.data.files import FileSource, StoredFile
from dmlteach.data.layout import look, unreadable
from dmlteach.errors import DMLTeachError

NO_CLASS = -1


def load(root: str | Path, channels: int = 3) -> ImageDataset:
    """Every image below a folder, sorted by name; its class is the first folder it lies in.

    Images beside the class folders have no class, label -1. Where ROOT/train, ROOT/test and the like hold
    the class folders, classes are theirs. What is no image is left out, as everywhere: hidden files,
    editors' backups, folders of thumbnails.

    Args:
        root: the folder.
        channels: 3 for RGB; 1 for drawings, as ink on 0.

    Raises:
        DMLTeachError: no such folder, or no image in it.

    Warns:
        UserWarning: some are of a format that cannot be opened here, such as HEIC.
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        state = "is no folder" if root.exists() else "does not exist"
        raise DMLTeachError(f"the folder {root} {state}; name the folder that holds your images.")
    layout = look(root)
    left_out = unreadable(layout)
    if not layout.images:
        instead = f" ({left_out})" if left_out else ""
        raise DMLTeachError(f"no image below {root}{instead}; put some there (jpg, png, webp, tiff, …).")
    if left_out:
        warnings.warn(f"{root}: {left_out}", stacklevel=2)
    names = [layout.class_of(file) for file in layout.images]
    classes = sorted({name for name in names if name is not None})
    label = {name: i for i, name in enumerate(classes)}
    labels = torch.tensor([NO_CLASS if name is None else label[name] for name in names])
    source = _source(layout.images, channels)
    return ImageDataset("folder", "all", source, labels, classes, shareable=False)


def named(paths: Sequence[str | Path], channels: int = 3) -> ImageDataset:
    """These images, in this order, of no class.

    Args:
        paths: of the files.
        channels: 3 for RGB; 1 for drawings, as ink on 0.

    Raises:
        DMLTeachError: a path leads to no file.
    """
    files = []
    for path in (Path(path).expanduser() for path in paths):
        if not path.is_file():
            state = "is a folder" if path.is_dir() else "does not exist"
            raise DMLTeachError(f"the image {path} {state}; name image files.")
        status = path.stat()
        files.append(StoredFile(str(path), path, 0, status.st_size, status.st_mtime_ns))
    labels = torch.full((len(files),), NO_CLASS)
    return ImageDataset("folder", "named", _source(files, channels), labels, [], shareable=False)


class InkSource(FileSource):
    """Files of drawings read as ink, (1, H, W): 255 where the pen was, on 0.

    The paper is the tone there is more of, so dark strokes on white and bright strokes on black are alike.
    """

    channels = 1

    @property
    def fingerprint(self) -> str:
        return f"ink {super().fingerprint}"

    def read(self, rows: Tensor, change: Change | None = None) -> list[Tensor]:
        return super().read(rows, lambda images: change(_ink(images)) if change else _ink(images))

    def take(self, rows: Tensor) -> "InkSource":
        return InkSource([self.files[row] for row in rows.tolist()])


def _ink(images: Tensor) -> Tensor:
    """(n, 3, H, W) uint8 → (n, 1, H, W) uint8."""
    grey = images.float().mean(1, keepdim=True)
    is_bright = grey.mean((2, 3), keepdim=True) > 127.5  # (n, 1, 1, 1)
    return torch.where(is_bright, 255 - grey, grey).round().to(torch.uint8)


def _source(files: list[StoredFile], channels: int) -> FileSource:
    return InkSource(files) if channels == 1 else FileSource(files)


def files_of(images: ImageDataset) -> list[StoredFile]:
    """The file of each image that `load` or `named` found."""
    assert isinstance(images.source, FileSource)
    return images.source.files


def same_file(one: StoredFile, other: StoredFile) -> bool:
    """Whether both are one file on disk, whatever the paths and links that lead to it."""
    alike = (one.size, one.modified) == (other.size, other.modified)  # cheap, and rules out nearly all
    return alike and os.path.samefile(one.path, other.path)
