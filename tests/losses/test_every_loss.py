"""What holds for every loss: finite on any batch, right gradients, fp32 inside, honest statistics."""

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dmlteach import losses
from tests.losses.cases import DIM, NUM_CLASSES, create, generator

NAMES = losses.names()
WITH_PARAMETERS = [name for name in NAMES if list(create(name).parameters())]
# Weights inside these are constants for the gradient, as published; their own tests check it.
CONSTANT_WEIGHTS = {"circle", "bier", "ranked_list"} & set(NAMES)
# margin draws negatives by their place in the batch, n_pair pairs the images of a class in their order,
# and hdc keeps equally hard pairs in theirs.
ORDERED = {"margin", "n_pair", "hdc"}

# Other forms of a loss, which take other ways through its code.
VARIANTS = [
    ("angular", {"npair_weight": 0.5}),
    ("arcface", {"form": "cosface"}),
    ("arcface", {"sub_centers": 3, "margin": 1.2}),
    ("bier", {"variant": "code"}),
    ("bier", {"variant": "none", "count_self": True}),
    ("binomial_deviance", {"variant": "per_anchor", "negative_cost": 25.0}),
    ("clustering", {"squared": True}),
    ("contrastive", {"variant": "cosine", "margin": 0.5}),
    ("fast_ap", {"num_bins": 1}),
    ("global", {"triplet_weight": 1.0}),
    ("hdc", {"mode": "independent"}),
    ("hdc", {"rank_by": "own"}),
    ("histogram", {"num_nodes": 2}),
    ("lifted_modified", {"epsilon": 0.1}),
    ("margin", {"sampling": "all", "nu": 0.1}),
    ("n_pair", {"l2": 0.1}),
    ("nca", {"log": True}),
    ("proxy_nca", {"variant": "softmax", "smoothing": 0.1}),
    ("ranked_list", {"temperature": 0.0, "margin": 0.0}),
    ("smooth_ap", {"temperature": 1.0}),
    ("soft_triple", {"centers_per_class": 1}),
    ("triplet_all", {"reduction": "all", "squared": True}),
    ("triplet_hard", {"soft_margin": True}),
    ("triplet_semihard", {"variant": "nearest"}),
]
FORMS = [*((name, {}) for name in NAMES), *VARIANTS]


def form_id(value):
    return value if isinstance(value, str) else "-".join(map(str, value.values()))


def batch(n=12, classes=4, dtype=torch.float32, scale=1.0, seed=0):
    z = torch.randn(n, DIM, generator=torch.Generator().manual_seed(seed), dtype=dtype) * scale
    return z, torch.arange(n) % classes


@st.composite
def degenerate_batches(draw):
    """One image or class, singletons, duplicates, zeros, collapse, norms from 1e-20 to 1e4."""
    n = draw(st.integers(1, 24))
    random = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    z = torch.randn(n, DIM, generator=random)
    z *= draw(st.sampled_from([0.0, 1e-20, 1e-6, 0.1, 1.0, 30.0])) + (draw(st.booleans()) and 1e-3)
    if draw(st.booleans()):
        z = torch.nn.functional.normalize(z) * draw(st.sampled_from([1.0, 1e4]))
    kind = draw(st.sampled_from(["as drawn", "duplicates", "collapsed", "a zero", "opposite"]))
    if kind == "duplicates":
        z[n // 2 :] = z[: n - n // 2].clone()
    elif kind == "collapsed":
        z[:] = z[0].clone()
    elif kind == "a zero":
        z[0] = 0
    elif kind == "opposite":
        z[n // 2 :] = -z[: n - n // 2].clone()
    classes = draw(st.sampled_from([1, 2, 3, NUM_CLASSES]))
    y = torch.randint(classes, (n,), generator=random)
    if draw(st.booleans()):
        y = torch.arange(n) % NUM_CLASSES  # as many singletons as there can be
    return z, y


@pytest.mark.parametrize(("name", "options"), FORMS, ids=form_id)
def test_any_finite_batch_gives_finite_value_and_gradient(name, options, request):
    loss = create(name, **options)

    @settings(
        max_examples=request.config.getoption("--batches"),
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(degenerate_batches(), st.booleans())
    def check(given_batch, autocast):
        z, y = given_batch
        z.requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            value = loss(z, y, generator=generator())
        loss.zero_grad()
        value.backward()
        assert value.dtype == torch.float32
        assert torch.isfinite(value)
        assert torch.isfinite(z.grad).all()
        for parameter in loss.parameters():
            assert parameter.grad is None or torch.isfinite(parameter.grad).all()

    check()


@pytest.mark.parametrize("name", sorted(set(NAMES) - CONSTANT_WEIGHTS))
def test_the_gradient_is_that_of_finite_differences(name):
    loss = create(name).double()
    z, y = batch(dtype=torch.float64)
    z.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: loss(z, y, generator=generator()), z)
    assert loss(z, y, generator=generator()).item() != 0  # else there was nothing to check


@pytest.mark.parametrize("name", WITH_PARAMETERS)
def test_the_gradient_of_its_parameters_is_that_of_finite_differences(name):
    loss = create(name).double()
    z, y = batch(dtype=torch.float64)
    named = list(loss.named_parameters())

    def value(*parameters):
        state = {key: p for (key, _), p in zip(named, parameters, strict=True)}
        return torch.func.functional_call(loss, state, (z, y), {"generator": generator()})

    assert torch.autograd.gradcheck(value, tuple(p.detach().requires_grad_() for _, p in named))


@pytest.mark.parametrize("name", NAMES)
def test_nan_in_gives_nan_out(name):
    z, y = batch()
    z[2, 1] = torch.nan
    assert create(name)(z, y, generator=generator()).isnan()


@pytest.mark.parametrize("name", NAMES)
def test_one_image_has_a_value_that_can_be_differentiated(name):
    z = torch.randn(1, DIM, requires_grad=True)
    value = create(name)(z, torch.tensor([0]), generator=generator())
    value.backward()
    assert torch.isfinite(z.grad).all()
    if name not in WITH_PARAMETERS:
        assert value.item() == 0
        assert z.grad.eq(0).all()


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_input_is_computed_in_fp32(name):
    z, y = batch()
    half = z.bfloat16()
    loss = create(name)
    assert loss(half, y, generator=generator()) == loss(half.float(), y, generator=generator())


@pytest.mark.parametrize("name", NAMES)
def test_sphere_losses_see_directions_only(name):
    loss = create(name).double()
    z, y = batch(dtype=torch.float64)
    z = torch.nn.functional.normalize(z) if loss.compares != "examples within one head" else z
    near, far = (loss(z * scale, y, generator=generator()) for scale in (1.0, 3.0))
    if loss.geometry == "sphere":
        torch.testing.assert_close(near, far, rtol=1e-9, atol=1e-9)
    else:
        assert abs(near - far) > 1e-6


@pytest.mark.parametrize("name", sorted(set(NAMES) - ORDERED))
def test_relabelling_and_reordering_leave_the_loss_unchanged(name):
    loss = create(name).double()
    z, y = batch(dtype=torch.float64)
    order = torch.randperm(len(y), generator=generator())
    value = loss(z, y, generator=generator())
    torch.testing.assert_close(loss(z[order], y[order], generator=generator()), value)
    if name not in WITH_PARAMETERS:
        torch.testing.assert_close(loss(z, 3 - y, generator=generator()), value)


@pytest.mark.parametrize("name", NAMES)
def test_statistics_tell_what_the_batch_does(name):
    loss = create(name)
    z, y = batch(n=24)
    stats = loss.stats(z, y)
    unit = torch.nn.functional.normalize(z) if loss.geometry == "sphere" else z
    d = torch.cdist(unit.double(), unit.double())
    same = y[:, None] == y[None, :]
    assert 0 <= stats["active_tuples"] <= 1
    assert stats["positive_distance"] == pytest.approx(d[same & (d > 0)].mean().item(), abs=1e-5)
    assert stats["negative_distance"] == pytest.approx(d[~same].mean().item(), abs=1e-5)
    assert stats["embedding_norm"] == pytest.approx(z.norm(dim=1).mean().item(), rel=1e-5)
    assert stats["spread"] > 0.5
    collapsed = loss.stats(torch.ones(24, DIM), y)
    assert collapsed["spread"] == pytest.approx(0, abs=1e-6)
    assert all(not value.requires_grad for value in stats.values())
    assert all(math.isfinite(value) for value in stats.values())


@pytest.mark.parametrize("name", NAMES)
def test_statistics_of_no_pair_say_nothing(name):
    stats = create(name).stats(torch.ones(1, DIM), torch.tensor([0]))
    assert stats["positive_distance"].isnan()
    assert stats["negative_distance"].isnan()
    assert torch.isfinite(stats["active_tuples"])


@pytest.mark.parametrize("name", [n for n in NAMES if "reference" in losses.LOSSES[n].uses])
def test_a_memory_that_holds_the_batchs_others_gives_the_loss_of_the_batch(name):
    """Anchors of one half against a memory of the other: as the batch of both, seen from the first half."""
    loss = create(name).double()
    z, y = batch(n=8, dtype=torch.float64)
    z.requires_grad_()
    other, other_y = batch(n=10, dtype=torch.float64, seed=1)
    reference = (other.detach(), other_y)
    padded = (torch.cat([other, other[:3] + 5]), torch.cat([other_y, torch.full((3,), -1)]))
    value = loss(z, y, reference=reference, generator=generator())
    assert value.item() != 0
    assert torch.autograd.grad(value, z)[0].abs().sum() > 0
    if name != "margin":  # its draws depend on the number of rows
        torch.testing.assert_close(loss(z, y, reference=padded, generator=generator()), value)
    nothing = (other.detach(), torch.full_like(other_y, -1))
    assert loss(z, y, reference=nothing, generator=generator()).item() == 0


@pytest.mark.parametrize("name", NAMES)
def test_what_a_loss_declares_is_known(name):
    kind = losses.LOSSES[name]
    assert kind.geometry in ("euclidean", "sphere")
    assert kind.uses <= {"targets", "triplets", "reference"}
    assert kind.compares in ("examples", "learned class vectors", "examples within one head")
