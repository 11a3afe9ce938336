"""What a network is measured on is looked at before it is trained: a training must not be in vain."""

import json

import pytest

from dmlteach import data
from dmlteach.errors import DMLTeachError
from dmlteach.train import TrainConfig, fit
from tests.train.pictures import ON_PICTURES, flat_colors
from tests.train.runs import tiny


@pytest.mark.parametrize(("classes", "images"), [(8, 4), (16, 4), (24, 3), (40, 2)])
def test_small_folders_are_trained_and_measured_by_the_k_that_fit(tmp_path, classes, images):
    root = str(flat_colors(tmp_path / "pictures", classes, images))
    options = {**ON_PICTURES, "root": root, "sampler": "random", "batch_size": 4, "batches_per_epoch": 2}
    result = fit(tiny(tmp_path, **options, epochs=1, eval_every=1))
    for split, numbers in (("val", result.metrics["epochs"][0]["val"]), ("test", result.metrics["final"])):
        searched = len(data.load("folder", split, root)) - 1
        measured = [int(name.removeprefix("recall@")) for name in numbers if name.startswith("recall@")]
        assert measured == [k for k in (1, 2, 4, 8) if k <= searched]


def test_named_k_are_measured_on_val_and_test(tmp_path):
    result = fit(tiny(tmp_path, method="contrastive", epochs=1, eval_every=1, recall_at="3,30"))
    for numbers in (result.metrics["epochs"][0]["val"], result.metrics["final"]):
        assert [name for name in numbers if name.startswith("recall@")] == ["recall@3", "recall@30"]
    again = fit(tiny(tmp_path, method="contrastive", epochs=1, eval_every=1, recall_at=[3, 30], resume=True))
    assert again.metrics["epochs"] == result.metrics["epochs"]
    config = json.loads((result.path / "config.json").read_text())["config"]
    assert config["recall_at"] == "3,30"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recall_at": (1, 480), "eval_every": 0}, "Recall@480 of 479 items searched in the test split"),
        (
            {"recall_at": (1, 400), "eval_every": 1, "dataset_options": {"val_fraction": 0.02}},
            "items searched in the val split: choose K from 1 to",
        ),
        ({"recall_at": "1,many"}, "--recall-at takes whole numbers from 1, separated by commas, not 'many'"),
    ],
)
def test_named_k_that_do_not_fit_are_refused_before_training(tmp_path, options, message):
    with pytest.raises(DMLTeachError) as error:
        fit(tiny(tmp_path, **options))
    assert message in str(error.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("eval_every", [0, 1])
def test_classes_in_which_nothing_can_be_found_are_refused_before_training(tmp_path, eval_every):
    """Every held-out class has one picture: no query has a match."""
    root = flat_colors(tmp_path / "pictures" / "train", 6, 4).parent
    flat_colors(root / "test", 6, 1 if eval_every == 0 else 2)
    if eval_every:
        for name in data.load("folder", "val", root).class_names:
            for picture in sorted((root / "train" / name).iterdir())[1:]:
                picture.unlink()
    with pytest.raises(DMLTeachError) as error:
        fit(TrainConfig(**{**ON_PICTURES, "root": str(root), "batch_size": 4, "eval_every": eval_every},
                        output=str(tmp_path / "run"), progress=False))  # fmt: skip
    assert "has another one of its class to find" in str(error.value)
    assert ("--eval-every 0" in str(error.value)) == bool(eval_every)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("split", ["test", "val"])
def test_a_damaged_held_out_image_is_found_before_training(tmp_path, split):
    root = flat_colors(tmp_path / "pictures" / "train", 6, 4).parent
    flat_colors(root / "test", 6, 4)
    name = data.load("folder", split, root).class_names[0]
    damaged = root / ("test" if split == "test" else "train") / name / "0.png"
    damaged.write_text("<html>404</html>")
    steps = []
    with pytest.raises(DMLTeachError, match=damaged.name):
        fit(TrainConfig(**{**ON_PICTURES, "root": str(root), "batch_size": 4},
                        output=str(tmp_path / "run"), progress=False), steps.append)  # fmt: skip
    assert steps == []
    assert not (tmp_path / "run").exists()
