"""Models by name, weights from local files, frozen batch norm, saving and loading."""

import pytest
import torch
from torch import nn

from dmlteach import models
from dmlteach.errors import DMLTeachError


def images(model, n=3):
    spec = model.spec
    return torch.randn(n, spec.channels, spec.image_size, spec.image_size)


@pytest.mark.parametrize(
    ("backbone", "num_features"),
    [
        ("resnet18", 512),
        ("googlenet", 1024),
        ("mobilenet_v3_small", 1024),
        ("timm/tf_efficientnet_lite0", 1280),
    ],
)
def test_a_backbone_loses_its_classifier_and_gains_an_embedding(backbone, num_features):
    model = models.create(backbone, 8, image_size=64).eval()
    assert model(images(model)).shape == (3, 8)
    features = models.create(backbone, None, image_size=64).eval()
    assert features(images(features)).shape == (3, num_features)
    assert not [m for m in model.modules() if isinstance(m, nn.Dropout) and m.p > 0]


def test_nothing_is_dropped_at_random_so_that_two_passes_are_the_same():
    model = models.create("efficientnet_b0", 8, image_size=32).train()
    batch = images(model)
    torch.testing.assert_close(model(batch), model(batch), rtol=0, atol=0)


def test_a_network_without_a_linear_layer_is_refused_in_one_sentence():
    with pytest.raises(DMLTeachError, match="squeezenet1_0 has no linear layer"):
        models.create("squeezenet1_0", 8)


def test_the_omniglot_network_has_no_batch_statistics_and_fits_in_a_megabyte(tmp_path):
    model = models.create("omniglot_cnn", 128).train()
    batch = images(model, 6)
    torch.testing.assert_close(model(batch)[:2], model(batch[:2]), rtol=0, atol=1e-5)
    assert not model.uses_batch_statistics
    models.save(model, tmp_path / "half.safetensors", torch.float16)
    assert (tmp_path / "half.safetensors").stat().st_size < 1e6


def test_normalised_embeddings_lie_on_the_unit_sphere():
    model = models.create("omniglot_cnn", 16, normalize=True)
    torch.testing.assert_close(model(images(model)).norm(dim=1), torch.ones(3))


def test_the_seed_decides_the_weights_and_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    first, again, other = (models.create("omniglot_cnn", 4, seed=s).head.linear.weight for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_weights_from_a_local_file_freeze_batch_norm(tmp_path):
    trained = models.create("resnet18", None, image_size=64, seed=7)
    with torch.no_grad():
        for norm in trained.batch_norms():
            norm.running_mean.fill_(0.5)
    torch.save(trained.backbone.state_dict(), tmp_path / "weights.pth")
    model = models.create("resnet18", 8, weights=tmp_path / "weights.pth", image_size=64).train()
    before = [norm.running_mean.clone() for norm in model.batch_norms()]
    model(images(model))
    assert torch.equal(model.backbone.conv1.weight, trained.backbone.conv1.weight)
    assert all(torch.equal(a, n.running_mean) for a, n in zip(before, model.batch_norms(), strict=True))
    assert not model.uses_batch_statistics
    assert models.create("resnet18", 8, image_size=64).uses_batch_statistics  # from scratch it learns them


def test_a_saved_model_loads_as_it_was(tmp_path):
    model = models.create("resnet18", 8, image_size=64, normalize=True).eval()
    models.save(model, tmp_path / "model.safetensors")
    loaded = models.load(tmp_path)  # the folder of a run
    batch = images(model)
    assert loaded.spec == model.spec
    assert torch.equal(loaded(batch), model(batch))
    assert not loaded.training


@pytest.mark.parametrize("name", models.SHIPPED)
def test_shipped_networks_embed_drawings(name):
    model = models.pretrained(name)
    assert model(images(model)).shape == (3, 128)


def test_imagenet_weights_of_the_efficientnet(shared):
    file = shared / "weights" / "tf_efficientnet_lite0.safetensors"
    model = models.create("timm/tf_efficientnet_lite0", None, weights=file, image_size=64)
    assert model.spec.freeze_batch_norm
    assert model.spec.mean == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: models.create("resnet5", 8), "did you mean 'resnet50'?"),
        (lambda p: models.create("timm/tf_efficientnet_lite9", 8), "unknown timm backbone"),
        (lambda p: models.create("resnet18", 0), "embedding_dim must be from 1 to 65,536, not 0"),
        (lambda p: models.create("resnet18", 8, weights=p / "no.pth"), "no weights file"),
        (lambda p: models.create("resnet18", 8, weights=p / "text.pth"), "not a readable weights file"),
        (
            lambda p: models.create("resnet18", 8, weights=p / "other.pth"),
            "does not hold weights of resnet18",
        ),
        (lambda p: models.create("omniglot_cnn", 8, weights="imagenet"), "has no ImageNet weights"),
        (lambda p: models.load(p / "nowhere"), "no checkpoint at"),
        (lambda p: models.load(p / "text.pth"), "is not a dmlteach checkpoint"),
        (lambda p: models.load(p / "foreign.safetensors"), "is not a dmlteach checkpoint"),
        (lambda p: models.pretrained("sts"), "did you mean 'sst'?"),
    ],
)
def test_a_mistake_is_one_clear_error(tmp_path, call, message):
    from safetensors.torch import save_file

    (tmp_path / "text.pth").write_text("not weights")
    torch.save({"a": torch.zeros(2)}, tmp_path / "other.pth")
    save_file({"a": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(DMLTeachError) as error:
        call(tmp_path)
    assert message in str(error.value)


def test_missing_published_weights_say_which_file_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(DMLTeachError) as error:
        models.create("resnet50", 8, weights="cached")
    assert "resnet50-" in str(error.value)
    assert str(tmp_path / "checkpoints") in str(error.value)


def test_without_network_the_error_names_the_file_too(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def refuse(*args, **kwargs):
        raise OSError("network is unreachable")

    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    with pytest.raises(DMLTeachError, match="could not download"):
        models.create("resnet18", 8, weights="imagenet")


@pytest.mark.parametrize(("backbone", "weights"), [("omniglot_cnn", "none"), ("resnet50", "cached")])
def test_a_network_starts_from_published_weights_where_there_are_any(backbone, weights):
    assert models.usual_weights(backbone) == weights
