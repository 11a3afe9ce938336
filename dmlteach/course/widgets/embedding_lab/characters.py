"""The drawings of the embedding lab: one character of each of Omniglot's thirty background alphabets."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from dmlteach.data import omniglot
from dmlteach.plots.inline import as_text

SIDE = 20  # pixels of a drawing
GREYS = 4  # two bits a pixel
SEEN = 20  # characters to learn from; the others are never shown


def characters() -> dict:
    """Twenty characters to learn from, then ten that are never shown, twenty drawings of each.

    Each is the first character of its alphabet.

    Returns:
        "packed", the drawings in two bits a pixel, as base64; "side" of a drawing; "count" of the drawings;
        "drawings" of each character; "seen", how many characters come first to learn from; "alphabets".
    """
    data = omniglot.load("train")
    alphabets: dict[str, int] = {}
    for label, name in enumerate(data.class_names):
        alphabets.setdefault(name.rpartition(" character ")[0], label)
    chosen = torch.tensor(list(alphabets.values()))
    rows = (chosen[:, None] * omniglot.DRAWERS + torch.arange(omniglot.DRAWERS)).flatten()
    levels = small(torch.cat(data.source.read(rows)))
    return {
        "packed": as_text(pack(levels)),
        "side": SIDE,
        "count": len(rows),
        "drawings": omniglot.DRAWERS,
        "seen": SEEN,
        "alphabets": list(alphabets),
    }


def small(images: Tensor) -> Tensor:
    """Images (n, 1, H, W) of 0 … 255 as (n, SIDE, SIDE) levels 0 … GREYS - 1: the mean ink of each area."""
    ink = interpolate(images.float() / 255, size=(SIDE, SIDE), mode="area")[:, 0]
    return (ink * (GREYS - 1)).round().to(torch.uint8)


def pack(levels: Tensor) -> bytes:
    """Levels 0 … 3, four in a byte, the first in its highest bits."""
    fours = levels.numpy().reshape(-1, 4)
    return (fours << np.array([6, 4, 2, 0], dtype=np.uint8)).sum(1).astype(np.uint8).tobytes()
