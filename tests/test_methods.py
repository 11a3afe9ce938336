"""Every recipe trains under the same trainer, resumes to the same bits, and nonsense is refused."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from dmlteach import data, losses, methods, models, samplers
from dmlteach.embeddings import embed
from dmlteach.errors import DMLTeachError
from dmlteach.evaluation import evaluate
from dmlteach.train import TrainConfig, fit, resolve
from tests.train.runs import TINY

LONGER = {"epochs": 15, "learning_rate": 3e-3}  # until every method has learned something
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def characters():
    return data.load("omniglot", "train", rotations=True, classes=24)


@pytest.fixture(scope="module")
def untrained(characters):
    return evaluate(models.create("omniglot_cnn", 16), characters)["recall@1"]


def tiny(tmp_path, name="run", **options) -> TrainConfig:
    return TrainConfig(**{**TINY, **LONGER, "output": str(tmp_path / name), **options})


@pytest.mark.parametrize("method", methods.names())
def test_every_method_makes_its_training_characters_easier_to_retrieve(
    tmp_path, method, characters, untrained
):
    """Under local sampling the loss itself says little: batches grow harder as the network learns."""
    result = fit(tiny(tmp_path, method=method))
    rows = result.metrics["epochs"]
    assert evaluate(result.model, characters)["recall@1"] > untrained + 0.03
    assert 0 <= rows[-1]["active_tuples"] <= 1
    assert rows[-1]["spread"] > 0


RESUMED = {
    "das": {"method": "margin", "das": True},
    "memory": {"method": "multi_similarity", "memory": 100},
    "smart_mining": {"method": "smart_mining"},
    "htl": {"method": "htl"},
    "abier": {"method": "abier"},
    "clustering": {"method": "clustering"},
    "frozen_epoch": {"method": "proxy_anchor"},
}


@pytest.fixture
def with_frozen_epoch(monkeypatch):
    """One frozen epoch of proxy_anchor; on drawings there is none otherwise."""
    drawings = methods.ADAPTATIONS["omniglot"]
    changes = {name: value for name, value in drawings.changes.items() if name != "frozen_epochs"}
    monkeypatch.setitem(methods.ADAPTATIONS, "omniglot", replace(drawings, changes=changes))
    short = replace(methods.get("proxy_anchor"), frozen_epochs=1)
    monkeypatch.setitem(methods.METHODS, "proxy_anchor", short)


@pytest.mark.parametrize("which", RESUMED)
def test_whatever_a_method_remembers_is_part_of_the_checkpoint(tmp_path, which, with_frozen_epoch):
    options = {**RESUMED[which], "epochs": 3}

    def interrupt(run):
        if run.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(tiny(tmp_path, "resumed", **options), interrupt)
    resumed = fit(tiny(tmp_path, "resumed", resume=True, **options))
    straight = fit(tiny(tmp_path, "straight", **options))
    ours, truth = (load_file(result.path / "model.safetensors") for result in (resumed, straight))
    assert all(torch.equal(ours[key], truth[key]) for key in truth)


def test_das_and_memory_change_what_is_learned(tmp_path):
    """From the second epoch on, for the memory."""
    plain, das, memory = (
        fit(tiny(tmp_path, name, method="multi_similarity", epochs=2, **options)).metrics["epochs"]
        for name, options in {"plain": {}, "das": {"das": True}, "memory": {"memory": 64}}.items()
    )
    assert das[0]["loss"] != plain[0]["loss"]
    assert memory[0]["loss"] == plain[0]["loss"]
    assert memory[1]["loss"] > plain[1]["loss"]


def test_a_frozen_backbone_stays_as_it_is(tmp_path, with_frozen_epoch):
    seen = []
    fit(
        tiny(tmp_path, method="proxy_anchor", epochs=2),
        lambda run: seen.append([p.detach().clone() for p in run.model.backbone.parameters()]),
    )
    start, frozen, free = seen
    assert all(torch.equal(a, b) for a, b in zip(start, frozen, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(frozen, free, strict=True))


def test_class_vectors_start_at_the_means_of_their_classes(tmp_path):
    active = {}
    for images in (1, 5):
        config = tiny(tmp_path, str(images), method="normalized_softmax", imprint=images, epochs=1)
        fit(config, lambda run, images=images: active.setdefault(images, _wrong(run)))
    assert active[5] < active[1] < 0.8  # of 96 classes; the more images, the better the mean


def _wrong(run):
    """Share of the training images that the class vectors do not classify correctly."""
    images = run.parts.images
    return float(run.parts.objective.loss.active_tuples(embed(run.model, images), images.labels))


def gradients(tmp_path, name, **options):
    """The last gradient of a run: that of the network, and that of the class vectors."""
    runs = []
    fit(tiny(tmp_path, name, method="proxy_anchor", epochs=1, **options), runs.append)
    parts = (runs[0].model, runs[0].parts.objective)
    return [torch.cat([p.grad.flatten() for p in part.parameters()]) for part in parts]


def test_gradients_are_clipped_also_those_of_class_vectors(tmp_path, monkeypatch):
    by_entry = replace(methods.ADAPTATIONS["omniglot"], clip_by_norm=False)
    monkeypatch.setitem(methods.ADAPTATIONS, "omniglot", by_entry)
    recipe = methods.get("proxy_anchor")
    by = {}
    for name, rule in {"free": {"clip": None}, "entry": {"clip": 1e-5}, "norm": {"clip_norm": 1e-3}}.items():
        changed = replace(recipe, **{"clip": None, **rule})
        monkeypatch.setitem(methods.METHODS, "proxy_anchor", changed)
        by[name] = gradients(tmp_path, name)
    assert all(part.abs().max() > 1e-4 for part in by["free"])
    assert [part.abs().max().item() for part in by["entry"]] == pytest.approx([1e-5, 1e-5])
    assert torch.cat(by["free"]).norm() > 1e-2
    assert torch.cat(by["norm"]).norm().item() == pytest.approx(1e-3, rel=1e-3)


def test_drawings_clip_by_norm_what_a_recipe_clips_by_entry():
    on_drawings, on_birds = (
        resolve(TrainConfig(method="proxy_anchor", dataset=d)) for d in ("omniglot", "cub200")
    )
    assert (on_drawings.clip, on_drawings.clip_norm) == (None, 10)
    assert (on_birds.clip, on_birds.clip_norm) == (10, None)
    assert resolve(TrainConfig(method="sst")).clip_norm is None


def test_a_random_network_is_not_frozen():
    assert resolve(TrainConfig(method="proxy_anchor")).frozen_epochs == 0
    assert resolve(TrainConfig(method="proxy_anchor", dataset="cub200")).frozen_epochs == 5
    assert resolve(TrainConfig(method="proxy_anchor", dataset="cub200", frozen_epochs=0)).frozen_epochs == 0
    assert resolve(TrainConfig(method="bier")).head_steps == 300


@pytest.mark.parametrize("method", methods.names())
def test_a_data_set_without_an_adaptation_leaves_every_recipe_as_it_is(method, monkeypatch):
    monkeypatch.setitem(methods.ADAPTATIONS, "empty", methods.Adaptation())
    recipe = methods.get(method)
    assert methods.adapt(recipe, "cub200") == methods.adapt(recipe, "empty") == recipe


def test_an_adaptation_may_name_one_thing_only(monkeypatch):
    monkeypatch.setitem(methods.ADAPTATIONS, "cub200", methods.Adaptation(images_per_class={5: 4}))
    recipe = methods.get("margin")
    assert recipe.sampler_options == {"images_per_class": 5}
    assert methods.adapt(recipe, "cub200") == replace(recipe, sampler_options={"images_per_class": 4})


def test_a_misspelt_field_of_a_recipe_is_refused():
    for wrong in (
        lambda: methods.Method("", "sst", "local", frozen_epoch=1),
        lambda: methods.Adaptation(loss=1),
    ):
        with pytest.raises(TypeError, match="unexpected keyword"):
            wrong()


def test_a_data_set_changes_options_of_one_loss_and_leaves_the_others():
    assert resolve(TrainConfig(method="abier")).loss_options == {"negative_cost": 2.0}
    assert resolve(TrainConfig(method="abier", dataset="cub200")).loss_options == {}
    assert resolve(TrainConfig(method="abier", loss_options={"negative_cost": 9.0})).loss_options == {
        "negative_cost": 9.0
    }
    assert resolve(TrainConfig(method="arcface")).loss_options == {"margin": 0.1, "scale": 16.0}
    assert resolve(TrainConfig(method="arcface", dataset="cub200")).loss_options == {}
    assert resolve(TrainConfig(method="ranked_list")).sampler_options == {"images_per_class": 4}
    assert resolve(TrainConfig(method="ranked_list", dataset="cub200")).sampler_options == {
        "images_per_class": 3
    }
    assert resolve(TrainConfig(method="multi_similarity")).loss_options == {"base": 0.5}
    assert resolve(TrainConfig(method="smart_mining")).sampler_options == {"kappa": 2.0}
    assert resolve(TrainConfig(method="smart_mining", dataset="cub200")).sampler_options == {}


def test_another_loss_brings_its_geometry_and_how_its_parameters_learn():
    assert resolve(TrainConfig(method="sst", loss="proxy_anchor")).normalize
    assert not resolve(TrainConfig(method="margin", loss="lifted")).normalize
    assert not resolve(TrainConfig(method="sst", loss="proxy_anchor", normalize=False)).normalize
    birds = {"dataset": "cub200", "root": "anywhere"}
    for method, loss in (("sst", "margin"), ("margin", "proxy_anchor"), ("margin", "lifted")):
        own = {"margin": "margin", "proxy_anchor": "proxy_anchor"}.get(loss)
        group = resolve(TrainConfig(method=method, loss=loss, **birds)).groups.get("loss")
        assert group == (methods.get(own).groups["loss"] if own else None)
    assert resolve(TrainConfig(method="margin", loss="lifted", **birds)).groups["backbone"].factor == 0.01
    assert resolve(TrainConfig(method="sst", loss="proxy_nca")).groups["loss"].factor == 10  # on drawings


def test_options_of_the_head_reach_it(tmp_path):
    result = fit(tiny(tmp_path, method="bier", epochs=1, head_options={"weights": "size"}))
    assert result.model.spec.head_options == {"weights": "size"}
    assert result.model.head.weights == "size"


def test_only_losses_with_class_vectors_are_imprinted():
    assert resolve(TrainConfig(method="softmax")).imprint == 5
    assert resolve(TrainConfig(method="softmax", imprint=0)).imprint == 0
    assert resolve(TrainConfig(method="softmax", loss="sst")).imprint == 0
    assert resolve(TrainConfig(method="softmax", dataset="cub200")).imprint == 0  # as published


def test_biers_learners_are_made_independent_before_training(tmp_path):
    runs = {}
    for method in ("bier", "abier"):
        fit(
            tiny(tmp_path, method, method=method, epochs=1),
            lambda run, method=method: runs.setdefault(method, run.model.head.linear.weight.detach().clone()),
        )
    assert not torch.allclose(runs["bier"], runs["abier"])


@pytest.mark.parametrize("name", methods.names())
def test_every_recipe_names_parts_that_exist(name):
    recipe = methods.get(name)
    methods.check_combination(recipe)
    assert recipe.paper
    assert set(recipe.loss_options) <= set(losses.options(recipe.loss))
    assert set(recipe.sampler_options) <= set(samplers.options(recipe.sampler))
    if losses.LOSSES[recipe.loss].geometry == "sphere" and recipe.head == "linear":
        assert recipe.normalize  # so that evaluation uses the loss's geometry


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "softmax", "das": True}, "compares an example with learned class vectors"),
        ({"method": "hdc", "das": True}, "examples within one head"),
        ({"method": "sst", "memory": 100}, "the sst loss cannot compare with; these losses can: "),
        ({"method": "margin", "das_options": {"copies": 2}}, "were given without das"),
        ({"method": "margin", "das": True, "das_options": {"copis": 2}}, "did you mean 'copies'?"),
        ({"method": "sst", "loss": "hdc"}, "the cascade head; choose a method whose network has it: hdc."),
        (
            {"method": "hdc", "loss": "bier"},
            "the bier head; choose a method whose network has it: abier, bier.",
        ),
        ({"method": "hierarchical_triplet"}, "is a loss, not a method; methods with it: htl"),
        ({"method": "triplet_hard"}, "choose a method and add it by --loss"),
        ({"method": "sst", "loss": "htl"}, "is a method, not a loss; its loss is 'hierarchical_triplet'"),
        ({"method": "smart_mining", "das": True}, "would discard the triplets"),
        ({"method": "supcon", "sampler_options": {"images_per_class": 1}}, "leaves no positive in a batch"),
        ({"method": "bier", "head_options": {"weigths": "size"}}, "did you mean 'weights'?"),
        ({"method": "sst", "head_options": {"weights": "size"}}, "unknown option of the linear head"),
        ({"method": "softmax", "imprint": -1}, "imprint must be at least 0"),
        ({"method": "sst", "imprint": 5}, "of which the sst loss has none; these losses have: "),
        ({"method": "contrastive", "memory": 0}, "memory must be positive"),
    ],
)
def test_a_combination_without_meaning_is_one_clear_error(tmp_path, options, message):
    with pytest.raises(DMLTeachError) as error:
        fit(tiny(tmp_path, **options))
    assert message in str(error.value)
    assert not (tmp_path / "run").exists()
