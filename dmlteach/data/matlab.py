"""The subset of MATLAB 5 files that data sets come with, read in Python: a damaged file cannot crash this.

A file is a sequence of elements, each with a tag that says its type and its length; every length is checked
against what is there. Source: "MAT-File Format", The MathWorks.
"""

import struct
import zlib
from collections.abc import Collection
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

MOST_BYTES = 32_000_000  # of a file, and of all that it unpacks to; the largest published list has 7 million

_HEAD = 128
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_CELL, _STRUCT, _CHAR = 1, 2, 4
_NUMERIC = range(6, 16)
_COMPLEX = 0x0800


def read(path: Path, fields: Collection[str]) -> dict[str, Any]:
    """Variables of a file, by name.

    Text becomes str, numbers (n,) arrays in MATLAB's order of columns, a cell array a list, and a struct
    array a list of dicts.

    Args:
        path: of the file.
        fields: of structs, those that are wanted; others are skipped.

    Raises:
        ValueError: the file is damaged, or holds what this does not read.
    """
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES:,} bytes")
    content = path.read_bytes()
    order = {b"IM": "<", b"MI": ">"}.get(content[126:_HEAD])
    if order is None:
        raise ValueError("it is no file of MATLAB 5")
    room, variables = MOST_BYTES, {}
    elements = _Elements(memoryview(content)[_HEAD:], order)
    while elements.left:
        kind, data = elements.next()
        if kind == _COMPRESSED:
            unpacked = _unpack(data, room)
            room -= len(unpacked)
            kind, data = _Elements(memoryview(unpacked), order).next()
        if kind != _MATRIX:
            raise ValueError(f"an array is expected, not type {kind}")
        name, value = _array(data, order, fields)
        variables[name] = value
    return variables


class _Elements:
    """The elements of a buffer, one after the other."""

    def __init__(self, data: memoryview, order: str):
        self.data, self.order, self.position = data, order, 0

    @property
    def left(self) -> int:
        """Bytes that follow."""
        return len(self.data) - self.position

    def next(self) -> tuple[int, memoryview]:
        """Type and content of the next element."""
        start = self.position + 8
        if self.left < 8:
            raise ValueError("it ends too early")
        kind, size = struct.unpack_from(self.order + "II", self.data, self.position)
        if kind >> 16:  # a small element: its content is the second half of the tag
            kind, size, start = kind & 0xFFFF, kind >> 16, start - 4
            if size > 4:
                raise ValueError("a length is wrong")
            self.position += 8
        else:
            padding = 0 if kind == _COMPRESSED else -size % 8
            self.position = min(start + size + padding, len(self.data))
        if start + size > len(self.data):
            raise ValueError("it ends too early")
        return kind, self.data[start : start + size]

    def numbers(self) -> np.ndarray:
        """The next element as numbers, (n,)."""
        kind, data = self.next()
        if kind not in _NUMBERS:
            raise ValueError(f"numbers are expected, not type {kind}")
        dtype = np.dtype(self.order + _NUMBERS[kind])
        if len(data) % dtype.itemsize:
            raise ValueError("a length is wrong")
        return np.frombuffer(data, dtype)

    def text(self) -> str:
        """The next element as text."""
        kind, data = self.next()
        if kind not in _TEXTS:
            raise ValueError(f"text is expected, not type {kind}")
        ends = {"<": "-le", ">": "-be"}[self.order] if kind in (4, 17, 18) else ""
        return bytes(data).decode(_TEXTS[kind] + ends, "replace")


def _unpack(data: memoryview, room: int) -> bytes:
    """What zlib packed, if it is `room` bytes at most."""
    try:
        unpacked = zlib.decompressobj().decompress(data, room)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(unpacked) == room:
        raise ValueError(f"it unpacks to more than {MOST_BYTES:,} bytes")
    return unpacked


def _array(data: memoryview, order: str, fields: Collection[str], depth: int = 0) -> tuple[str, Any]:
    """Name and value of an array: flags, dimensions, name, content."""
    if not data:
        return "", np.empty(0)
    if depth > 8:
        raise ValueError("arrays lie in arrays without end")
    elements = _Elements(data, order)
    flags = elements.numbers()
    shape = elements.numbers().tolist()
    name = elements.text()
    if len(flags) != 2 or len(shape) < 2 or min(shape) < 0:
        raise ValueError("the head of an array is wrong")
    kind, count = int(flags[0]) & 0xFF, prod(int(side) for side in shape)
    if int(flags[0]) & _COMPLEX or kind not in (_CELL, _STRUCT, _CHAR, *_NUMERIC):
        raise ValueError(f"arrays of class {kind} are not read")
    if kind == _CELL:
        return name, _many(elements, count, fields, depth)
    if kind == _STRUCT:
        return name, _structs(elements, count, fields, depth)
    value = elements.text() if kind == _CHAR else elements.numbers()
    if kind == _CHAR and count and shape[0] != 1:
        raise ValueError("text of several rows is not read")
    if len(value) != count:
        raise ValueError(f"{count} values are announced, and {len(value)} there")
    return name, value


def _many(elements: _Elements, count: int, fields: Collection[str], depth: int) -> list[Any]:
    if count * 8 > elements.left:  # each has a tag at least
        raise ValueError("it ends too early")
    return [_array(_matrix(elements), elements.order, fields, depth + 1)[1] for _ in range(count)]


def _structs(elements: _Elements, count: int, wanted: Collection[str], depth: int) -> list[dict[str, Any]]:
    """One dict for each struct, of the fields that are wanted."""
    length = elements.numbers()
    kind, data = elements.next()  # names of one length, filled up with zeros
    width = int(length[0]) if len(length) == 1 else 0
    if kind not in _TEXTS or width < 1 or len(data) % width:
        raise ValueError("the names of fields are wrong")
    names = [
        bytes(data[i : i + width]).partition(b"\0")[0].decode("latin-1") for i in range(0, len(data), width)
    ]
    if count * max(len(names), 1) * 8 > elements.left:
        raise ValueError("it ends too early")
    parts = ((name, _matrix(elements)) for _ in range(count) for name in names)
    return [
        {
            name: _array(data, elements.order, wanted, depth + 1)[1]
            for name, data in islice(parts, len(names))
            if name in wanted
        }
        for _ in range(count)
    ]


def _matrix(elements: _Elements) -> memoryview:
    kind, data = elements.next()
    if kind != _MATRIX:
        raise ValueError(f"an array is expected, not type {kind}")
    return data
