"""MATLAB 5 files are read as scipy reads them; a damaged one is a ValueError and nothing worse."""

import struct
import zlib

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from dmlteach.data import matlab
from tests.data import miniatures

FIELDS = ("relative_im_path", "fname", "class", "bbox_x1")


def as_scipy_does(path) -> dict:
    """What scipy reads, in the shape that ours has."""
    found = loadmat(path, squeeze_me=True)
    content = {}
    for name, value in found.items():
        if name.startswith("__"):
            continue
        value = np.asarray(value)
        if value.dtype.names:
            names = [n for n in FIELDS if n in value.dtype.names]
            content[name] = [{n: plain(row[n]) for n in names} for row in np.atleast_1d(value)]
        elif value.dtype == object or value.dtype.kind == "U":
            content[name] = [str(one) for one in np.atleast_1d(value)]
        else:
            content[name] = value.ravel(order="F").tolist()
    return content


def plain(value):
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    return value if isinstance(value, str) else np.ravel(value).tolist()


@pytest.mark.parametrize("packed", [False, True])
def test_the_four_annotation_files_are_read_as_scipy_reads_them(tmp_path, packed):
    miniatures.write("cars196", tmp_path / "one")
    miniatures.write("cars196 devkit", tmp_path / "other")
    files = sorted(tmp_path.rglob("*.mat"))
    assert len(files) == 4
    for path in files:
        content = {k: v for k, v in loadmat(path).items() if not k.startswith("__")}
        savemat(path, content, do_compression=packed)
        assert plain(matlab.read(path, FIELDS)) == as_scipy_does(path)


@pytest.mark.parametrize("dtype", ["f8", "f4", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"])
def test_numbers_of_every_type_and_size_are_read_as_scipy_reads_them(tmp_path, dtype):
    for shape in ((), (1,), (3,), (2, 5), (2, 3, 4), (0, 3)):
        values = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
        savemat(tmp_path / "a.mat", {"numbers": values})
        assert plain(matlab.read(tmp_path / "a.mat", ())) == as_scipy_does(tmp_path / "a.mat")


def test_names_with_letters_of_every_kind_are_read(tmp_path):
    names = ["Škoda Octavia 2012", "日産 2010", "", "a", "abcd", "abcde"]
    savemat(tmp_path / "a.mat", {"names": np.array(names, dtype=object)})
    assert plain(matlab.read(tmp_path / "a.mat", ()))["names"][:2] == names[:2]
    assert plain(matlab.read(tmp_path / "a.mat", ()))["names"][3:] == names[3:]


def element(kind: int, data: bytes, order: str = "<") -> bytes:
    return struct.pack(order + "II", kind, len(data)) + data + bytes(-len(data) % 8)


def matrix(kind: int, shape: tuple[int, ...], *content: bytes, order: str = "<", flags: int = 0) -> bytes:
    head = element(6, struct.pack(order + "II", kind | flags, 0), order)
    head += element(5, struct.pack(f"{order}{len(shape)}i", *shape), order) + element(1, b"x", order)
    return element(14, head + b"".join(content), order)


def file(content: bytes, order: str = "<") -> bytes:
    return (
        b"MATLAB 5.0".ljust(124)
        + struct.pack(order + "H", 0x0100)
        + {"<": b"IM", ">": b"MI"}[order]
        + content
    )


def test_a_file_of_the_other_byte_order_is_read(tmp_path):
    content = matrix(6, (1, 2), element(9, struct.pack(">2d", 1.5, -2), ">"), order=">")
    (tmp_path / "a.mat").write_bytes(file(content, ">"))
    assert plain(matlab.read(tmp_path / "a.mat", ())) == {"x": [1.5, -2]} == as_scipy_does(tmp_path / "a.mat")


NUMBERS = element(9, struct.pack("<2d", 1, 2))
WRONG = {
    "empty": b"",
    "no MATLAB 5": b"MATLAB 7.3 MAT-file".ljust(128, b"\0"),
    "cut off": file(matrix(6, (1, 2), NUMBERS))[:-9],
    "a length beyond the end": file(struct.pack("<II", 14, 2**32 - 1) + bytes(100)),
    "a small element that is too long": file(element(14, struct.pack("<II", 6 | 60 << 16, 0))),
    "more values than there are": file(matrix(6, (2**31 - 1, 2**31 - 1), NUMBERS)),
    "a negative side": file(matrix(6, (-1, -2), NUMBERS)),
    "cells without end": file(matrix(1, (2**31 - 1, 2**31 - 1))),
    "structs without fields": file(matrix(2, (1, 2**31 - 1), element(5, bytes(4)), element(1, b""))),
    "structs of nothing": file(matrix(2, (1, 2**31 - 1), element(5, b"\x01\0\0\0"), element(1, b""))),
    "an object": file(matrix(3, (1, 1), NUMBERS)),
    "complex numbers": file(matrix(6, (1, 2), NUMBERS, NUMBERS, flags=0x0800)),
    "packed noise": file(element(15, b"noise" * 9)),
    "a bomb": file(element(15, zlib.compress(bytes(40_000_000)))),
    "text of several rows": file(matrix(4, (2, 1), element(16, b"ab"))),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_damaged_file_is_a_value_error(tmp_path, what):
    (tmp_path / "a.mat").write_bytes(WRONG[what])
    with pytest.raises(ValueError):
        matlab.read(tmp_path / "a.mat", FIELDS)


def test_arrays_in_arrays_without_end_are_refused(tmp_path):
    content = matrix(6, (1, 2), NUMBERS)
    for _ in range(2000):
        content = matrix(1, (1, 1), content)
    (tmp_path / "a.mat").write_bytes(file(content))
    with pytest.raises(ValueError, match="without end"):
        matlab.read(tmp_path / "a.mat", ())
