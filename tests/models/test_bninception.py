"""BN-Inception: the layout of its published weights, its arithmetic, and what it reads of an image."""

import pytest
import torch
import torch.nn.functional as F

from dmlteach import models
from dmlteach.data.augment import Augmentation
from dmlteach.errors import DMLTeachError
from dmlteach.export import Embedder
from dmlteach.models.backbones import load_weights
from dmlteach.models.bninception import BNInception

# Convolutions of the published file: name, channels out, channels in, side of the kernel.
LAYERS = """
conv1_7x7_s2 64 3 7
conv2_3x3_reduce 64 64 1
conv2_3x3 192 64 3
inception_3a_1x1 64 192 1
inception_3a_3x3_reduce 64 192 1
inception_3a_3x3 64 64 3
inception_3a_double_3x3_reduce 64 192 1
inception_3a_double_3x3_1 96 64 3
inception_3a_double_3x3_2 96 96 3
inception_3a_pool_proj 32 192 1
inception_3b_1x1 64 256 1
inception_3b_3x3_reduce 64 256 1
inception_3b_3x3 96 64 3
inception_3b_double_3x3_reduce 64 256 1
inception_3b_double_3x3_1 96 64 3
inception_3b_double_3x3_2 96 96 3
inception_3b_pool_proj 64 256 1
inception_3c_3x3_reduce 128 320 1
inception_3c_3x3 160 128 3
inception_3c_double_3x3_reduce 64 320 1
inception_3c_double_3x3_1 96 64 3
inception_3c_double_3x3_2 96 96 3
inception_4a_1x1 224 576 1
inception_4a_3x3_reduce 64 576 1
inception_4a_3x3 96 64 3
inception_4a_double_3x3_reduce 96 576 1
inception_4a_double_3x3_1 128 96 3
inception_4a_double_3x3_2 128 128 3
inception_4a_pool_proj 128 576 1
inception_4b_1x1 192 576 1
inception_4b_3x3_reduce 96 576 1
inception_4b_3x3 128 96 3
inception_4b_double_3x3_reduce 96 576 1
inception_4b_double_3x3_1 128 96 3
inception_4b_double_3x3_2 128 128 3
inception_4b_pool_proj 128 576 1
inception_4c_1x1 160 576 1
inception_4c_3x3_reduce 128 576 1
inception_4c_3x3 160 128 3
inception_4c_double_3x3_reduce 128 576 1
inception_4c_double_3x3_1 160 128 3
inception_4c_double_3x3_2 160 160 3
inception_4c_pool_proj 128 576 1
inception_4d_1x1 96 608 1
inception_4d_3x3_reduce 128 608 1
inception_4d_3x3 192 128 3
inception_4d_double_3x3_reduce 160 608 1
inception_4d_double_3x3_1 192 160 3
inception_4d_double_3x3_2 192 192 3
inception_4d_pool_proj 128 608 1
inception_4e_3x3_reduce 128 608 1
inception_4e_3x3 192 128 3
inception_4e_double_3x3_reduce 192 608 1
inception_4e_double_3x3_1 256 192 3
inception_4e_double_3x3_2 256 256 3
inception_5a_1x1 352 1056 1
inception_5a_3x3_reduce 192 1056 1
inception_5a_3x3 320 192 3
inception_5a_double_3x3_reduce 160 1056 1
inception_5a_double_3x3_1 224 160 3
inception_5a_double_3x3_2 224 224 3
inception_5a_pool_proj 128 1056 1
inception_5b_1x1 352 1024 1
inception_5b_3x3_reduce 192 1024 1
inception_5b_3x3 320 192 3
inception_5b_double_3x3_reduce 192 1024 1
inception_5b_double_3x3_1 224 192 3
inception_5b_double_3x3_2 224 224 3
inception_5b_pool_proj 128 1024 1
"""
WITH_CLASSIFIER = 11_295_240  # parameters, with a last layer of 1,000 classes
LAST = {"last_linear.weight": (1000, 1024), "last_linear.bias": (1000,)}


def published() -> dict[str, tuple[int, ...]]:
    """Names and shapes in the file, the classifier's among them."""
    shapes: dict[str, tuple[int, ...]] = {}
    for line in LAYERS.split("\n")[1:-1]:
        name, *sizes = line.split()
        out, inside, side = map(int, sizes)
        shapes |= {f"{name}.weight": (out, inside, side, side), f"{name}.bias": (out,)}
        shapes |= {f"{name}_bn.{part}": (out,) for part in ("weight", "bias", "running_mean", "running_var")}
    return shapes | LAST


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    """Random weights in the layout of the file, small enough that no map grows or dies out."""
    generator = torch.Generator().manual_seed(0)
    found = {}
    for name, shape in published().items():
        random = torch.randn(shape, generator=generator)
        scale = 1 / max(1, random[0].numel()) ** 0.5 if random.ndim > 1 else 0.1
        found[name] = random * scale + (1 if name.endswith(("bn.weight", "running_var")) else 0)
        if name.endswith("running_var"):
            found[name] = found[name].abs() + 0.1
    return found


@pytest.fixture(scope="module")
def model(tmp_path_factory, weights):
    """The network as it is made from such a file."""
    file = tmp_path_factory.mktemp("weights") / "mine.pth"
    torch.save(weights, file)
    return models.create("bninception", 8, weights=file, image_size=32)


# ── layout ────────────────────────────────────────────────────────────────────────────────────────────


def holds(network, weights) -> bool:
    own = network.backbone.state_dict()
    return all(torch.equal(own[name], weights[name]) for name in published() if name not in LAST)


def test_it_has_the_layers_of_the_published_weights_and_nothing_else(model):
    own = {k: tuple(v.shape) for k, v in model.backbone.state_dict().items() if "num_batches" not in k}
    assert own == {name: shape for name, shape in published().items() if name not in LAST}
    parameters = sum(p.numel() for p in model.backbone.parameters())
    assert parameters + sum(torch.Size(shape).numel() for shape in LAST.values()) == WITH_CLASSIFIER


def test_a_file_in_the_published_layout_is_read(model, weights):
    assert holds(model, weights)
    assert model.spec.freeze_batch_norm
    assert model.head.num_features == (1024,)


def test_the_usual_file_is_found_among_torchs_own_also_with_one_axis_more(tmp_path, monkeypatch, weights):
    """Torch before 0.2 wrote the numbers of a batch norm as (1, C)."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    old = {name: value[None] if "_bn." in name else value for name, value in weights.items()}
    file = tmp_path / "checkpoints" / "bn_inception-52deb4733.pth"
    torch.save(old, file, _use_new_zipfile_serialization=False)
    assert models.usual_weights("bninception") == "cached"
    assert holds(models.create("bninception", 8, weights="cached"), weights)


@pytest.mark.parametrize("asked", ["cached", "imagenet"])
def test_weights_that_are_not_there_are_one_sentence_that_says_how_to_come_by_them(
    tmp_path, monkeypatch, asked
):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(DMLTeachError) as error:
        load_weights(torch.nn.Linear(1, 1), "bninception", asked)
    said = str(error.value)
    assert "bn_inception-52deb4733.pth" in said and "--weights FILE" in said and "\n" not in said
    assert str(tmp_path / "checkpoints") in said


# ── arithmetic ────────────────────────────────────────────────────────────────────────────────────────


def layer(weights, maps, name, stride=1):
    """Convolution, batch norm by hand and rectifier; padded so that a stride of 1 keeps the size."""
    kernel, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    maps = F.conv2d(maps, kernel, bias, stride=stride, padding=(kernel.shape[-1] - 1) // 2)
    mean, var, gamma, beta = (
        weights[f"{name}_bn.{part}"][:, None, None]
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return ((maps - mean) / (var + 1e-5) ** 0.5 * gamma + beta).clamp(min=0)


def average_of_nine(maps):
    """Mean over 3×3, where what lies outside counts as 0."""
    wide = F.pad(maps, (1, 1, 1, 1))
    n, m = maps.shape[-2:]
    return sum(wide[..., i : i + n, j : j + m] for i in range(3) for j in range(3)) / 9


def largest_of_nine(maps, stride=1, pad=1):
    """Maximum over 3×3; with a stride of 2, windows may hang over the right and the lower edge."""
    over = pad if stride == 1 else 1
    wide = F.pad(maps, (pad, over, pad, over), value=-torch.inf)
    found = wide.unfold(2, 3, stride).unfold(3, 3, stride)
    return found.flatten(4).max(-1).values


def whole_module(weights, maps, name, pool):
    single = layer(weights, maps, f"{name}_1x1")
    triple = layer(weights, layer(weights, maps, f"{name}_3x3_reduce"), f"{name}_3x3")
    double = layer(weights, maps, f"{name}_double_3x3_reduce")
    double = layer(weights, layer(weights, double, f"{name}_double_3x3_1"), f"{name}_double_3x3_2")
    return torch.cat([single, triple, double, layer(weights, pool(maps), f"{name}_pool_proj")], 1)


def halving_module(weights, maps, name):
    triple = layer(weights, layer(weights, maps, f"{name}_3x3_reduce"), f"{name}_3x3", stride=2)
    double = layer(weights, layer(weights, maps, f"{name}_double_3x3_reduce"), f"{name}_double_3x3_1")
    double = layer(weights, double, f"{name}_double_3x3_2", stride=2)
    return torch.cat([triple, double, largest_of_nine(maps, stride=2, pad=0)], 1)


@pytest.fixture(scope="module")
def forward(weights):
    """Maps after each named stage for one image, by the code above and by the network, in float64."""
    exact = {name: value.double() for name, value in weights.items()}
    image = 50 * torch.randn(1, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    maps = largest_of_nine(layer(exact, image[:, [2, 1, 0]], "conv1_7x7_s2", stride=2), stride=2, pad=0)
    maps = layer(exact, layer(exact, maps, "conv2_3x3_reduce"), "conv2_3x3")
    maps = largest_of_nine(maps, stride=2, pad=0)
    by_hand = {}
    for name in ("3a", "3b", "3c", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        whole = f"inception_{name}"
        if name in ("3c", "4e"):
            maps = halving_module(exact, maps, whole)
        else:
            maps = whole_module(exact, maps, whole, largest_of_nine if name == "5b" else average_of_nine)
        by_hand[whole] = maps
    network = BNInception().double().eval()
    network.load_state_dict({k: v for k, v in exact.items() if k not in LAST}, strict=False)
    seen = {}
    for whole in by_hand:
        network.get_submodule(f"{whole}_output").register_forward_hook(
            lambda module, given, maps, whole=whole: seen.update({whole: maps})
        )
    with torch.no_grad():
        features = network(image)
    return by_hand, seen, features


@pytest.mark.parametrize("name", ["3a", "3b", "3c", "4a", "4b", "4c", "4d", "4e", "5a", "5b"])
def test_a_module_computes_what_its_branches_do_by_hand(forward, name):
    by_hand, seen, _ = forward
    whole = f"inception_{name}"
    torch.testing.assert_close(seen[whole], by_hand[whole], rtol=1e-9, atol=1e-9)
    assert by_hand[whole].std() > 1e-3  # a map that has died out would tell nothing


def test_the_features_are_the_means_of_the_last_maps(forward):
    by_hand, seen, features = forward
    torch.testing.assert_close(features, by_hand["inception_5b"].mean((2, 3)), rtol=1e-9, atol=1e-9)
    assert [maps.shape[-1] for maps in seen.values()] == [8, 8, 4, 4, 4, 4, 4, 2, 2, 2]


# ── what it reads ─────────────────────────────────────────────────────────────────────────────────────


def test_a_pixel_arrives_as_blue_green_red_less_the_means(model):
    pixel = torch.tensor([200, 100, 30], dtype=torch.uint8)  # red, green, blue
    image = pixel[None, :, None, None].expand(1, 3, 32, 32)
    arrived = []
    spec, first = model.spec, model.eval().backbone.conv1_7x7_s2
    hook = first.register_forward_pre_hook(lambda layer, given: arrived.append(given[0]))
    normalised = Augmentation("none", 32, spec.mean, spec.std).apply(image, torch.zeros(1, 0))
    with torch.no_grad():
        model(normalised)
        Embedder(model).eval()(image)  # the program that export writes
    hook.remove()
    expected = torch.tensor([30.0 - 104, 100.0 - 117, 200.0 - 128])[None, :, None, None]
    for seen in arrived:
        torch.testing.assert_close(seen, expected.expand(1, 3, 32, 32), rtol=0, atol=1e-4)
    assert len(arrived) == 2


def test_a_side_that_the_pools_cannot_halve_is_one_sentence():
    with pytest.raises(DMLTeachError, match="bninception cannot take images of 48 × 48 pixels"):
        models.create("bninception", 8, image_size=48)


def test_a_cascade_embeds_two_inner_modules():
    model = models.create("bninception", 12, head="cascade", image_size=32)
    assert model.head.num_features == (576, 608, 1024)


def test_saved_it_loads_as_it_was(tmp_path, model):
    models.save(model, tmp_path / "model.safetensors")
    image = torch.randn(2, 3, 32, 32)
    loaded = models.load(tmp_path / "model.safetensors")
    assert loaded.spec == model.spec and torch.equal(loaded(image), model.eval()(image))
