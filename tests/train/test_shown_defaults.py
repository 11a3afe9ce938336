"""The default that an option shows is the default that is used."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from dmlteach import data, methods, models
from dmlteach.cli import app
from dmlteach.distributed import World
from dmlteach.errors import DMLTeachError
from dmlteach.evaluation import recall
from dmlteach.train import Run, TrainConfig, resolve
from dmlteach.train.build import _with_batch_that_fits, build_model
from dmlteach.train.folder import RunFolder
from dmlteach.train.held_out import held_out
from tests.train.runs import tiny

UNSET = [field.name for field in fields(TrainConfig) if field.default is None]
CPU = torch.device("cpu")


def shown(command: str, option: str) -> str:
    """What `--help` says to be the default of an option."""
    wide = {"terminal_width": 1000, "max_content_width": 1000}
    text = CliRunner().invoke(app, [command, "--help"], **wide).output.partition("\nOptions:\n")[2]
    blocks = [" ".join(block.split()) for block in re.split(r"\n  (?=--)", "\n" + text)]
    (block,) = [b for b in blocks if b.startswith((f"--{option} ", f"--{option} / "))]
    return block.partition("[default: ")[2].removesuffix("]").removeprefix("(").removesuffix(")")


def shown_by_train(field: str) -> str:
    return shown("train", field.replace("_", "-"))


@pytest.fixture
def run(tmp_path):
    """A training of 24 classes that has planned its first epoch; nobody asked for more than that."""
    run = Run(tiny(tmp_path, sampler="random", epochs=None), CPU, World())
    run.start()
    run.plan_epoch()
    return run


# ── values ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_value_that_is_shown_is_the_one_in_python():
    for field in fields(TrainConfig):
        if isinstance(field.default, bool):
            words = field.name.replace("_", "-")
            assert shown_by_train(field.name) == (words if field.default else f"no-{words}")
        elif isinstance(field.default, str | int | float):
            assert shown_by_train(field.name) == str(field.default)


def test_a_command_line_without_options_trains_what_python_does(given_to_the_trainer):
    assert "far enough" in CliRunner().invoke(app, ["train"]).stderr
    assert given_to_the_trainer == [TrainConfig()]


# ── words ─────────────────────────────────────────────────────────────────────────────────────────────

OF_THE_RECIPE = {
    "epochs", "loss", "das", "memory", "imprint", "sampler", "backbone", "embedding_dim", "normalize",
    "frozen_epochs", "learning_rate", "weight_decay", "schedule", "transform", "early_stopping",
}  # fmt: skip
OTHERS = {
    "root": "none; Omniglot is embedded",
    "output": "runs/METHOD-DATASET-SEED",
    "max_minutes": "no limit",
    "batch_size": "the recipe's, or all images where they are fewer",
    "batches_per_epoch": "the recipe's, or as many as the images fill",
    "checkpoint": "none",
    "weights": "cached, or none where none are published",
    "image_size": "the backbone's",
    "micro_batch": "the whole batch",
    "recall_at": "1,2,4,8 or as published, as far as they fit",
    "classes": "all",
}


def test_every_default_without_a_value_has_words_that_are_looked_at_below():
    assert {*UNSET} == OF_THE_RECIPE | {*OTHERS}
    assert {name: shown_by_train(name) for name in OF_THE_RECIPE} == dict.fromkeys(
        OF_THE_RECIPE, "the recipe's"
    )
    assert {name: shown_by_train(name) for name in OTHERS} == OTHERS


@pytest.mark.parametrize("dataset", ["omniglot", "cub200"])
def test_what_is_said_to_be_the_recipes_is(dataset):
    for method in methods.names():
        recipe = methods.adapt(methods.get(method), dataset)
        used = resolve(TrainConfig(method=method, dataset=dataset))
        for name in (*OF_THE_RECIPE, "batch_size", "batches_per_epoch"):
            if name != "imprint" or methods.has_class_vectors(recipe.loss):
                assert getattr(used, name) == getattr(recipe, name), (method, name)


def test_without_a_root_omniglot_is_there_and_nothing_else():
    for name in data.names():
        if name == "omniglot":
            assert len(data.load(name, "test")) > 0
        else:
            with pytest.raises(DMLTeachError, match="needs --root"):
                data.load(name, "test")


def test_the_folder_is_called_by_method_data_set_and_seed():
    assert RunFolder(TrainConfig()).path == Path("runs/sst-omniglot-0")
    assert RunFolder(TrainConfig(method="nca", dataset="sop", seed=7)).path == Path("runs/nca-sop-7")


def test_batches_are_the_recipes_and_no_larger_than_the_data():
    config = TrainConfig(method="nca", sampler="random", progress=False)
    recipe = resolve(config)
    size = recipe.batch_size
    assert _with_batch_that_fits(recipe, size, config, World()) == recipe
    assert _with_batch_that_fits(recipe, size - 1, config, World()).batch_size == size - 1


def test_an_epoch_has_as_many_batches_as_the_images_fill_and_time_for_all_of_them(run):
    assert run.parts.recipe.batches_per_epoch is None
    assert len(run.batches) == len(run.parts.images) // 48 > 1
    assert run.clock.limit == float("inf")


def test_the_whole_batch_passes_through_the_network_at_once(run):
    sizes = []
    run.parts.network.register_forward_pre_hook(lambda network, images: sizes.append(len(images[0])))
    run.train_on(*next(iter(run.remaining_batches())))
    assert sizes == [48]


def test_all_classes_and_the_k_that_are_usual_are_taken(run):
    whole = data.load("omniglot", "test")
    assert held_out(whole.first_classes(None), None, None).queries.num_classes == whole.num_classes == 659
    assert run.parts.test.ks == (1, 2, 4, 8)
    assert recall.that_fit("omniglot", 3)[0] == (1, 2)
    assert recall.that_fit("sop", 10_000)[0] == (1, 10, 100, 1000)


class Asked(Exception):
    """Stands for a network; tells with what it was asked for."""


@pytest.fixture
def asked(monkeypatch):
    def create(backbone, *place, weights=None, image_size=None, **more):
        raise Asked(backbone, weights, image_size)

    monkeypatch.setattr(models, "create", create)


# what stands in OTHERS, for a backbone without published weights and for one that has them
USED = [("omniglot_cnn", None, 28), ("resnet18", "cached", 224)]


@pytest.mark.parametrize(("backbone", "weights", "size"), USED)
def test_a_training_starts_from_cached_weights_where_there_are_published_ones(backbone, weights, size, asked):
    config = TrainConfig(backbone=backbone)
    with pytest.raises(Asked) as question:
        build_model(None, config, resolve(config), 1)
    assert question.value.args == (backbone, weights, None)  # None: the backbone's own size


@pytest.mark.parametrize(("backbone", "weights", "size"), USED)
def test_the_side_of_the_images_is_the_backbones(backbone, weights, size):
    assert models.create(backbone, 8).spec.image_size == size


NAMED = {
    "evaluate": [],
    "embed": ["--output", "x.npz"],
    "search": ["one.png", "--gallery", "."],
    "export": ["--output", "x.pt2"],
}


@pytest.mark.parametrize(("command", "more"), NAMED.items(), ids=NAMED)
@pytest.mark.parametrize(("backbone", "weights", "size"), USED)
def test_a_backbone_has_the_same_defaults_in_every_command(
    command, more, backbone, weights, size, asked, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert shown(command, "weights") == OTHERS["weights"]
    assert shown(command, "image-size") == OTHERS["image_size"]
    for words in ([], ["--weights", "cached"]):
        done = CliRunner().invoke(app, [command, *more, "--backbone", backbone, *words])
        assert isinstance(done.exception, Asked) and done.exception.args == (backbone, weights, None)
    done = CliRunner().invoke(app, [command, *more, "--backbone", backbone, "--weights", "none"])
    assert done.exception.args == (backbone, None, None)
