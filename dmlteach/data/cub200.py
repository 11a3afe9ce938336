"""CUB-200-2011: 200 bird species; the first 100 classes train, the last 100 test.

Source: Wah, Branson, Welinder, Perona, Belongie, "The Caltech-UCSD Birds-200-2011 Dataset",
Caltech CNS-TR-2011-001. For non-commercial research use; images may not be redistributed.
"""

from pathlib import Path

from dmlteach.data import listed
from dmlteach.data.dataset import ImageDataset
from dmlteach.data.download import Remote
from dmlteach.data.files import list_archive, list_folder
from dmlteach.data.listed import Files, Part
from dmlteach.errors import DMLTeachError

PUBLISHED = {"train": (5_864, 100), "test": (5_924, 100)}
PARTS = tuple(PUBLISHED)
TERMS = "images belong to their photographers; non-commercial research and education"
FILES = [
    [
        Remote(
            "CUB_200_2011.tgz",
            1_150_585_339,
            "md5:97eceeb196236b17998738112f37df78",
            "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
            holds="CUB_200_2011",
        )
    ]
]
HOW_TO_GET = (
    "CUB-200-2011 (Caltech; for non-commercial research and education), 1.2 GB:\n"
    "    dmlteach data get cub200 --root DIR\n"
    "or download CUB_200_2011.tgz from https://data.caltech.edu/records/65de6-vp158 yourself, and name\n"
    "the archive, or the folder it unpacks to, as --root:\n"
    "    dmlteach data check cub200 --root CUB_200_2011.tgz\n"
    "    dmlteach train --dataset cub200 --root CUB_200_2011.tgz"
)
_FOLDER = "CUB_200_2011"
_ARCHIVES = (".tgz", ".tar.gz", ".tar")
_LISTS = ("images.txt", "image_class_labels.txt", "classes.txt")

_LAYOUT = f"""Expected is the official layout:
    {_FOLDER}/images/001.Black_footed_Albatross/….jpg
    {_FOLDER}/images.txt, image_class_labels.txt, classes.txt
Give as root the folder that holds {_FOLDER}/, that folder itself, or the archive {_FOLDER}.tgz (or .tar).
Get it with `dmlteach data get cub200 --root DIR`, or from https://data.caltech.edu/records/65de6-vp158
(1.2 GB; non-commercial research use)."""


def load(part: str, root: str | Path | None = None) -> ImageDataset:
    """Classes 1-100 (train, 5,864 images) or 101-200 (test, 5,924 images), in the order of images.txt.

    Args:
        part: train or test.
        root: the folder that holds CUB_200_2011/, that folder itself, or an archive of it.
    """
    place, files = _find(root)
    parts, problems = _read_lists(place, files)
    listed.refuse("cub200", place, problems + listed.compare(parts, files, PUBLISHED)[1], _LAYOUT)
    return listed.to_dataset("cub200", part, parts[part], files)


def check(root: str | Path | None = None) -> tuple[list[str], list[str]]:
    """What is there, and what is missing; both as sentences."""
    place, files = _find(root)
    parts, problems = _read_lists(place, files)
    found, missing = listed.compare(parts, files, PUBLISHED)
    return [f"place: {place}", *found], problems + missing


def _read_lists(place: Path, files: Files) -> tuple[dict[str, Part], list[str]]:
    """Both parts, and how the official lists contradict each other."""
    names = dict(_table("images.txt", place, files))
    class_of = {i: int(c) for i, c in _table("image_class_labels.txt", place, files, numbers=True)}
    class_names = dict(_table("classes.txt", place, files))

    problems = []
    if set(class_names) != set(range(1, 201)):
        problems.append(f"classes.txt lists {len(class_names)} classes, expected 1 … 200")
    if not set(class_of.values()) <= set(class_names):
        problems.append("image_class_labels.txt names classes that classes.txt lacks")
    if set(names) != set(class_of):
        problems.append("images.txt and image_class_labels.txt list different images")

    parts = {}
    for part, numbers in {"train": range(1, 101), "test": range(101, 201)}.items():
        ids = [i for i, number in class_of.items() if number in numbers and i in names]
        images, classes = [f"images/{names[i]}" for i in ids], [class_of[i] for i in ids]
        parts[part] = listed.numbered(
            images, classes, among=numbers, called=lambda n: _readable(class_names.get(n, f"class {n}"))
        )
    return parts, problems


def _table(name: str, place: Path, files: Files, numbers: bool = False) -> list[tuple[int, str]]:
    """Lines "number value" of one of the lists; the values may have to be numbers too."""
    if name not in files:
        raise DMLTeachError(f"{name} is missing in {place}.\n{_LAYOUT}")
    lines = files[name].read().decode("utf-8", "replace").splitlines()
    rows = [line.split(maxsplit=1) for line in lines if line.strip()]
    table = [(int(row[0]), row[1].strip()) for row in rows if len(row) == 2 and listed.is_number(row[0])]
    if len(table) != len(rows) or (numbers and not all(listed.is_number(value) for _, value in table)):
        raise DMLTeachError(f"{name} in {place} is damaged; unpack the archive again.\n{_LAYOUT}")
    return table


def _find(root: str | Path | None) -> tuple[Path, Files]:
    """The place, and its files by their name inside CUB_200_2011/."""
    root = listed.existing("cub200", root, _LAYOUT)
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
