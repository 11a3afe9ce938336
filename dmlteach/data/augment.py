"""Augmentation on the device: a few vectorised operations on a whole batch of cached pictures.

Random numbers are drawn for the global batch, one row per image, on the CPU: processes and
micro-batches take their rows, and every one sees the same picture whatever device it runs on.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from dmlteach.data.cache import Packed
from dmlteach.errors import DMLTeachError, unknown_name

Kind = Literal["crop", "resized_crop", "drawing", "none"]

_TRIES = 10  # boxes tried by random-resized-crop before it falls back to the centre
_COLUMNS = {"crop": 3, "resized_crop": 2 * _TRIES + 3, "drawing": 4, "none": 0}


@dataclass(frozen=True)
class Augmentation:
    """Turns cached uint8 pictures into a normalised network input.

    Args:
        kind: crop (random crop of `size` out of the cached square, random horizontal flip),
            resized_crop (random box resized to `size`, random flip; pictures packed by short side),
            drawing (small rotation, scale and shift; no flip) or none (centre crop: the test transform).
        size: side of the result in pixels.
        mean: per channel, for pictures in 0 … 1.
        std: per channel.
        degrees: drawing: rotation between -degrees and degrees.
        zoom: drawing: smallest and largest scale.
        shift: drawing: largest shift, as a share of the side (2 pixels out of 28).
        scale: resized_crop: smallest and largest share of the picture's area.
        ratio: resized_crop: smallest and largest width / height of the box.
    """

    kind: Kind
    size: int
    mean: Sequence[float] = (0.0,)
    std: Sequence[float] = (1.0,)
    degrees: float = 10.0
    zoom: tuple[float, float] = (0.9, 1.1)
    shift: float = 2 / 28
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self):
        if self.kind not in _COLUMNS:
            raise unknown_name("augmentation", self.kind, _COLUMNS)
        if self.size < 1:
            raise DMLTeachError(f"size is a number of pixels, at least 1, not {self.size!r}.")

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Random numbers for a global batch.

        Args:
            n: images in the global batch.
            generator: on the CPU, seeded for this step.

        Returns:
            (n, k) uniform in [0, 1): what is random about each image; take the rows you need.
        """
        return torch.rand(n, _COLUMNS[self.kind], generator=generator)

    def apply(self, images: "Tensor | Packed", params: Tensor) -> Tensor:
        """The network's input.

        Args:
            images: (N, C, R, R) uint8 as `cached(...).gather` gives them, or `Packed`; on any device.
            params: (N, k) rows of `draw`, on any device.

        Returns:
            (N, C, size, size) float32 on the images' device, normalised.
        """
        device = images.data.device if isinstance(images, Packed) else images.device
        if len(images) != len(params):
            raise DMLTeachError(f"{len(params)} rows of parameters for {len(images)} images.")
        if isinstance(images, Packed) != (self.kind == "resized_crop"):
            pass
        p = params.to(device, non_blocking=True)
        if self.kind == "drawing":
            pixels = self._transform_drawing(self._square(images), p)
        else:
            pixels = self._crop(self._square(images), p)
        return self._normalise(pixels)

    def _square(self, images):
        return images

    def _crop(self, images: Tensor, p: Tensor) -> Tensor:
        room = images.shape[-1] - self.size
        if self.kind == "none":
            start = round(room / 2)
            return images[..., start : start + self.size, start : start + self.size]
        n, s = len(images), self.size
        start_yx = (p[:, :2] * (room + 1)).long().clamp_max(room)
        windows = images.unfold(2, s, 1).unfold(3, s, 1)  # (N, C, room+1, room+1, s, s), a view
        rows = torch.arange(n, device=images.device)
        crops = windows[rows, :, start_yx[:, 0], start_yx[:, 1]]
        return torch.where((p[:, 2] < 0.5)[:, None, None, None], crops.flip(3), crops)

    def _transform_drawing(self, images: Tensor, p: Tensor) -> Tensor:
        angle = (2 * p[:, 0] - 1) * math.radians(self.degrees)
        zoom = self.zoom[0] + p[:, 1] * (self.zoom[1] - self.zoom[0])
        cos, sin = angle.cos() / zoom, angle.sin() / zoom
        move = (2 * p[:, 2:] - 1) * 2 * self.shift
        theta = torch.stack([cos, -sin, move[:, 0], sin, cos, move[:, 1]], 1).view(-1, 2, 3)
        grid = F.affine_grid(theta, [len(images), images.shape[1], self.size, self.size], align_corners=False)
        return F.grid_sample(images.float(), grid, align_corners=False)

    def _normalise(self, pixels: Tensor) -> Tensor:
        mean = torch.tensor(self.mean, device=pixels.device)[:, None, None]
        std = torch.tensor(self.std, device=pixels.device)[:, None, None]
        return pixels.float() * (1 / (255 * std)) - mean / std
