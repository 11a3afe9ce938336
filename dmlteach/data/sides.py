"""Which classes of a folder of one's own images are for training, and which for the test."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dmlteach.data.files import StoredFile
from dmlteach.data.layout import EXPECTED, Classes, Layout, shortened
from dmlteach.data.splits import ByName, composed, divide_names
from dmlteach.errors import DMLTeachError, counted

TO_TRAIN = 4  # classes: two to fit on and two for val
PART_OF = {"fit": "train", "val": "val"}  # the folder of a split, where the folder is divided in three
Division = Mapping[str, Sequence[str]]  # split → names of its classes


@dataclass(frozen=True)
class Sides:
    """How the classes of a folder are divided.

    Classes divide by a hash of seed and name, so that those that are there keep their side when others come.
    Folders called train, val and test say it themselves; without a val, classes of train are held out.

    Attributes:
        layout: what lies in the folder.
        test_fraction, val_fraction: share of the classes in test, and of train's classes in val.
        seed: of the hash.
        division: names of the classes of some splits, where they are known, as a run keeps them.
    """

    layout: Layout
    test_fraction: float = 0.5
    val_fraction: float = 0.2
    seed: int = 0
    division: Division | None = None

    def classes(self, split: str) -> Classes:
        """The classes of train, fit, val or test, sorted by name.

        Raises:
            DMLTeachError: there are too few, or the layout cannot be understood.
        """
        self._check()
        names = self._known(split)
        every = self._candidates(split)
        if names is not None:
            return self._chosen(every, names, split)
        if not self._is_divided_here(split):
            return every
        halves = self.divided("test" if split in ("train", "test") else "val")
        chosen = halves.held_out if split in ("test", "val") else halves.rest
        return {name: every[name] for name in chosen}

    def divided(self, held_out: str) -> ByName:
        """The division into train and test, or of train into fit and val.

        Args:
            held_out: test or val.
        """
        if held_out == "test":
            names = self.layout.classes()
            what, least = str(self.layout.root), TO_TRAIN
            return divide_names(names, self.test_fraction, self.seed, "test", what, least)
        names = self.classes("train")
        what = f"the train side of {self.layout.root}"
        return divide_names(names, self.val_fraction, self.seed, "val", what)

    def shared(self) -> dict[tuple[str, str], list[str]]:
        """Classes that folders divided beforehand hold twice: (train, test), … → their names."""
        twice = {}
        for one, other in (("train", "test"), ("val", "test"), ("train", "val")):
            names = {composed(name) for name in self.layout.classes(other)} if self.layout.parts else ()
            both = [name for name in self.layout.classes(one) if composed(name) in names]
            if both:
                twice[one, other] = both
        return twice

    def _known(self, split: str) -> Sequence[str] | None:
        known = {} if self.division is None else self.division
        if not isinstance(known, Mapping) or not all(
            isinstance(names, list | tuple) for names in known.values()
        ):
            raise DMLTeachError(f"division names the classes of splits, {{split: [name, …]}}, not {known!r}.")
        if split == "train" and "train" not in known and {"fit", "val"} <= known.keys():
            return [*known["fit"], *known["val"]]
        return known.get(split)

    def _is_divided_here(self, split: str) -> bool:
        return not self.layout.parts or (split in ("fit", "val") and "val" not in self.layout.parts)

    def _candidates(self, split: str) -> Classes:
        """The classes among which those of a split are."""
        if not self.layout.parts:
            return self.layout.classes()
        if split == "test":
            return self.layout.classes("test")
        both = split == "train" or "val" not in self.layout.parts
        return self.layout.classes("train", "val") if both else self.layout.classes(PART_OF[split])

    def _chosen(self, every: Classes, names: Sequence[str], split: str) -> Classes:
        there = {name: every[name] for name in sorted(names) if name in every}
        if not there:
            raise DMLTeachError(
                f"{self.layout.root} holds none of the {counted(len(names), 'class')} of {split} that were "
                f"asked for ({shortened(names)})."
            )
        return there

    def faults(self) -> list[str]:
        """Why the folder cannot be used as it lies there, a sentence each; none where it can."""
        root, parts = self.layout.root, self.layout.parts
        if not parts:
            return list(_fault(self.layout, str(root), self.layout.classes()))
        lacking = [] if {"train", "test"} <= parts.keys() else [_lacking(self.layout)]
        for part in [part for part in ("train", "val", "test") if part in parts]:
            place = " and ".join(str(root / name) for name in parts[part])
            lacking += _fault(self.layout, place, self.layout.classes(part))
        return lacking

    def _check(self) -> None:
        """Raise on a layout that cannot be used."""
        for fault in self.faults():
            raise DMLTeachError(f"{fault}\n{EXPECTED}")


def _fault(layout: Layout, place: str, classes: Classes) -> Iterator[str]:
    """What is wrong with folders of which two or more are needed; nothing where they are there."""
    if len(classes) == 1:
        name = next(iter(classes))
        yield (
            f"{place} has one class only ({name!r}); metric learning compares classes, so at least two are "
            f"needed.{_deeper(place, name, classes[name])}"
        )
    elif not classes and layout.parts:
        outside = f"; {counted(len(layout.loose), 'image')} outside of class folders: put each into one"
        yield f"no class folder with images in {place}{outside if layout.loose else ''}."
    elif not classes and layout.loose:
        yield (
            f"{place} holds {counted(len(layout.loose), 'image')} outside of class folders, and no class "
            "folder. If they are one class, name the folder above, which should hold a folder like this one "
            f"for each class: --root {layout.root.absolute().parent}. Otherwise put the images of each class "
            "into a folder of their own."
        )
    elif not classes:
        yield f"no class folder with images in {place}."


def _lacking(layout: Layout) -> str:
    """What to do about folders that read as parts, but are not those of a training and a test."""
    folders = [name for names in layout.parts.values() for name in names]
    missing = " and ".join(part for part in ("train", "test") if part not in layout.parts)
    cure = "Put the images of all classes into one folder per class, and they are divided by class."
    if missing == "test" and len(folders) > 1:
        others = " or ".join(name for name in folders if name not in layout.parts["train"])
        cure = (
            f"If the classes of {others} are not those of train, rename it to test (merge query and gallery: "
            "each test image searches all others). Otherwise put the images of all classes into one folder "
            "per class, and they are divided by class."
        )
    elif missing == "test":
        cure = (
            f"Name {layout.root / folders[0]} as the root, and its classes are divided into train and test."
        )
    listed = ", ".join(f"{name}/" for name in folders)
    reads = "reads as a part" if len(folders) == 1 else "read as parts"
    return (
        f"{layout.root} holds {listed}, which {reads} of a divided data set and not as classes; {missing} is "
        f"missing. {cure}"
    )


def _deeper(place: str, name: str, images: list[StoredFile]) -> str:
    """A hint where the only class holds folders itself: then these may be the classes."""
    below = {file.name.rpartition("/")[0] for file in images}
    if len(below) < 2:
        return ""
    return f" If the folders in {name!r} are the classes, give {place}/{name} as the root."
