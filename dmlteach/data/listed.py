"""Data sets that come with official lists: find them, number the classes, compare published counts."""

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from dmlteach.data.dataset import ImageDataset
from dmlteach.data.files import FileSource, StoredFile
from dmlteach.errors import DMLTeachError

Files = dict[str, StoredFile]  # name inside the place, with / → file
Counts = tuple[int, int]  # images and classes


class Part(NamedTuple):
    """The images of one part, as its official list names them."""

    images: list[str]  # names inside the place, in the list's order
    labels: list[int]  # 0 … C-1
    class_names: list[str]  # in label order


def numbered(
    images: Sequence[str],
    classes: Sequence[Hashable],
    among: Sequence[Any] | None = None,
    called: Callable[[Any], str] = str,
) -> Part:
    """A part whose classes get the labels 0 … C-1 in sorted order.

    Args:
        images: names inside the place.
        classes: of each image.
        among: every class that shares the index; default those of the images.
        called: gives the name of a class.
    """
    order = sorted(set(classes if among is None else among))
    label = {one: i for i, one in enumerate(order)}
    return Part(list(images), [label[one] for one in classes], [called(one) for one in order])


def existing(dataset: str, root: str | Path | None, layout: str) -> Path:
    """`root` as a path that is there; `layout` tells what is expected, for the error message."""
    if root is None:
        raise DMLTeachError(f"data set {dataset!r} needs --root PATH, the place where it is.\n{layout}")
    place = Path(root).expanduser()
    if not place.exists():
        raise DMLTeachError(f"{place} does not exist.\n{layout}")
    return place


def find(
    dataset: str, root: str | Path | None, folders: Sequence[str], lists: Sequence[str], layout: str
) -> Path:
    """The place that holds one of the `lists`: `root` itself, or one of `folders` in it."""
    root = existing(dataset, root, layout)
    for place in (root, *(root / folder for folder in folders)):
        if any((place / name).is_file() for name in lists):
            return place
    raise DMLTeachError(f"no {dataset!r} in {root}.\n{layout}")


def read_table(
    path: Path, columns: int, heading: int, layout: str, number: int | None = None
) -> list[list[str]]:
    """Fields of each line of a list, separated by spaces.

    Args:
        path: of the list.
        columns: that every line has.
        heading: lines before the first image.
        layout: what is expected, for the error message.
        number: column that holds whole numbers.

    Raises:
        DMLTeachError: the list is missing or damaged.
    """
    if not path.is_file():
        raise DMLTeachError(f"{path.name} is missing in {path.parent}.\n{layout}")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[heading:]
    table = [line.split() for line in lines if line.strip()]
    for row in table:
        if len(row) != columns or (number is not None and not is_number(row[number])):
            raise DMLTeachError(f"{path} is damaged: a line reads {' '.join(row)[:80]!r}.\n{layout}")
    return table


def is_number(text: str) -> bool:
    """Whether a field is a whole number: other scripts have digits too, and a damaged list endless ones."""
    return text.isascii() and text.isdigit() and len(text) < 18


def compare(
    parts: dict[str, Part], files: Files, published: dict[str, Counts]
) -> tuple[list[str], list[str]]:
    """What is there, and what differs from the published data set; both as sentences.

    Args:
        parts: by name.
        files: what is on disk; an image that is there but empty counts as missing.
        published: images and classes of each part.
    """
    found, problems = [], []
    for name, part in parts.items():
        images, classes = published[name]
        missing = [p for p in part.images if p not in files or not files[p].size]
        there = len(part.images) - len(missing)
        found.append(f"{name}: {there:,} of {images:,} images, {len(part.class_names):,} classes")
        if missing:
            more = f" and {len(missing) - 5:,} more" if len(missing) > 5 else ""
            problems.append(
                f"{name}: {len(missing):,} images missing or empty: {', '.join(missing[:5])}{more}"
            )
        twice = len(part.images) - len(set(part.images))
        if twice:
            problems.append(f"{name}: {twice:,} images are listed more than once")
        listed = (len(part.images), len(part.class_names))
        if listed != (images, classes):
            problems.append(
                f"{name}: {listed[0]:,} images of {listed[1]:,} classes are listed, "
                f"published are {images:,} of {classes:,}"
            )
    return found, problems


def refuse(dataset: str, place: Path, problems: list[str], layout: str) -> None:
    """Raise if there are problems."""
    if problems:
        raise DMLTeachError("\n".join([f"{dataset!r} in {place} is not complete:", *problems, layout]))


def to_dataset(dataset: str, split: str, part: Part, files: Files) -> ImageDataset:
    """The data set of images that may not be published."""
    source = FileSource([files[image] for image in part.images])
    labels = torch.tensor(part.labels)
    return ImageDataset(dataset, split, source, labels, part.class_names, shareable=False)
