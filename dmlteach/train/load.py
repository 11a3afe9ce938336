"""The images that a run learns from and is measured on: loaded and checked, not yet decoded."""

from typing import Any, NamedTuple, cast

import torch

from dmlteach import data
from dmlteach.data import ImageDataset, provenance
from dmlteach.errors import DMLTeachError
from dmlteach.methods import Method
from dmlteach.train.config import TrainConfig
from dmlteach.train.folder import RunFolder
from dmlteach.train.held_out import HeldOut, held_out


class Loaded(NamedTuple):
    """Images of a run.

    Attributes:
        train: what it learns from.
        val: what it is measured on after epochs; None where it trains on all training classes.
        test: what it is measured on at its start and at its end.
        record: what the run keeps of them, as `provenance.describe` gives it.
        notes: sentences about what has changed since the run, or the one it starts from, was made.
        other_test: whether the test images have changed since an interrupted run was made.
    """

    train: ImageDataset
    val: HeldOut | None
    test: HeldOut
    record: provenance.Record
    notes: list[str]
    other_test: bool


def load(config: TrainConfig, recipe: Method, resumed: RunFolder | None) -> Loaded:
    """Load all splits now: a test split that is missing must not be found out after the training.

    Args:
        config: of the run.
        recipe: of the run, as `resolve` gives it.
        resumed: folder of the run that is continued, whose classes are taken again; None for a new one.

    Raises:
        DMLTeachError: a split is missing or cannot be learned from or measured on, or is not what the
            interrupted run was trained on.
    """
    known = None if resumed is None else resumed.record()
    chosen = {**config.dataset_options, **provenance.division(known, config.dataset)}
    split = "fit" if config.eval_every else "train"
    train = _load(config, split, {**recipe.train_options, **chosen})
    _check_classes(train)
    plain = {k: v for k, v in chosen.items() if k not in recipe.train_options}
    val = _load_val(config, plain) if config.eval_every else None
    test = _load_test(config, plain)

    measured = {"val": val and val.queries, "test": test.queries, "gallery": test.gallery}
    record = _describe(config, {split: train, **measured})
    if resumed is not None:
        notes = provenance.check_resumed(resumed.path, known, record, config.root)
    else:
        notes = _seen_before(config, test)
    changed = provenance.differences(known, record) if known else {}
    return Loaded(train, val, test, record, notes, bool({"test", "gallery"} & changed.keys()))


def _load(config: TrainConfig, split: str, options: dict[str, Any]) -> ImageDataset:
    return data.load(config.dataset, split, config.root, **options).first_classes(config.classes)


def _load_val(config: TrainConfig, options: dict[str, Any]) -> HeldOut:
    cure = "Add images, or train on all classes with --eval-every 0."
    return held_out(_load(config, "val", options), None, config.recall_at, cure)


def _load_test(config: TrainConfig, options: dict[str, Any]) -> HeldOut:
    queries, gallery = data.load_test(config.dataset, config.root, **options)
    gallery = gallery and gallery.first_classes(config.classes)
    return held_out(queries.first_classes(config.classes), gallery, config.recall_at)


def _check_classes(images: ImageDataset) -> None:
    sizes = torch.bincount(images.labels)
    if len(sizes) < 2:
        raise DMLTeachError(f"{images.name} has one class only; metric learning compares classes.")
    if sizes.max() < 2:
        raise DMLTeachError(
            f"every class of {images.name} has one image only: no image has a positive. "
            "Add images, or merge classes."
        )


def _describe(config: TrainConfig, splits: dict[str, Any]) -> provenance.Record:
    """What the run keeps of its data, so that it is measured on the same classes later."""
    # Otherwise each class of a folder is in one of the splits.
    some = config.classes or "division" in config.dataset_options
    return provenance.describe(splits, config.root if some else None, config.dataset_options)


def _seen_before(config: TrainConfig, test: HeldOut) -> list[str]:
    """What the run whose weights this one starts from has seen of its test images."""
    if config.checkpoint is None:
        return []
    asked = {k: v for k, v in config.dataset_options.items() if k != "division"}
    queries = cast(ImageDataset, test.queries)
    return provenance.tested(str(config.checkpoint), queries, "test", config.root, asked)
