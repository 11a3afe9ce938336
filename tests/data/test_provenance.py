"""What a run remembers of its data: evaluate and resume go by it, or say what has changed."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmlteach import data
from dmlteach.data import provenance
from dmlteach.errors import DMLTeachError


def photo(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def grow(root: Path, *names: str, images: int = 2) -> None:
    for name in names:
        for i in range(images):
            photo(root / name / f"{i}.png", seed=sum(os.fsencode(name)) + i)


@pytest.fixture
def root(tmp_path):
    grow(tmp_path / "images", *(f"class{c:02}" for c in range(16)))
    return tmp_path / "images"


@pytest.fixture
def run(tmp_path, root):
    """A run folder as `fit` leaves it, as far as its data are concerned."""
    return write(tmp_path / "run", root)


def write(run: Path, root: Path, **options) -> Path:
    splits = {split: data.load("folder", split, root, **options) for split in ("fit", "val", "test")}
    run.mkdir(exist_ok=True)
    (run / provenance.FILE).write_text(json.dumps(provenance.describe(splits, root, options)))
    return run


def resumed(run: Path, root: Path) -> list[str]:
    """What a resumed training says to its data."""
    kept = provenance.read(run)
    own = provenance.division(kept, "folder")
    splits = {split: data.load("folder", split, root, **own) for split in ("fit", "val", "test")}
    return provenance.check_resumed(run, kept, provenance.describe(splits, root), root)


def test_an_unchanged_folder_gives_the_same_classes_and_no_word(run, root):
    images, gallery, notes, _ = data.load_for_run(run, "folder", root=root)
    assert (images.class_names, gallery, notes) == (data.load("folder", "test", root).class_names, None, [])
    assert resumed(run, root) == []
    again = data.load_for_run(run / "model.safetensors", "folder", root=root)
    assert again.images.class_names == images.class_names


def test_of_a_folder_a_run_is_measured_on_the_classes_it_was_cut_to_and_of_another_data_set_on_all(
    tmp_path, root
):
    for name, place in (("folder", root), ("omniglot", None)):
        folder = tmp_path / name
        folder.mkdir()
        splits = {split: data.load(name, split, place, classes=2) for split in ("fit", "val", "test")}
        (folder / provenance.FILE).write_text(json.dumps(provenance.describe(splits, place)))
        images = data.load_for_run(folder, name, root=place).images
        assert images.num_classes == (2 if name == "folder" else 659)


def test_a_folder_that_was_copied_is_unchanged(run, root, tmp_path):
    """Neither the place nor the times of the files count."""
    moved = tmp_path / "elsewhere"
    shutil.copytree(root, moved, copy_function=shutil.copyfile)
    assert data.load_for_run(run, "folder", root=moved).notes == []
    assert resumed(run, moved) == []


@pytest.mark.parametrize("split", ["train", "fit", "val", "test"])
def test_classes_that_came_since_are_told_and_change_no_split(run, root, split):
    before = data.load_for_run(run, "folder", split, root)
    grow(root, *(f"new{i}" for i in range(12)))
    images, _, notes, _ = data.load_for_run(run, "folder", split, root)
    assert images.class_names == before.images.class_names
    assert len(notes) == 1 and "12 classes more than when the run was made" in notes[0]
    (said,) = resumed(run, root)
    assert said == notes[0]


def test_test_classes_that_moved_in_the_division_were_not_trained_on(tmp_path):
    """In a small folder classes have to move when others come: the run still keeps its own."""
    root = tmp_path / "images"
    grow(root, *(f"class{c}" for c in range(7)))
    run = write(tmp_path / "run", root)
    trained = {*data.load("folder", "fit", root).class_names}
    grow(root, *(f"other{c}" for c in range(9)))
    images, _, notes, _ = data.load_for_run(run, "folder", root=root)
    assert not trained & set(images.class_names)
    assert not any("trained on" in note for note in notes)


def test_another_division_is_obeyed_and_what_was_trained_on_is_counted(run, root):
    trained = {*data.load("folder", "fit", root).class_names}
    seed = next(s for s in range(1, 9) if trained & {*data.load("folder", "test", root, seed=s).class_names})
    images, _, notes, _ = data.load_for_run(run, "folder", root=root, seed=seed)
    both = trained & set(images.class_names)
    assert images.class_names == data.load("folder", "test", root, seed=seed).class_names
    (note,) = notes
    assert note.startswith(f"{len(both)} of the {images.num_classes} classes of the test w")
    assert "trained on" in note and min(both) in note


def test_options_of_the_run_need_not_be_repeated_and_may_be(tmp_path, root):
    run = write(tmp_path / "run", root, seed=3, test_fraction=0.4)
    expected = data.load("folder", "test", root, seed=3, test_fraction=0.4).class_names
    for options in ({}, {"seed": 3}, {"seed": 3, "test_fraction": 0.4}):
        found = data.load_for_run(run, "folder", root=root, **options)
        assert (found.images.class_names, found.notes) == (expected, [])
        assert found.options == {"seed": 3, "test_fraction": 0.4}


def test_images_that_changed_are_told(run, root):
    test = data.load("folder", "test", root).class_names
    photo(root / test[0] / "further.png", 5)
    (note,) = data.load_for_run(run, "folder", root=root).notes
    assert f"images of test have changed ({2 * len(test)} images then, {2 * len(test) + 1} now)" in note
    assert data.load_for_run(run, "folder", "fit", root).notes == []
    (said,) = resumed(run, root)  # the training itself can go on
    assert "test have changed" in said


def test_an_image_in_the_place_of_another_of_the_same_size_is_noticed(run, root):
    test = data.load("folder", "test", root).class_names
    path = root / test[0] / "0.png"
    content = bytearray(path.read_bytes())
    content[-20] ^= 255
    path.write_bytes(content)
    (note,) = data.load_for_run(run, "folder", root=root).notes
    assert "have changed" in note


def test_classes_that_are_gone_are_told(run, root):
    test = data.load("folder", "test", root).class_names
    shutil.rmtree(root / test[0])
    images, _, notes, _ = data.load_for_run(run, "folder", root=root)
    assert images.class_names == test[1:]
    assert f"1 class of test is gone ({test[0]})" in notes[0]


@pytest.mark.parametrize("change", ["an image more", "an image less", "a class less"])
def test_a_training_is_not_continued_on_other_images(run, root, change):
    name = data.load("folder", "fit", root).class_names[0]
    if change == "an image more":
        photo(root / name / "further.png", 5)
    elif change == "an image less":
        (root / name / "0.png").unlink()
    else:
        shutil.rmtree(root / name)
    with pytest.raises(DMLTeachError, match=r"of fit .* cannot be continued.*another --output"):
        resumed(run, root)


def test_a_run_made_before_says_that_it_does_not_know(tmp_path, root):
    old = tmp_path / "old"
    old.mkdir()
    options = {"dataset": "folder", "dataset_options": {"seed": 2}}
    (old / "config.json").write_text(json.dumps({"config": options}))
    images, _, notes, _ = data.load_for_run(old, "folder", root=root)
    # as folders were divided then: by a permutation of the sorted names
    order = np.random.default_rng(2).permutation(16)
    assert images.class_names == [f"class{i:02}" for i in sorted(order[:8])]
    assert len(notes) == 1 and "not known" in notes[0]
    with pytest.raises(DMLTeachError, match="not known which classes .* cannot be continued"):
        resumed(old, root)
    assert data.load_for_run(old, "omniglot").notes == []


def test_a_model_file_by_itself_does_not_know_either(tmp_path, root):
    (tmp_path / "model.safetensors").write_bytes(b"")
    images, _, notes, _ = data.load_for_run(tmp_path / "model.safetensors", "folder", root=root)
    assert images.class_names == data.load("folder", "test", root).class_names
    assert len(notes) == 1 and "not known" in notes[0]


def test_another_folder_has_its_own_division(run, tmp_path):
    other = tmp_path / "other"
    grow(other, *(f"kind{c}" for c in range(12)))
    images, _, notes, _ = data.load_for_run(run, "folder", root=other)
    assert (images.class_names, notes) == (data.load("folder", "test", other).class_names, [])


def test_a_folder_divided_beforehand_keeps_the_classes_of_the_run(tmp_path):
    root = tmp_path / "images"
    grow(root / "train", *"abcdefgh")
    grow(root / "test", *"ijkl")
    run = write(tmp_path / "run", root)
    shutil.move(root / "train" / "a", root / "test" / "a")
    grow(root / "test", "m")
    images, _, notes, _ = data.load_for_run(run, "folder", root=root)
    assert images.class_names == list("ijkl")
    assert len(notes) == 1 and "1 class more" in notes[0] and "(m)" in notes[0]


def test_published_data_have_a_record_that_agrees(tmp_path):
    splits = {"fit": data.load("omniglot", "fit"), "test": data.load("omniglot", "test")}
    (tmp_path / provenance.FILE).write_text(json.dumps(provenance.describe(splits)))
    images, _, notes, _ = data.load_for_run(tmp_path, "omniglot")
    assert (len(images), notes) == (13_180, [])
    assert data.load_for_run(tmp_path, "omniglot", classes=5).notes == []
    record = provenance.read(tmp_path)
    record["splits"]["test"]["fingerprint"] = "other"
    (tmp_path / provenance.FILE).write_text(json.dumps(record))
    assert "images of test have changed" in data.load_for_run(tmp_path, "omniglot").notes[0]


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "[]", "{}", "null", '{"dataset": "folder", "splits": []}',
        '{"dataset": "folder", "options": {}, "unused": [], "splits": {"test": {"classes": 3}}}',
        '{"dataset": "folder", "options": {}, "unused": [], "splits": {"test": {"classes": [1], "images": 1,'
        ' "fingerprint": ""}}}',
        '{"dataset": "folder", "options": {}, "unused": [], "splits": {"test": {"classes": ["a"],'
        ' "images": "1", "fingerprint": ""}}}',
    ],
)  # fmt: skip
def test_a_damaged_record_is_one_error_that_names_the_file(run, root, content):
    (run / provenance.FILE).write_text(content)
    with pytest.raises(DMLTeachError, match=r"data\.json is damaged"):
        data.load_for_run(run, "folder", root=root)


def test_names_that_are_no_unicode_are_kept(tmp_path):
    root = tmp_path / "images"
    grow(root, *"abcdefgh")
    try:
        grow(root, os.fsdecode(b"caf\xe9"))
    except OSError:
        return  # file names are Unicode on this system
    run = write(tmp_path / "run", root)
    kept = [name for split in provenance.read(run)["splits"].values() for name in split["classes"]]
    assert os.fsdecode(b"caf\xe9") in kept
    assert data.load_for_run(run, "folder", root=root).notes == []


def test_options_of_a_run_on_other_data_are_not_taken(tmp_path, root):
    drawings = {split: data.load("omniglot", split, rotations=True, seed=3) for split in ("fit", "val")}
    kept = provenance.describe(drawings, options={"rotations": True, "seed": 3})
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / provenance.FILE).write_text(json.dumps(kept))
    found = data.load_for_run(tmp_path / "run", "folder", root=root)
    assert found.images.class_names == data.load("folder", "test", root).class_names
    assert found.options == {}


def test_a_part_of_a_published_test_is_not_said_to_have_changed(tmp_path):
    splits = {split: data.load("omniglot", split) for split in ("train", "test")}
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / provenance.FILE).write_text(json.dumps(provenance.describe(splits)))
    for images, options in [
        (data.load("omniglot", "test"), {}),
        (data.load("omniglot", "test", classes=20), {}),
        (data.load("omniglot", "query", domain="restyled"), {"domain": "restyled"}),
    ]:
        assert provenance.tested(tmp_path / "run", images, "test", None, options) == []


def test_a_model_file_of_an_older_run_finds_the_runs_classes(tmp_path, root):
    config = {"config": {"dataset": "folder", "dataset_options": {}}, "recipe": {}}
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "config.json").write_text(json.dumps(config))
    (tmp_path / "old" / "model.safetensors").write_bytes(b"")
    of_folder, of_file = (
        data.load_for_run(place, "folder", root=root).images.class_names
        for place in (tmp_path / "old", tmp_path / "old" / "model.safetensors")
    )
    assert of_folder == of_file


def test_a_division_that_was_asked_for_stays_among_the_options(run, root):
    asked = {"test": ["class00", "class01"]}
    assert data.load_for_run(run, "folder", root=root, division=asked).options["division"] == asked
