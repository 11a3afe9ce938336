"""How strongly a loss moves an image, against its distance: measured by autograd, for every loss alike.

Seen from an anchor, a positive and a negative stand at a right angle. One of the two moves away while the
other stays. The part of the anchor's gradient along the way to the moving one is what passes through the
distance of this pair: it is how hard the two pull together or push apart.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dmlteach import losses
from dmlteach.errors import DMLTeachError
from dmlteach.interfaces import Loss
from dmlteach.options import one_of
from dmlteach.plots.style import NEGATIVE, POSITIVE, Picture, styled

FIXED = 1.0  # distance of the one that stays
STEPS = 64
FARTHEST = 2.0  # two points of the unit sphere are not farther apart
ANCHOR, OWN, OTHER = 0, 1, 2  # rows of the scene, and axes of the space: the anchor's own, and the two ways


class Weights(NamedTuple):
    """Sizes of the gradient on an anchor, by the distance of the example that moves.

    Attributes:
        distance: (T,) to the anchor.
        positive: (T,) pull of a positive there, while the negative stays at distance 1; below 0 it pushes.
        negative: (T,) push of a negative there, while the positive stays at distance 1; below 0 it pulls.
        on_sphere: whether anchor and examples lie on the unit sphere, or in the plane.
    """

    distance: np.ndarray
    positive: np.ndarray
    negative: np.ndarray
    on_sphere: bool


def has_weight_curve(name: str) -> bool:
    """Whether a pair has one weight: not where the parts of an ensemble are each compared by themselves.

    Args:
        name: of the loss.

    Raises:
        DMLTeachError: no loss is called so.
    """
    one_of("loss", name, losses.LOSSES)
    return losses.LOSSES[name].compares != "examples within one head"


def weight_curve(name: str, distance: np.ndarray | None = None, **options: Any) -> Weights:
    """How hard a positive pulls its anchor, and a negative pushes it, at each distance.

    Losses of plain distances are measured in the plane, losses of cosines and inner products on the unit
    sphere. Where a loss compares with learned class vectors, the own class's stands for the positive, another
    class's for the negative.

    Args:
        name: of the loss.
        distance: (T,) distances above 0, on the sphere up to 2; default: 64 up to 2.
        options: of the loss, e.g. `margin=0.5`.

    Returns:
        The weights, in float64.

    Raises:
        DMLTeachError: an ensemble's loss, an unknown loss or option, or a distance that no pair can have.
    """
    if not has_weight_curve(name):
        raise DMLTeachError(
            f"the {name} loss compares each part of an ensemble's embedding by itself, with weights that "
            "depend on the parts before it; choose another loss."
        )
    loss = _create(name, options)
    on_sphere = _needs_sphere(loss)
    grid = np.linspace(FARTHEST / STEPS, FARTHEST, STEPS)
    d = grid if distance is None else np.asarray(distance, float)
    if not ((d > 0) & (d <= (FARTHEST if on_sphere else math.inf))).all():
        raise DMLTeachError(
            f"distances must lie above 0{' and up to 2, the diameter of the sphere' if on_sphere else ''}."
        )
    # One that compares whole pairs of other classes needs two negatives, which then lie in one place.
    scenes = ((x, FIXED) for x in grid)
    copies = 1 if any(any(_pulls(loss, *one, on_sphere, 1)) for one in scenes) else 2
    pull = np.array([_pulls(loss, x, FIXED, on_sphere, copies)[0] for x in d]) + 0.0  # no -0
    push = np.array([-_pulls(loss, FIXED, x, on_sphere, copies)[1] for x in d]) + 0.0
    return Weights(d, pull, push, on_sphere)


def _create(name: str, options: dict[str, Any]) -> Loss:
    facts = {"num_classes": 2, "embedding_dim": 3}
    given = {key: value for key, value in facts.items() if key in losses.options(name)}
    return losses.create(name, **given, **options).double()


def _needs_sphere(loss: Loss) -> bool:
    """Whether a loss compares directions or inner products: then a shift of all embeddings changes it."""
    if loss.geometry == "sphere" or loss.compares == "learned class vectors":
        return True
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(12, 3, generator=generator, dtype=torch.float64)
    labels = torch.arange(12) % 3
    return not torch.isclose(loss(z, labels), loss(z + 1, labels))


def _pulls(
    loss: Loss, to_positive: float, to_negative: float, on_sphere: bool, copies: int
) -> tuple[float, float]:
    """How far the negative gradient moves the anchor towards the positive, and towards the negative."""
    positions = scene(to_positive, to_negative, on_sphere)
    if loss.compares == "learned class vectors":
        _place_class_vectors(loss, positions[[OWN, OTHER]])
        z, labels = positions[:1], torch.tensor([0])
    else:
        z = torch.cat([positions, positions[[OTHER] * (copies - 1)]])
        labels = torch.tensor([0, 0] + [1] * copies)
    z.requires_grad_()
    value = loss(z, labels, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad(value, z)
    return -gradient[ANCHOR, OWN].item(), -gradient[ANCHOR, OTHER].item()


def scene(to_positive: float, to_negative: float, on_sphere: bool) -> Tensor:
    """Anchor, positive and negative, (3, 3): the ways to both begin at a right angle.

    Args:
        to_positive: distance of anchor and positive.
        to_negative: distance of anchor and negative.
        on_sphere: on the unit sphere, or in a plane with the anchor at 0.
    """
    positions = torch.zeros(3, 3, dtype=torch.float64)
    for row, d in ((OWN, to_positive), (OTHER, to_negative)):
        angle = 2 * math.asin(d / 2) if on_sphere else 0.0
        positions[row, ANCHOR] = math.cos(angle) if on_sphere else 0.0
        positions[row, row] = math.sin(angle) if on_sphere else d
    positions[ANCHOR, ANCHOR] = float(on_sphere)
    return positions


@torch.no_grad()
def _place_class_vectors(loss: Loss, vectors: Tensor) -> None:
    """Put the learned vectors of two classes at (2, 3) positions; biases become 0."""
    for parameter in loss.parameters():
        if parameter.shape[-1] == vectors.shape[-1]:
            parameter.copy_(vectors.reshape(2, *[1] * (parameter.ndim - 2), -1))
        else:
            parameter.zero_()


@styled
def weights_against_distance(name: str, **options: Any) -> Picture:
    """Draw pull and push of a loss against distance.

    Args:
        name: of the loss.
        options: of it.

    Returns:
        The figure; its alt text tells the values at three distances and where each is largest.

    Raises:
        DMLTeachError: as `weight_curve`.
    """
    curve = weight_curve(name, **options)
    figure = Picture(6.4, 3.0)
    axes = figure.subplots()
    kind = "class vector" if losses.LOSSES[name].compares == "learned class vectors" else ""
    own, other = (f"own {kind}", f"other {kind}") if kind else ("positive", "negative")
    axes.axhline(0, color="#4d4d4d", linewidth=0.8)
    axes.plot(curve.distance, curve.positive, color=POSITIVE, label=f"pull of the {own}")
    axes.plot(
        curve.distance, curve.negative, color=NEGATIVE, linestyle=(0, (5, 2)), label=f"push of the {other}"
    )
    where = "on the unit sphere" if curve.on_sphere else "in the plane"
    axes.set(xlabel=f"distance to the anchor, {where}", ylabel="gradient on the anchor", xlim=(0, FARTHEST))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    pull = _in_words(f"Pull of the {own}", curve.distance, curve.positive)
    push = _in_words(f"Push of the {other}", curve.distance, curve.negative)
    figure.alt = (
        f"The {name} loss: gradient on an anchor against the distance of the example that moves, {where}; "
        f"the other stays at distance 1. {pull} {push}"
    )
    return figure


def _in_words(what: str, distance: np.ndarray, weight: np.ndarray) -> str:
    size = np.abs(weight)
    if not size.max() > 1e-12:
        return f"{what}: 0 everywhere."
    at = ", ".join(f"{np.interp(d, distance, weight):.2g} at {d}" for d in (0.5, 1.0, 1.5))
    largest = np.flatnonzero(size > size.max() * (1 - 1e-6))
    if len(largest) > 1:
        first, last = distance[largest[[0, -1]]]
        return f"{what}: {at}; largest, {weight[largest[0]]:.2g}, from {first:.2g} to {last:.2g}."
    return f"{what}: {at}; largest, {weight[largest[0]]:.2g}, at {distance[largest[0]]:.2g}."
