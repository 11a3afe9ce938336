"""The formulas of the playground's module equal autograd of the library's losses."""

import base64

import pytest
import torch

from dmlteach.course.widgets import TripletPlayground, loss_and_gradient

EVALUATE = """async ([source, loss, states]) => {
    const module = await import("data:text/javascript;base64," + source);
    return states.map(([points, margin]) => module.closedForm(loss, points, margin));
}"""


def random_states(dimension: int, count: int) -> list:
    generator = torch.Generator().manual_seed(dimension)
    points = 4 * torch.rand(count, 3, dimension, generator=generator, dtype=torch.float64) - 2
    margins = 2 * torch.rand(count, generator=generator, dtype=torch.float64)
    return list(zip(points.tolist(), margins.tolist(), strict=True))


def special_states(dimension: int) -> list:
    """Points that coincide, and triplets exactly at the margin: 0.2 + 0.4² = 0.6², on a grid of a tenth."""
    pad = [0.0] * (dimension - 1)
    x, y, z = ([v, *pad] for v in (-0.7, 0.3, 0.31))
    ties = [(points, 0.2) for points in ([x, x, x], [x, x, y], [x, y, x], [y, x, x], [y, y, z], [z, y, y])]
    edge = [([[k / 10, *pad], [k / 10 + 0.4, *pad], [k / 10 + 0.6, *pad]], 0.2) for k in range(-20, 15)]
    beside = [([a, p, [n[0] + step, *pad]], m) for (a, p, n), m in edge for step in (-1e-4, 1e-4)]
    return [*ties, *edge, *beside, ([x, y, z], 0.0)]


@pytest.mark.parametrize("dimension", [1, 2])
@pytest.mark.parametrize("loss", ["triplet", "sst", "contrastive"])
def test_closed_form_equals_autograd(page, loss, dimension):
    states = random_states(dimension, 200) + special_states(dimension)
    source = base64.b64encode(TripletPlayground._esm.encode()).decode()
    by_formula = page.evaluate(EVALUATE, [source, loss, states])
    for (points, margin), formula in zip(states, by_formula, strict=True):
        value, gradient = loss_and_gradient(loss, points, margin)
        assert formula["loss"] == pytest.approx(value, abs=1e-8), (points, margin)
        for ours, theirs in zip(formula["gradient"], gradient, strict=True):
            assert ours == pytest.approx(theirs, abs=1e-8), (points, margin)
