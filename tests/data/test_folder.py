"""Own images: any folder of class folders, whatever the pictures and files are like."""

import os
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from dmlteach.data import cached, check, load
from dmlteach.errors import DMLTeachError


def picture(path: Path, colour="red", mode="RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (6, 5), colour).save(path, "PNG")
    return path


@pytest.fixture
def zoo(tmp_path):
    """Six classes of two pictures."""
    for name in ("ant", "bee", "cat", "dog", "eel", "fox"):
        for i in range(2):
            picture(tmp_path / "zoo" / name / f"{i}.png")
    return tmp_path / "zoo"


def test_classes_are_divided_into_disjoint_train_and_test(zoo):
    train, test = load("folder", "train", zoo), load("folder", "test", zoo)
    assert sorted(train.class_names + test.class_names) == sorted(p.name for p in zoo.iterdir())
    assert train.num_classes >= 4 and test.num_classes >= 2  # of train, two are to fit on and two are val
    assert train.labels.tolist() == [label for label in range(train.num_classes) for _ in range(2)]
    assert not train.shareable


def test_the_division_depends_on_seed_and_fraction(zoo):
    divisions = {tuple(load("folder", "test", zoo, seed=seed).class_names) for seed in range(8)}
    assert len(divisions) > 1
    for i in range(60):
        picture(zoo / f"class {i}" / "1.png")
    few, many = (set(load("folder", "test", zoo, test_fraction=f, seed=2).class_names) for f in (0.2, 0.6))
    assert few < many
    with pytest.raises(DMLTeachError, match="between 0 and 1"):
        load("folder", "test", zoo, test_fraction=50)


def test_a_class_that_is_added_moves_no_other(tmp_path):
    """Train, test, fit and val: nobody changes sides, so nothing that was trained on is tested on."""
    for i in range(40):
        picture(tmp_path / f"class {i}" / "1.png")
    before = {s: set(load("folder", s, tmp_path).class_names) for s in ("train", "fit", "val", "test")}
    for name in ("another", "aa", "zz"):
        picture(tmp_path / name / "1.png")
        after = {s: set(load("folder", s, tmp_path).class_names) for s in before}
        assert all(before[split] <= after[split] for split in before)
        assert not after["train"] & after["test"] and not after["fit"] & after["val"]
    assert after["fit"] | after["val"] == after["train"]
    (tmp_path / "class 7" / "1.png").unlink()
    fewer = {s: set(load("folder", s, tmp_path).class_names) for s in before}
    assert all(fewer[split] == after[split] - {"class 7"} for split in before)


def test_named_classes_take_the_place_of_a_division(zoo):
    division = {"fit": ["ant", "fox"], "val": ["bee", "gone"], "test": ["cat", "dog"]}
    found = {
        split: load("folder", split, zoo, division=division).class_names
        for split in ("train", "fit", "val", "test")
    }
    assert found == {
        "train": ["ant", "bee", "fox"],
        "fit": ["ant", "fox"],
        "val": ["bee"],
        "test": ["cat", "dog"],
    }
    assert load("folder", "fit", zoo, division={"fit": ["ant", "bee", "cat", "dog"]}).num_classes == 4
    with pytest.raises(DMLTeachError, match="division of data set 'folder' must be names with their values"):
        load("folder", "test", zoo, division="cat")
    with pytest.raises(DMLTeachError, match="none of the 1 class of test"):
        load("folder", "test", zoo, division={"test": ["gone"]})


def test_fit_and_val_share_the_cache_of_train(zoo):
    train, fit, val = (load("folder", split, zoo) for split in ("train", "fit", "val"))
    assert train.source.fingerprint == fit.source.fingerprint == val.source.fingerprint
    assert sorted(fit.rows.tolist() + val.rows.tolist()) == train.rows.tolist()
    assert sorted(fit.paths + val.paths) == sorted(train.paths)


def test_train_and_test_folders_are_the_split(tmp_path):
    for path in ("train/a/1.png", "train/b/1.png", "test/c/1.png", "test/d/1.png", "test/e/1.png"):
        picture(tmp_path / path)
    assert load("folder", "train", tmp_path).class_names == ["a", "b"]
    assert load("folder", "test", tmp_path).class_names == ["c", "d", "e"]


def test_a_class_may_be_called_train(tmp_path):
    for name in ("train", "test", "bus", "tram"):
        picture(tmp_path / name / "1.png")
    names = load("folder", "train", tmp_path).class_names + load("folder", "test", tmp_path).class_names
    assert sorted(names) == ["bus", "test", "train", "tram"]


def test_any_file_name_and_sub_folder_belongs_to_its_class(tmp_path):
    names = [
        "Ä b'c \"d/é ü.PNG",
        "Ä b'c \"d/2021/more/ 日本.JPeG",
        "b/no ending",
        "b/two.dots.png",
        "c/🦊.webp",
        "d/%20{x}.gif",
    ]
    for name in names:
        picture(tmp_path / name)
    for ignored in (".DS_Store", "b/.hidden.png", "b/._1.png", "__MACOSX/b/1.png", ".cache/1.png"):
        picture(tmp_path / ignored)
    (tmp_path / "b" / "notes.txt").write_text("BM, RIFF and other notes")
    (tmp_path / "b" / "Thumbs.db").write_bytes(b"\xd0\xcf")
    picture(tmp_path / "in no class.png")
    (tmp_path / "a class without pictures").mkdir()
    (tmp_path / "b" / "broken link.png").symlink_to(tmp_path / "nowhere.png")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "b" / "pipe.png")
    both = [load("folder", split, tmp_path) for split in ("train", "test")]
    assert sorted(f.name for dataset in both for f in dataset.source.files) == sorted(names)
    for dataset in both:
        assert all(image.shape == (3, 5, 6) for image, _ in dataset)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are Unicode there")
def test_a_file_name_that_is_no_unicode_is_read(zoo, tmp_path):
    for name in ("ant", "bee", "cat", "dog", "eel", "fox"):
        picture(zoo / name / os.fsdecode(b"\xff\xfe.png"))
    dataset = load("folder", "train", zoo)
    assert len(cached(dataset, 4, folder=tmp_path / "cache", progress=False).gather(range(9))) == 9


def test_pictures_of_mixed_modes_share_three_channels(zoo, tmp_path):
    for name in ("ant", "bee", "cat", "dog", "eel", "fox"):
        picture(zoo / name / "grey.png", 90, "L")
        picture(zoo / name / "clear.png", (0, 0, 0, 0), "RGBA")
    dataset = load("folder", "train", zoo, classes=[0])
    images = cached(dataset, 4, folder=tmp_path / "cache", progress=False).gather(range(4))
    by_name = dict(zip([Path(f.name).stem for f in dataset.source.files], images, strict=True))
    assert by_name["grey"].eq(90).all() and by_name["clear"].eq(255).all()
    assert torch.equal(by_name["0"][:, 0, 0], torch.tensor([255, 0, 0], dtype=torch.uint8))


def test_linked_class_folders_are_followed_and_circles_end(zoo, tmp_path):
    picture(tmp_path / "elsewhere" / "1.png")
    (zoo / "gnu").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (zoo / "ant" / "up").symlink_to(zoo, target_is_directory=True)
    every = load("folder", "train", zoo).class_names + load("folder", "test", zoo).class_names
    assert sorted(every) == ["ant", "bee", "cat", "dog", "eel", "fox", "gnu"]


def test_a_class_with_one_image_is_loaded_and_reported(zoo):
    (zoo / "bee" / "1.png").unlink()
    assert len(load("folder", "train", zoo)) + len(load("folder", "test", zoo)) == 11
    report = check("folder", zoo)
    assert report.ok and "11 images of 6 classes" in str(report)
    assert "1 class has one image only" in str(report) and "bee" in str(report)


def test_check_names_damaged_pictures(zoo):
    (zoo / "cat" / "1.png").write_bytes(b"not a picture")
    report = check("folder", zoo)
    assert not report.ok and str(zoo / "cat" / "1.png") in str(report)


@pytest.mark.parametrize(
    "paths, message",
    [
        ([], "no class folder with images"),
        (["1.png", "2.png"], "2 images outside of class folders"),
        (["a/1.png", "a/2.png"], "one class only"),
        (["a/1.png", "b/1.png", "c/1.png"], "has 3 classes; at least 4"),
        (["train/a/1.png", "test/b/1.png", "test/c/1.png"], "train has one class only"),
    ],
)
def test_folders_that_cannot_be_used_are_one_clear_error(tmp_path, paths, message):
    for path in paths:
        picture(tmp_path / path)
    with pytest.raises(DMLTeachError, match=message):
        load("folder", "train", tmp_path)


def test_a_missing_root_says_which_layout_is_expected(tmp_path):
    (tmp_path / "file").write_text("")
    for root, message in [
        (None, "needs --root DIR"),
        (tmp_path / "no", "does not exist"),
        (tmp_path / "file", "is no folder"),
    ]:
        with pytest.raises(DMLTeachError, match=message) as error:
            load("folder", "train", root)
        assert "ROOT/CLASS/image.jpg" in str(error.value)
