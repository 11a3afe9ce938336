"""Archives that nobody should unpack are refused, and leave nothing behind."""

import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from dmlteach.data.unpack import unpack
from dmlteach.errors import DMLTeachError

KINDS = ["good.zip", "good.tgz", "good.tar"]


def make_zip(path: Path, members: dict[str, bytes], mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return path


def make_tar(path: Path, members: dict[str, bytes], kind: bytes = tarfile.REGTYPE, link: str = "") -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, link, 0 if link else len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def make(path: Path, members: dict[str, bytes]) -> Path:
    return (make_zip if path.suffix == ".zip" else make_tar)(path, members)


def refused(archive: Path, *parts: str) -> str:
    """Unpacking fails with these words and leaves the folder as it was."""
    before = everything(archive.parent.parent)
    with pytest.raises(DMLTeachError) as error:
        unpack(archive, "pictures", archive.parent, progress=False)
    assert everything(archive.parent.parent) == before
    for part in parts:
        assert part in str(error.value)
    return str(error.value)


def everything(folder: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_size for path in sorted(folder.rglob("*")) if not path.is_dir()}


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "inner").mkdir()
    return tmp_path / "inner"


@pytest.mark.parametrize("kind", KINDS)
def test_the_folder_asked_for_is_unpacked_and_nothing_else(folder, kind):
    members = {"pictures/a/1.jpg": b"one", "./pictures/b/2.jpg": b"two" * 1000, "notes.txt": b"not asked for"}
    unpack(make(folder / kind, members), "pictures", folder, progress=False)
    assert (folder / "pictures/a/1.jpg").read_bytes() == b"one"
    assert (folder / "pictures/b/2.jpg").read_bytes() == b"two" * 1000
    assert {path.name for path in folder.iterdir()} == {kind, "pictures"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name",
    [
        "../escaped.txt",
        "pictures/../../escaped.txt",
        "/tmp/escaped.txt",
        "..\\escaped.txt",
        "C:\\escaped.txt",
    ],
)
def test_a_member_that_would_leave_the_folder_is_refused(folder, kind, name):
    archive = make(folder / kind, {"pictures/1.jpg": b"fine", name: b"evil"})
    refused(archive, "a path that leaves the folder", "Nothing was unpacked")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_in_a_tar_is_refused(folder, kind):
    archive = make_tar(folder / "evil.tgz", {"pictures/1.jpg": b""}, kind, link="/etc/passwd")
    refused(archive, "a link", "pictures/1.jpg")


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_a_device_in_a_tar_is_refused(folder, kind):
    refused(make_tar(folder / "evil.tar", {"pictures/tty": b""}, kind), "a device")


def test_a_link_in_a_zip_is_refused(folder):
    refused(make_zip(folder / "evil.zip", {"pictures/1.jpg": b"/etc/passwd"}, stat.S_IFLNK | 0o777), "a link")


@pytest.mark.parametrize("kind", ["bomb.zip", "bomb.tgz"])
def test_a_bomb_is_refused_before_it_bursts(folder, kind):
    archive = make(folder / kind, {"pictures/zeros.jpg": bytes(20_000_000)})
    assert archive.stat().st_size < 200_000
    refused(archive, "would unpack to more than", "20 times its size")


def test_a_bomb_of_many_small_members_is_refused(folder, monkeypatch):
    monkeypatch.setattr("dmlteach.data.unpack.ALLOWANCE", 100_000)
    members = {f"pictures/{i}": b"" for i in range(1000)}
    refused(make_tar(folder / "bomb.tgz", members), "would unpack to more than")


def test_a_zip_that_understates_its_content_writes_no_more_than_it_says(folder):
    archive = make_zip(folder / "liar.zip", {"pictures/zeros.jpg": bytes(5_000_000)})
    true, stated = (5_000_000).to_bytes(4, "little"), (100).to_bytes(4, "little")
    content = archive.read_bytes()
    assert content.count(true) >= 1
    archive.write_bytes(content.replace(true, stated))
    refused(archive, "cut off or damaged")


@pytest.mark.parametrize("kind", ["cut.zip", "cut.tgz", "cut.tar"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_an_archive_that_is_cut_off_is_refused(folder, kind, share):
    archive = make(folder / kind, {f"pictures/{i}.jpg": os.urandom(3000) for i in range(20)})
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * share)])
    refused(archive, kind)


def test_an_encrypted_zip_asks_for_its_password(folder):
    archive = make_zip(folder / "secret.zip", {"pictures/1.jpg": b"secret"})
    content = bytearray(archive.read_bytes())
    content[6] |= 1  # of the member
    content[content.index(b"PK\x01\x02") + 8] |= 1  # of the list of members
    archive.write_bytes(content)
    refused(archive, "is encrypted", "password")


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_without_the_folder_is_refused(folder, kind):
    refused(make(folder / kind, {"photos/1.jpg": b"one"}), "holds no folder 'pictures'")


def test_members_get_ordinary_permissions(folder):
    if os.name == "nt":
        pytest.skip("Windows keeps no such permissions")
    with tarfile.open(folder / "open.tar", "w") as archive:
        info = tarfile.TarInfo("pictures/run.sh")
        info.mode, info.size = 0o6777, 4
        archive.addfile(info, io.BytesIO(b"evil"))
    unpack(folder / "open.tar", "pictures", folder, progress=False)
    assert (folder / "pictures/run.sh").stat().st_mode & 0o7111 == 0
