"""Pictures of every usual mode become the RGB that a viewer shows."""

import io

import numpy as np
import pytest
from PIL import Image

from dmlteach.data.decode import decode, size_of
from dmlteach.errors import DMLTeachError

ORANGE = (255, 128, 0)


def stored(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def first_pixel(content: bytes) -> tuple[int, ...]:
    image = decode(content, "a picture")
    assert image.mode == "RGB"
    return image.getpixel((0, 0))


def sixteen_bit(value: int) -> Image.Image:
    return Image.fromarray(np.full((4, 4), value, np.uint16))


def palette_with_transparency() -> bytes:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, *ORANGE])
    return stored(image, transparency=1)


@pytest.mark.parametrize(
    "content, expected",
    [
        (stored(Image.new("RGB", (4, 4), ORANGE)), ORANGE),
        (stored(Image.new("L", (4, 4), 200)), (200, 200, 200)),
        (stored(Image.new("1", (4, 4), 1)), (255, 255, 255)),
        (stored(Image.new("P", (4, 4), 0)), (0, 0, 0)),
        (stored(Image.new("RGB", (4, 4), ORANGE).convert("P", palette=Image.Palette.ADAPTIVE)), ORANGE),
        (stored(Image.new("RGBA", (4, 4), (*ORANGE, 255))), ORANGE),
        (stored(Image.new("RGBA", (4, 4), (*ORANGE, 0))), (255, 255, 255)),
        (stored(Image.new("LA", (4, 4), (0, 0))), (255, 255, 255)),
        (stored(Image.new("LA", (4, 4), (100, 255))), (100, 100, 100)),
        (palette_with_transparency(), (255, 255, 255)),
        (stored(Image.new("RGB", (4, 4), ORANGE), transparency=ORANGE), (255, 255, 255)),
        (stored(sixteen_bit(65535)), (255, 255, 255)),
        (stored(sixteen_bit(257 * 128)), (128, 128, 128)),
        (stored(sixteen_bit(257 * 128), "TIFF"), (128, 128, 128)),
        (stored(Image.fromarray(np.full((4, 4), 0.5, np.float32)), "TIFF"), (128, 128, 128)),
        (stored(Image.fromarray(np.full((4, 4), 128, np.float32)), "TIFF"), (128, 128, 128)),
        (stored(Image.new("CMYK", (4, 4), (0, 0, 0, 0)), "TIFF"), (255, 255, 255)),
        (stored(Image.new("CMYK", (4, 4), (0, 0, 0, 255)), "JPEG"), (0, 0, 0)),
    ],
)
def test_any_usual_mode_becomes_rgb(content, expected):
    assert first_pixel(content) == expected


def test_half_transparent_is_mixed_with_white():
    assert first_pixel(stored(Image.new("RGBA", (4, 4), (0, 0, 0, 128)))) == pytest.approx((127,) * 3, abs=1)


def test_the_first_picture_of_an_animation_is_taken():
    frames = [Image.new("RGB", (4, 4), colour) for colour in (ORANGE, "blue", "black")]
    assert first_pixel(stored(frames[0], "GIF", save_all=True, append_images=frames[1:])) == ORANGE


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photograph_is_put_upright(orientation):
    upright = Image.fromarray(np.arange(6 * 4, dtype=np.uint8).reshape(6, 4) * 10).convert("RGB")
    how_stored = {
        2: "hflip",
        3: "rot180",
        4: "vflip",
        5: "transpose",
        6: "rot90",
        7: "transverse",
        8: "rot270",
    }
    methods = {
        "hflip": Image.Transpose.FLIP_LEFT_RIGHT,
        "rot180": Image.Transpose.ROTATE_180,
        "vflip": Image.Transpose.FLIP_TOP_BOTTOM,
        "transpose": Image.Transpose.TRANSPOSE,
        "rot90": Image.Transpose.ROTATE_90,
        "transverse": Image.Transpose.TRANSVERSE,
        "rot270": Image.Transpose.ROTATE_270,
    }
    turned = upright.transpose(methods[how_stored[orientation]]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = stored(turned, exif=exif)
    assert np.array_equal(np.asarray(decode(content, "photo")), np.asarray(upright))
    assert size_of(content, "photo") == (6, 4)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"])
def test_a_truncated_file_is_one_clear_error(kind):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    content = stored(Image.fromarray(noise), kind)
    for length in (0, 3, 20, len(content) // 2):
        with pytest.raises(DMLTeachError, match=r"cannot read the picture bird\.img: .*Replace the file"):
            decode(content[:length], "bird.img")


def test_a_text_file_is_no_picture():
    with pytest.raises(DMLTeachError, match="unknown or damaged format"):
        decode(b"<html>404 not found</html>", "bird.jpg")
