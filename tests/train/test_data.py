"""A run remembers its classes: a folder that grows or changes never mixes those of training and test."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from dmlteach import data, models
from dmlteach.cli import app
from dmlteach.course.reports import subject, text
from dmlteach.errors import DMLTeachError
from dmlteach.train import TrainConfig, fit
from tests.train.pictures import ON_PICTURES, flat_colors
from tests.train.runs import assert_equal_runs, tiny


@pytest.fixture
def config(tmp_path) -> TrainConfig:
    root = flat_colors(tmp_path / "pictures", 12, 4)
    options = {**ON_PICTURES, "root": str(root), "sampler": "random", "batch_size": 4, "batches_per_epoch": 2}
    return tiny(tmp_path, **options, eval_every=1)


def grown(root: str) -> None:
    """Classes with all kinds of names join: in a division anew, some would be in test, some in train."""
    for name in ("aa", "cc", "mm", "other", "yy", "zz", "1", "2", "3"):
        shutil.copytree(Path(root, "class03"), Path(root, name))


def interrupted(config: TrainConfig) -> None:
    """Train one epoch of two, and stop."""

    def stop(run):
        if run.epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(config, stop)


def test_a_run_keeps_the_classes_of_its_splits(config):
    run = fit(config).path
    record = json.loads((run / "data.json").read_text())
    for split in ("fit", "val", "test"):
        images = data.load("folder", split, config.root)
        assert record["splits"][split]["classes"] == images.class_names
        assert record["splits"][split]["images"] == len(images)


def test_a_folder_that_has_grown_is_resumed_on_the_classes_of_the_run(config, tmp_path):
    interrupted(config)
    straight = fit(replace(config, output=str(tmp_path / "straight"))).path
    grown(config.root)
    with pytest.warns(UserWarning, match="9 classes more than when the run was made"):
        resumed = fit(replace(config, resume=True)).path
    assert_equal_runs(resumed, straight)


def test_changed_training_images_are_refused_and_changed_test_images_told(config):
    interrupted(config)
    before = (Path(config.output) / "checkpoint.pt").read_bytes()
    record = json.loads((Path(config.output) / "data.json").read_text())["splits"]
    picture = Path(config.root, record["fit"]["classes"][0], "0.png")
    content = picture.read_bytes()
    picture.unlink()
    with pytest.raises(DMLTeachError, match="images of fit have changed .* cannot be continued"):
        fit(replace(config, resume=True))
    assert (Path(config.output) / "checkpoint.pt").read_bytes() == before
    picture.write_bytes(content)
    Path(config.root, record["test"]["classes"][0], "0.png").unlink()
    with pytest.warns(UserWarning, match="images of test have changed"):
        fit(replace(config, resume=True))


def test_a_folder_run_made_before_is_not_continued_and_others_are(config, tmp_path):
    interrupted(config)
    (Path(config.output) / "data.json").unlink()
    with pytest.raises(DMLTeachError, match="not known which classes it was trained on"):
        fit(replace(config, resume=True))
    drawings = tiny(tmp_path, "drawings", method="contrastive", batches_per_epoch=2)
    interrupted(drawings)
    (Path(drawings.output) / "data.json").unlink()
    assert fit(replace(drawings, resume=True)).metrics["final"]["epochs"] == 2


def test_evaluate_and_embed_take_the_classes_of_the_run(config, tmp_path):
    run = str(fit(config).path)
    options = ["--checkpoint", run, "--dataset", "folder", "--root", config.root]
    before = CliRunner().invoke(app, ["evaluate", *options])
    assert before.exit_code == 0 and before.stderr == ""
    grown(config.root)
    after = CliRunner().invoke(app, ["evaluate", *options, "--output", str(tmp_path / "numbers.json")])
    assert after.exit_code == 0 and after.stdout == before.stdout
    assert "9 classes more" in after.stderr
    assert "9 classes more" in json.loads((tmp_path / "numbers.json").read_text())["notes"][0]
    embedded = CliRunner().invoke(app, ["embed", *options, "--output", str(tmp_path / "z.npz")])
    number = len(json.loads(Path(run, "data.json").read_text())["splits"]["test"]["classes"]) * 4
    assert embedded.stdout.startswith(f"{number} embeddings")
    other = CliRunner().invoke(app, ["evaluate", *options, "--dataset-option", "seed=5"])
    assert other.exit_code == 0 and "trained on" in other.stderr


def test_report_takes_the_classes_of_its_run_and_says_what_has_changed(tmp_path):
    root = str(flat_colors(tmp_path / "pictures", 12, 4))
    options = {**ON_PICTURES, "root": root, "sampler": "random", "batch_size": 4, "batches_per_epoch": 1}
    run = fit(tiny(tmp_path, **options, epochs=1, eval_every=1)).path
    this = subject.open_subject(run)
    before = subject.test_set("folder", root, this)
    parts = text.splits(this, before, root)
    for name in ("aa", "bb", "zz"):
        shutil.copytree(Path(root, "class03"), Path(root, name))
    after = subject.test_set("folder", root, this)
    assert after.queries.class_names == before.queries.class_names and not before.notes
    assert "3 classes more" in after.notes[0] and text.splits(this, after, root) == parts


def test_weights_that_have_seen_the_test_are_told(config, tmp_path):
    """Another division than that of the run whose weights a training starts from."""
    first = fit(replace(config, epochs=1)).path
    trained = set(json.loads((first / "data.json").read_text())["splits"]["fit"]["classes"])
    seed = next(
        s for s in range(1, 9) if trained & {*data.load("folder", "test", config.root, seed=s).class_names}
    )
    further = {"checkpoint": str(first), "output": str(tmp_path / "further"), "epochs": 1}
    network = dict.fromkeys(("backbone", "weights", "image_size", "embedding_dim"))
    with pytest.warns(UserWarning, match="of the test w(as|ere) trained on"):
        fit(replace(config, **further, **network, dataset_options={"seed": seed}))


def test_a_default_batch_is_no_larger_than_the_data(config, capsys):
    result = fit(replace(config, batch_size=None, batches_per_epoch=None, epochs=1, progress=True))
    number = len(data.load("folder", "fit", config.root))
    assert json.loads((result.path / "config.json").read_text())["recipe"]["batch_size"] == number
    assert f"batches of {number} images, all there are; the recipe has 256" in capsys.readouterr().out
    with pytest.raises(DMLTeachError, match="batch_size 1000 is larger than the data"):
        fit(replace(config, batch_size=1000, output=str(result.path) + "-2"))


def test_a_run_that_has_ended_keeps_its_numbers_when_its_test_images_change(config):
    """And what its network reached before the first step does not stand beside those of other images."""
    run = fit(config).path
    before = (run / "metrics.json").read_bytes()
    name = json.loads((run / "data.json").read_text())["splits"]["test"]["classes"][0]
    for file in Path(config.root, name).iterdir():
        Image.new("RGB", (16, 16), (9, 9, 9)).save(file)
    with (
        pytest.raises(DMLTeachError, match="has ended, and its test images have changed since"),
        pytest.warns(UserWarning, match="images of test have changed"),
    ):
        fit(replace(config, resume=True))
    assert (run / "metrics.json").read_bytes() == before
    options = ["--checkpoint", str(run), "--dataset", "folder", "--root", config.root, "--device", "cpu"]
    done = CliRunner().invoke(app, ["evaluate", *options])
    assert done.exit_code == 0, done.output
    assert "untrained      not known" in done.output and "images of test have changed" in done.output


def test_a_run_that_has_not_ended_is_said_to_have_no_model_yet(config):
    interrupted(config)
    with pytest.raises(DMLTeachError, match="has not ended, and writes its model when it does"):
        models.load(config.output)
