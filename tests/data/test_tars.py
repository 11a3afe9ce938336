"""Tar archives that are damaged or evil neither run round in circles nor fill memory or disk."""

import gzip
import io
import tarfile

import pytest

from dmlteach.data.files import list_archive
from dmlteach.data.unpack import unpack
from dmlteach.errors import DMLTeachError


def small_archive(path):
    with tarfile.open(path, "w:gz") as archive:
        for name in ("images.txt", "images/a.jpg"):
            info = tarfile.TarInfo(f"CUB_200_2011/{name}")
            info.size = 1000
            archive.addfile(info, io.BytesIO(b"1" * 1000))
    return path


@pytest.mark.parametrize("kept", [0, 600, 2000])
def test_what_was_unpacked_once_and_is_damaged_since_is_unpacked_again(tmp_path, monkeypatch, kept):
    monkeypatch.setenv("DMLTEACH_CACHE", str(tmp_path / "cache"))
    archive = small_archive(tmp_path / "CUB_200_2011.tgz")
    files = list_archive(archive)
    (unpacked,) = (tmp_path / "cache").iterdir()
    whole = unpacked.read_bytes()
    unpacked.write_bytes(whole[:kept] if kept else b"noise" * 300)
    assert list_archive(archive) == files and unpacked.read_bytes() == whole


def test_a_member_of_negative_size_does_not_lead_round_and_round(tmp_path):
    info = tarfile.TarInfo("images.txt")
    header = bytearray(info.tobuf())
    header[124:136] = b"\xff" * 10 + (-1024).to_bytes(2, "big", signed=True)  # base 256, as GNU writes it
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path = tmp_path / "CUB_200_2011.tar"
    path.write_bytes(bytes(header) + bytes(2048))
    with pytest.raises(DMLTeachError, match=r"no complete tar archive \(a member has a negative size\)"):
        list_archive(path)
    with pytest.raises(DMLTeachError, match=r"damaged \(a member has a negative size\)"):
        unpack(path, "images", tmp_path, progress=False)


def test_a_bomb_is_not_unpacked_into_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DMLTEACH_CACHE", str(tmp_path / "cache"))
    with gzip.open(tmp_path / "bomb.tgz", "wb", compresslevel=1) as file:
        for _ in range(250):
            file.write(bytes(1_000_000))
    with pytest.raises(DMLTeachError, match=r"bomb\.tgz cannot be unpacked .* far more than images"):
        list_archive(tmp_path / "bomb.tgz")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_header_of_endless_length_is_not_read_into_memory(tmp_path):
    info = tarfile.TarInfo("images/a.jpg")
    info.type, info.size = tarfile.XHDTYPE, 30_000_000
    with gzip.open(tmp_path / "long.tgz", "wb", compresslevel=1) as file:
        file.write(info.tobuf())
        file.write(bytes(30_000_000))
    with pytest.raises(DMLTeachError, match=r"long\.tgz is cut off or damaged \(a header is too long\)"):
        unpack(tmp_path / "long.tgz", "images", tmp_path, progress=False)
