"""Heads of one depth, of several (HDC), and of several learners (BIER, A-BIER)."""

import copy
import json
from itertools import combinations

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from dmlteach import models
from dmlteach.errors import DMLTeachError
from dmlteach.models import heads
from dmlteach.models.bier import BIERHead, initialize_heads
from dmlteach.models.diversity import (
    activation_penalty,
    adversarial_penalty,
    reverse_gradient,
    to_unit_norm_,
    unit_norm_penalty,
)

TIGHT = {"rtol": 0, "atol": 1e-9}
DRAWINGS = torch.randn(5, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def features_and_head(**options):
    """Features of six images, and a float64 head of three learners of 3, 5 and 8 numbers on them."""
    torch.manual_seed(0)
    return torch.rand(6, 20, dtype=torch.float64), BIERHead((20,), 16, **options).double()


# ── cascade ───────────────────────────────────────────────────────────────────────────────────────


def test_each_depth_of_a_cascade_lies_on_its_own_sphere():
    model = models.create("omniglot_cnn", 128, head="cascade")
    assert model.head.dims == (42, 43, 43)
    for mode in (True, False):  # all depths count alike in retrieval too
        z = model.train(mode)(DRAWINGS)
        for part in z.split(model.head.dims, 1):
            torch.testing.assert_close(part.norm(dim=1), torch.ones(5))
        torch.testing.assert_close(z.norm(dim=1), torch.full((5,), 3**0.5))
    assert models.create("omniglot_cnn", 384, head="cascade").head.dims == (128, 128, 128)


def test_a_shallow_part_teaches_the_layers_below_it_and_no_others():
    model = models.create("omniglot_cnn", 12, head="cascade")
    model(DRAWINGS)[:, :4].sum().backward()
    layers = [layer for layer in model.backbone.modules() if isinstance(layer, nn.Conv2d)]
    taught = [layer.weight.grad.abs().max().item() > 0 for layer in layers]
    assert taught == [True, True, False, False]


@pytest.mark.parametrize(
    ("backbone", "layers", "num_features"),
    [
        ("omniglot_cnn", ["layers.6", "layers.9"], (64 * 9, 128 * 9, 1152)),
        ("resnet18", ["layer2", "layer3"], (128, 256, 512)),
        ("googlenet", ["inception4a", "inception4d"], (512, 528, 1024)),
        ("timm/tf_efficientnet_lite0", ["blocks.2", "blocks.4"], (40, 112, 1280)),
    ],
)
def test_known_backbones_have_their_inner_layers(backbone, layers, num_features):
    size = None if backbone == "omniglot_cnn" else 64
    model = models.create(backbone, 12, image_size=size, head="cascade").eval()
    assert model.spec.head_options == {"layers": layers}
    assert model.head.num_features == num_features
    images = torch.randn(2, model.spec.channels, model.spec.image_size, model.spec.image_size)
    assert [f.shape[1] for f in model.features(images)] == list(num_features)
    assert model(images).shape == (2, 12)


def test_the_deepest_features_of_a_cascade_are_those_of_the_backbone_alone():
    cascade = models.create("omniglot_cnn", 12, head="cascade")
    alone = models.create("omniglot_cnn", None)
    assert torch.equal(cascade.features(DRAWINGS)[-1], alone(DRAWINGS))
    assert torch.equal(cascade.trunk()(DRAWINGS), alone(DRAWINGS))


def test_inner_layers_of_any_backbone_can_be_named():
    options = {"layers": ("features.4", "features.7", "features.9"), "hidden": 16}
    model = models.create("mobilenet_v3_small", 10, image_size=64, head="cascade", head_options=options)
    assert model.head.dims == (2, 3, 2, 3)
    assert model.eval()(torch.randn(2, 3, 64, 64)).shape == (2, 10)


def test_a_copy_of_a_cascade_has_a_life_of_its_own():
    model = models.create("omniglot_cnn", 12, head="cascade").eval()
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in twin.backbone.parameters():
            parameter.zero_()
    before = model(DRAWINGS)
    assert not torch.equal(twin(DRAWINGS), before)
    assert torch.equal(model(DRAWINGS), before)


# ── BIER ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("embedding_dim", "dims"),
    [(512, (96, 160, 256)), (128, (24, 40, 64)), (100, (19, 31, 50)), (3, (1, 1, 1))],
)
def test_learners_grow_in_the_papers_proportion(embedding_dim, dims):
    assert BIERHead((64,), embedding_dim).dims == dims


def test_in_training_learners_are_unit_vectors_and_in_retrieval_the_boosted_ensemble():
    x, head = features_and_head()
    units = [nn.functional.normalize(part) for part in head.linear(x).split((3, 5, 8), 1)]
    torch.testing.assert_close(head([x]), torch.cat(units, 1))
    z = head.eval()([x])
    ensemble = sum(a * u @ u.T for a, u in zip((1 / 6, 1 / 3, 1 / 2), units, strict=True))
    torch.testing.assert_close(z @ z.T, ensemble)
    torch.testing.assert_close(z.norm(dim=1), torch.ones(6, dtype=torch.float64))


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_retrieval_weights_are_those_of_the_boosting(count):
    """α_m = η_m Π_{n>m} (1 − η_n), η_m = 2 / (m + 1)."""
    eta = [2 / (m + 1) for m in range(1, count + 1)]
    alpha = list(eta)
    for m, n in combinations(range(count), 2):
        alpha[m] *= 1 - eta[n]
    scales = BIERHead((8,), 20, proportions=[1] * count).scales()
    assert [s**2 for s in scales] == pytest.approx(alpha)


def test_weights_by_size_are_those_of_the_released_code():
    x, head = features_and_head(weights="size")
    parts = head.eval()([x]).split((3, 5, 8), 1)
    for part, share in zip(parts, (0.1875, 0.3125, 0.5), strict=True):
        torch.testing.assert_close(part.norm(dim=1), torch.full((6,), share, dtype=torch.float64))


# ── diversity ─────────────────────────────────────────────────────────────────────────────────────


def test_activation_penalty_is_its_definition():
    x, head = features_and_head()
    r = [x @ w.T for w in head.matrices()]
    truth = sum((r[i][:, :, None] * r[j][:, None, :]).square().mean() for i, j in combinations(range(3), 2))
    torch.testing.assert_close(activation_penalty(x, head.matrices()), truth, **TIGHT)


def test_activation_penalty_vanishes_exactly_where_each_image_excites_one_learner():
    x = torch.eye(4, dtype=torch.float64)
    first = torch.tensor([[1.0, 2, 0, 0]], dtype=torch.float64)
    second = torch.tensor([[0, 0, 3.0, 0], [0, 0, 0, 1]], dtype=torch.float64)
    assert activation_penalty(x, [first, second]) == 0
    second[1, 1] = 1e-3
    assert activation_penalty(x, [first, second]) > 0


def regressions(x, head, regressors, reverse):
    """Σ_{i<j} mean (r_i ∘ g(r_j))², with or without the reversal at the regressors' inputs."""
    r = [reverse(x @ w.T) for w in head.matrices()]
    pairs = zip(combinations(r, 2), regressors, strict=True)
    return sum((one * g(other)).square().mean() for (one, other), g in pairs)


def test_adversarial_penalty_is_its_definition_and_turns_the_learners_gradient_around():
    x, head = features_and_head(diversity="adversarial")
    assert [g[-1].out_features for g in head.regressors] == [3, 3, 5]  # from the larger to the smaller
    ours = adversarial_penalty(x, head.matrices(), head.regressors)
    plain = -regressions(x, head, head.regressors, reverse=lambda r: r)
    torch.testing.assert_close(ours, plain, **TIGHT)
    regressors = list(head.regressors.parameters())
    mine = torch.autograd.grad(ours, [head.linear.weight, *regressors])
    unreversed = torch.autograd.grad(plain, [head.linear.weight, *regressors])
    assert mine[0].abs().max() > 1e-6
    torch.testing.assert_close(mine[0], -unreversed[0], **TIGHT)
    torch.testing.assert_close(mine[1:], unreversed[1:], **TIGHT)


def test_reversal_is_the_identity_forward_and_a_sign_backward():
    x = torch.randn(4, 3, requires_grad=True)
    assert torch.equal(reverse_gradient(x), x)
    assert torch.equal(torch.autograd.grad(reverse_gradient(x).sum(), x)[0], -torch.ones(4, 3))


@pytest.mark.parametrize("diversity", ["activation", "adversarial"])
def test_a_penalty_changes_matrices_and_regressors_but_neither_features_nor_biases(diversity):
    x, head = features_and_head(diversity=diversity)
    x.requires_grad_()
    penalty = head.penalty([x])
    assert torch.autograd.grad(penalty, x, retain_graph=True, allow_unused=True)[0] is None
    penalty.backward()
    assert head.linear.bias.grad is None
    taught = [head.linear.weight, *(p for p in head.regressors.parameters() if p.ndim == 2)]
    assert all(p.grad.abs().max() > 0 for p in taught)


@pytest.mark.parametrize("axis", ["input", "output"])
def test_the_penalty_is_weighted_diversity_plus_unit_norms(axis):
    options = {"diversity_weight": 0.3, "norm_weight": 7.0, "norm_axis": axis}
    x, head = features_and_head(diversity="adversarial", **options)
    layers = [m for m in head.regressors.modules() if isinstance(m, nn.Linear)]
    with torch.no_grad():
        for weight in (head.linear.weight, layers[0].weight):
            weight *= 1.2
        layers[2].bias.fill_(1)  # its norm is above 1
    norms = 0.0
    for matrix in [*head.matrices(), *(layer.weight for layer in layers)]:
        vectors = matrix.T if axis == "input" else matrix
        norms += sum((v @ v - 1) ** 2 for v in vectors) / len(vectors)
    norms += sum(max(0.0, (layer.bias @ layer.bias).item() - 1) for layer in layers)
    truth = 0.3 * (adversarial_penalty(x, head.matrices(), head.regressors) + 7 * norms)
    torch.testing.assert_close(head.penalty([x]), truth, **TIGHT)


@pytest.mark.parametrize("axis", ["input", "output"])
def test_learners_and_regressors_start_at_unit_norm_where_a_penalty_asks_for_it(axis):
    _, head = features_and_head(diversity="adversarial", norm_axis=axis)
    layers = [m for m in head.regressors.modules() if isinstance(m, nn.Linear)]
    assert all(unit_norm_penalty(m, axis) < 1e-12 for m in [*head.matrices(), *(m.weight for m in layers)])
    assert all(m.bias.eq(0).all() for m in layers)


def test_a_head_without_diversity_has_no_penalty():
    for name in models.HEADS:
        head = models.create("omniglot_cnn", 16, head=name).head
        assert not head.has_penalty
        assert head.penalty([torch.randn(3, 4)]) == 0
    assert models.create(
        "omniglot_cnn", 16, head="bier", head_options={"diversity": "activation"}
    ).head.has_penalty


def test_penalties_run_in_fp32_under_autocast():
    model = models.create("omniglot_cnn", 16, head="bier", head_options={"diversity": "adversarial"})
    with torch.autocast("cpu", torch.bfloat16):
        features = model.features(DRAWINGS)
        penalty = model.head.penalty(features)
    assert features[0].dtype == torch.bfloat16
    torch.testing.assert_close(penalty, model.head.penalty([features[0].float()]))
    assert penalty.dtype == torch.float32


def test_initialisation_sets_learners_apart_at_equal_norms_and_repeats_by_its_seed():
    _, head = features_and_head()
    x = torch.rand(200, 20, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    unit = x / x.square().sum(1).mean().sqrt()
    twin, before = copy.deepcopy(head), copy.deepcopy(head)
    values = initialize_heads(head, x, torch.Generator().manual_seed(3), steps=100, batch_size=50)
    again = initialize_heads(twin, x, torch.Generator().manual_seed(3), steps=100, batch_size=50)
    assert values.shape == (100,)
    assert torch.equal(values, again)
    assert torch.equal(head.linear.weight, twin.linear.weight)
    assert torch.equal(head.linear.bias, before.linear.bias)
    for either in (head, before):
        for matrix in either.matrices():
            to_unit_norm_(matrix, "input")
    assert activation_penalty(unit, head.matrices()) < activation_penalty(unit, before.matrices()) / 2


# ── files and mistakes ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("head", "options"),
    [
        ("cascade", {"hidden": 32}),
        ("bier", {"proportions": (1, 2), "weights": "size"}),
        ("bier", {"diversity": "adversarial", "hidden": 8}),
    ],
)
def test_a_saved_model_keeps_its_head(tmp_path, head, options):
    model = models.create("omniglot_cnn", 16, head=head, head_options=options).eval()
    models.save(model, tmp_path / "model.safetensors")
    loaded = models.load(tmp_path)
    assert loaded.spec == model.spec
    assert torch.equal(loaded(DRAWINGS), model(DRAWINGS))


def test_files_written_before_there_were_heads_still_load(tmp_path):
    model = models.create("omniglot_cnn", 16).eval()
    models.save(model, tmp_path / "new.safetensors")
    with safe_open(tmp_path / "new.safetensors", framework="pt") as file:
        spec = json.loads(file.metadata()["dmlteach"])
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    assert spec.pop("head") == "linear"
    assert spec.pop("head_options") == {}
    save_file(state, tmp_path / "old.safetensors", metadata={"dmlteach": json.dumps(spec)})
    assert torch.equal(models.load(tmp_path / "old.safetensors")(DRAWINGS), model(DRAWINGS))


@pytest.mark.parametrize(
    ("head", "dim", "options", "message"),
    [
        ("cascad", 16, {}, "did you mean 'cascade'?"),
        ("linear", 16, {"hidden": 3}, "unknown option of the linear head 'hidden'"),
        ("cascade", 16, {"layer": ["x"]}, "did you mean 'layers'?"),
        ("cascade", 16, {"layers": ["layers.6", "layers.99"]}, "unknown layer 'layers.99'"),
        ("cascade", 16, {"layers": ["layers.14"]}, "not feature maps (N, C, H, W)"),
        ("cascade", 2, {}, "the cascade head has 3 parts: embedding_dim must be at least 3, not 2"),
        ("bier", None, {}, "the bier head has 3 parts: embedding_dim must be at least 3, not None"),
        ("bier", 4, {"proportions": (1, 100)}, "cannot be shared in the proportions"),
        ("bier", 16, {"proportions": ()}, "cannot be shared in the proportions"),
        ("bier", 16, {"diversity": "activations"}, "did you mean 'activation'?"),
        ("bier", 16, {"weights": "sizes"}, "did you mean 'size'?"),
        ("bier", 16, {"norm_axis": "row"}, "unknown option norm_axis of the bier head 'row'"),
    ],
)
def test_a_mistake_is_one_clear_error(head, dim, options, message):
    with pytest.raises(DMLTeachError) as error:
        models.create("omniglot_cnn", dim, head=head, head_options=options)
    assert message in str(error.value)


def test_a_backbone_without_known_depths_says_how_to_name_them():
    with pytest.raises(DMLTeachError, match="which layers of mobilenet_v3_small"):
        models.create("mobilenet_v3_small", 16, head="cascade")


@pytest.mark.parametrize("shape", [(128, 512), (512, 128), (64, 64), (1, 5)])
def test_a_head_starts_as_torchs_orthogonal_matrix_whatever_the_number_of_threads(shape):
    before, found = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        torch.manual_seed(3)
        found.append(heads.rotation(*shape))
    torch.set_num_threads(before)
    torch.manual_seed(3)
    torchs = torch.nn.init.orthogonal_(torch.empty(shape))
    assert torch.allclose(found[0], torchs, atol=2e-6) and found[0].dtype == torch.float32
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])
