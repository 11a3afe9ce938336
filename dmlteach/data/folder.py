"""Own images: any folder of class folders."""

import warnings
from pathlib import Path

import torch

from dmlteach.data.dataset import ImageDataset
from dmlteach.data.files import FileSource
from dmlteach.data.layout import existing, look, shortened, unreadable
from dmlteach.data.sides import Division, Sides
from dmlteach.data.survey import Survey, survey
from dmlteach.errors import counted

SPLITS = ("train", "test", "fit", "val")  # `load` knows them all: it divides by name
HOW_TO_GET = (
    "folder is your own images: a folder with one folder of images per class, six classes or more, or\n"
    "DIR/train, DIR/test (and DIR/val) with such folders. What can be used, and how it is divided:\n"
    "    dmlteach data check folder --root DIR\n"
    "Then: dmlteach train --dataset folder --root DIR"
)


def load(
    split: str,
    root: str | Path | None = None,
    *,
    test_fraction: float = 0.5,
    val_fraction: float = 0.2,
    seed: int = 0,
    division: Division | None = None,
) -> ImageDataset:
    """Classes of a folder of class folders. Images become RGB.

    With ROOT/train and ROOT/test (and ROOT/val) these are the parts, and other folders beside them are left
    out. Otherwise a class is in test if a hash of seed and name lies below the fraction, so that it stays on
    its side when other classes come or go; in the same way, classes of train are held out as val. Where a
    side would have fewer than two classes (train: four), those nearest to the threshold move there.

    Args:
        split: train, fit, val or test; train is fit and val together.
        root: the folder.
        test_fraction: share of the classes that test holds, on average, where they are divided here.
        val_fraction: share of train's classes that val holds, where they are divided here.
        seed: of the hash.
        division: names of the classes of some splits, instead of dividing; those that are not there are
            left out.

    Raises:
        DMLTeachError: no such folder, a layout that cannot be understood, too few classes.

    Warns:
        UserWarning: images are of a format that cannot be opened, or a class is in train and in test.
    """
    layout = look(existing(root))
    sides = Sides(layout, test_fraction, val_fraction, seed, division)
    classes = sides.classes(split)
    _warn(sides)
    files = [file for images in classes.values() for file in images]
    counts = torch.tensor([len(images) for images in classes.values()])
    labels = torch.arange(len(classes)).repeat_interleave(counts)
    # fit and val show rows of train's images, so that the three share a cache
    every = files
    if split in ("fit", "val"):
        train = [file for images in sides.classes("train").values() for file in images]
        every = list(dict.fromkeys([*train, *files]))
    row = {file: i for i, file in enumerate(every)}
    rows = torch.tensor([row[file] for file in files])
    if layout.parts:  # names are relative to ROOT/train and so on
        every = [file._replace(name=file.name.partition("/")[2]) for file in every]
    return ImageDataset("folder", split, FileSource(every), labels, list(classes), shareable=False, rows=rows)


def check(
    root: str | Path | None = None,
    *,
    quick: bool = False,
    progress: bool = False,
    test_fraction: float = 0.5,
    val_fraction: float = 0.2,
    seed: int = 0,
) -> Survey:
    """What is there, what is wrong with it, and what else is worth knowing; all as sentences.

    Decodes every image. What is called right here, a training with default options accepts.

    Args:
        root: the folder.
        quick: read only the heads of the images; those that are cut off are not found then.
        progress: show a bar.
        test_fraction, val_fraction, seed: as of `load`.
    """
    return survey(Sides(look(existing(root)), test_fraction, val_fraction, seed), quick, progress)


def class_names(root: str | Path) -> list[str]:
    """Names of all classes in a folder, on whichever side.

    Args:
        root: the folder.
    """
    return list(look(existing(root)).classes("train", "val", "test"))


def _warn(sides: Sides) -> None:
    """Say what a training would otherwise keep silent about."""
    left_out = unreadable(sides.layout)
    if left_out:
        warnings.warn(f"{sides.layout.root}: {left_out}", stacklevel=3)
    both = sides.shared().get(("train", "test"))
    if both:
        warnings.warn(
            f"{counted(len(both), 'class')} of {sides.layout.root} are both in train and in test "
            f"({shortened(both, 3)}): the test is then not on classes that training has never seen.",
            stacklevel=3,
        )
