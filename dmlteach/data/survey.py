"""What `dmlteach data check folder` tells of one's own images before a training does."""

import hashlib
import os
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

from tqdm.auto import tqdm

from dmlteach.data import layout as why
from dmlteach.data.decode import decode, size_of
from dmlteach.data.files import StoredFile
from dmlteach.data.layout import Classes, Layout, shortened, unreadable, with_numbers
from dmlteach.data.sides import TO_TRAIN, Sides
from dmlteach.errors import DMLTeachError, counted, printable

_AT_ONCE = 256  # images examined between two moves of the bar
SEEDS = 20  # divisions that are tried where one leaves a side without two images of a class
_WHAT_THEY_DO = {
    "train": "train (to train on)",
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

    Raises:
        DMLTeachError: an option of the division means nothing.
    """
    layout, faults = sides.layout, sides.faults()
    parts = {split: sides.classes(split) for split in (() if faults else _splits(layout))}
    single = _single(layout, parts)
    damaged, copies = _examine(layout.images, quick, progress)
    found = [_what_is_there(layout), *_sizes(layout)]
    found += [_part_line(split, classes) for split, classes in parts.items()]
    found += _left_out(layout)
    if quick:
        found.append("only the heads of the images were read, so those that are cut off are not found")
    problems = [*faults[:-1], *(f"{fault}\n{why.EXPECTED}" for fault in faults[-1:])]
    problems += [] if faults else _too_few(layout, parts)
    problems += _nothing_to_find(sides, parts, single)
    notes = [*_worth_knowing(sides, parts, single), *_copies(copies, layout, parts)]
    return Survey(found, problems + damaged, notes)


def _splits(layout: Layout) -> tuple[str, ...]:
    """The sides of a training: with val, or without where there are too few classes for it, or none."""
    there, full = len(layout.classes("train")), ("fit", "val", "test")
    if "val" in layout.parts:
        return full
    if layout.parts:
        return full if there >= TO_TRAIN else ("train", "test")
    return full if there >= TO_TRAIN + 2 else ("train", "test") if there >= 4 else ()


def _what_is_there(layout: Layout) -> str:
    classes = layout.classes("train", "val", "test")
    images = sum(map(len, classes.values()))
    total = f"{counted(images, 'image')} of {counted(len(classes), 'class')}"
    if not classes:
        return f"{layout.root}: no class folders"
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


def _too_few(layout: Layout, parts: dict[str, Classes]) -> Iterator[str]:
    """Whether a training with default options, which holds out a test and a val, has too few classes."""
    if "val" in parts:
        return
    wanted, there = "6 classes (2 for the test, 2 for val, 2 to fit on)", len(layout.classes("train"))
    if layout.parts:
        wanted = "4 classes in train (2 for val, 2 to fit on)"
    without = ", or train without val: --eval-every 0" if parts else ""
    yield f"a training with default options needs {wanted}, here are {there}. Add classes{without}."


def _single(layout: Layout, parts: dict[str, Classes]) -> list[str]:
    """Sides of which no class has two images; "" where that is so of all classes there are."""
    there = layout.parts or ("",)
    sides = parts or {part: layout.classes(part) for part in ("train", "val", "test", "") if part in there}
    images = {side: [len(images) for images in classes.values()] for side, classes in sides.items()}
    single = [side for side, counts in images.items() if counts and max(counts) < 2]
    return [""] if single and len(single) == sum(map(bool, images.values())) else single


def _nothing_to_find(sides: Sides, parts: dict[str, Classes], single: list[str]) -> Iterator[str]:
    """Sentences about sides without two images of a class, with what cures it."""
    cure = "Add images"
    if single not in ([], [""]):
        seed = _seed_without_such(sides, parts)
        cure += "" if seed is None else f", or divide otherwise: --dataset-option seed={seed}"
        # fit and val together have a class of two images
        cure += ", or train without val: --eval-every 0" if single in (["fit"], ["val"]) else ""
    for side in single:
        if not side:
            yield f"every class has one image only, so nothing can be learned or retrieved. {cure}."
            continue
        lost = "learned" if side in ("fit", "train") else "retrieved"
        yield f"every class of {side} has one image only, so nothing can be {lost}. {cure}."


def _seed_without_such(sides: Sides, parts: dict[str, Classes]) -> int | None:
    """A seed of the division with which every side has a class of two images; None where none is found."""
    for seed in range(SEEDS):
        other = replace(sides, seed=seed)
        if not _single(sides.layout, {split: other.classes(split) for split in parts}):
            return seed
    return None


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
            f"left out: {counted(len(layout.empty), 'folder')} without an image ({shortened(layout.empty)})"
        )
    return lines


def _is_part(layout: Layout, folder: str) -> bool:
    return any(f"{name}/" == folder for names in layout.parts.values() for name in names)


def _worth_knowing(sides: Sides, parts: dict[str, Classes], single: list[str]) -> Iterator[str]:
    """What a training accepts, and its user should know; what is a problem of a whole side is told there."""
    layout = sides.layout
    if why.FORMAT in layout.left_out:
        yield str(unreadable(layout))
    stray = [f for f in layout.loose if "/" not in f.name or _is_part(layout, f.name.split("/")[0] + "/")]
    if stray and all(layout.classes(part) for part in layout.parts or ("",)):
        names = shortened((file.name for file in stray), 3)
        yield f"{counted(len(stray), 'image')} in no class folder, left out: {names}"
    alone = sorted(
        _folder_of(images[0], layout)
        for split, classes in parts.items()
        for images in classes.values()
        if len(images) == 1 and split not in single and single != [""]
    )
    if alone:
        have = "has" if len(alone) == 1 else "have"
        yield (
            f"{counted(len(alone), 'class')} {have} one image only, so nothing to retrieve: "
            f"{shortened(alone, 5)}"
        )
    shared = sides.shared()
    if shared:
        pairs = ", ".join(f"{len(both):,} in {one} and in {other}" for (one, other), both in shared.items())
        examples = shortened(next(iter(shared.values())), 5)
        yield (
            f"the same classes are on several sides: {pairs} ({examples}). What is measured there is not on "
            "classes that training has never seen; for that, put each class on one side only"
        )
    yield from _moved(sides, parts)


def _folder_of(image: StoredFile, layout: Layout) -> str:
    """The class folder of an image, with the part that it lies in."""
    return "/".join(image.name.split("/")[: 2 if layout.parts else 1])


def _moved(sides: Sides, parts: dict[str, Classes]) -> Iterator[str]:
    """Classes on another side than their hash says, each with the side where it is."""
    here = [] if sides.layout.parts else ["test"]
    here += [] if "val" in sides.layout.parts else ["val"]
    moved = {name for held_out in here if held_out in parts for name in sides.divided(held_out).moved}
    to = {side: shortened(sorted(moved & classes.keys()), 4) for side, classes in parts.items()}
    where = " and ".join(f"{names} to {side}" for side, names in to.items() if names)
    if where:
        yield (
            f"a side would be too small, so classes have moved: {where}. With so few classes, some can "
            "change sides when you add others (a run keeps its own)"
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
