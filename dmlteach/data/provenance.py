"""What a run keeps of its data, in data.json: the classes of each split and a fingerprint of its images.

A folder of one's own images can change between a training and its evaluation. By this record, both look at
the same classes, or say in one sentence what is different.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dmlteach.data import folder
from dmlteach.data.dataset import ImageDataset
from dmlteach.data.files import StoredFile
from dmlteach.data.layout import look, shortened
from dmlteach.data.splits import composed, divide_classes
from dmlteach.errors import DMLTeachError, counted

FILE = "data.json"
_END = 4096  # bytes at the beginning and at the end of an image file that go into its fingerprint
_DIVIDE = ("test_fraction", "val_fraction", "seed", "division")  # options that ask for another division

Record = dict[str, Any]


def describe(
    datasets: Mapping[str, ImageDataset | None],
    root: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> Record:
    """What a run keeps of its data, as plain values.

    Args:
        datasets: split → images; None where the run has no such split.
        root: of a folder of one's own images, where the splits do not hold all of its classes.
        options: of the data set, as of `data.load`.

    Returns:
        "dataset", "options", "splits": split → "classes" (names), "images" (how many) and "fingerprint";
        "unused": names of the classes of a folder that are in none of the splits.
    """
    there = {split: images for split, images in datasets.items() if images is not None}
    name = next(iter(there.values())).name
    used = {one for images in there.values() for one in images.class_names}
    every = folder.class_names(root) if name == "folder" and root is not None else []
    return {
        "dataset": name,
        "options": dict(options or {}),
        "splits": {
            split: {
                "classes": images.class_names,
                "images": len(images),
                "fingerprint": _fingerprint(images),
            }
            for split, images in there.items()
        },
        "unused": [one for one in every if one not in used],
    }


def read(run: str | Path) -> Record | None:
    """The record of a run; None where it was made before runs kept one, or where there is no run.

    Args:
        run: its folder, or the model file in it.

    Raises:
        DMLTeachError: the file is damaged.
    """
    file = _folder_of(run) / FILE
    if not file.is_file():
        return None
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        whole = _is_whole(record)
    except OSError as error:
        raise DMLTeachError(f"{file} cannot be read: {error.strerror or error}.") from error
    except (ValueError, TypeError, KeyError, AttributeError):
        whole = False
    if not whole:
        raise DMLTeachError(
            f"{file} is damaged. It tells which classes the run was trained on: restore it, or remove it to "
            "go on without knowing."
        )
    return record


def _folder_of(run: str | Path) -> Path:
    path = Path(run)
    return path if path.is_dir() else path.parent


def _is_whole(record: Record) -> bool:
    parts = list(record["splits"].values())
    names = [record["dataset"], *record["unused"], *(name for part in parts for name in part["classes"])]
    return (
        all(isinstance(name, str) for name in names)
        and isinstance(record["options"], dict)
        and all(type(part["images"]) is int and isinstance(part["fingerprint"], str) for part in parts)
    )


def division(record: Record | None, dataset: str) -> dict[str, Any]:
    """The option of `data.load` that takes a run's own classes; none for a data set with a fixed division.

    Args:
        record: of the run, or None.
        dataset: name of the data set to load.
    """
    if record is None or record["dataset"] != dataset or dataset != "folder":
        return {}
    return {"division": {split: kept["classes"] for split, kept in record["splits"].items()}}


def differences(kept: Record, now: Record) -> dict[str, str]:
    """What has changed since a run was made: split → half a sentence.

    Args:
        kept: record of the run.
        now: record of the same classes as they are now.
    """
    changed = {}
    for split in [split for split in kept["splits"] if split in now["splits"]]:
        then, today = kept["splits"][split], now["splits"][split]
        there = set(today["classes"])
        gone = [name for name in then["classes"] if name not in there]
        if gone:
            verb = "is" if len(gone) == 1 else "are"
            changed[split] = f"{counted(len(gone), 'class')} of {split} {verb} gone ({shortened(gone, 5)})"
        elif then["classes"] == today["classes"] and then["fingerprint"] != today["fingerprint"]:
            changed[split] = f"the images of {split} have changed ({_both(then['images'], today['images'])})"
    return changed


def _both(then: int, now: int) -> str:
    images = counted(then, "image")
    return f"{images} as before, with other content" if then == now else f"{images} then, {now:,} now"


def added(kept: Record, root: str | Path) -> str | None:
    """A sentence about classes that a folder has gained since a run was made; None if there are none.

    Args:
        kept: record of the run.
        root: the folder.
    """
    known = {name for split in kept["splits"].values() for name in split["classes"]} | set(kept["unused"])
    new = [name for name in folder.class_names(root) if name not in known]
    if not new:
        return None
    return (
        f"the folder {root} has {counted(len(new), 'class')} more than when the run was made "
        f"({shortened(new, 5)}); the run keeps its own classes, for training and for the test."
    )


def are_the_same(run: str | Path, split: str, images: ImageDataset) -> bool | None:
    """Whether images are those that a run kept of a split; None where it kept none.

    Args:
        run: its folder, or the model file in it.
        split: name of the split.
        images: in question.
    """
    kept = read(run)
    part = None if kept is None else kept["splits"].get(split)
    return None if part is None else part["fingerprint"] == _fingerprint(images)


def check_resumed(run: Path, kept: Record | None, now: Record, root: str | Path | None) -> list[str]:
    """Sentences about what has changed since an interrupted run was made.

    Args:
        run: its folder, for the error message.
        kept: record of the run; None where it was made before runs kept one.
        now: record of the classes that a resumed run would take.
        root: of a folder of one's own images.

    Raises:
        DMLTeachError: the images to train on have changed, or it is not known which they were.
    """
    own_images = now["dataset"] == "folder"
    if kept is None:
        if own_images:
            raise DMLTeachError(
                f"the run in {run} was made before runs kept the names of their classes, and folders are "
                "divided otherwise since: it is not known which classes it was trained on, so it cannot be "
                "continued. Train anew in another --output."
            )
        return []
    changed = differences(kept, now)
    for split in ("train", "fit"):
        if split in changed:
            raise DMLTeachError(
                f"{changed[split]} since the run in {run} was made, so it cannot be continued. Put the "
                "images back as they were, or train anew in another --output."
            )
    sentences = [
        f"{what}: numbers of this run before and after cannot be compared." for what in changed.values()
    ]
    more = added(kept, root) if own_images and root is not None else None
    return [*sentences, *([more] if more else [])]


def tested(
    run: str | Path, images: ImageDataset, split: str, root: str | Path | None, options: Mapping[str, Any]
) -> list[str]:
    """Sentences about what is different between a run's data and the images that it is measured on.

    Args:
        run: folder of the run, or a model file.
        images: of this split.
        split: its name.
        root: of a folder of one's own images.
        options: with which the images were loaded.
    """
    kept = read(run)
    if kept is None:
        return _unknown(run, options) if images.name == "folder" else []
    if kept["dataset"] != images.name:
        return []
    said = []
    if "division" in options or _are_those_of(kept, images, split, options):
        changed = differences(kept, describe({split: images}))
        said += [f"{what} since the run was made." for what in changed.values()]
    if "division" in options and root is not None:
        more = added(kept, root)
        said += [more] if more else []
    parts = [kept["splits"][part] for part in ("train", "fit") if part in kept["splits"]]
    trained_on = {composed(name) for part in parts for name in part["classes"]}
    seen = [name for name in images.class_names if composed(name) in trained_on]
    if split == "test" and images.name == "folder" and seen:
        verb = "was" if len(seen) == 1 else "were"
        said.append(
            f"{len(seen):,} of the {counted(images.num_classes, 'class')} of the test {verb} trained on: "
            f"{shortened(seen, 5)}."
        )
    return said


def _are_those_of(kept: Record, images: ImageDataset, split: str, options: Mapping[str, Any]) -> bool:
    """Whether a published data set was loaded as the run did: all of its classes, with its options."""
    then = kept["splits"].get(split, {}).get("classes")
    return images.name != "folder" and dict(options) == kept["options"] and images.class_names == then


def options_for(
    run: str | Path | None, dataset: str, split: str, root: str | Path | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Options of `data.load` with which a run is measured on its own classes, where the folder holds them.

    Args:
        run: folder of the run, or a model file; None: no run.
        dataset, split, root, options: as of `data.load`; options that ask for another division are obeyed.
    """
    if run is None or dataset != "folder":
        return dict(options)
    kept = read(run)
    if kept is None:
        own = {} if any(name in options for name in _DIVIDE) else _former_division(run, root)
    elif kept["dataset"] != dataset or any(
        options[name] != kept["options"].get(name) for name in _DIVIDE if name in options
    ):
        own = {}
    else:
        own = {**kept["options"], **division(kept, dataset)}
    names = own.get("division", {}).get(split, ())
    if names and not set(names) & set(folder.class_names(folder.existing(root))):
        own = {}  # another folder
    return {**options, **own}


def _former_division(run: str | Path, root: str | Path | None) -> dict[str, Any]:
    """The option for a run made before runs kept their classes: folders were divided by number then."""
    file = _folder_of(run) / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))["config"]
        options = config["dataset_options"]
        layout = look(folder.existing(root))
        if config["dataset"] != "folder" or layout.parts:
            return {}
        names = list(layout.classes())
        fraction, seed = options.get("test_fraction", 0.5), options.get("seed", 0)
        train, test = divide_classes(len(names), fraction, seed, str(root))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}
    return {"division": {"train": [names[i] for i in train], "test": [names[i] for i in test]}}


def _unknown(run: str | Path, options: Mapping[str, Any]) -> list[str]:
    if "division" in options:
        return [
            f"{run} was made before runs kept the names of their classes. The folder is divided as it was "
            "then, which gives the same classes only if none has come or gone since: that is not known."
        ]
    return [
        f"{run} does not tell which classes it was trained on (a model file by itself, or a run made before "
        "runs kept their names), so it is not known whether the test is on classes that it has never seen."
    ]


def _fingerprint(images: ImageDataset) -> str:
    """Of the images and their classes; of one's own images by their names and the ends of their files.

    Neither time nor place is in it: a folder may be copied. Of a published data set sizes are enough.
    """
    files = getattr(images.source, "files", None)
    if files is None:
        return images.fingerprint
    content = hashlib.sha256()
    for row, label in zip(images.rows.tolist(), images.labels.tolist(), strict=True):
        file = files[row]
        content.update(f"{label} {file.size}\0".encode())
        if images.name == "folder":
            content.update(composed(file.name).encode("utf-8", "surrogateescape") + b"\0" + _ends(file))
    return content.hexdigest()[:20]


def _ends(file: StoredFile) -> bytes:
    if file.size <= 2 * _END:
        return file.read()
    return (
        file._replace(size=_END).read()
        + file._replace(offset=file.offset + file.size - _END, size=_END).read()
    )
