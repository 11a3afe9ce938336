"""What counts as an image of one's own, and how a folder says that it is divided beforehand."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from dmlteach.data import load, pictures
from dmlteach.data.layout import look, shortened, unreadable
from dmlteach.errors import DMLTeachError

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def picture(path: Path, colour="red", kind="PNG") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 5), colour).save(path, kind)
    return path


def names(root: Path) -> list[str]:
    return [file.name for file in look(root).images]


@pytest.mark.parametrize(
    "copy",
    [
        "0.png~", "0.png.bak", "0.png.BAK", "0.png.orig", "0.png.old", "0.png.~1~", "#0.png#", "0.png.tmp",
        "0.png.crdownload", "0.png.bak2", "@eaDir/0.png/SYNOPHOTO_THUMB_M.jpg", "lost+found/0.png",
        "__MACOSX/0.png", "#recycle/0.png", "$RECYCLE.BIN/0.png", "@Recycle/0.png", ".thumbnails/0.png",
        ".0.png", "._0.png", "Thumbs.db", "desktop.ini", "System Volume Information/0.png",
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["", "a/"])
def test_backups_thumbnails_and_hidden_files_are_no_images(tmp_path, place, copy):
    original = picture(tmp_path / "a" / "0.png")
    copied = tmp_path / place / copy
    copied.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(original, copied)
    assert names(tmp_path) == ["a/0.png"]
    assert pictures.load(tmp_path).paths == ["a/0.png"]  # search and embed go by the same rules


@pytest.mark.parametrize(
    "name", ["backup/0.png", "old/0.png", "a.bak/0.png", "part.1.png", "thumbnails/0.png"]
)
def test_classes_and_images_may_have_names_like_these(tmp_path, name):
    picture(tmp_path / name)
    assert names(tmp_path) == [name]


@pytest.mark.parametrize(
    "name, kind",
    [("without", "PNG"), ("a.dat", "JPEG"), ("b.image", "WEBP"), ("c.jpg_large", "JPEG"), ("d.1", "GIF")],
)
def test_images_of_other_endings_are_told_by_their_first_bytes(tmp_path, name, kind):
    picture(tmp_path / "a" / name, kind=kind)
    (tmp_path / "a" / "notes").write_text("BM, RIFF and WEBP")
    assert names(tmp_path) == [f"a/{name}"]


def test_images_that_cannot_be_opened_here_are_counted_and_told_when_loading(tmp_path):
    for c in range(6):
        picture(tmp_path / f"{c}" / "0.png")
        (tmp_path / f"{c}" / "IMG_1.HEIC").write_bytes(HEIC)
    (tmp_path / "1" / "photo").write_bytes(HEIC)
    (tmp_path / "2" / "0.DNG").write_bytes(b"II*\0")  # what its JPEG was made from
    said = unreadable(look(tmp_path))
    assert "7 images" in said and ".HEIC 6" in said and "DNG" not in said
    for reads in (lambda: load("folder", "train", tmp_path), lambda: pictures.load(tmp_path)):
        with pytest.warns(UserWarning, match="7 images left out") as heard:
            reads()
        assert len(heard) == 1


def test_a_folder_of_such_images_only_says_so(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.heic").write_bytes(HEIC)
    with pytest.raises(DMLTeachError, match=r"no image below .*1 image left out.*heic"):
        pictures.load(tmp_path)


@pytest.mark.parametrize(
    "folders, parts",
    [
        (("train", "test"), {"train": ["train"], "test": ["test"]}),
        (("Train", "TEST", "Valid"), {"train": ["Train"], "val": ["Valid"], "test": ["TEST"]}),
        (("training", "validation"), {"train": ["training"], "val": ["validation"]}),
        (("train", "query", "gallery"), {"train": ["train"], "query": ["query"], "gallery": ["gallery"]}),
        (("train",), {"train": ["train"]}),
        (("train", "bus", "tram"), {}),
    ],
)
def test_folders_called_like_parts_that_hold_class_folders_are_parts(tmp_path, folders, parts):
    for folder in folders:
        for name in ("a", "b"):
            picture(tmp_path / folder / name / "1.png")
    assert look(tmp_path).parts == parts
    classes = sorted(folders) if not parts else ["a", "b"]
    assert pictures.load(tmp_path).class_names == classes


def test_a_stray_image_does_not_make_a_part_a_class(tmp_path):
    for part in ("train", "test"):
        for name in ("a", "b"):
            picture(tmp_path / part / name / "1.png")
        picture(tmp_path / part / "cover.png")
    layout = look(tmp_path)
    assert sorted(layout.parts) == ["test", "train"]
    assert [file.name for file in layout.loose] == ["test/cover.png", "train/cover.png"]
    assert [list(layout.classes(part)) for part in ("train", "test")] == [["a", "b"]] * 2


def test_a_val_folder_is_val_and_train_is_both(tmp_path):
    sides = {"train": ["a", "b"], "val": ["c", "d"], "Test": ["e", "f"]}
    for part, classes in sides.items():
        for name in classes:
            picture(tmp_path / part / name / "1.png")
    found = {split: load("folder", split, tmp_path) for split in ("train", "fit", "val", "test")}
    assert {split: dataset.class_names for split, dataset in found.items()} == {
        "train": ["a", "b", "c", "d"],
        "fit": ["a", "b"],
        "val": ["c", "d"],
        "test": ["e", "f"],
    }
    assert found["val"].paths == ["c/1.png", "d/1.png"]


@pytest.mark.parametrize(
    "folders, advice",
    [
        (("train", "val"), "rename it to test"),
        (("train", "query", "gallery"), "merge query and gallery"),
        (("val", "test"), "train is missing"),
        (("query", "gallery"), "train and test is missing"),
        (("train",), "as the root"),
    ],
)
def test_parts_without_train_or_test_are_refused_with_the_cure(tmp_path, folders, advice):
    for folder in folders:
        for name in "abcdef":
            picture(tmp_path / folder / name / "1.png")
    for split in ("train", "test", "fit"):
        with pytest.raises(DMLTeachError, match=advice) as error:
            load("folder", split, tmp_path)
        assert all(f"{folder}/" in str(error.value) for folder in folders)


def test_a_folder_inside_the_root_that_holds_the_classes_is_named(tmp_path):
    for name in "abcdef":
        picture(tmp_path / "unpacked" / name / "1.png")
    with pytest.raises(DMLTeachError, match="give .*/unpacked as the root"):
        load("folder", "train", tmp_path)


def test_the_same_classes_in_train_and_test_are_a_warning(tmp_path):
    for part in ("train", "test"):
        for name in "abcde":
            picture(tmp_path / part / name / f"{part}.png")
    with pytest.warns(UserWarning, match=r"5 classes .* both in train and in test \(a, b, c, … \(2 more\)\)"):
        assert load("folder", "test", tmp_path).num_classes == 5


def test_folders_without_an_image_are_listed(tmp_path):
    picture(tmp_path / "a" / "deep" / "1.png")
    (tmp_path / "b" / "c").mkdir(parents=True)
    (tmp_path / "@eaDir").mkdir()
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "film.mov").write_bytes(b"")
    assert look(tmp_path).empty == ["b", "d"]


def test_long_lists_of_names_are_shortened_and_printable():
    assert shortened("abc", 2) == "a, b, c"
    assert shortened("abcd", 2) == "a, b, … (2 more)"
    assert shortened(["one\ntwo", "caf\udce9"]) == "one�two, caf�"
