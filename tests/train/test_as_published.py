"""A method as its authors ran it: an ordinary training with options, each of which does as it says."""

import copy

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from dmlteach import methods, models
from dmlteach.cli import app
from dmlteach.errors import DMLTeachError
from dmlteach.models.bninception import BNInception
from dmlteach.train import TrainConfig, fit, resolve
from dmlteach.train.folder import LOWEST_LOSS
from dmlteach.train.meter import Meter
from tests.train.pictures import flat_colors
from tests.train.runs import tiny, weights

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Weights of BN-Inception as somebody may have them; random ones."""
    path = tmp_path_factory.mktemp("weights") / "bn_inception-52deb4733.pth"
    torch.save(BNInception().state_dict(), path)
    return str(path)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return str(flat_colors(tmp_path_factory.mktemp("colors") / "images", classes=8, images=6))


def test_sst_trains_as_its_authors_ran_it(tmp_path, file, photographs):
    options = methods.AS_PUBLISHED["sst"] | {
        "batch_size": 20,
        "epochs": 1,
        "image_size": 32,
        "embedding_dim": 16,
    }
    seen = []

    def watch(run):
        if run.epoch == 0:
            model, groups = run.model, run.parts.optimizer.param_groups
            seen.append(copy.deepcopy(model.state_dict()))
            seen.append({group["name"]: group["base_lr"] for group in groups})
            assert model.spec.feature_scale == 1 and not model.spec.freeze_batch_norm

    config = tiny(
        tmp_path,
        method="sst",
        dataset="folder",
        root=photographs,
        weights=file,
        **{"classes": None, **options},
    )
    result = fit(config, watch)
    before, rates = seen
    assert rates == {"backbone": 1e-4, "head": pytest.approx(1e-3)}
    start = before["head.linear.weight"]  # torch starts a layer uniformly in ± 1/√F
    assert start.abs().max() <= 1 / 32 and start.std().item() == pytest.approx(1 / 32 / 3**0.5, rel=0.05)
    last = result.model.state_dict()
    for name in ("conv1_7x7_s2_bn.running_mean", "conv1_7x7_s2_bn.weight", "inception_5b_1x1.weight"):
        assert not torch.equal(last[f"backbone.{name}"], before[f"backbone.{name}"]), name
    assert result.metrics["lowest_loss"]["epochs"] == 1
    assert models.load(result.path).spec.head_options == {"start": "random"}


def test_the_triplet_baseline_of_its_authors_chooses_targets_at_every_step(tmp_path):
    published = resolve(TrainConfig(method="triplet", dataset="cub200", **methods.AS_PUBLISHED["triplet"]))
    assert published.sampler_options == {"keep_targets": False}
    stored = []
    for keep in (True, False):
        options = {"method": "triplet", "epochs": 1, "sampler_options": {"keep_targets": keep}}

        def watch(run):
            stored.append([batch.tuples for batch in run.batches])

        fit(tiny(tmp_path, str(keep), **options), watch)
    _, kept, _, anew = stored
    assert kept and all(tuples.targets is not None for tuples in kept)
    assert anew == [None] * len(kept)


@pytest.mark.parametrize("method", methods.AS_PUBLISHED)
def test_what_authors_ran_are_options_that_the_recipe_does_not_have(method):
    """And the rest of their recipe is ours: rate, decay, schedule and stopping as published."""
    config = TrainConfig(method=method, dataset="cub200", **methods.AS_PUBLISHED[method])
    recipe = resolve(config)
    assert (recipe.optimizer, recipe.learning_rate, recipe.weight_decay) == ("adam", 1e-4, 1e-4)
    assert (recipe.schedule, recipe.schedule_options) == ("plateau", {"factor": 0.5, "patience": 5})
    assert (recipe.early_stopping, recipe.epochs, recipe.embedding_dim) == (15, 150, 512)
    assert (recipe.batch_size, recipe.backbone, recipe.transform) == (200, "bninception", "crop")
    assert recipe.groups == {"head": methods.Group(factor=10)} and not recipe.normalize
    plain = resolve(TrainConfig(method=method, dataset="cub200"))
    assert all(
        getattr(plain, name) != getattr(recipe, name)
        for name in ("batch_size", "backbone", "head_options", "groups")
    )


# ── the options one by one ────────────────────────────────────────────────────────────────────────────


def test_a_head_starts_as_a_rotation_or_as_torch_starts_a_layer():
    rotated, random = (
        models.create("omniglot_cnn", 16, head_options={"start": start}).head.linear
        for start in ("rotation", "random")
    )
    torch.testing.assert_close(rotated.weight @ rotated.weight.T, torch.eye(16), rtol=0, atol=1e-5)
    assert not rotated.bias.any()
    bound = 1152**-0.5
    for values in (random.weight, random.bias):
        assert bound / 2 < values.abs().max() <= bound
    assert torch.equal(models.create("omniglot_cnn", 16).head.linear.weight, rotated.weight)


def test_features_are_scaled_as_asked_and_a_saved_network_keeps_that(tmp_path):
    images = torch.randn(3, 1, 28, 28)
    model = models.create("omniglot_cnn", 8, head_options={"feature_scale": 0.5}).eval()
    features = model.backbone(images)
    torch.testing.assert_close(model(images), features @ model.head.linear.weight.T / 2)
    models.save(model, tmp_path / "model.safetensors")
    assert torch.equal(models.load(tmp_path)(images), model(images))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head_options": {"start": "zero"}}, "unknown option start of the linear head 'zero'"),
        ({"head_options": {"feature_scale": 0}}, "feature_scale must be positive, not 0"),
        (
            {"head_options": {"feature_scale": "big"}},
            "feature_scale of the linear head must be a finite number",
        ),
        ({"head_options": {"hidden": 3}}, "feature_scale, start"),
        ({"rate_factors": {"heads": 10}}, "did you mean 'head'?"),
        ({"rate_factors": {"head": 0}}, "the rate factor of head must be positive, not 0"),
        ({"rate_factors": {"head": "ten"}}, "the rate factor of head must be a finite number, not 'ten'"),
        ({"train_batch_norm": True}, "omniglot_cnn has no batch norm; leave out train_batch_norm"),
    ],
)
def test_an_option_that_means_nothing_is_one_sentence_before_anything_is_written(tmp_path, options, message):
    with pytest.raises(DMLTeachError) as error:
        fit(tiny(tmp_path, **options))
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_factor_changes_the_rate_of_its_part_and_leaves_what_else_the_recipe_says_of_it():
    recipe = resolve(TrainConfig(method="margin", rate_factors={"loss": 7, "head": 10}))
    assert recipe.groups["head"] == methods.Group(factor=10)
    assert recipe.groups["loss"] == methods.Group(factor=7, weight_decay=0, optimizer="sgd")


def test_a_training_from_a_checkpoint_may_train_its_frozen_batch_norms(tmp_path, photographs):
    frozen = models.create("resnet18", 8, image_size=16, freeze_batch_norm=True)
    models.save(frozen, tmp_path / "frozen.safetensors")
    moved = []
    for train in (False, True):
        options = {"dataset": "folder", "root": photographs, "classes": None, "embedding_dim": None}
        config = tiny(
            tmp_path, str(train), checkpoint=str(tmp_path / "frozen.safetensors"), train_batch_norm=train,
            sampler="random", batch_size=8, epochs=1, batches_per_epoch=1, **options,
        )  # fmt: skip
        mean = fit(config).model.backbone.bn1.running_mean
        moved.append(not torch.equal(mean, frozen.backbone.bn1.running_mean))
    assert moved == [False, True]


# ── the network of the lowest training loss ───────────────────────────────────────────────────────────


@pytest.fixture
def losses(monkeypatch):
    """Means of the epochs' losses, as if they were these: the second of four is the lowest."""
    given = [3.0, 1.0, 2.0, 1.0]
    summary = Meter.summary
    monkeypatch.setattr(Meter, "summary", lambda meter: summary(meter) | {"loss": given[len(watched)]})
    watched: list[dict] = []
    return watched


def test_the_network_of_the_lowest_training_loss_is_kept_beside_the_last(tmp_path, losses):
    config = tiny(tmp_path, sampler="random", epochs=4, batches_per_epoch=2, keep_lowest_loss=True)

    def watch(run):
        if run.epoch:
            losses.append(copy.deepcopy(run.model.state_dict()))

    result = fit(config, watch)
    kept = load_file(result.path / LOWEST_LOSS)
    assert all(torch.equal(kept[name], value) for name, value in losses[1].items())
    assert all(torch.equal(weights(result.path)[name], value) for name, value in losses[3].items())
    lowest = result.metrics["lowest_loss"]
    assert (lowest["epochs"], lowest["loss"]) == (2, 1.0)
    measured = CliRunner().invoke(
        app, ["evaluate", "--checkpoint", str(result.path / LOWEST_LOSS), "--classes", "24"]
    )
    assert f"{lowest['recall@1']:.4f}" in measured.output
    assert lowest["num_classes"] == result.metrics["final"]["num_classes"] == 24


def test_an_interrupted_training_keeps_the_same_network_of_the_lowest_loss(tmp_path, losses):
    options = {"sampler": "random", "epochs": 4, "batches_per_epoch": 2, "keep_lowest_loss": True}

    def watch(run):
        if run.epoch:
            losses.append({})
        if run.epoch == 3 and not run.resumed:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(tiny(tmp_path, **options), watch)
    before = load_file(tmp_path / "run" / LOWEST_LOSS)
    result = fit(tiny(tmp_path, resume=True, **options), lambda run: None)
    after = load_file(tmp_path / "run" / LOWEST_LOSS)
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert result.metrics["lowest_loss"]["epochs"] == 2


def test_nobody_who_has_not_asked_for_it_finds_such_a_network(tmp_path):
    result = fit(tiny(tmp_path, epochs=1))
    assert not (result.path / LOWEST_LOSS).exists() and "lowest_loss" not in result.metrics
