"""Getting a data set: from its place, by hand, after an interruption; by function and by command."""

import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from typer.testing import CliRunner

from dmlteach.cli import app
from dmlteach.data import download, get, how_to_get, load, names
from dmlteach.data.download import Remote
from dmlteach.errors import DMLTeachError
from tests.data.miniatures import MODULES, pack, pack_one

BY_HAND = ["cars196", "cars196 devkit", "inshop"]


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(download, "_PAUSE", 0)
    monkeypatch.setattr(download, "_BLOCK", 100)


@pytest.fixture
def offered(place, layouts, small, tmp_path, monkeypatch):
    """Let a data set be its miniature, and its place our own server."""

    def offer(name: str) -> list[Remote]:
        small(name)
        module = MODULES[name]
        files = pack(layouts(name), module.FILES[0], tmp_path / "place")
        files = [replace(file, url=f"{place.url}/{file.name}") for file in files]
        monkeypatch.setattr(module, "FILES", [files])
        place.files |= {file.name: (tmp_path / "place" / file.name).read_bytes() for file in files}
        return files

    return offer


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "data" / "root"


def command(*arguments: str):
    return CliRunner().invoke(app, ["data", "get", *arguments])


def fails(name: str, root: Path) -> str:
    with pytest.raises(DMLTeachError) as error:
        get(name, root, progress=False)
    return str(error.value)


def content(root: Path) -> set[str]:
    return {path.name for path in root.iterdir()}


# ── from the official place ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["cub200", "sop", "domainnet"])
def test_one_command_downloads_unpacks_and_checks(offered, place, root, name):
    files = offered(name)
    done = command(name, "--root", str(root))
    assert done.exit_code == 0, done.output
    assert f"{name}: complete" in done.output
    assert content(root) == {file.gives for file in files}  # archives are removed again
    assert len(load(name, "train", root)) > 10
    asked = len(place.asked)
    assert get(name, root, progress=False).ok and len(place.asked) == asked  # nothing is downloaded twice


def test_the_download_shows_its_progress(offered, root, capsys):
    offered("sop")
    get("sop", root)
    assert "Stanford_Online_Products.zip" in capsys.readouterr().err


def test_an_interrupted_download_is_continued_where_it_stopped(offered, place, root):
    (archive,) = offered("sop")
    place.breaks = [1000] + [0] * 10
    message = fails("sop", root)
    assert "1,000 bytes are kept; repeat the command to continue" in message
    assert content(root) == {"Stanford_Online_Products.zip.part"}
    place.breaks, place.asked = [], []
    assert get("sop", root, progress=False).ok
    assert place.asked == [(archive.name, "bytes=1000-")]
    assert content(root) == {"Stanford_Online_Products"}


def test_a_lost_connection_is_taken_up_again_by_itself(offered, place, root):
    offered("sop")
    place.breaks = [700, 300]
    assert get("sop", root, progress=False).ok
    assert [wanted for _, wanted in place.asked] == [None, "bytes=700-", "bytes=1000-"]


def test_ctrl_c_keeps_what_has_arrived(offered, place, root, monkeypatch):
    offered("sop")
    real = requests.Response.iter_content

    def interrupted(self, size):
        yield next(real(self, 500))
        raise KeyboardInterrupt

    monkeypatch.setattr(requests.Response, "iter_content", interrupted)
    with pytest.raises(KeyboardInterrupt):
        get("sop", root, progress=False)
    monkeypatch.setattr(requests.Response, "iter_content", real)
    assert [path.stat().st_size for path in root.glob("*.part")] == [500]
    assert get("sop", root, progress=False).ok
    assert place.asked[-1] == ("Stanford_Online_Products.zip", "bytes=500-")


def test_ctrl_c_while_the_checksum_is_computed_keeps_the_download(offered, place, root, monkeypatch):
    (archive,) = offered("sop")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("hashlib.file_digest", interrupted)
    with pytest.raises(KeyboardInterrupt):
        get("sop", root, progress=False)
    assert (root / f"{archive.name}.part").stat().st_size == archive.size


def test_a_place_that_cannot_continue_starts_again(offered, place, root):
    offered("sop")
    place.continues, place.breaks = False, [1000]
    assert get("sop", root, progress=False).ok


def test_a_download_that_was_whole_already_is_not_repeated(offered, place, root, tmp_path):
    (archive,) = offered("sop")
    root.mkdir(parents=True)
    shutil.copy(tmp_path / "place" / archive.name, root / f"{archive.name}.part")
    assert get("sop", root, progress=False).ok
    assert place.asked == [(archive.name, f"bytes={archive.size}-")]


def test_a_file_with_another_checksum_is_deleted(offered, place, root):
    (archive,) = offered("sop")
    place.files[archive.name] = place.files[archive.name][:-1] + b"?"
    message = fails("sop", root)
    assert "another file than the published one" in message and archive.checksum in message
    assert content(root) == set()


def test_a_wrong_start_is_not_continued_for_ever(offered, root):
    (archive,) = offered("sop")
    root.mkdir(parents=True)
    (root / f"{archive.name}.part").write_bytes(b"something else")
    assert "another file" in fails("sop", root)
    assert get("sop", root, progress=False).ok


def test_a_place_that_is_gone_says_what_to_put_where(offered, place, root):
    (archive,) = offered("sop")
    place.files.clear()
    message = fails("sop", root)
    assert "the server answers 404" in message and archive.name in message and str(root) in message
    assert len(place.asked) == 1  # it has answered; there is nothing to try again
    assert content(root) == set()


def test_a_place_that_nobody_answers_at_says_so(offered, place, root, monkeypatch):
    (archive,) = offered("sop")
    monkeypatch.setattr(MODULES["sop"], "FILES", [[replace(archive, url="http://127.0.0.1:9/x.zip")]])
    assert "cannot be downloaded (ConnectionError)" in fails("sop", root)


def test_a_download_that_the_disk_cannot_hold_is_not_begun(offered, place, root, monkeypatch):
    offered("sop")
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(10, 9, 1))
    assert "data set 'sop' needs" in fails("sop", root)
    assert place.asked == []


def test_the_disk_needs_room_for_all_pictures_and_one_archive():
    files = MODULES["domainnet"].FILES[0]
    need = download._bytes_needed(files, files)
    assert need == sum(file.size for file in files) + max(file.size for file in files)
    assert 24.4e9 < need < 24.7e9


def test_a_root_that_is_a_file_is_one_error(offered, tmp_path):
    offered("sop")
    (tmp_path / "file").write_text("")
    assert "cannot be made a folder" in fails("sop", tmp_path / "file")


# ── what nobody on the way may change ─────────────────────────────────────────────────────────────────


def test_every_place_has_https_or_a_pinned_sha256():
    for name, module in MODULES.items():
        for file in (file for files in module.FILES for file in files):
            assert file.url is None or file.may_be_downloaded, f"{name}: {file.name}"
            assert not file.checksum or len(file.checksum.partition(":")[2]) in (32, 64)


@pytest.mark.parametrize("checksum", [None, "md5:d41d8cd98f00b204e9800998ecf8427e"])
def test_without_https_and_sha256_nothing_is_downloaded(offered, place, root, monkeypatch, checksum):
    (archive,) = offered("sop")
    monkeypatch.setattr(MODULES["sop"], "FILES", [[replace(archive, checksum=checksum)]])
    message = fails("sop", root)
    assert f"put these files of 'sop' into {root}" in message and archive.name in message
    assert place.asked == []


def test_a_redirection_away_from_https_is_refused(offered, place, root, monkeypatch):
    (archive,) = offered("sop")
    secure = replace(archive, url=f"https://example.org/{archive.name}", checksum="md5:" + 32 * "0")
    monkeypatch.setattr(MODULES["sop"], "FILES", [[secure]])
    real = requests.get
    monkeypatch.setattr(requests, "get", lambda url, **more: real(f"{place.url}/{archive.name}", **more))
    assert "which is not safe; nothing was downloaded" in fails("sop", root)
    assert content(root) == set()


# ── by hand ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def brought(layouts, small, tmp_path, monkeypatch):
    """Let a data set that nobody may pass on be its miniature; put its files into a folder."""

    def bring(kind: str, root: Path) -> list[Remote]:
        small(kind)
        module = MODULES[kind.split()[0]]
        choice = 1 if kind.endswith("devkit") else 0
        known = [file.checksum for file in module.FILES[choice]]
        packed = pack(layouts(kind), module.FILES[choice], tmp_path / "packed")
        files = [
            file if had else replace(file, checksum=None) for file, had in zip(packed, known, strict=True)
        ]
        monkeypatch.setattr(module, "FILES", [*module.FILES[:choice], files, *module.FILES[choice + 1 :]])
        if root.exists():
            for file in files:
                shutil.copy(tmp_path / "packed" / file.name, root)
        return files

    return bring


@pytest.mark.parametrize("kind", BY_HAND)
def test_what_is_put_there_by_hand_is_checked_unpacked_and_kept(brought, root, kind):
    root.mkdir(parents=True)
    files, name = brought(kind, root), kind.split()[0]
    done = command(name, "--root", str(root))
    assert done.exit_code == 0, done.output
    assert content(root) == {file.name for file in files} | {file.gives for file in files}
    assert len(load(name, "train", root)) >= 6


@pytest.mark.parametrize("name", ["cars196", "inshop"])
def test_without_a_place_the_files_and_their_folder_are_named(root, name):
    message = fails(name, root)
    assert f"put these files of {name!r} into {root}" in message
    for file in MODULES[name].FILES[0]:
        assert file.name in message
        assert (file.checksum or "no checksum is published") in message
    assert f"dmlteach data get {name}" in message


def test_of_two_layouts_the_one_that_was_begun_is_asked_for(root):
    root.mkdir(parents=True)
    (root / "car_devkit.tgz").write_bytes(b"")
    message = fails("cars196", root)
    assert "cars_train.tgz" in message and "car_ims.tgz" not in message


def test_a_brought_file_with_another_checksum_is_refused_and_kept(brought, root):
    root.mkdir(parents=True)
    brought("cars196", root)
    path = root / "car_ims.tgz"
    path.write_bytes(path.read_bytes()[:-100])
    before = content(root)
    assert "car_ims.tgz is not the published file (sha256:" in fails("cars196", root)
    assert content(root) == before


def test_a_list_that_is_already_there_is_checked_too(offered, place, root):
    files = offered("domainnet")
    root.mkdir(parents=True)
    (root / "sketch_test.txt").write_bytes(place.files["sketch_test.txt"] + b"\n")
    message = fails("domainnet", root)
    assert "sketch_test.txt is not the published file (sha256:" in message
    (root / "sketch_test.txt").unlink()
    assert get("domainnet", root, progress=False).ok
    assert content(root) == {file.gives for file in files}


def test_a_cut_off_archive_without_a_known_checksum_is_refused(brought, root):
    root.mkdir(parents=True)
    brought("inshop", root)
    path = root / "img.zip"
    path.write_bytes(path.read_bytes()[:-100])
    before = content(root)
    assert "cut off or damaged" in fails("inshop", root)
    assert content(root) == before


def test_an_evil_archive_is_one_error_of_the_command(brought, root, layouts):
    import zipfile

    root.mkdir(parents=True)
    brought("inshop", root)
    with zipfile.ZipFile(root / "img.zip", "a") as archive:
        archive.writestr("../../escaped.txt", "evil")
    done = command("inshop", "--root", str(root))
    assert done.exit_code == 2 and "a path that leaves the folder" in done.stderr
    assert not list(root.parent.parent.rglob("escaped.txt")) and "img" not in content(root)


def test_a_part_unpacked_by_hand_is_taken_as_it_is(layouts, small, root):
    small("inshop")
    root.mkdir(parents=True)
    shutil.copytree(layouts("inshop") / "img", root / "img")
    shutil.copy(layouts("inshop") / "list_eval_partition.txt", root)
    assert get("inshop", root, progress=False).ok


def test_what_is_not_complete_afterwards_ends_with_1(offered, root, layouts):
    offered("sop")
    shutil.copytree(layouts("sop"), root)
    next((root / "Stanford_Online_Products").glob("*/*.JPG")).unlink()
    done = command("sop", "--root", str(root))
    assert done.exit_code == 1 and "NOT complete" in done.output


# ── only when asked ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", names())
def test_without_a_root_the_command_says_how_and_downloads_nothing(name, monkeypatch):
    monkeypatch.setattr(download, "fetch", None)
    done = command(name)
    assert done.exit_code == 0
    assert done.output.strip() == how_to_get(name).strip()


@pytest.mark.parametrize("name", sorted(MODULES))
def test_the_explanation_names_every_file_put_there_by_hand(name):
    for files in MODULES[name].FILES:
        for file in files:
            assert file.url or file.name in how_to_get(name), file.name
    assert f"dmlteach data get {name} --root DIR" in how_to_get(name)


@pytest.mark.parametrize("name", ["omniglot", "folder"])
def test_what_is_not_downloaded_says_so(name, root):
    done = command(name, "--root", str(root))
    assert done.exit_code == 2 and "is not downloaded" in done.stderr
    assert not root.exists()


def test_packing_a_miniature_gives_the_official_names(layouts, tmp_path):
    archive = pack_one(layouts("sop"), MODULES["sop"].FILES[0][0], tmp_path)
    assert archive.name == "Stanford_Online_Products.zip"
