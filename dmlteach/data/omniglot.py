"""Omniglot: 1,623 handwritten characters, 20 drawings each, in two styles; embedded in the package.

Source: Lake, Salakhutdinov, Tenenbaum, "Human-level concept learning through probabilistic
program induction", Science 2015 (MIT licence, see omniglot_LICENSE.txt).
"""

import functools
import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dmlteach.data.dataset import Change, ImageDataset
from dmlteach.data.restyle import VERSION, restyle, styles
from dmlteach.errors import DMLTeachError
from dmlteach.options import check_type

FILE = Path(__file__).with_name("omniglot.npz")
SIDE = 105  # pixels of a drawing
DRAWERS = 20  # drawings of each character
CHARACTERS = {"train": 964, "test": 659}
_STORED_AS = {"train": "background", "test": "evaluation"}
PARTS = ("train", "test", "query", "gallery")
TERMS = "MIT licence, © 2015 Brenden Lake"
DOMAINS = ("drawings", "restyled")
PROTOCOL = "cross-domain, new classes"
HOW_TO_GET = "omniglot is embedded in the package; there is nothing to download."
_BLOCK = 1024  # drawings unpacked at once


class Drawings:
    """Drawings of one part, unpacked from one bit a pixel when read: (1, 105, 105), ink 255 on 0.

    Args:
        part: train (background alphabets) or test (evaluation alphabets).
        packed: (n,) row of the stored part that each drawing comes from.
        turns: (n,) quarter turns, counter-clockwise, 0 … 3.
        domain: drawings, or restyled: outlined and hatched, on dark striped cloth.
    """

    channels = 1

    def __init__(self, part: str, packed: Tensor, turns: Tensor, domain: str = "drawings"):
        self.part, self.packed, self.turns, self.domain = part, packed, turns, domain

    @property
    def fingerprint(self) -> str:
        chosen = torch.stack([self.packed, self.turns]).numpy().tobytes()
        style = f" {self.domain} {VERSION}" if self.domain == "restyled" else ""
        return f"omniglot {self.part}{style} {hashlib.sha256(chosen).hexdigest()}"

    def __len__(self) -> int:
        return len(self.packed)

    def read(self, rows: Tensor, change: Change | None = None) -> list[Tensor]:
        blocks = (self._unpack(block) for block in rows.split(_BLOCK))
        return [change(block) if change else block for block in blocks]

    def _unpack(self, rows: Tensor) -> Tensor:
        stored, turns = self.packed[rows], self.turns[rows]
        bits = np.unpackbits(_stored(self.part)[stored.numpy()], axis=1, count=SIDE * SIDE)
        images = torch.from_numpy(bits).view(-1, 1, SIDE, SIDE).mul_(255)
        for turn in (1, 2, 3):
            turned = (turns == turn).nonzero()[:, 0]
            if len(turned):
                images[turned] = images[turned].rot90(turn, (2, 3))
        return (
            images if self.domain == "drawings" else restyle(images, styles(len(_stored(self.part)))[stored])
        )

    def sizes(self, rows: Tensor) -> Tensor:
        return torch.full((len(rows), 2), SIDE)

    def take(self, rows: Tensor) -> "Drawings":
        return Drawings(self.part, self.packed[rows], self.turns[rows], self.domain)


def load(
    part: str, root: str | Path | None = None, *, rotations: bool = False, domain: str = "drawings"
) -> ImageDataset:
    """Omniglot's background alphabets (train, 964 characters) or evaluation alphabets (test, 659).

    Query and gallery are test divided by hand: the first ten people's drawings search the other ten's.
    So no drawing meets itself in another domain.

    Args:
        part: train, test, query or gallery.
        root: not needed, the drawings are part of the package.
        rotations: add each character turned by 90°, 180° and 270° as classes of their own;
            the label is then 4 · character + quarter turns.
        domain: drawings, or restyled: outlined and hatched, on dark striped cloth.
    """
    if root is not None:
        raise DMLTeachError(f"omniglot is embedded in the package and needs no root (given: {str(root)!r}).")
    check_type("rotations", bool, rotations)
    stored_part = "train" if part == "train" else "test"
    drawers = {"query": range(DRAWERS // 2), "gallery": range(DRAWERS // 2, DRAWERS)}.get(
        part, range(DRAWERS)
    )
    turns_of_each = 4 if rotations else 1
    labels = torch.arange(CHARACTERS[stored_part] * turns_of_each).repeat_interleave(len(drawers))
    character, turns = labels // turns_of_each, labels % turns_of_each
    drawer = drawers.start + torch.arange(len(labels)) % len(drawers)
    names = [
        f"{name}, {90 * turn}°" if turn else name
        for name in _character_names(stored_part)
        for turn in range(turns_of_each)
    ]
    source = Drawings(stored_part, character * DRAWERS + drawer, turns, domain)
    return ImageDataset("omniglot", part, source, labels, names, shareable=True, together=turns_of_each)


def check(root: str | Path | None = None) -> tuple[list[str], list[str]]:
    """What is there, and what is wrong with it; both as sentences."""
    if root is not None:
        raise DMLTeachError(f"omniglot is embedded in the package and needs no root (given: {str(root)!r}).")
    found, problems = [], []
    for part, characters in CHARACTERS.items():
        drawings = len(_stored(part))
        found.append(f"{part}: {drawings:,} drawings of {drawings // DRAWERS} characters")
        if drawings != characters * DRAWERS:
            problems.append(f"{part}: expected {characters * DRAWERS:,} drawings; reinstall dmlteach.")
    return found, problems


@functools.cache
def _stored(part: str) -> np.ndarray:
    """(drawings, 1379) uint8, 8 pixels a byte."""
    with np.load(FILE) as file:
        return file[_STORED_AS[part]]


def _character_names(part: str) -> list[str]:
    if part == "test":  # the file names no evaluation alphabets
        return [f"evaluation character {i + 1}" for i in range(CHARACTERS[part])]
    with np.load(FILE) as file:
        alphabets = [str(a) for a in file["background_alphabet"]]
    seen: Counter[str] = Counter()
    names = []
    for alphabet in alphabets:
        seen[alphabet] += 1
        names.append(f"{alphabet} character {seen[alphabet]}")
    return names
