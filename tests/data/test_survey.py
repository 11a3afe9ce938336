"""`check` of a folder: everything that a training would refuse, said beforehand, and nothing untrue."""

import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dmlteach import data, models
from dmlteach.data import check
from dmlteach.device import choose_device
from dmlteach.distributed import World
from dmlteach.errors import DMLTeachError
from dmlteach.interfaces import Space
from dmlteach.metrics import retrieval_metrics
from dmlteach.train import Run, TrainConfig, build

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def photo(path: Path, seed: int = 0, size: int = 24) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def folder(root: Path, classes: int, images: int = 2) -> Path:
    """Class folders of different images."""
    for c in range(classes):
        for i in range(images):
            photo(root / f"class{c:02}" / f"{i}.jpg", seed=100 * c + i)
    return root


def test_a_good_folder_is_told_in_a_few_lines(tmp_path):
    report = check("folder", folder(tmp_path, 40, 3))
    assert report.ok and not report.notes and len(report.found) == 5
    assert "120 images of 40 classes" in report.found[0]
    assert report.found[1] == "3 images in every class"
    for line, split in zip(report.found[2:], ("fit", "val", "test"), strict=True):
        dataset = data.load("folder", split, tmp_path)
        assert line.startswith(split)
        assert f"{len(dataset)} images of {dataset.num_classes} classes" in line
        assert all(name in line for name in dataset.class_names[:8])


def test_every_damaged_image_is_named_and_quick_reads_only_heads(tmp_path):
    folder(tmp_path, 8)
    half, page = photo(tmp_path / "class00" / "0.jpg", size=64), tmp_path / "class05" / "1.jpg"
    half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    page.write_text("<html>404 not found</html>")
    (tmp_path / "class07" / "0.jpg").write_bytes(b"")
    report = check("folder", tmp_path)
    assert not report.ok and len(report.problems) == 3
    for path in (half, page, tmp_path / "class07" / "0.jpg"):
        assert sum(str(path) in problem for problem in report.problems) == 1
    quick = check("folder", tmp_path, quick=True)
    assert len(quick.problems) == 2 and "only the heads" in str(quick)


def test_what_is_left_out_is_said_with_the_reason(tmp_path):
    folder(tmp_path, 24)
    for i in range(5):
        (tmp_path / f"class{i:02}" / "IMG_1.HEIC").write_bytes(HEIC)
    shutil.copy(tmp_path / "class00" / "0.jpg", tmp_path / "class00" / "0.jpg~")
    photo(tmp_path / "class01" / "@eaDir" / "0.jpg" / "thumb.jpg", 1001)
    photo(tmp_path / ".thumbnails" / "0.jpg", 1002)
    photo(tmp_path / "in no class.jpg", 1003)
    (tmp_path / "class02" / "film.mov").write_bytes(b"mov")
    (tmp_path / "class03" / ".DS_Store").write_bytes(b"")  # everybody has it and nobody misses it
    (tmp_path / "films").mkdir()
    report = check("folder", tmp_path)
    said = str(report)
    assert report.ok
    for part in (
        "48 images of 24 classes",
        "5 images left out",
        ".HEIC 5",
        "convert",
        "@eaDir 1",
        ".jpg~ 1",
        ".thumbnails 1",
        ".mov 1",
        "1 image in no class folder",
        "in no class.jpg",
        "1 folder without an image (films)",
    ):
        assert part in said
    assert "DS_Store" not in said


def test_folders_divided_beforehand_are_told_and_so_are_those_beside_them(tmp_path):
    for part, classes in {"Train": "abcdefgh", "test": "ijkl", "extra": "mn"}.items():
        for name in classes:
            photo(tmp_path / part / name / "0.jpg", ord(name))
            photo(tmp_path / part / name / "1.jpg", ord(name) + 500)
    report = check("folder", tmp_path)
    assert report.ok
    assert "divided beforehand into Train/, test/" in report.found[0]
    assert "24 images of 12 classes" in report.found[0]
    assert "extra/ 4" in str(report)


def test_the_same_classes_or_images_on_several_sides_are_a_note(tmp_path):
    for part in ("train", "test"):
        for c in range(5):
            for i in range(2):
                photo(tmp_path / part / f"class{c}" / f"{i}.jpg", seed=10 * c + i + 100 * (part == "test"))
    shutil.copy(tmp_path / "train" / "class0" / "0.jpg", tmp_path / "test" / "class1" / "copy.jpg")
    report = check("folder", tmp_path)
    assert report.ok
    assert "5 in train and in test" in str(report)
    assert "1 image on both sides of the division" in str(report)
    assert "train/class0/0.jpg" in str(report) and "test/class1/copy.jpg" in str(report)


def test_the_same_image_under_two_classes_or_twice_in_one_is_a_note(tmp_path):
    folder(tmp_path, 24)
    fit = data.load("folder", "fit", tmp_path).class_names
    shutil.copy(tmp_path / fit[0] / "0.jpg", tmp_path / fit[1] / "copy.jpg")
    shutil.copy(tmp_path / fit[2] / "0.jpg", tmp_path / fit[2] / "copy.jpg")
    notes = [note for note in check("folder", tmp_path).notes if "the same bytes" in note]
    assert [note.partition(" (")[0] for note in notes] == [
        "1 image under two classes",
        "1 image twice in their class, so each finds its copy at once",
    ]


def test_classes_that_had_to_move_are_named(tmp_path):
    report = check("folder", folder(tmp_path, 30), test_fraction=0.0001)
    moved = data.load("folder", "test", tmp_path, test_fraction=0.0001).class_names
    note = next(note for note in report.notes if note.startswith("a side would be too small"))
    assert f"{moved[0]}, {moved[1]} to test" in note and len(moved) == 2


@pytest.mark.parametrize("classes", range(6, 12))
def test_a_class_is_named_by_one_note_about_moving_with_the_side_where_it_is(tmp_path, classes):
    notes = [note for note in check("folder", folder(tmp_path, classes)).notes if "moved" in note]
    assert len(notes) <= 1
    told = {
        name: side
        for names, side in re.findall(r"((?:class\d\d(?:, )?)+) to (\w+)", "".join(notes))
        for name in names.split(", ")
    }
    for name, side in told.items():
        assert notes[0].count(name) == 1
        assert name in data.load("folder", side, tmp_path).class_names


def test_options_of_the_division_are_those_of_load_and_others_are_refused(tmp_path):
    folder(tmp_path, 24)
    line = check("folder", tmp_path, seed=3).found[-1]
    assert all(name in line for name in data.load("folder", "test", tmp_path, seed=3).class_names[:8])
    with pytest.raises(DMLTeachError, match="did you mean 'test_fraction'"):
        check("folder", tmp_path, test_fractoin=0.3)
    with pytest.raises(DMLTeachError, match="unknown option"):
        check("omniglot", seed=3)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are Unicode there")
def test_names_that_are_no_unicode_can_be_printed(tmp_path):
    folder(tmp_path, 5)
    broken = os.fsdecode(b"caf\xe9")
    photo(tmp_path / broken / "0.jpg", 77)
    (tmp_path / broken / "1.jpg").write_bytes(b"damaged")
    said = str(check("folder", tmp_path))
    assert "caf�" in said
    said.encode("utf-8")


def test_folders_that_cannot_be_divided_are_a_problem_and_no_exception(tmp_path):
    photo(tmp_path / "loose.jpg")
    report = check("folder", tmp_path)
    assert not report.ok and "1 image outside of class folders" in str(report)
    photo(tmp_path / "a" / "1.jpg")
    assert "one class only" in str(check("folder", tmp_path))
    photo(tmp_path / "b" / "1.jpg")
    assert "needs 6 classes" in str(check("folder", tmp_path))


def test_a_folder_with_too_few_classes_hears_of_everything_else_as_well(tmp_path):
    folder(tmp_path, 5)
    for place in tmp_path.iterdir():
        (place / "1.jpg").unlink()
    (tmp_path / "class03" / "0.jpg").write_bytes(b"damaged")
    photo(tmp_path / "in no class.jpg", 99)
    report = check("folder", tmp_path)
    few, alone, damaged = report.problems
    assert "needs 6 classes" in few and few.endswith("or train without val: --eval-every 0.")
    assert alone == "every class has one image only, so nothing can be learned or retrieved. Add images."
    assert "class03/0.jpg" in damaged and "1 image in no class folder" in str(report)
    for split in ("train", "test"):
        dataset = data.load("folder", split, tmp_path)
        assert (
            f"{len(dataset)} images of {dataset.num_classes} classes: {', '.join(dataset.class_names)}"
            in str(report)
        )


def test_every_fault_of_folders_divided_beforehand_is_told_and_the_layout_once(tmp_path):
    photo(tmp_path / "train" / "a" / "0.jpg", 1)
    photo(tmp_path / "test" / "b" / "0.jpg", 2)
    photo(tmp_path / "test" / "b" / "1.jpg", 3)
    report = check("folder", tmp_path)
    assert ["train has one class only" in problem for problem in report.problems] == [True, False, False]
    assert ["test has one class only" in problem for problem in report.problems] == [False, True, False]
    assert (
        report.problems[2]
        == "every class of train has one image only, so nothing can be learned. Add images."
    )
    assert str(report).count("ROOT/CLASS/image.jpg") == 1


def images_of_classes(root: Path, images: dict[str, int]) -> Path:
    for number, (name, count) in enumerate(images.items()):
        for i in range(count):
            photo(root / name / f"{i}.jpg", seed=100 * number + i)
    return root


@pytest.mark.parametrize(
    ("two_images", "seed", "without_val"),
    [
        ("acd", True, False),
        ("a", False, False),
        ("ag", False, True),
        ("abcdefghij", False, False),
        ("fh", False, False),
        ("abfh", True, True),
    ],
)
def test_what_is_advised_against_classes_of_one_image_cures_it(tmp_path, two_images, seed, without_val):
    root = images_of_classes(tmp_path, {name: 1 + (name in two_images) for name in "abcdefghij"})
    problems = [problem for problem in check("folder", root).problems if "one image only" in problem]
    seeds = {match for problem in problems for match in re.findall(r"--dataset-option seed=(\d+)", problem)}
    assert bool(seeds) == seed
    assert all(check("folder", root, seed=int(one)).ok for one in seeds)
    if problems and not seeds:
        assert not any(check("folder", root, seed=other, quick=True).ok for other in range(20))
    assert any("--eval-every 0" in problem for problem in problems) == without_val
    for split in ("train", "test") if without_val else ():
        assert torch.bincount(data.load("folder", split, root).labels).max() > 1


def test_a_seed_is_not_advised_where_every_class_has_one_image(tmp_path):
    report = check("folder", folder(tmp_path, 12, 1))
    assert report.problems == [
        "every class has one image only, so nothing can be learned or retrieved. Add images."
    ]
    assert "one image only" not in "".join(report.notes)


def test_a_class_that_lies_in_several_parts_is_named_with_its_part(tmp_path):
    sizes = {"train/a": 2, "train/b": 2, "train/c": 1, "val/c": 1, "val/d": 2, "test/e": 2, "test/c": 1}
    report = check("folder", images_of_classes(tmp_path, sizes))
    assert "3 classes have one image only, so nothing to retrieve: test/c, train/c, val/c" in str(report)


def test_the_folder_of_one_class_is_told_to_name_the_one_above(tmp_path):
    folder(tmp_path / "pictures", 3)
    report = check("folder", tmp_path / "pictures" / "class01")
    assert "2 images outside of class folders" in report.problems[0]
    assert (
        f"name the folder above, which should hold a folder like this one for each class: --root {tmp_path}"
        in (report.problems[0])
    )


@pytest.fixture(scope="module")
def network():
    return models.create("resnet18", 8, weights=None, image_size=16)


def refusal(root: Path, network) -> str | None:
    """What a training with default options says against a folder, all but the training itself done."""
    try:
        config = TrainConfig(dataset="folder", root=str(root), output=str(root / "no run"), progress=False)
        parts = Run(config, choose_device("cpu"), World()).parts
        space = Space(torch.randn(len(parts.images), 8), parts.images.labels)
        assert parts.sampler.plan(0, space, None)["batches"] > 0
        for images in (parts.val.queries, parts.test.queries):
            retrieval_metrics(torch.randn(len(images), 8), images.labels, ks=(1,))
    except DMLTeachError as error:
        return str(error)
    return None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("divided", [False, True], ids=["one folder per class", "train and test"])
def test_what_check_calls_complete_a_default_training_accepts(tmp_path, monkeypatch, network, divided):
    monkeypatch.setattr(build, "build_model", lambda *_: network)
    monkeypatch.setenv("DMLTEACH_CACHE", str(tmp_path / "cache"))
    image = photo(tmp_path / "image.png", size=4)
    rng = np.random.default_rng(0)
    verdicts = []
    for classes in (*range(1, 13), 20, 40):
        for images in (1, 2, 6, "mixed"):
            root = tmp_path / f"{classes} x {images}"
            for c in range(classes):
                part = ("train/", "test/")[c % 3 == 2] if divided else ""
                for i in range(rng.integers(1, 3) if images == "mixed" else images):
                    (root / f"{part}{c}").mkdir(parents=True, exist_ok=True)
                    shutil.copy(image, root / f"{part}{c}" / f"{i}.png")
            report = check("folder", root)
            refused = refusal(root, network)
            assert report.ok == (refused is None), (classes, images, refused, str(report))
            verdicts.append(report.ok)
    assert 10 < sum(verdicts) < len(verdicts) - 10  # the test can tell both
