"""Weights against distance: finite differences of each loss's value, in a scene that is built here anew."""

import math

import numpy as np
import pytest
import torch

from dmlteach import losses
from dmlteach.course.plots import weights
from dmlteach.course.plots.weights import has_weight_curve, weight_curve, weights_against_distance
from dmlteach.errors import DMLTeachError

ENSEMBLES = ("bier", "hdc")
NAMES = [name for name in losses.names() if name not in ENSEMBLES]
IN_THE_PLANE = {
    "contrastive", "lifted", "lifted_generalized", "nca", "sst", "triplet", "triplet_all", "triplet_hard",
}  # fmt: skip
VECTORS = {
    "normalized_softmax": "weight", "proxy_anchor": "proxies", "proxy_nca": "proxies",
    "soft_triple": "centers", "softmax": "classifier.weight",
}  # fmt: skip
DISTANCES = np.array([0.31, 0.77, 1.13, 1.57, 1.9])
STEP = 1e-6


def at(distance: float, sideways: list[float], in_plane: bool) -> list[float]:
    """A point at a distance from the anchor, which is 0 in the plane, and the north pole on the sphere."""
    if in_plane:
        return [0.0, distance * sideways[0], distance * sideways[1]]
    cosine = 1 - distance**2 / 2
    sine = math.sqrt(1 - cosine**2)
    return [cosine, sine * sideways[0], sine * sideways[1]]


def value(name: str, anchor: list[float], positive: list[float], negative: list[float]) -> float:
    """The loss of these three points; the n_pair loss needs two negatives, which lie in one place."""
    given = {"num_classes": 2, "embedding_dim": 3}
    loss = losses.create(name, **{k: v for k, v in given.items() if k in losses.options(name)}).double()
    generator = torch.Generator().manual_seed(0)
    if name in VECTORS:
        vectors = torch.tensor([positive, negative], dtype=torch.float64)
        with torch.no_grad():
            for parameter in loss.parameters():
                parameter.zero_()
            learned = loss.get_parameter(VECTORS[name])
            learned += vectors[:, None] if learned.ndim == 3 else vectors
        return loss(torch.tensor([anchor], dtype=torch.float64), torch.tensor([0])).item()
    points = [anchor, positive, negative, *([negative] if name == "n_pair" else [])]
    labels = torch.tensor([0, 0, 1, 1][: len(points)])
    return loss(torch.tensor(points, dtype=torch.float64), labels, generator=generator).item()


def circle(anchor: list[float], positive: list[float], negative: list[float]) -> float:
    """The circle loss, whose weights carry no gradient: they are those of the anchor at the pole."""

    def cosine(u, v):
        return np.dot(u, v) / np.linalg.norm(u) / np.linalg.norm(v)

    total = 0.0
    pole = [1.0, 0.0, 0.0]
    for first, second in (((anchor, pole), (positive, positive)), ((positive, positive), (anchor, pole))):
        (a, a_then), (p, p_then) = first, second
        push = 80 * max(cosine(a_then, negative) + 0.4, 0) * (cosine(a, negative) - 0.4)
        pull = 80 * max(1.4 - cosine(a_then, p_then), 0) * (0.6 - cosine(a, p))
        total += np.logaddexp(0, push + pull) / 2
    return total


def slope(name: str, axis: int, positive: list[float], negative: list[float], in_plane: bool) -> float:
    """Change of the loss as the anchor moves along an axis, by central differences."""
    values = []
    for step in (STEP, -STEP):
        anchor = [0.0 if in_plane else 1.0, 0.0, 0.0]
        anchor[axis] += step
        points = (anchor, positive, negative)
        values.append(circle(*points) if name == "circle" else value(name, *points))
    return (values[0] - values[1]) / (2 * STEP)


@pytest.mark.parametrize("name", NAMES)
def test_pull_and_push_are_the_slope_of_the_loss_at_the_anchor(name):
    in_plane = name in IN_THE_PLANE
    fixed_positive, fixed_negative = at(1, [1, 0], in_plane), at(1, [0, 1], in_plane)
    curve = weight_curve(name, DISTANCES)
    pull = [-slope(name, 1, at(d, [1, 0], in_plane), fixed_negative, in_plane) for d in DISTANCES]
    push = [slope(name, 2, fixed_positive, at(d, [0, 1], in_plane), in_plane) for d in DISTANCES]
    scale = max(np.abs([pull, push]).max(), 1e-3)
    np.testing.assert_allclose(curve.positive, pull, atol=2e-6 * scale)
    np.testing.assert_allclose(curve.negative, push, atol=2e-6 * scale)
    assert curve.on_sphere is not in_plane


def test_the_triplet_loss_weighs_by_distance_inside_its_margin_and_nothing_outside():
    d = np.array([0.2, 0.6, 0.88, 0.92, 1.05, 1.08, 1.12, 1.8])
    curve = weight_curve("triplet", d, margin=0.2)
    np.testing.assert_allclose(curve.positive, np.where(0.2 + d**2 > 1, d, 0), atol=1e-12)
    np.testing.assert_allclose(curve.negative, np.where(d**2 < 0.2 + 1, d, 0), atol=1e-12)


def test_the_contrastive_loss_pulls_in_proportion_to_distance_and_pushes_up_to_its_margin():
    d = np.linspace(0.1, 3, 30)
    curve = weight_curve("contrastive", d, margin=1.5)
    np.testing.assert_allclose(curve.positive / d, curve.positive[0] / d[0])
    np.testing.assert_allclose(curve.negative * 1.4, curve.negative[0] * (1.5 - d).clip(0), atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_every_loss_pulls_positives_and_pushes_negatives_somewhere(name):
    curve = weight_curve(name)
    assert curve.positive.max() > 0 and curve.negative.max() > 0
    assert np.isfinite(curve.positive).all() and np.isfinite(curve.negative).all()


@pytest.mark.parametrize("name", ENSEMBLES)
def test_an_ensembles_loss_has_no_curve_and_the_error_says_why(name):
    assert not has_weight_curve(name)
    with pytest.raises(DMLTeachError, match=rf"the {name} loss compares each part of an ensemble"):
        weight_curve(name)


def test_distances_that_no_pair_can_have_are_refused():
    with pytest.raises(DMLTeachError, match="up to 2, the diameter of the sphere"):
        weight_curve("margin", np.array([2.1]))
    with pytest.raises(DMLTeachError, match="above 0"):
        weight_curve("sst", np.array([0.0]))
    with pytest.raises(DMLTeachError, match="did you mean 'triplet'"):
        weight_curve("tripplet")


def test_a_loss_that_is_registered_later_has_a_curve_at_once(monkeypatch):
    class Squared(losses.Loss):
        def __init__(self):
            super().__init__()

        def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None):
            return (embeddings[0] - embeddings[1]).square().sum()

    monkeypatch.setitem(losses.LOSSES, "squared", Squared)
    curve = weight_curve("squared", DISTANCES)
    np.testing.assert_allclose(curve.positive, 2 * DISTANCES)
    assert not curve.negative.any() and not curve.on_sphere


def test_the_picture_tells_its_values_and_is_the_same_each_time():
    figure = weights_against_distance("sst")
    curve = weight_curve("sst", np.array([0.5, 1.0, 1.5]))
    for weight in (*curve.positive, *curve.negative):
        assert f"{weight:.2g} at" in figure.alt
    assert "in the plane" in figure.alt and "distance 1" in figure.alt
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) == weights.STEPS]
    np.testing.assert_allclose(lines[0].get_ydata(), weight_curve("sst").positive)
    assert figure.png() == weights_against_distance("sst").png()


def test_class_vectors_are_called_by_their_name():
    assert "Pull of the own class vector" in weights_against_distance("proxy_anchor").alt
