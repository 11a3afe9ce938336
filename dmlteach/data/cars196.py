"""Cars196: 196 car models; the first 98 classes train, the last 98 test.

Source: Krause, Stark, Deng, Fei-Fei, "3D object representations for fine-grained categorization",
3dRR 2013. For research purposes; images may not be redistributed.
"""

from pathlib import Path
from typing import Any

from dmlteach.data import listed, matlab
from dmlteach.data.dataset import ImageDataset
from dmlteach.data.download import Remote
from dmlteach.data.files import list_folder
from dmlteach.data.listed import Files, Part
from dmlteach.errors import DMLTeachError

PUBLISHED = {"train": (8_054, 98), "test": (8_131, 98)}
PARTS = tuple(PUBLISHED)
TERMS = "research purposes"
# Either four or two files; their place is gone. Checksums: TensorFlow Datasets' record of the four, and
# what earlier projects checked the two by.
FILES = [
    [
        Remote("car_ims.tgz", None, "md5:d5c8f0aa497503f355e17dc7886c3f14", holds="car_ims"),
        Remote("cars_annos.mat", None, "md5:b407c6086d669747186bd1d764ff9dbc"),
    ],
    [
        Remote(
            "cars_train.tgz",
            979_269_282,
            "sha256:512b227b30e2f0a8aab9e09485786ab4479582073a144998da74d64b801fd288",
            holds="cars_train",
        ),
        Remote(
            "cars_test.tgz",
            977_350_468,
            "sha256:bffea656d6f425cba3c91c6d83336e4c5f86c6cffd8975b0f375d3a10da8e243",
            holds="cars_test",
        ),
        Remote(
            "car_devkit.tgz",
            330_960,
            "sha256:b97deb463af7d58b6bfaa18b2a4de9829f0f79e8ce663dfa9261bf7810e9accd",
            holds="devkit",
        ),
        Remote(
            "cars_test_annos_withlabels.mat",
            185_758,
            "sha256:790f75be8ea34eeded134cc559332baf23e30e91367e9ddca97d26ed9b895f05",
        ),
    ],
]
HOW_TO_GET = (
    "Cars196 (Stanford; for research) has lost its official place, ai.stanford.edu/~jkrause/cars;\n"
    "https://github.com/pytorch/vision/issues/7545 tells where copies are. Put into a folder DIR either\n"
    "    car_ims.tgz and cars_annos.mat\n"
    "or  cars_train.tgz, cars_test.tgz, car_devkit.tgz and cars_test_annos_withlabels.mat\n"
    "They are compared with the published checksums and unpacked by\n"
    "    dmlteach data get cars196 --root DIR\n"
    "A copy that was packed anew has other checksums: unpack it yourself, so that DIR holds car_ims/\n"
    "or cars_train/, cars_test/ and devkit/; `dmlteach data check cars196 --root DIR` counts them."
)
_LISTS = ("cars_annos.mat", "devkit/cars_train_annos.mat")
_LAYOUT = """Expected is one of the two official layouts:
    cars_annos.mat, car_ims/000001.jpg
or
    devkit/cars_meta.mat, devkit/cars_train_annos.mat, cars_test_annos_withlabels.mat (there or in devkit/)
    cars_train/00001.jpg, cars_test/00001.jpg
Give as root the folder that holds them. `dmlteach data get cars196` says how to get it."""


def load(part: str, root: str | Path | None = None) -> ImageDataset:
    """Classes 1-98 (train, 8,054 images) or 99-196 (test, 8,131), in the order of the annotations.

    The devkit's own division into train and test images, for classification, plays no part.

    Args:
        part: train or test.
        root: the folder with the annotations and the images.
    """
    place, files, parts = _read(root)
    listed.refuse("cars196", place, listed.compare(parts, files, PUBLISHED)[1], _LAYOUT)
    return listed.to_dataset("cars196", part, parts[part], files)


def check(root: str | Path | None = None) -> tuple[list[str], list[str]]:
    """What is there, and what is missing; both as sentences."""
    place, files, parts = _read(root)
    found, problems = listed.compare(parts, files, PUBLISHED)
    return [f"place: {place}", *found], problems


def _read(root: str | Path | None) -> tuple[Path, Files, dict[str, Part]]:
    """The place, its files by name, and both parts."""
    place = listed.find("cars196", root, ["cars196", "stanford_cars"], _LISTS, _LAYOUT)
    files = {_once(file.name): file for file in list_folder(place)}
    has_devkit = (place / "devkit" / "cars_train_annos.mat").is_file() and not (place / "car_ims").is_dir()
    rows, class_names = _from_devkit(place) if has_devkit else _from_annotations(place)
    parts = {}
    for part, numbers in {"train": range(1, 99), "test": range(99, 197)}.items():
        chosen = [(image, number) for image, number in rows if number in numbers]
        parts[part] = listed.numbered(
            [image for image, _ in chosen],
            [number for _, number in chosen],
            among=numbers,
            called=lambda number: class_names[number - 1],
        )
    return place, files, parts


def _from_annotations(place: Path) -> tuple[list[tuple[str, int]], list[str]]:
    """Images with their classes 1 … 196, and the classes' names, from cars_annos.mat."""
    path = place / "cars_annos.mat"
    return _rows(path, "relative_im_path", ""), _names(path)


def _from_devkit(place: Path) -> tuple[list[tuple[str, int]], list[str]]:
    """The same from the devkit, whose test classes are in a file of their own."""
    devkit, tests = place / "devkit", "cars_test_annos_withlabels.mat"
    folder = devkit if (devkit / tests).is_file() else place
    train = _rows(devkit / "cars_train_annos.mat", "fname", "cars_train/")
    test = _rows(folder / tests, "fname", "cars_test/")
    return train + test, _names(devkit / "cars_meta.mat")


def _matlab(path: Path, variable: str) -> list[Any]:
    """A struct or cell array of a .mat file."""
    if not path.is_file():
        raise DMLTeachError(f"{path.name} is missing in {path.parent}.\n{_LAYOUT}")
    try:
        found = matlab.read(path, fields=("relative_im_path", "fname", "class")).get(variable)
    except (ValueError, OSError) as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(found, list):
        raise _damaged(path, f"it holds no list {variable!r}")
    return found


def _rows(path: Path, file_field: str, folder: str) -> list[tuple[str, int]]:
    """Images with their classes."""
    table = _matlab(path, "annotations")
    try:
        return [(f"{folder}{row[file_field]}", int(row["class"].item())) for row in table]
    except (AttributeError, KeyError, TypeError, OverflowError, ValueError) as error:
        raise _damaged(path, f"a row holds no {file_field!r} or no number 'class'") from error


def _names(path: Path) -> list[str]:
    """What the classes are called."""
    names = [str(name) for name in _matlab(path, "class_names")]
    if len(names) != 196:
        raise _damaged(path, f"it names {len(names)} classes, expected 196")
    return names


def _damaged(path: Path, reason: str) -> DMLTeachError:
    return DMLTeachError(f"{path} is damaged ({reason}); get it again.\n{_LAYOUT}")


def _once(name: str) -> str:
    """A widespread copy has each folder inside a folder of the same name."""
    first, _, rest = name.partition("/")
    return rest if rest.startswith(f"{first}/") else name
