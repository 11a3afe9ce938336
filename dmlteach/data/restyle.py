"""A second domain for drawings: hatched strokes with a bright outline, on dark striped cloth.

Whole numbers throughout, so that a restyled drawing is the same on every computer.
"""

import functools

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

VERSION = 2  # counts up when a restyled drawing changes
_SEED = 20_150_211
_LOW_AND_HIGH = {  # of each number in a style, both included
    "outline": (1, 2),  # pixels on each side of a stroke
    "cloth": (12, 40),  # grey, 255 is white
    "inside": (110, 170),
    "edge": (215, 255),
    "across": (-3, 3),  # direction of the stripes
    "down": (1, 3),
    "period": (9, 21),  # of the stripes, in steps of that direction
    "shift": (0, 20),
    "contrast": (6, 11),  # grey levels between two stripes
}


def styles(count: int) -> Tensor:
    """(count, 9) int16, style of each of so many drawings; row i depends on i alone.

    Args:
        count: drawings.
    """
    return _table()[:count]


def restyle(ink: Tensor, style: Tensor) -> Tensor:
    """Drawings in another style; each still shows the same character.

    Args:
        ink: (n, 1, H, W) uint8, strokes 255 on 0.
        style: (n, 9) int16, rows of `styles`.

    Returns:
        (n, 1, H, W) uint8.
    """
    number = dict(zip(_LOW_AND_HIGH, style[:, :, None, None, None].unbind(1), strict=True))  # (n, 1, 1, 1)
    outlined = _thicken(ink)
    outlined = torch.where(number["outline"] == 1, outlined, _thicken(outlined))
    stripe = _stripes(number, *ink.shape[2:])
    cloth = number["cloth"] - number["contrast"] * stripe
    inside = number["inside"] + number["contrast"] * stripe
    image = torch.where(ink > 0, inside, torch.where(outlined > 0, number["edge"], cloth))
    return image.to(torch.uint8)


def _thicken(ink: Tensor) -> Tensor:
    """By one pixel on each side."""
    padded = F.pad(ink, (1, 1, 1, 1))
    wide = padded[..., :-2] | padded[..., 1:-1] | padded[..., 2:]
    return wide[..., :-2, :] | wide[..., 1:-1, :] | wide[..., 2:, :]


def _stripes(number: dict[str, Tensor], height: int, width: int) -> Tensor:
    """(n, 1, H, W) 0 or 1."""
    row, column = torch.arange(height, dtype=torch.int16)[:, None], torch.arange(width, dtype=torch.int16)
    along = number["across"] * column + number["down"] * row + number["shift"]
    return torch.div(along, number["period"], rounding_mode="floor") % 2


@functools.cache
def _table() -> Tensor:
    """Styles of more drawings than Omniglot has in either part."""
    low, high = np.array(list(_LOW_AND_HIGH.values())).T
    drawn = np.random.default_rng(_SEED).integers(low, high + 1, (20_000, len(low)))
    return torch.from_numpy(drawn.astype(np.int16))
