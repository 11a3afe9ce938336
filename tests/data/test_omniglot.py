import numpy as np
import pytest
import torch

from dmlteach.data import check, load
from dmlteach.errors import DMLTeachError


@pytest.fixture(scope="module")
def test_split():
    return load("omniglot", "test")


@pytest.mark.parametrize("split, classes", [("train", 964), ("test", 659)])
def test_every_character_has_20_drawings(split, classes):
    dataset = load("omniglot", split)
    assert dataset.num_classes == classes
    assert torch.equal(torch.bincount(dataset.labels), torch.full((classes,), 20))


def test_ink_is_255_on_0(test_split):
    image, _ = test_split[0]
    assert image.shape == (1, 105, 105) and image.dtype == torch.uint8
    assert set(image.unique().tolist()) == {0, 255}
    assert 0.01 < (image == 255).float().mean() < 0.2  # a pen's strokes, not the paper


def test_drawings_are_those_of_the_file(test_split, shared):
    rows = [0, 1, 20, 13_179]
    packed = np.load(shared / "data" / "omniglot.npz")["evaluation"][rows]
    expected = np.unpackbits(packed, axis=1)[:, :11025].reshape(-1, 105, 105)
    items = test_split.__getitems__(rows)
    assert np.array_equal(np.stack([image[0].numpy() // 255 for image, _ in items]), expected)
    assert [label for _, label in items] == [0, 0, 1, 658]


def test_a_rotated_character_is_a_class_of_its_own():
    upright, rotated = load("omniglot", "test"), load("omniglot", "test", rotations=True)
    assert rotated.num_classes == 4 * upright.num_classes and len(rotated) == 4 * len(upright)
    original, character = upright[45]
    for turns in range(4):
        image, label = rotated[4 * 20 * 2 + 20 * turns + 5]
        assert label == 4 * character + turns
        assert torch.equal(image, original.rot90(turns, (1, 2)))
        assert rotated.class_names[label].startswith(upright.class_names[character])


def test_every_class_has_a_name_of_its_own():
    for split in ("train", "test"):
        dataset = load("omniglot", split, rotations=True)
        assert len(set(dataset.class_names)) == dataset.num_classes


def test_all_rotations_of_a_character_are_on_one_side_of_fit_and_val():
    fit, val = (load("omniglot", split, rotations=True) for split in ("fit", "val"))
    characters = [{name.split(",")[0] for name in part.class_names} for part in (fit, val)]
    assert not characters[0] & characters[1]
    assert [len(c) for c in characters] == [771, 193]
    assert [part.num_classes for part in (fit, val)] == [4 * 771, 4 * 193]


def test_a_root_is_refused_since_the_drawings_are_embedded(tmp_path):
    with pytest.raises(DMLTeachError, match="embedded"):
        load("omniglot", "train", tmp_path)


def test_rotations_other_than_true_or_false_are_refused():
    with pytest.raises(DMLTeachError, match="true or false"):
        load("omniglot", "train", rotations="no")


def test_check_finds_the_embedded_drawings_complete():
    report = check("omniglot")
    assert report.ok
    assert "13,180 drawings of 659 characters" in str(report)
