"""Pictures as they lie in folders: with class folders, without, named one by one, drawings as ink."""

import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from dmlteach.data import pictures
from dmlteach.errors import DMLTeachError


def picture(path: Path, colour="red") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 5), colour).save(path, "PNG")
    return path


def test_every_picture_of_every_class_folder_is_there(tmp_path):
    for name in ("b/2.png", "b/deep/1.png", "a/1.png", "loose.png"):
        picture(tmp_path / name)
    (tmp_path / "a" / "notes.txt").write_text("no picture")
    images = pictures.load(tmp_path)
    assert images.paths == ["a/1.png", "b/2.png", "b/deep/1.png", "loose.png"]
    assert images.class_names == ["a", "b"]
    assert images.labels.tolist() == [0, 1, 1, pictures.NO_CLASS]


def test_one_picture_of_one_class_is_enough(tmp_path):
    picture(tmp_path / "only" / "1.png")
    assert pictures.load(tmp_path).labels.tolist() == [0]


def test_a_flat_folder_has_no_classes(tmp_path):
    picture(tmp_path / "1.png")
    images = pictures.load(str(tmp_path))
    assert (images.class_names, images.labels.tolist()) == ([], [pictures.NO_CLASS])


def test_train_and_test_folders_are_no_classes(tmp_path):
    for name in ("train/a/1.png", "train/b/1.png", "test/c/1.png", "test/a/2.png"):
        picture(tmp_path / name)
    images = pictures.load(tmp_path)
    assert images.class_names == ["a", "b", "c"]
    assert [images.class_names[label] for label in images.labels] == ["a", "c", "a", "b"]


@pytest.mark.parametrize("make, message", [(False, "does not exist"), (True, "no image below")])
def test_a_missing_or_empty_folder_is_one_error_that_names_it(tmp_path, make, message):
    folder = tmp_path / "gallery"
    if make:
        (folder / "a").mkdir(parents=True)
        (folder / "a" / "notes.txt").write_text("no picture")
    with pytest.raises(DMLTeachError, match=message) as error:
        pictures.load(folder)
    assert str(folder) in str(error.value)


def test_named_pictures_keep_their_order_and_must_be_files(tmp_path):
    one, two = picture(tmp_path / "1.png", "red"), picture(tmp_path / "2.png", "blue")
    images = pictures.named([two, str(one)])
    assert [image[:, 0, 0].tolist() for image, _ in images] == [[0, 0, 255], [255, 0, 0]]
    for wrong, message in ((tmp_path / "3.png", "does not exist"), (tmp_path, "is a folder")):
        with pytest.raises(DMLTeachError, match=message) as error:
            pictures.named([one, wrong])
        assert str(wrong) in str(error.value)


@pytest.mark.parametrize("paper, pen", [("white", "black"), ("black", "white")])
def test_ink_is_bright_whatever_the_paper(tmp_path, paper, pen):
    drawing = Image.new("RGB", (8, 8), paper)
    drawing.paste(pen, (2, 3, 4, 5))
    drawing.save(tmp_path / "1.png")
    expected = torch.zeros(1, 8, 8, dtype=torch.uint8)
    expected[:, 3:5, 2:4] = 255
    images = pictures.load(tmp_path, channels=1)
    assert images.channels == 1
    assert torch.equal(images[0][0], expected)
    assert images.fingerprint != pictures.load(tmp_path).fingerprint


def test_links_to_a_file_are_the_same_file_and_copies_are_not(tmp_path):
    original = picture(tmp_path / "1.png")
    os.link(original, tmp_path / "2.png")
    copy = picture(tmp_path / "3.png")
    os.utime(copy, ns=(original.stat().st_atime_ns, original.stat().st_mtime_ns))
    one, two, three = pictures.files_of(pictures.load(tmp_path))
    assert pictures.same_file(one, two)
    assert not pictures.same_file(one, three)
