"""Any usual image file to RGB, within bounds: of formats, of pixels and of memory."""

import io
import logging
import re
import warnings
from collections.abc import Iterator

import numpy as np
from PIL import Image

from dmlteach.errors import DMLTeachError

# Of the endings that data/layout.py takes. Pillow knows more, and would start other programs for some.
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "AVIF", "TGA")
MOST_PIXELS = 120_000_000  # of an image; the largest cameras make about 100 million
_HUNGRY = {"WEBP", "JPEG2000", "AVIF"}  # their decoders take up to 25 bytes a pixel: a third of the pixels
_WHITES = (1, 255, 1_023, 4_095, 16_383, 65_535)  # masks and shares, then 8, 10, 12, 14 and 16 bits
_OVERSHOOT = 1.05  # resizing makes values that lie a little above white
_BAND = 1 << 22  # pixels converted at once
_WIDE = ("I", "F")  # Pillow's modes of more than 8 bits; "I;16" and its byte orders besides

_ORIENTATION = 0x0112  # EXIF
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow warns of oddities in files that it reads all the same, and what it refuses becomes our error.
_QUIET = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
logging.getLogger("PIL").addHandler(logging.NullHandler())


def decode(content: bytes, name: str) -> Image.Image:
    """The image in `content` as RGB, upright; the first one of an animation.

    Transparent parts become white. Of greys of more than 8 bits the values say what is white: the smallest of
    1, 255, 1,023, 4,095, 16,383 and 65,535 that none of them exceeds by more than 5 %, else the largest one.

    Args:
        content: of the file.
        name: of the file, for the error message.

    Raises:
        DMLTeachError: the file is no image, a damaged one, or one of more than 120 million pixels
            (40 million in WebP, JPEG 2000 and AVIF).
    """
    try:
        rgb, turn = _load(content)
        return rgb if turn is None else rgb.transpose(turn)
    except Exception as error:  # Pillow raises many kinds on damaged files
        raise _damaged(name, error) from error


def size_of(content: bytes, name: str) -> tuple[int, int]:
    """Height and width of the upright image, from the file's head."""
    try:
        with _open(content) as image:
            return image.size if _orientation(image) >= 5 else image.size[::-1]
    except Exception as error:
        raise _damaged(name, error) from error


def pixels_of(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8 of an RGB image; `np.array` would take three times the memory meanwhile."""
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for left, top, right, bottom in _bands(image):
        pixels[top:bottom, left:right] = np.asarray(image.crop((left, top, right, bottom)))
    return pixels


def _load(content: bytes) -> tuple[Image.Image, Image.Transpose | None]:
    """The image as RGB, and how it has to be turned; what it was decoded to is freed."""
    with _open(content) as image:
        image.load()
        return _to_rgb(image), _UPRIGHT.get(_orientation(image))


def _open(content: bytes) -> Image.Image:
    """The head of the file; raises where decoding it would take too much memory."""
    Image.init()
    if _QUIET not in warnings.filters:  # `warnings.catch_warnings` is not for threads
        warnings.filterwarnings("ignore", module=_QUIET[3].pattern)
    image = Image.open(io.BytesIO(content), formats=[known for known in FORMATS if known in Image.OPEN])
    width, height = image.size
    most = MOST_PIXELS // 3 if image.format in _HUNGRY else MOST_PIXELS
    if width * height > most:
        raise Image.DecompressionBombError(f"{width:,} × {height:,} pixels are more than {most:,}")
    return image


def _orientation(image: Image.Image) -> int:
    """1 … 8, as EXIF numbers them; 1, upright, where EXIF is damaged."""
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:
        return 1
    return found if found in _UPRIGHT else 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith(_WIDE):
        return _wide_grey(image).convert("RGB")
    if "A" in image.getbands() or image.mode == "RGBa" or "transparency" in image.info:
        return _on_white(image)
    return image.convert("RGB")


def _bands(image: Image.Image) -> Iterator[tuple[int, int, int, int]]:
    """Boxes (left, top, right, bottom) that cover the image: converting one by one takes little memory."""
    width, height = image.size
    rows, columns = max(1, _BAND // width), min(width, _BAND)
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            yield left, top, min(left + columns, width), min(top + rows, height)


def _on_white(image: Image.Image) -> Image.Image:
    result = Image.new("RGB", image.size)
    for box in _bands(image):
        band = image.crop(box).convert("RGBA")
        white = Image.new("RGBA", band.size, "white")
        result.paste(Image.alpha_composite(white, band).convert("RGB"), box)
    return result


def _wide_grey(image: Image.Image) -> Image.Image:
    white = _white(max(_largest(image.crop(box)) for box in _bands(image)))
    result = Image.new("L", image.size)
    for box in _bands(image):
        grey = np.asarray(image.crop(box), dtype=np.float32) * np.float32(255 / white)
        grey = np.nan_to_num(grey, nan=0.0, posinf=255.0, neginf=0.0)
        result.paste(Image.fromarray(np.clip(grey, 0, 255).round().astype(np.uint8)), box)
    return result


def _largest(band: Image.Image) -> float:
    """The largest finite value; 0 where there is none."""
    values = np.asarray(band)
    return float(values.max(initial=0, where=np.isfinite(values)))


def _white(largest: float) -> float:
    return next((white for white in _WHITES if largest <= white * _OVERSHOOT), largest)


def _damaged(name: str, error: Exception) -> DMLTeachError:
    if isinstance(error, Image.DecompressionBombError):
        return DMLTeachError(f"the image {name} is too large: {error}. Make it smaller, or remove it.")
    unknown = isinstance(error, Image.UnidentifiedImageError)
    reason = "unknown or damaged format" if unknown else str(error) or type(error).__name__
    return DMLTeachError(f"cannot read the image {name}: {reason}. Replace the file, or remove it.")
