"""Pictures of every usual mode become the RGB that a viewer shows."""

import io
import os
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from dmlteach.data import layout
from dmlteach.data.decode import FORMATS, decode, pixels_of, size_of
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
        with pytest.raises(DMLTeachError, match=r"cannot read the image bird\.img: .*Replace the file"):
            decode(content[:length], "bird.img")


def test_a_text_file_is_no_picture():
    with pytest.raises(DMLTeachError, match="unknown or damaged format"):
        decode(b"<html>404 not found</html>", "bird.jpg")


# ── greys of more than 8 bits ─────────────────────────────────────────────────────────────────────────


def greys(values, kind: str = "TIFF") -> list[int]:
    """What a row of values becomes."""
    content = stored(Image.fromarray(np.array([values])), kind)
    rgb = np.asarray(decode(content, "scan"))
    assert (rgb == rgb[..., :1]).all()
    return rgb[0, :, 0].tolist()


@pytest.mark.parametrize("white", [255, 1_023, 4_095, 16_383, 65_535])
@pytest.mark.parametrize("kind, dtype", [("PNG", np.uint16), ("TIFF", np.uint16), ("TIFF", np.float32)])
def test_the_values_say_which_of_the_usual_depths_they_have(white, kind, dtype):
    values = np.linspace(0, white, 7).astype(dtype)
    expected = np.linspace(0, 255, 7)
    assert greys(values, kind) == pytest.approx(expected, abs=1)


def test_eight_bits_in_32_are_as_bright_as_they_were():
    values = np.arange(256, dtype=np.int32)
    assert greys(values) == values.tolist()


def test_floats_from_0_to_1_and_masks_use_the_whole_range():
    assert greys(np.float32([0, 0.25, 0.5, 1])) == [0, 64, 128, 255]
    assert greys(np.int32([0, 1, 1])) == [0, 255, 255]
    assert greys(np.float32([0, 0.5, 1.04])) == [0, 128, 255]  # resizing overshoots


def test_beyond_16_bits_the_largest_value_is_white():
    assert greys(np.int32([0, 500_000, 1_000_000])) == pytest.approx([0, 128, 255], abs=1)
    assert greys(np.float32([-5, 0, 1e9, 2e9])) == [0, 0, 128, 255]


def test_values_that_are_no_numbers_spoil_no_others():
    assert greys(np.float32([0, 0.5, 1, np.nan, np.inf, -np.inf])) == [0, 128, 255, 0, 255, 0]
    assert greys(np.float32([np.nan, np.inf])) == [0, 255]
    assert greys(np.zeros(3, np.float32)) == [0, 0, 0]


def test_both_byte_orders_of_16_bits_are_read():
    values = np.arange(0, 60_000, 997)
    for mode, dtype in (("I;16", "<u2"), ("I;16B", ">u2")):
        image = Image.frombytes(mode, (len(values), 1), values.astype(dtype).tobytes())
        found = np.asarray(decode(stored(image, "TIFF"), "scan"))[0, :, 0]
        assert np.array_equal(found, (values * (255 / 65_535)).round())


def test_images_of_several_bands_are_converted_alike(monkeypatch):
    rng = np.random.default_rng(0)
    wide = stored(Image.fromarray(rng.integers(0, 4_096, (9, 7), np.uint16)))
    clear = stored(Image.fromarray(rng.integers(0, 256, (9, 7, 4), np.uint8)))
    whole = [np.asarray(decode(content, "image")) for content in (wide, clear)]
    for band in (1, 5, 7, 20):
        monkeypatch.setattr("dmlteach.data.decode._BAND", band)
        for content, expected in zip((wide, clear), whole, strict=True):
            image = decode(content, "image")
            assert np.array_equal(np.asarray(image), expected)
            assert np.array_equal(pixels_of(image), expected)


# ── what is refused before it is decoded, and what nobody needs to hear ───────────────────────────────


def png_that_says(width: int, height: int) -> bytes:
    """A PNG of one row of zeros whose head announces more."""
    head = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(2 * width + 1))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


@pytest.mark.parametrize("size", [(12_001, 10_000), (20_000, 20_000), (2**31 - 1, 1)])
def test_too_many_pixels_are_refused_by_the_head(size):
    content = png_that_says(*size) if size[0] < 2**24 else png_that_says(1, 1).replace(
        struct.pack(">II", 1, 1), struct.pack(">II", *size)
    )  # fmt: skip
    for look in (decode, size_of):
        with pytest.raises(DMLTeachError, match=r"plan\.png") as error:
            look(content, "plan.png")
    if size[0] < 2**24:
        assert "is too large: " in str(error.value)
        assert "Make it smaller, or remove it" in str(error.value)


def test_formats_whose_decoders_take_much_memory_have_a_lower_bound(monkeypatch):
    monkeypatch.setattr("dmlteach.data.decode.MOST_PIXELS", 300)
    for kind, pixels in {"WEBP": 100, "JPEG2000": 100, "AVIF": 100, "PNG": 300, "JPEG": 300}.items():
        assert decode(stored(Image.new("RGB", (pixels // 10, 10)), kind), "plan").size == (pixels // 10, 10)
        for look in (decode, size_of):
            with pytest.raises(DMLTeachError, match=f"pixels are more than {pixels}"):
                look(stored(Image.new("RGB", (pixels // 10 + 1, 10)), kind), "plan")


def test_no_other_program_is_started_for_a_file_under_another_name(monkeypatch):
    page = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *args: pytest.fail("Ghostscript was called"))
    for look in (decode, size_of):
        with pytest.raises(DMLTeachError, match="unknown or damaged format"):
            look(page, "bird.jpg")


def test_the_formats_opened_are_those_of_the_endings_that_a_folder_takes():
    kinds = {kind for ending, kind in Image.registered_extensions().items() if ending in layout._SUFFIXES}
    assert kinds <= set(FORMATS)
    # Besides: the second picture of a stereo photograph, and a BMP without its file's head.
    assert set(FORMATS) - kinds <= {"MPO", "DIB"}


def photograph_with_odd_exif(exif: bytes) -> bytes:
    return stored(Image.new("RGB", (4, 4), ORANGE), "PNG", exif=b"Exif\0\0" + exif)


@pytest.mark.parametrize(
    "exif",
    [
        b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06",  # ends too early
        b"II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\xff\0\0\0\xf0\xff\0\0\0\0\0\0",  # text beyond the end
        b"MM\0*\xff\xff\xff\xff",
        b"nonsense",
    ],
)
def test_damaged_exif_is_no_reason_to_refuse_or_to_warn(exif, capfd):
    content = photograph_with_odd_exif(exif)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert first_pixel(content) == ORANGE
        assert size_of(content, "bird") == (4, 4)
    assert capfd.readouterr() == ("", "")


PEAK = """
import resource, sys
from pathlib import Path
from dmlteach.data.decode import decode, pixels_of
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
pixels_of(decode(Path(sys.argv[1]).read_bytes(), "scan"))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory in other units")
@pytest.mark.parametrize("mode", ["I;16", "RGBA"])
def test_decoding_takes_a_few_bytes_a_pixel(mode, tmp_path, checkout):
    Image.new(mode, (6_000, 5_000)).save(tmp_path / "scan.png", compress_level=1)
    command = [sys.executable, "-c", PEAK, str(tmp_path / "scan.png")]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    bytes_a_pixel = int(done.stdout) * 1024 / 30e6
    assert bytes_a_pixel < 12  # and some 40 before
