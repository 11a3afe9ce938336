"""CUB-200-2011: 200 bird species; the first 100 classes train, the last 100 test.

Source: Wah, Branson, Welinder, Perona, Belongie, "The Caltech-UCSD Birds-200-2011 Dataset",
Caltech CNS-TR-2011-001. For non-commercial research use; pictures may not be redistributed.
"""

from collections import Counter
from pathlib import Path

import torch

from dmlteach.data.dataset import ImageDataset
from dmlteach.data.files import FileSource, StoredFile, list_archive, list_folder
from dmlteach.errors import DMLTeachError

IMAGES = {"train": 5_864, "test": 5_924}
CLASSES_OF_EACH = 100
_FOLDER = "CUB_200_2011"
_ARCHIVES = (".tgz", ".tar.gz", ".tar")
_LISTS = ("images.txt", "image_class_labels.txt", "classes.txt")

_LAYOUT = f"""Expected is the official layout:
    {_FOLDER}/images/001.Black_footed_Albatross/….jpg
    {_FOLDER}/images.txt, image_class_labels.txt, classes.txt
Give as root the folder that holds {_FOLDER}/, that folder itself, or the archive {_FOLDER}.tgz (or .tar).
Get it from https://data.caltech.edu/records/65de6-vp158 (1.1 GB; non-commercial research use)."""


def load(part: str, root: str | Path | None = None) -> ImageDataset:
    """Classes 1-100 (train, 5,864 images) or 101-200 (test, 5,924 images), in the order of images.txt.

    Args:
        part: train or test.
        root: the folder that holds CUB_200_2011/, that folder itself, or an archive of it.
    """
    listing = _Listing(root)
    problems = listing.problems()
    if problems:
        heading = f"CUB-200-2011 in {listing.place} is not complete:"
        raise DMLTeachError("\n".join([heading, *problems, _LAYOUT]))
    first = 1 if part == "train" else 1 + CLASSES_OF_EACH
    numbers = range(first, first + CLASSES_OF_EACH)
    ids = [i for i, number in listing.class_of.items() if number in numbers]
    files = [listing.picture(i) for i in ids]
    labels = torch.tensor([listing.class_of[i] - first for i in ids])
    names = [_readable(listing.class_names[number]) for number in numbers]
    return ImageDataset("cub200", part, FileSource(files), labels, names, shareable=False)


def check(root: str | Path | None = None) -> tuple[list[str], list[str]]:
    """What is there, and what is missing; both as sentences."""
    listing = _Listing(root)
    found = [f"place: {listing.place}"]
    for part, images in listing.counts().items():
        found.append(f"{part}: {images:,} of {IMAGES[part]:,} images")
    return found, listing.problems()


class _Listing:
    """The official lists, and the files that are really there."""

    def __init__(self, root: str | Path | None):
        self.place, self._files = _find(root)
        self.names = {int(i): name for i, name in self._table("images.txt")}
        self.class_of = {int(i): int(c) for i, c in self._table("image_class_labels.txt", numbers=True)}
        self.class_names = {int(c): name for c, name in self._table("classes.txt")}

    def _table(self, name: str, numbers: bool = False) -> list[tuple[str, str]]:
        """Lines "number value" of one of the lists; the values may have to be numbers too."""
        if name not in self._files:
            raise DMLTeachError(f"{name} is missing in {self.place}.\n{_LAYOUT}")
        lines = self._files[name].read().decode("utf-8", "replace").splitlines()
        rows = [line.split(maxsplit=1) for line in lines if line.strip()]
        table = [(row[0], row[1].strip()) for row in rows if len(row) == 2 and row[0].isdigit()]
        if len(table) != len(rows) or (numbers and not all(value.isdigit() for _, value in table)):
            raise DMLTeachError(f"{name} in {self.place} is damaged; unpack the archive again.\n{_LAYOUT}")
        return table

    def picture(self, image: int) -> StoredFile:
        return self._files[f"images/{self.names[image]}"]

    def _is_there(self, image: int) -> bool:
        file = self._files.get(f"images/{self.names.get(image)}")
        return file is not None and file.size > 0

    def counts(self) -> dict[str, int]:
        """Pictures listed with a class and really there, by part."""
        parts = Counter("train" if c <= CLASSES_OF_EACH else "test" for i, c in self.class_of.items()
                        if self._is_there(i))  # fmt: skip
        return {part: parts[part] for part in IMAGES}

    def problems(self) -> list[str]:
        problems = []
        missing = [name for i, name in sorted(self.names.items()) if not self._is_there(i)]
        if missing:
            more = f" and {len(missing) - 5:,} more" if len(missing) > 5 else ""
            problems.append(f"{len(missing):,} pictures missing or empty: {', '.join(missing[:5])}{more}")
        if set(self.class_names) != set(range(1, 2 * CLASSES_OF_EACH + 1)):
            problems.append(f"classes.txt lists {len(self.class_names)} classes, expected 1 … 200")
        if not set(self.class_of.values()) <= set(self.class_names):
            problems.append("image_class_labels.txt names classes that classes.txt lacks")
        if set(self.names) != set(self.class_of):
            problems.append("images.txt and image_class_labels.txt list different images")
        for part, images in self.counts().items():
            if images != IMAGES[part]:
                problems.append(f"{part}: {images:,} images, expected {IMAGES[part]:,}")
        return problems


def _find(root: str | Path | None) -> tuple[Path, dict[str, StoredFile]]:
    """The place, and its files by their name inside CUB_200_2011/."""
    if root is None:
        raise DMLTeachError(f"data set 'cub200' needs root, the place where it is.\n{_LAYOUT}")
    root = Path(root).expanduser()
    if not root.exists():
        raise DMLTeachError(f"{root} does not exist.\n{_LAYOUT}")
    for place in (root, root / _FOLDER, *(root / f"{_FOLDER}{suffix}" for suffix in _ARCHIVES)):
        if place.is_dir() and any((place / name).exists() for name in _LISTS):
            return place, {file.name: file for file in list_folder(place)}
        if place.is_file():
            files = list_archive(place)
            return place, {file.name.removeprefix(f"{_FOLDER}/"): file for file in files}
    raise DMLTeachError(f"no CUB-200-2011 in {root}.\n{_LAYOUT}")


def _readable(name: str) -> str:
    """'001.Black_footed_Albatross' → 'Black footed Albatross'."""
    return name.split(".", 1)[-1].replace("_", " ")
