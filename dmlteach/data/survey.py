"""What `dmlteach data check folder` tells of one's own images before a training does."""

import hashlib
import os
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from tqdm.auto import tqdm

from dmlteach.data import layout as why
from dmlteach.data.decode import decode, size_of
from dmlteach.data.files import StoredFile
from dmlteach.data.layout import Classes, Layout, shortened, unreadable, with_numbers
from dmlteach.data.sides import TO_TRAIN, Sides
from dmlteach.errors import DMLTeachError, counted, printable

_AT_ONCE = 256  # images examined between two moves of the bar
_WHAT_THEY_DO = {
    "fit": "fit (to train on)",
    "val": "val (to watch while training)",
    "test": "test (to measure at the end)",
}


_LEFT_OUT = {
    why.SYSTEM: "folders of thumbnails, recycle bins and the like",
    why.ORIGINAL: "originals of images that are there in another format",
    why.BACKUP: "backups and unfinished files",
    why.HIDDEN: "hidden files and folders",
    why.LOCKED: "files that cannot be opened",
    why.OTHER: "files that are no images",
}


class Survey(NamedTuple):
    """Sentences about a folder: what is there, what cannot be used, what else is worth knowing."""

    found: list[str]
    problems: list[str]
    notes: list[str]


def survey(sides: Sides, quick: bool, progress: bool) -> Survey:
    """Look at every image, and at what a training with default options needs.

    Args:
        sides: of the folder.
        quick: read only the heads of the images, which does not find those that are cut off.
        progress: show a bar.
    """
    layout = sides.layout
    parts: dict[str, Classes] = {}
    problems = list(_too_few(sides))
    if not problems:
        try:
            parts = {split: sides.classes(split) for split in ("fit", "val", "test")}
        except DMLTeachError as error:
            problems.append(str(error))
    problems += _single(sides, parts)
    damaged, copies = _examine(layout.images, quick, progress)
    found = [_what_is_there(layout), *_sizes(layout)]
    found += [_part_line(split, classes) for split, classes in parts.items()]
    found += _left_out(layout)
    if quick:
        found.append("only the heads of the images were read, so those that are cut off are not found")
    notes = [*_worth_knowing(sides, parts), *_copies(copies, layout, parts)]
    return Survey(found, problems + damaged, notes)


def _what_is_there(layout: Layout) -> str:
    classes = layout.classes("train", "val", "test")
    images = sum(map(len, classes.values()))
    total = f"{counted(images, 'image')} of {counted(len(classes), 'class')}"
    if not layout.parts:
        return f"{layout.root}: one folder per class, {total}"
    folders = [f"{name}/" for names in layout.parts.values() for name in names]
    return f"{layout.root}: divided beforehand into {', '.join(folders)}, {total}"


def _sizes(layout: Layout) -> list[str]:
    """How many images the classes have."""
    sizes = [len(images) for images in layout.classes("train", "val", "test").values()]
    if not sizes:
        return []
    if min(sizes) == max(sizes):
        return [f"{counted(sizes[0], 'image')} in every class"]
    return [f"{min(sizes):,} to {max(sizes):,} images in a class, median {statistics.median(sizes):g}"]


def _part_line(split: str, classes: Classes) -> str:
    images = sum(map(len, classes.values()))
    total = f"{counted(images, 'image')} of {counted(len(classes), 'class')}"
    return f"{_WHAT_THEY_DO[split]}: {total}: {shortened(classes)}"


def _too_few(sides: Sides) -> Iterator[str]:
    """Whether a training with default options, which holds out a test and a val, has too few classes."""
    layout = sides.layout
    wanted, there = "6 classes (2 for the test, 2 for val, 2 to fit on)", len(layout.classes())
    least = TO_TRAIN + 2
    if layout.parts:
        wanted, there = "4 classes in train (2 for val, 2 to fit on)", len(layout.classes("train"))
        least = 0 if "val" in layout.parts or "test" not in layout.parts else TO_TRAIN
    if 2 <= there < least:
        without = ", or train without val: --eval-every 0" if there >= least - 2 else ""
        yield f"a training with default options needs {wanted}, here are {there}. Add classes{without}."


def _single(sides: Sides, parts: dict[str, Classes]) -> Iterator[str]:
    """Sides of which no class has two images."""
    for split, classes in parts.items():
        if all(len(images) < 2 for images in classes.values()):
            lost = "nothing can be learned" if split == "fit" else "nothing can be retrieved"
            cure = "" if sides.layout.parts else ", or divide otherwise, e.g. with --dataset-option seed=1"
            yield f"every class of {split} has one image only, so {lost}. Add images{cure}."


def _left_out(layout: Layout) -> list[str]:
    """Files that are no images, and folders of others' programs."""
    lines = [
        f"left out: {words} ({with_numbers(layout.left_out[reason])})"
        for reason, words in _LEFT_OUT.items()
        if reason in layout.left_out
    ]
    beside = Counter(
        file.name.split("/")[0] + "/" for file in layout.loose if layout.parts and "/" in file.name
    )
    beside = Counter({name: n for name, n in beside.items() if not _is_part(layout, name)})
    unused = [name for part, names in layout.parts.items() if part in ("query", "gallery") for name in names]
    for name in unused:
        beside[f"{name}/"] = sum(file.name.startswith(f"{name}/") for file in layout.images)
    if beside:
        lines.append(f"left out: images beside train and test ({with_numbers(beside)})")
    if layout.empty:
        lines.append(
            f"left out: {counted(len(layout.empty), 'folder')} without a picture ({shortened(layout.empty)})"
        )
    return lines


def _is_part(layout: Layout, folder: str) -> bool:
    return any(f"{name}/" == folder for names in layout.parts.values() for name in names)


def _worth_knowing(sides: Sides, parts: dict[str, Classes]) -> Iterator[str]:
    """What a training accepts, and its user should know."""
    layout = sides.layout
    if why.FORMAT in layout.left_out:
        yield str(unreadable(layout))
    stray = [f for f in layout.loose if "/" not in f.name or _is_part(layout, f.name.split("/")[0] + "/")]
    if stray and parts:
        names = shortened((file.name for file in stray), 3)
        yield f"{counted(len(stray), 'image')} in no class folder, left out: {names}"
    alone = sorted(name for classes in parts.values() for name, images in classes.items() if len(images) == 1)
    if alone:
        have = "has" if len(alone) == 1 else "have"
        yield (
            f"{counted(len(alone), 'class')} {have} one image only, so nothing to retrieve: "
            f"{shortened(alone, 5)}"
        )
    shared = sides.shared() if parts else {}
    if shared:
        pairs = ", ".join(f"{len(both):,} in {one} and in {other}" for (one, other), both in shared.items())
        examples = shortened(next(iter(shared.values())), 5)
        yield (
            f"the same classes are on several sides: {pairs} ({examples}). What is measured there is not on "
            "classes that training has never seen; for that, put each class on one side only"
        )
    yield from _moved(sides) if parts else ()


def _moved(sides: Sides) -> Iterator[str]:
    """Classes on another side than their hash says."""
    here = [] if sides.layout.parts else ["test"]
    here += [] if "val" in sides.layout.parts else ["val"]
    for held_out in here:
        halves = sides.divided(held_out)
        if halves.moved:
            rest = "train" if held_out == "test" else "fit"
            to = held_out if halves.moved[0] in halves.held_out else rest
            yield (
                f"{to} would be too small, so {shortened(halves.moved, 4)} moved there. With so few classes, "
                "some can change sides when you add others (a run keeps its own)"
            )


def _examine(
    images: list[StoredFile], quick: bool, progress: bool
) -> tuple[list[str], list[list[StoredFile]]]:
    """A sentence about each damaged image, and the images that are the same file twice."""
    sizes = Counter(file.size for file in images)

    def look_at(file: StoredFile) -> tuple[str | None, bytes | None]:
        try:
            content = file.read()
            size_of(content, str(file)) if quick else decode(content, str(file))
        except DMLTeachError as error:
            return str(error), None
        return None, hashlib.sha256(content).digest() if sizes[file.size] > 1 else None

    problems, same = [], defaultdict(list)
    bar = tqdm(total=len(images), desc="Looking at the images", unit="img", disable=not progress, delay=1)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool, bar:
        for start in range(0, len(images), _AT_ONCE):
            some = images[start : start + _AT_ONCE]
            for file, (problem, digest) in zip(some, pool.map(look_at, some), strict=True):
                problems += [problem] if problem else []
                if digest:
                    same[digest].append(file)
            bar.update(len(some))
    return problems, [files for files in same.values() if len(files) > 1]


def _copies(copies: list[list[StoredFile]], layout: Layout, parts: dict[str, Classes]) -> Iterator[str]:
    """Sentences about images that are there twice, the worse the first."""
    side = {file: split for split, classes in parts.items() for images in classes.values() for file in images}
    across: list[list[StoredFile]] = []
    between: list[list[StoredFile]] = []
    within: list[list[StoredFile]] = []
    for files in copies:
        several_sides = len({side.get(file) for file in files} - {None}) > 1
        several_classes = len({layout.class_of(file) for file in files}) > 1
        (across if several_sides else between if several_classes else within).append(files)
    words = {
        "on both sides of the division": across,
        "under two classes": between,
        "twice in their class, so each finds its copy at once": within,
    }
    for how, groups in words.items():
        if groups:
            one, other = (printable(file.name) for file in groups[0][:2])
            yield f"{counted(len(groups), 'image')} {how} (the same bytes), e.g. {one} and {other}"
