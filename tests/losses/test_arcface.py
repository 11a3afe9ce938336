"""ArcFace, with sub-centers, and CosFace."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlteach.errors import DMLTeachError
from dmlteach.interfaces import Space
from dmlteach.losses.arcface import ArcFace, arcface_loss, class_cosines
from dmlteach.losses.normalized_softmax import normalized_softmax_loss
from tests.losses.brute_force import mean
from tests.losses.test_circle import unit
from tests.losses.test_definitions import batches, value_and_gradient

PI = math.pi


def centers_of(classes, k, dim, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(classes, k, dim, generator=generator, dtype=torch.float64)


def brute_force(z, labels, centers, form, margin, scale):
    """By angles, as the papers write it."""
    terms = []
    for x, y in zip(z, labels, strict=True):
        logits = []
        for c, of_class in enumerate(centers):
            cosine = max(((unit(x) * unit(w)).sum() for w in of_class), key=lambda s: s.item())
            if c == y and form == "cosface":
                cosine = cosine - margin
            elif c == y:
                theta = torch.acos(cosine)
                beyond = theta > PI - margin
                cosine = cosine - margin * math.sin(margin) if beyond else torch.cos(theta + margin)
            logits.append(scale * cosine)
        terms.append(torch.logsumexp(torch.stack(logits), 0) - logits[y])
    return mean(terms, z)


@settings(max_examples=25, deadline=None)
@given(
    batches().filter(lambda batch: batch[0].shape[1] > 1),
    st.sampled_from([("arcface", 0.5, 64.0), ("arcface", 1.2, 8.0), ("cosface", 0.35, 30.0)]),
    st.sampled_from([1, 3]),
)
def test_arcface_is_its_definition_in_embeddings_and_centers(batch, constants, k):
    z, y = batch
    centers = centers_of(5, k, z.shape[1])
    for ours, truth, argument in (
        (
            lambda x: arcface_loss(x, y, centers, *constants),
            lambda x: brute_force(x, y.tolist(), centers, *constants),
            z,
        ),
        (
            lambda w: arcface_loss(z, y, w, *constants),
            lambda w: brute_force(z, y.tolist(), w, *constants),
            centers,
        ),
    ):
        torch.testing.assert_close(
            value_and_gradient(ours, argument), value_and_gradient(truth, argument), rtol=1e-7, atol=1e-7
        )


@pytest.mark.parametrize("form", ["arcface", "cosface"])
def test_without_a_margin_it_is_the_normalized_softmax(form):
    centers, y = centers_of(4, 1, 6), torch.arange(12) % 4
    z = centers_of(12, 1, 6, seed=2)[:, 0]
    plain = normalized_softmax_loss(z, y, centers[:, 0], temperature=1 / 20)
    torch.testing.assert_close(arcface_loss(z, y, centers, form, 0.0, 20.0), plain)
    torch.testing.assert_close(arcface_loss(z, y, centers[:, 0], form, 0.0, 20.0), plain)


def own_logit(theta, margin=0.5):
    """cos(θ + m) by the loss itself: with one other class at a right angle, L = log(1 + e^(0 − logit))."""
    z = torch.tensor([[math.cos(theta), math.sin(theta), 0.0]], dtype=torch.float64, requires_grad=True)
    centers = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    loss = arcface_loss(z, torch.tensor([0]), centers, margin=margin, scale=1.0)
    return -math.log(math.expm1(loss.item())), torch.autograd.grad(loss, z)[0]


def test_the_margin_is_added_to_the_angle_and_a_larger_angle_always_costs_more():
    angles = np.linspace(0.0, PI, 400)
    logits = np.array([own_logit(theta)[0] for theta in angles])
    within = angles <= PI - 0.5
    np.testing.assert_allclose(logits[within], np.cos(angles + 0.5)[within], atol=1e-5)
    np.testing.assert_allclose(logits[~within], (np.cos(angles) - 0.5 * np.sin(0.5))[~within], atol=1e-9)
    assert (np.diff(logits) < 0).all()


@pytest.mark.parametrize("theta", [0.0, 1e-9, 1e-4, PI - 1e-9, PI])
def test_at_angles_of_0_and_180_degrees_the_gradient_is_finite(theta):
    _, gradient = own_logit(theta)
    assert torch.isfinite(gradient).all() and gradient.norm() < 2


@pytest.mark.parametrize("sign", [1, -1])
def test_embeddings_on_their_centers_or_opposite_have_finite_gradients_in_fp32(sign):
    """Their cosines are 1 but for rounding, which takes some of them beyond."""
    centers = torch.randn(500, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    z = (sign * centers).detach().requires_grad_()
    assert (class_cosines(z, centers[:, None]).diagonal().abs() > 1).any()
    arcface_loss(z, torch.arange(500), centers).backward()
    assert torch.isfinite(z.grad).all() and torch.isfinite(centers.grad).all()


def test_an_image_belongs_to_the_nearest_center_of_its_class():
    centers = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]])
    far = ArcFace(2, 2, sub_centers=2, scale=4.0)
    far.centers.data = centers
    z, y = torch.tensor([[-1.0, 0.1], [1.0, 0.1]]), torch.tensor([0, 0])
    assert far.active_tuples(z, y) == 0
    far(z[:1], y[:1]).backward()
    moved = far.centers.grad.norm(dim=2) > 0
    assert moved.any(1).tolist() == [True, True] and moved[0].tolist() == [False, True]
    assert far(z[:1], y[:1]) < arcface_loss(z[:1], y[:1], centers[:, :1])


def test_sub_centers_start_around_the_mean_of_their_class_and_apart():
    torch.manual_seed(0)
    loss = ArcFace(3, 16, sub_centers=4)
    z = 5 * torch.eye(3, 16)
    loss.imprint(Space(z, torch.arange(3)))
    centers = torch.nn.functional.normalize(loss.centers.detach(), dim=2)
    torch.testing.assert_close(torch.nn.functional.normalize(loss.centers.mean(1), dim=1), z / 5)
    assert (centers[:, 0] * centers[:, 1]).sum(1).max() < 0.99


def test_the_margin_of_each_form_is_its_papers():
    assert (ArcFace(2, 2).margin, ArcFace(2, 2, form="cosface").margin) == (0.5, 0.35)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"margin": 28.6}, "margin must be from 0 to 1.5, not 28.6: it is an angle in radians"),
        ({"margin": -0.1}, "margin must be from 0 to 1.5"),
        ({"form": "cosface", "margin": -0.1}, "margin must be at least 0"),
        ({"form": "cosfac"}, "did you mean 'cosface'"),
        ({"sub_centers": 0}, "sub_centers must be at least 1"),
        ({"scale": 0}, "scale must be positive"),
    ],
)
def test_an_option_out_of_range_is_one_sentence(options, message):
    with pytest.raises(DMLTeachError, match=message):
        ArcFace(3, 4, **options)


def test_a_margin_in_degrees_is_refused_by_the_function_too():
    with pytest.raises(DMLTeachError, match="not 28.6: it is an angle in radians"):
        arcface_loss(torch.randn(2, 4), torch.tensor([0, 1]), torch.randn(3, 4), margin=28.6)
