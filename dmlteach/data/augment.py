"""Augmentation on the device: a few vectorised operations on a whole batch of cached images.

Random numbers are drawn for the global batch, one row per image, on the CPU: processes and
micro-batches take their rows, and every one sees the same image whatever device it runs on.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from dmlteach.data.cache import Packed
from dmlteach.device import moved
from dmlteach.errors import DMLTeachError
from dmlteach.options import at_least, one_of

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # RGB in 0 … 1
Kind = Literal["crop", "resized_crop", "drawing", "none"]

_TRIES = 10  # boxes tried by random-resized-crop before it falls back to the centre
_COLUMNS = {"crop": 3, "resized_crop": 2 * _TRIES + 3, "drawing": 4, "none": 0}


@dataclass(frozen=True)
class Augmentation:
    """Turns cached uint8 images into a normalised network input.

    Args:
        kind: crop (random crop of `size` out of the cached square, random horizontal flip),
            resized_crop (random box resized to `size`, random flip; images packed by short side),
            drawing (small rotation, scale and shift; no flip) or none (centre crop: the test transform).
        size: side of the result in pixels.
        mean: per channel, for images in 0 … 1.
        std: per channel.
        degrees: drawing: rotation between -degrees and degrees.
        zoom: drawing: smallest and largest scale.
        shift: drawing: largest shift, as a share of the side (2 pixels out of 28).
        scale: resized_crop: smallest and largest share of the image's area.
        ratio: resized_crop: smallest and largest width / height of the box.
        dtype: of the result, in which it is computed: torch.float32 or torch.float64.
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
    dtype: torch.dtype = torch.float32

    def __post_init__(self):
        one_of("augmentation", self.kind, _COLUMNS)
        at_least("size", self.size, 1, because="it is a number of pixels")
        object.__setattr__(self, "mean", tuple(self.mean))
        object.__setattr__(self, "std", tuple(self.std))

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Random numbers for a global batch.

        Args:
            n: images in the global batch.
            generator: on the CPU, seeded for this step.

        Returns:
            (n, k) uniform in [0, 1): what is random about each image, the same numbers whatever `dtype` is;
            take the rows you need.
        """
        return torch.rand(n, _COLUMNS[self.kind], generator=generator)

    def apply(self, images: Tensor | Packed, params: Tensor) -> Tensor:
        """The network's input.

        Args:
            images: (N, C, R, R) uint8 as `cached(…).gather` gives them, or `Packed`; on any device.
            params: (N, k) rows of `draw`.

        Returns:
            (N, C, size, size) of `dtype` on the images' device, normalised.

        Raises:
            DMLTeachError: for images that this kind cannot use, or rows that do not match them.
        """
        if params.shape != (len(images), _COLUMNS[self.kind]):
            raise DMLTeachError(
                f"parameters {tuple(params.shape)} for {len(images)} images; {self.kind!r} needs one row of "
                f"{_COLUMNS[self.kind]} numbers an image, as its own draw({len(images)}, generator) gives."
            )
        self._check_mode(images)
        if isinstance(images, Packed):
            p = moved(params, images.data.device).to(self.dtype)
            boxes = centre_boxes(images, self.size) if self.kind == "none" else self.boxes(images.sizes, p)
            flip = torch.zeros(len(p), device=p.device) > 0 if self.kind == "none" else p[:, -1] < 0.5
            return self._normalise(crop_and_resize(images, boxes, flip, self.size, self.dtype))
        p = moved(params, images.device).to(self.dtype)
        transform = {"crop": self._crop, "drawing": self._transform_drawing, "none": self._crop_centre}
        return self._normalise(transform[self.kind](images, p))

    def boxes(self, sizes: Tensor, params: Tensor) -> Tensor:
        """Boxes of random-resized-crop, distributed as torchvision's.

        Ten boxes of random area and shape are tried; the first that fits is placed at random.
        If none fits, the largest central box with an allowed ratio is taken.

        Args:
            sizes: (N, 2) height and width of each image.
            params: (N, 23) rows of `draw` of kind resized_crop.

        Returns:
            (N, 4) int64: top, left, height, width.
        """
        whole = sizes.to(params)
        height, width = whole[:, :1], whole[:, 1:]  # (N, 1)
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        area = height * width * (self.scale[0] + params[:, :_TRIES] * (self.scale[1] - self.scale[0]))
        ratio = (low + params[:, _TRIES : 2 * _TRIES] * (high - low)).exp()  # (N, tries), width / height
        tried = torch.stack([area / ratio, area * ratio], 2).sqrt().round()  # (N, tries, 2)
        fits = ((tried > 0) & (tried <= whole[:, None])).all(2)
        first = fits.int().argmax(1)  # of the largest, argmax gives the first
        box = tried[torch.arange(len(tried), device=tried.device), first]  # (N, 2)
        start = (params[:, 2 * _TRIES : -1] * (whole - box + 1)).floor().minimum(whole - box)

        # the whole image, cut down where it is too tall or too wide
        tallest, widest = (width / self.ratio[0]).round(), (height * self.ratio[1]).round()
        central = torch.cat([height.minimum(tallest), width.minimum(widest)], 1).clamp_min(1)  # (N, 2)
        central_start = ((whole - central) / 2).floor()
        found = fits.any(1, keepdim=True)
        parts = [torch.where(found, start, central_start), torch.where(found, box, central)]
        return torch.cat(parts, 1).long()

    def _check_mode(self, images: Tensor | Packed) -> None:
        mode = "short_side" if isinstance(images, Packed) else "square"
        works_on = {"resized_crop": ["short_side"], "none": ["square", "short_side"]}.get(
            self.kind, ["square"]
        )
        if mode not in works_on:
            raise DMLTeachError(
                f"augmentation {self.kind!r} works on images cached with mode={works_on[0]!r}: "
                f"cached(dataset, size, mode={works_on[0]!r})."
            )
        if not isinstance(images, Packed) and self.kind != "drawing" and images.shape[-1] < self.size:
            raise DMLTeachError(
                f"a crop of {self.size} pixels does not fit into images of {images.shape[-1]}; "
                f"cache them at {self.size} or more: cached(dataset, {self.size})."
            )

    def _crop(self, images: Tensor, p: Tensor) -> Tensor:
        """p: top, left, flip. Pixels are copied, never interpolated."""
        s, room = self.size, images.shape[-1] - self.size
        start = (p[:, :2] * (room + 1)).long().clamp_max(room)  # (N, 2)
        windows = images.unfold(2, s, 1).unfold(3, s, 1)  # (N, C, room+1, room+1, s, s), a view
        rows = torch.arange(len(images), device=images.device)
        crops = windows[rows, :, start[:, 0], start[:, 1]]  # (N, C, s, s)
        return torch.where((p[:, 2] < 0.5)[:, None, None, None], crops.flip(3), crops)

    def _crop_centre(self, images: Tensor, p: Tensor) -> Tensor:
        start = round((images.shape[-1] - self.size) / 2)
        return images[..., start : start + self.size, start : start + self.size]

    def _transform_drawing(self, images: Tensor, p: Tensor) -> Tensor:
        """p: rotation, scale, shift right, shift down. What comes into view is background (0)."""
        angle = (2 * p[:, 0] - 1) * math.radians(self.degrees)
        zoom = self.zoom[0] + p[:, 1] * (self.zoom[1] - self.zoom[0])
        cos, sin = (angle.cos() / zoom)[:, None], (angle.sin() / zoom)[:, None]  # (N, 1)
        right, down = ((2 * p[:, 2:] - 1) * 2 * self.shift)[..., None].unbind(1)  # (N, 1), the side is 2 long
        # where each pixel of the result looks: separable in rows and columns, and much faster
        # than F.affine_grid's many small matrix products
        axis = (2 * torch.arange(self.size, device=p.device).to(p) + 1) / self.size - 1  # (size,) in -1 … 1
        grid = p.new_empty(len(p), self.size, self.size, 2)
        grid[..., 0] = (cos * axis - right)[:, None, :] - (sin * axis)[:, :, None]
        grid[..., 1] = (sin * axis)[:, None, :] + (cos * axis - down)[:, :, None]
        return F.grid_sample(images.to(p), grid, mode="bilinear", align_corners=False)

    def _normalise(self, pixels: Tensor) -> Tensor:
        scale, offset = _scale_and_offset(self.mean, self.std, pixels.device, self.dtype)
        return pixels.to(self.dtype).mul_(scale).sub_(offset)  # to() copies uint8; floats are our own


def centre_boxes(images: Packed, size: int) -> Tensor:
    """(N, 4) boxes of the test transform "short side to `short_side`, then centre crop of `size`".

    An image smaller than the short side was not enlarged, so its box is smaller in the same proportion.
    """
    shortest = images.sizes.amin(1, keepdim=True)
    side = (shortest * size / images.short_side).round().long().clamp_min(1).minimum(shortest)  # (N, 1)
    start = ((images.sizes - side) / 2).round().long()
    return torch.cat([start, side, side], 1)


def crop_and_resize(
    images: Packed, boxes: Tensor, flip: Tensor, size: int, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Crop each image to its box and resize it, bilinear, without antialiasing.

    Args:
        images: N images.
        boxes: (N, 4) top, left, height, width.
        flip: (N,) bool, mirror left and right.
        size: side of the result.
        dtype: of the result.

    Returns:
        (N, C, size, size) in 0 … 255.
    """
    pixels = images.data.view(-1, images.channels)
    rows, row_weight = _two_neighbours(boxes[:, 0], boxes[:, 2], size, dtype)  # 2 × (N, size)
    columns, column_weight = _two_neighbours(boxes[:, 1], boxes[:, 3], size, dtype)
    columns = [torch.where(flip[:, None], c.flip(1), c) for c in columns]
    column_weight = [torch.where(flip[:, None], w.flip(1), w) for w in column_weight]
    first = (images.offsets // images.channels)[:, None]  # (N, 1)
    result = torch.zeros(len(boxes), size, size, images.channels, device=pixels.device, dtype=dtype)
    for row, wy in zip(rows, row_weight, strict=True):
        line = first + row * images.sizes[:, 1:]  # (N, size)
        for column, wx in zip(columns, column_weight, strict=True):
            corner = pixels[line[:, :, None] + column[:, None, :]]  # (N, size, size, C)
            result.addcmul_(corner.to(dtype), (wy[:, :, None] * wx[:, None, :])[..., None])
    return result.permute(0, 3, 1, 2)


def _two_neighbours(
    start: Tensor, length: Tensor, size: int, dtype: torch.dtype
) -> tuple[list[Tensor], list[Tensor]]:
    """Along one axis: the pixels before and after each of `size` results, and their weights: (N, size)."""
    centre = torch.arange(size, device=start.device, dtype=dtype) + 0.5
    position = (centre * (length.to(dtype) / size)[:, None] - 0.5).clamp_min(0)  # (N, size)
    last = (length - 1)[:, None]
    before = position.long().minimum(last)
    after = (before + 1).minimum(last)
    weight = position - before
    return [start[:, None] + before, start[:, None] + after], [1 - weight, weight]


@functools.cache
def _scale_and_offset(
    mean: tuple, std: tuple, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """(C, 1, 1) each: pixel · scale − offset = (pixel / 255 − mean) / std. Kept on the device."""
    mean_, std_ = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in (mean, std))
    return (1 / (255 * std_)).to(dtype).to(device), (mean_ / std_).to(dtype).to(device)
