"""An image data set: labelled rows of a source of images."""

import hashlib
import os
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset

from dmlteach.errors import DMLTeachError
from dmlteach.inputs import as_labels

Change = Callable[[Tensor], Tensor]


class Source(Protocol):
    """Where images come from: `omniglot.Drawings` in memory, or `files.FileSource` on disk."""

    channels: int

    @property
    def fingerprint(self) -> str:
        """Changes when an image changes."""
        ...

    def __len__(self) -> int: ...

    def read(self, rows: Tensor, change: Change | None = None) -> list[Tensor]:
        """The images `rows` (n,) in order, as uint8 blocks (n_i, C, H, W) of one size each.

        `change` is applied to every block where it is decoded: resizing there saves memory and uses
        the source's threads.
        """
        ...

    def sizes(self, rows: Tensor) -> Tensor:
        """(n, 2) height and width, as far as they can be told without decoding."""
        ...

    def take(self, rows: Tensor) -> "Source":
        """A source of these images only."""
        ...


class ImageDataset(Dataset):
    """Images of one split with their classes; `dataset[i]` is (uint8 (C, H, W), label).

    Args:
        name: the data set, as in `dmlteach.data.names()`.
        split: train, test, fit or val.
        source: where the images come from.
        labels: (N,) class of each image, 0 … C-1; -1 where it has none (`pictures.load` only).
        class_names: what each class is called, in label order.
        shareable: images may be published; False keeps them out of committed figures.
        rows: (N,) image of the source that each row shows; by default all, in order.
        together: this many consecutive classes are variants of one thing (Omniglot's rotations)
            and stay on one side of a split.
    """

    def __init__(
        self,
        name: str,
        split: str,
        source: Source,
        labels: Tensor,
        class_names: Sequence[str],
        *,
        shareable: bool,
        rows: Tensor | None = None,
        together: int = 1,
    ):
        self.name, self.split, self.source = name, split, source
        self.labels = as_labels(labels)
        self.class_names = list(class_names)
        self.shareable = shareable
        self.rows = torch.arange(len(source)) if rows is None else rows
        self.together = together
        if len(self.rows) != len(self.labels):
            raise DMLTeachError(f"{len(self.labels)} labels for {len(self.rows)} images of {name!r}.")
        # Looked at here, once: in training the labels are on a device, where losses do not look at them.
        if len(self.labels) and not -1 <= self.labels.min() <= self.labels.max() < len(self.class_names):
            raise DMLTeachError(
                f"labels of {name!r} from {int(self.labels.min())} to {int(self.labels.max())} for "
                f"{len(self.class_names)} class names: labels must be 0 … {len(self.class_names) - 1}, "
                "or -1 for no class."
            )

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for RGB."""
        return self.source.channels

    @property
    def paths(self) -> list[str] | None:
        """File of each image, relative to the data set, with /; None where images are no files.

        What is no Unicode in a name becomes �.
        """
        files = getattr(self.source, "files", None)
        if files is None:
            return None
        return [os.fsencode(files[row].name).decode("utf-8", "replace") for row in self.rows.tolist()]

    @property
    def fingerprint(self) -> str:
        """Changes when an image, a label or the choice of rows changes."""
        content = hashlib.sha256(self.source.fingerprint.encode())
        content.update(self.rows.numpy().tobytes() + self.labels.numpy().tobytes())
        return content.hexdigest()[:20]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, int]]:
        """Several items at once, as DataLoader asks for them."""
        size = len(self)
        if any(not -size <= int(i) < size for i in indices):
            raise IndexError(f"index out of range: {self.name!r} {self.split} has {size} images")
        chosen = torch.as_tensor([int(i) % size for i in indices], dtype=torch.int64)
        images = [image for block in self.source.read(self.rows[chosen]) for image in block]
        return list(zip(images, self.labels[chosen].tolist(), strict=True))

    def subset_classes(self, ids: Sequence[int] | Tensor) -> "ImageDataset":
        """The images of these classes, relabelled 0 … len(ids)-1 in the order given.

        Args:
            ids: distinct labels of this data set.

        Raises:
            DMLTeachError: for a label that does not exist or is named twice.
        """
        return self._select(ids, self.split, own_source=True)

    def first_classes(self, count: int | None) -> "ImageDataset":
        """The images of the first so many classes; all of them where there are no more.

        Args:
            count: of the classes; None: all.
        """
        if count is None or count >= self.num_classes:
            return self
        return self.subset_classes(range(count))

    def part(self, ids: Sequence[int] | Tensor, split: str) -> "ImageDataset":
        """Like `subset_classes`, under another split name; it shares this data set's cache."""
        return self._select(ids, split, own_source=False)

    def _select(self, ids: Sequence[int] | Tensor, split: str, own_source: bool) -> "ImageDataset":
        ids = [int(i) for i in ids]
        wrong = [i for i in ids if not 0 <= i < self.num_classes]
        if wrong or len(set(ids)) != len(ids) or not ids:
            raise DMLTeachError(
                f"classes {(wrong or ids)[:5]} of {self.name!r} {self.split}: "
                f"choose distinct classes between 0 and {self.num_classes - 1}."
            )
        new_label = torch.full((self.num_classes,), -1)
        new_label[torch.tensor(ids)] = torch.arange(len(ids))
        labels = new_label[self.labels]
        kept = (labels >= 0).nonzero()[:, 0]
        rows = self.rows[kept]
        return ImageDataset(
            self.name,
            split,
            self.source.take(rows) if own_source else self.source,
            labels[kept],
            [self.class_names[i] for i in ids],
            shareable=self.shareable,
            rows=None if own_source else rows,
        )

    def __repr__(self) -> str:
        return f"ImageDataset({self.name!r}, {self.split!r}, {len(self)} images, {self.num_classes} classes)"
