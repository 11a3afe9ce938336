"""Any usual picture file to RGB."""

import io

import numpy as np
from PIL import Image, ImageOps

from dmlteach.errors import DMLTeachError

_WIDE = ("I", "F")  # Pillow's modes of more than 8 bits; "I;16" and its byte orders besides


def decode(content: bytes, name: str) -> Image.Image:
    """The picture in `content` as RGB, upright; the first one of an animation.

    Transparent parts become white, 16-bit greys are scaled to 8 bits.

    Args:
        content: of the file.
        name: of the file, for the error message.

    Raises:
        DMLTeachError: the file is no picture, or a damaged one.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image))
    except Exception as error:  # Pillow raises many kinds on damaged files
        raise _damaged(name, error) from error


def size_of(content: bytes, name: str) -> tuple[int, int]:
    """Height and width of the upright picture, from the file's head."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            turned = image.getexif().get(0x0112, 1) >= 5  # EXIF orientations 5 … 8 swap the sides
            return image.size if turned else image.size[::-1]
    except Exception as error:
        raise _damaged(name, error) from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(_WIDE):
        return _wide_grey(image).convert("RGB")
    if "A" in image.getbands() or image.mode == "RGBa" or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _wide_grey(image: Image.Image) -> Image.Image:
    """16-bit greys run 0 … 65535; floats 0 … 1, or 0 … 255 where one is larger than 1."""
    values = np.asarray(image).astype(np.float64)
    white = 65535 if image.mode != "F" else 1 if values.max() <= 1 else 255
    grey = np.nan_to_num(values / white * 255)
    return Image.fromarray(np.clip(grey, 0, 255).round().astype(np.uint8))


def _damaged(name: str, error: Exception) -> DMLTeachError:
    reason = "unknown or damaged format" if isinstance(error, Image.UnidentifiedImageError) else error
    return DMLTeachError(f"cannot read the picture {name}: {reason}. Replace the file, or remove it.")
