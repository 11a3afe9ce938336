"""The runs of a sweep: every combination once, named, and told apart by what decides its result."""

from dataclasses import dataclass, replace

import pytest

from dmlteach import models
from dmlteach.errors import DMLTeachError
from dmlteach.methods import Method
from dmlteach.models import pretrained
from dmlteach.sweep.choices import SWEPT
from dmlteach.sweep.grid import ASIDE, hash_of, plan
from dmlteach.train import TrainConfig, resolve


def hash_with(**options) -> str:
    config = TrainConfig(**options)
    return hash_of(config, resolve(config))


def test_all_values_are_crossed_and_every_setting_has_its_first_seed_before_any_has_its_second():
    runs = plan([{"methods": "sst,triplet", "learning_rate": "1e-3,3e-3", "seeds": "0-1"}])
    assert [(r.config.seed, r.config.method, r.config.learning_rate) for r in runs] == [
        (seed, method, rate) for seed in (0, 1) for method in ("sst", "triplet") for rate in (1e-3, 3e-3)
    ]
    assert len({run.hash for run in runs}) == len({run.folder for run in runs}) == 8
    assert runs[1].folder == f"sst-omniglot-learning_rate=0.003-0-{runs[1].hash[:8]}"


def test_options_of_parts_are_crossed_too_and_what_is_the_same_is_run_once():
    runs = plan(
        [
            {"methods": "triplet", "loss_options": {"margin": "0.1,0.2,0.1"}, "learning_rate": "1e-3,0.001"},
            {"methods": "triplet", "loss_options": {"margin": 0.2}, "learning_rate": 1e-3},
        ]
    )
    assert [run.config.loss_options for run in runs] == [{"margin": 0.1}, {"margin": 0.2}]
    assert "margin=0.1" in runs[0].folder


def test_what_the_recipe_says_anyway_is_the_same_run():
    recipe = resolve(TrainConfig())
    named = hash_with(
        batch_size=recipe.batch_size, learning_rate=recipe.learning_rate, loss="sst", epochs=recipe.epochs
    )
    assert named == hash_with()
    assert hash_with(method="triplet", loss_options={"margin": 1}) == hash_with(
        method="triplet", loss_options={"margin": 1.0}
    )
    assert hash_with(recall_at="1,2") == hash_with(recall_at=(1, 2))


def test_paths_device_and_display_change_no_hash_and_everything_else_does():
    other = {
        "method": "triplet", "dataset": "folder", "epochs": 3, "max_minutes": 2.0, "batch_size": 8,
        "batches_per_epoch": 7, "seed": 1, "loss": "nca", "loss_options": {"num_targets": 9}, "das": True,
        "memory": 100, "sampler": "random", "sampler_options": {"num_targets": 9}, "backbone": "resnet18",
        "weights": "none", "embedding_dim": 8, "normalize": True, "image_size": 20, "learning_rate": 0.5,
        "weight_decay": 0.5, "schedule": "constant", "transform": "none", "micro_batch": 5,
        "precision": "bf16", "compile": True, "eval_every": 0, "recall_at": "1", "early_stopping": 77,
        "classes": 40, "dataset_options": {"rotations": False}, "train_batch_norm": True,
        "rate_factors": {"head": 10}, "keep_lowest_loss": True, "frozen_epochs": 1,
    }  # fmt: skip
    aside = {"root": "x", "output": "x", "device": "cpu", "resume": True, "save_every": 1.0,
             "tensorboard": True, "progress": False}  # fmt: skip
    assert aside.keys() == ASIDE
    # Of those that are left, each means something beside others only.
    assert {*SWEPT} - {*other} - ASIDE == {"checkpoint", "das_options", "imprint", "head_options"}
    assert {hash_with(**{name: value}) for name, value in aside.items()} == {hash_with()}
    base = {"memory": {"method": "contrastive"}, "imprint": {"method": "softmax"}}
    for name, value in other.items():
        beside = base.get(name, {})
        assert hash_with(**beside, **{name: value}) != hash_with(**beside), name


def test_a_start_from_weights_is_told_by_what_the_file_holds(tmp_path):
    for name, network in (("a", "untrained"), ("b", "untrained"), ("c", "sst")):
        models.save(pretrained(network), tmp_path / f"{name}.safetensors")
    runs = plan([{"checkpoint": [str(tmp_path / f"{name}.safetensors") for name in "abc"]}])
    assert [run.config.checkpoint[-13] for run in runs] == ["a", "c"]


def test_an_option_that_is_new_to_the_package_changes_no_hash_while_nobody_gives_it():
    @dataclass(frozen=True)
    class LaterMethod(Method):
        novelty: float | None = None

    @dataclass(frozen=True)
    class LaterConfig(TrainConfig):
        trick: bool = False

    recipe = resolve(TrainConfig())
    later = LaterMethod(**vars(recipe))
    assert hash_of(LaterConfig(), replace(later, paper="told otherwise")) == hash_with()
    assert hash_of(LaterConfig(), replace(later, novelty=0.5)) != hash_with()
    assert hash_of(LaterConfig(trick=True), later) != hash_with()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"methods": "sst,tripplet"}, "the run with method=tripplet, .*: unknown method"),
        ({"learning_rate": "1e-3,-1"}, "learning_rate=-1 cannot begin: learning_rate must be positive"),
        ({"learning_rate": "abc"}, "learning_rate must be a finite number or none, not 'abc'"),
        ({"epochs": "1.5"}, "epochs must be a whole number"),
        ({"methods": "sst,triplet", "loss_options": {"margin": 0.1}}, "method=sst.*'margin'"),
        ({"methods": "triplet", "loss_options": {"margin": "0.1,x"}}, "margin.*not 'x'"),
        ({"methods": "contrastive", "loss_options": {"margin": "1,-1"}}, "margin must be at least 0"),
        ({"das": True, "das_options": {"copy": 3}}, "das.*'copy'"),
        ({"schedule": "constant,cosin"}, "schedule=cosin cannot begin: unknown schedule"),
        ({"methods": "softmax", "loss_options": {"num_classes": 3}}, "num_classes of the softmax loss"),
        ({"seeds": [-1]}, "seed must be a whole number"),
        ({"dataset_options": {"rotation": True}}, "did you mean 'rotations'"),
        ({"checkpoint": "nowhere"}, "checkpoint=nowhere cannot begin"),
        ({"recall_at": "2,4"}, "recall_at=2,4 cannot begin: a sweep ranks its runs by Recall@1"),
        ({"epochs": "1," * 999 + "1", "batch_size": "8," * 999 + "8"}, "more than 100,000 runs"),
    ],
)
def test_a_run_that_could_not_begin_is_named_before_any_has_begun(table, said):
    with pytest.raises(DMLTeachError, match=said) as error:
        plan([table])
    assert "\n" not in str(error.value)


def test_a_folder_of_images_is_told_by_where_it_lies(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tables = [
        {"dataset": "folder", "root": root, "recall_at": "1"} for root in ("a", "b", str(tmp_path / "a"))
    ]
    assert [run.config.root for run in plan(tables)] == ["a", "b"]
    assert len(plan([{"dataset": "cub200", "root": root} for root in ("a", "b")])) == 1


def test_a_network_and_a_loss_of_ones_own_are_planned_as_they_are_trained(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    channels, image_size = 1, 28\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.last = torch.nn.Linear(784, 6)\n"
        "    def forward(self, images):\n"
        "        return self.last(images.flatten(1))\n"
        "class Loss(torch.nn.Module):\n"
        "    def __init__(self, embedding_size):\n"
        "        super().__init__()\n"
        "    def forward(self, embeddings, labels):\n"
        "        return embeddings.square().mean()\n"
    )
    network = f"{tmp_path / 'mine.py'}:Net"
    models.save(models.create(network, 4), tmp_path / "start.safetensors")
    start = {"checkpoint": str(tmp_path / "start.safetensors"), "backbone": network}
    (run,) = plan([start | {"loss": f"{tmp_path / 'mine.py'}:Loss", "sampler": "random"}])
    assert run.recipe.embedding_dim == 4


def test_a_loss_of_ones_own_is_told_apart_by_what_its_file_holds_wherever_it_lies(tmp_path):
    code = "def mine(embeddings, labels):\n    return embeddings.square().sum()\n"
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(code)
    first = hash_with(loss=f"{tmp_path / 'a' / 'mine.py'}:mine")
    assert hash_with(loss=f"{tmp_path / 'b' / 'mine.py'}:mine") == first
    (tmp_path / "a" / "mine.py").write_text(code.replace("square", "abs"))
    assert hash_with(loss=f"{tmp_path / 'a' / 'mine.py'}:mine") != first
