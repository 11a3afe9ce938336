"""Own images: any folder of class folders."""

from collections import defaultdict
from pathlib import Path

import torch

from dmlteach.data.dataset import ImageDataset
from dmlteach.data.decode import size_of
from dmlteach.data.files import FileSource, StoredFile, list_folder
from dmlteach.data.splits import divide_classes
from dmlteach.errors import DMLTeachError

_LAYOUT = """Expected is one folder per class, with pictures in it (sub-folders too):
    ROOT/CLASS/picture.jpg
or the same divided beforehand:
    ROOT/train/CLASS/picture.jpg
    ROOT/test/CLASS/picture.jpg"""

_SUFFIXES = frozenset([
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib",
    ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif", ".tga",
])  # fmt: skip
_FIRST_BYTES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"II*\0", b"MM\0*")

Classes = dict[str, list[StoredFile]]  # class name → its pictures


def load(
    part: str, root: str | Path | None = None, *, test_fraction: float = 0.5, seed: int = 0
) -> ImageDataset:
    """Train or test classes of a folder of class folders.

    With ROOT/train and ROOT/test these are the parts, and other folders beside them are left out.
    Otherwise the classes are divided at random. Pictures become RGB.

    Args:
        part: train or test.
        root: the folder.
        test_fraction: share of the classes that test holds, where they are divided here.
        seed: of that division.
    """
    root = _existing(root)
    parts = divided_beforehand(root)
    if parts:
        classes = _classes_of(root / part)
    else:
        every = _classes_of(root)
        names = list(every)
        train, test = divide_classes(len(names), test_fraction, seed, str(root))
        classes = {names[i]: every[names[i]] for i in (train if part == "train" else test)}
    files = [file for pictures in classes.values() for file in pictures]
    counts = torch.tensor([len(pictures) for pictures in classes.values()])
    labels = torch.arange(len(classes)).repeat_interleave(counts)
    return ImageDataset("folder", part, FileSource(files), labels, list(classes), shareable=False)


def check(root: str | Path | None = None) -> tuple[list[str], list[str]]:
    """What is there, and what is wrong with it; both as sentences. Opens every picture's head."""
    root = _existing(root)
    found, problems = [], []
    for place in divided_beforehand(root) or [root]:
        classes = _classes_of(place)
        images = [file for pictures in classes.values() for file in pictures]
        found.append(f"{place}: {len(images):,} images of {len(classes):,} classes")
        alone = [name for name, pictures in classes.items() if len(pictures) == 1]
        if alone:
            found.append(f"{len(alone)} classes have one image only, so nothing to retrieve: {_first(alone)}")
        for file in images:
            try:
                size_of(file.read(), str(file))
            except DMLTeachError as error:
                problems.append(str(error))
    return found, problems


def _existing(root: str | Path | None) -> Path:
    if root is None:
        raise DMLTeachError(f"data set 'folder' needs root, the folder with your pictures.\n{_LAYOUT}")
    root = Path(root).expanduser()
    if not root.is_dir():
        state = "is no folder" if root.exists() else "does not exist"
        raise DMLTeachError(f"the folder {root} {state}.\n{_LAYOUT}")
    return root


def divided_beforehand(root: Path) -> list[Path]:
    """[ROOT/train, ROOT/test] where both hold class folders; a class may itself be called "train"."""
    parts = [root / "train", root / "test"]
    if not all(part.is_dir() for part in parts):
        return []
    loose = [p for part in parts for p in part.iterdir() if p.is_file() and is_picture(_as_stored(p))]
    return [] if loose else parts


def _classes_of(place: Path) -> Classes:
    """Pictures by the first folder they are in, sorted; pictures that are in none belong to no class."""
    classes: Classes = defaultdict(list)
    for file in list_folder(place):
        if "/" in file.name and is_picture(file):
            classes[file.name.split("/")[0]].append(file)
    if not classes:
        raise DMLTeachError(f"no class folder with pictures in {place}.\n{_LAYOUT}")
    if len(classes) == 1:
        raise DMLTeachError(
            f"{place} has one class only ({next(iter(classes))!r}); metric learning compares classes, "
            f"so at least two are needed.\n{_LAYOUT}"
        )
    return dict(sorted(classes.items()))


def is_picture(file: StoredFile) -> bool:
    """By its ending, or by its first bytes where the ending says nothing."""
    suffix = Path(file.name).suffix.lower()
    return suffix in _SUFFIXES or file._replace(size=4).read().startswith(_FIRST_BYTES)


def _as_stored(path: Path) -> StoredFile:
    return StoredFile(path.name, path, 0, 0, 0)


def _first(names: list[str], count: int = 5) -> str:
    return ", ".join(names[:count]) + (", …" if len(names) > count else "")
