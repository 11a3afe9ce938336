"""Data sets, their decode-once cache, and augmentation on the device."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from dmlteach import foreign
from dmlteach.data import (
    cars196,
    cub200,
    domainnet,
    download,
    folder,
    foreign_data,
    inshop,
    omniglot,
    pictures,
    provenance,
    sop,
)
from dmlteach.data.augment import Augmentation
from dmlteach.data.cache import CachedImages, Packed, cached
from dmlteach.data.dataset import ImageDataset
from dmlteach.data.splits import fit_or_val
from dmlteach.errors import DMLTeachError, unknown_name
from dmlteach.options import check_options as check_given
from dmlteach.options import check_seed, one_of, options_of

__all__ = [
    "Augmentation",
    "CachedImages",
    "CheckReport",
    "Domains",
    "ForRun",
    "ImageDataset",
    "Packed",
    "cached",
    "check",
    "domains",
    "get",
    "how_to_get",
    "load",
    "load_for_run",
    "load_test",
    "names",
    "pictures",
    "provenance",
    "recall_at",
    "terms",
]

_DATASETS = {
    "omniglot": omniglot,
    "cub200": cub200,
    "cars196": cars196,
    "sop": sop,
    "inshop": inshop,
    "domainnet": domainnet,
    "folder": folder,
}
# What the file of a data set may say of it, and what is so otherwise. Each says HOW_TO_GET it.
_OTHERWISE: dict[str, Any] = {
    "PARTS": ("train", "test"),  # splits that its own `load` gives
    "SPLITS": (),  # those that it divides by itself
    "TESTED_AS": ("test",),  # what is retrieved in its standard test, or queries and their gallery
    "RECALL_AT": (1, 2, 4, 8),  # K of the Recall@K that papers report
    "DOMAINS": (),  # the first is the source
    "PROTOCOL": "",  # what retrieval from one domain into another is called
    "FILES": None,  # choices of files to download
    "TERMS": "what their owners allow",  # on which its images may be used, as its makers state them
}
_SPLITS = ("train", "test", "fit", "val", "query", "gallery")
_OPTIONS_OF_ALL = {"val_fraction": 0.2, "seed": 0}
_OF_LOAD = ("domain", "classes")  # arguments of `load` that are no option of a data set's own


def names() -> list[str]:
    """Names that `load` knows."""
    return sorted(_DATASETS)


def load(
    name: str,
    split: str,
    root: str | Path | None = None,
    *,
    domain: str | None = None,
    classes: int | Sequence[int] | None = None,
    **options,
) -> ImageDataset:
    """Load one split of a data set; nothing is decoded yet.

    Train and test are the standard splits, with different classes (DomainNet's share them). Fit and val
    are class-disjoint parts of train. Query and gallery, where a data set has them, share one index of
    classes. Options of every data set: `val_fraction` (share of train's classes in val, default 0.2) and
    `seed` (of that division, default 0). Omniglot takes `rotations` (turned characters as extra classes),
    folder takes `test_fraction` and `division`, see `folder.load`.

    Args:
        name: one of `names()`; or the source of another's function `load(split, root, *, options)`, which
            gives an `ImageDataset`: "mine.py:load" or "package.module:load".
        split: train, test, fit or val; query or gallery of inshop, domainnet and omniglot.
        root: where the data set is; Omniglot needs none.
        domain: one of `domains(name)`, by default the first; a gallery of domainnet has no default.
        classes: only the first so many classes of the split, or these; relabelled 0 …
        **options: as above.

    Returns:
        The images and their labels 0 … C-1.

    Raises:
        DMLTeachError: an unknown name, split, domain or option; a missing or damaged root.

    Examples:
        >>> load("omniglot", "test")
        ImageDataset('omniglot', 'test', 13180 images, 659 classes)
    """
    module = _module(name)
    _check_split(name, split)
    check_options(name, options)
    divide = {key: options.get(key, default) for key, default in _OPTIONS_OF_ALL.items()}
    own = {key: value for key, value in options.items() if key in _own_options(module)}
    if domain is not None:
        _check_domain(name, domain)
        own["domain"] = domain

    if split in _fact(name, "SPLITS") or split not in ("fit", "val"):
        dataset = module.load(split, root, **own)
    else:
        dataset = fit_or_val(module.load("train", root, **own), split, **divide)
    if classes is not None:
        dataset = dataset.subset_classes(_labels_of(classes))
    return dataset


def load_test(
    name: str, root: str | Path | None = None, **options
) -> tuple[ImageDataset, ImageDataset | None]:
    """What the standard test of a data set retrieves: queries and their gallery.

    Args:
        name: one of `names()`.
        root: where the data set is; Omniglot needs none.
        **options: as of `load`.

    Returns:
        The test split and None, where each image searches all others; query and gallery of inshop.
    """
    splits = _fact(name, "TESTED_AS")
    queries, *gallery = (load(name, split, root, **options) for split in splits)
    return queries, gallery[0] if gallery else None


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Refuse what `load` would refuse of a data set's options, without looking at the data.

    Args:
        name: one of `names()`.
        options: names and values.

    Raises:
        DMLTeachError: an unknown data set or option, or a value that means nothing.
    """
    known = {"val_fraction": _keyword(float), "seed": _keyword(int)} | _own_options(_module(name))
    check_given(f"data set {name!r}", known, options, extra=_OF_LOAD)
    check_seed(options.get("seed", 0))


class ForRun(NamedTuple):
    """Images that a run is measured on.

    Attributes:
        images, gallery: as `load_test` gives them; the gallery is None for other splits than test.
        notes: sentences about what has changed since the run was made, or is not known; most often none.
        options: of the data set, those of the run included where its own classes were taken.
    """

    images: ImageDataset
    gallery: ImageDataset | None
    notes: list[str]
    options: dict[str, Any]


def load_for_run(
    run: str | Path | None,
    name: str,
    split: str = "test",
    root: str | Path | None = None,
    *,
    classes: int | Sequence[int] | None = None,
    **options,
) -> ForRun:
    """Load a split as a run knows it: its own classes, though the folder may have gained others since.

    Options that ask for another division of a folder than the run's are obeyed.

    Args:
        run: folder of the run, or a model file; None: as `load` and `load_test`.
        name, split, root, classes: as of `load`; split test is what `load_test` gives.
        **options: as of `load`.

    Raises:
        DMLTeachError: as `load`; the run's data.json is damaged.
    """
    asked, options = options, provenance.options_for(run, name, split, root, options)
    if split == "test":
        images, gallery = load_test(name, root, **options)
    else:
        images, gallery = load(name, split, root, **options), None
    notes = [] if run is None else provenance.tested(run, images, split, root, options)
    if classes is not None:
        images = images.subset_classes(_labels_of(classes))
        gallery = gallery and gallery.subset_classes(_labels_of(classes))
    if "division" not in asked:
        options.pop("division", None)
    return ForRun(images, gallery, notes, options)


class Domains(NamedTuple):
    """Domains of a data set, and what retrieval from one into another is called there."""

    names: tuple[str, ...]  # the first is the source
    protocol: str


def domains(name: str) -> Domains:
    """Domains that `load` knows of a data set; none where it has one only.

    Args:
        name: one of `names()`.
    """
    return Domains(_fact(name, "DOMAINS"), _fact(name, "PROTOCOL"))


def recall_at(name: str) -> tuple[int, ...]:
    """K of the Recall@K that papers report; 1, 2, 4, 8 where nothing else is usual.

    Args:
        name: of a data set, which need not be one of `names()`.
    """
    known = name in _DATASETS or foreign.is_foreign(name)
    return _fact(name, "RECALL_AT") if known else _OTHERWISE["RECALL_AT"]


def terms(name: str) -> str:
    """On which terms the images of a data set may be used, as its makers state them.

    Args:
        name: one of `names()`, or a foreign one.
    """
    return _fact(name, "TERMS")


def how_to_get(name: str) -> str:
    """Where a data set comes from and what to type, for reading.

    Args:
        name: one of `names()`.
    """
    return getattr(_module(name), "HOW_TO_GET", f"{name} says nothing of it.")


@dataclass(frozen=True)
class CheckReport:
    """What `check` found; `str(report)` is made for reading.

    Attributes:
        name: the data set.
        found: what is there.
        problems: what is missing or cannot be used.
        notes: what else is worth knowing.
    """

    name: str
    found: list[str]
    problems: list[str]
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        return "\n  ".join([f"{self.name}: {'complete' if self.ok else 'NOT complete'}", *self.sentences()])

    def sentences(self) -> list[str]:
        """What was found, then notes and problems, each called so."""
        return [*self.found, *(f"note: {n}" for n in self.notes), *(f"problem: {p}" for p in self.problems)]


def check(
    name: str, root: str | Path | None = None, *, quick: bool = False, progress: bool = False, **options
) -> CheckReport:
    """Compare a data set on disk with the published one and name what is missing.

    Of a folder of one's own images, every image is decoded; the report says which classes are for training
    and for the test, what was left out, and what a training with default options would refuse.

    Args:
        name: one of `names()`.
        root: where the data set is; Omniglot needs none.
        quick: read only the heads of one's own images; those that are cut off are not found then.
        progress: show a bar.
        **options: of a folder, as of `load`: test_fraction, val_fraction, seed.

    Returns:
        A report: `ok`, `found`, `problems` and `notes`.

    Raises:
        DMLTeachError: an unknown name or option, or nothing at `root`.
    """
    module = _module(name)
    if not hasattr(module, "check"):
        raise DMLTeachError(f"{name} has no function `check` beside it; loading it is what can be tried.")
    accepted = list(inspect.signature(module.check).parameters)[1:]  # after root
    for option in options:
        one_of(f"option of the check of {name!r}", option, accepted)
    given = {"quick": quick, "progress": progress, **options}
    return CheckReport(name, *module.check(root, **{k: v for k, v in given.items() if k in accepted}))


def get(name: str, root: str | Path, progress: bool = True) -> CheckReport:
    """Download a data set from its official place, unpack it, and check it.

    What is there already is kept, and an interrupted download is continued. Files that nobody may pass
    on, or whose place is gone, you put into `root` yourself: they are checked and unpacked.

    Args:
        name: one of `names()`.
        root: folder for it; the same is `root` of `load` afterwards.
        progress: say what is done, with bars.

    Returns:
        The report of `check`.

    Raises:
        DMLTeachError: which file to put where by hand, or why one cannot be used.
    """
    files = _fact(name, "FILES")
    if files is None:
        raise DMLTeachError(f"{name!r} is not downloaded; leave out root={str(root)!r}.")
    root = Path(root).expanduser()
    download.fetch(name, files, root, progress)
    return check(name, root)


def _check_split(name: str, split: str) -> None:
    has = [*_fact(name, "PARTS"), "fit", "val"]
    if split not in _SPLITS:
        raise unknown_name("split", split, has)
    if split not in has:
        raise DMLTeachError(
            f"{name!r} has no split {split!r}: each test image searches all others. It has {', '.join(has)}."
        )


def _check_domain(name: str, domain: str) -> None:
    known = domains(name).names
    if not known:
        raise DMLTeachError(f"{name!r} has one domain only; leave out domain={domain!r}.")
    one_of(f"domain of {name!r}", domain, known)


def _own_options(module) -> dict[str, inspect.Parameter]:
    """Keywords of the data set's own `load`; its domain is an argument of ours."""
    parameters = options_of(module.load, facts=("domain",)).items()
    return {name: p for name, p in parameters if p.kind == p.KEYWORD_ONLY}


def _keyword(kind: type) -> inspect.Parameter:
    return inspect.Parameter("_", inspect.Parameter.KEYWORD_ONLY, annotation=kind)


def _labels_of(classes: int | Sequence[int]) -> Sequence[int]:
    if isinstance(classes, int):
        return range(classes)
    if isinstance(classes, str) or not all(isinstance(label, int) for label in classes):
        raise DMLTeachError(f"classes is a number of classes or a list of labels, not {classes!r}.")
    return classes


def _fact(name: str, fact: str) -> Any:
    return getattr(_module(name), fact, _OTHERWISE[fact])


def _module(name: str) -> Any:
    """The file of a data set, or for a foreign one its function and what stands beside it."""
    if foreign.is_foreign(name):
        return foreign_data.find(name)
    one_of("data set", name, _DATASETS)
    return _DATASETS[name]
