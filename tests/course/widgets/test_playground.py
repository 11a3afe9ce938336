"""The playground in the kernel: values are autograd's, states are checked, the output suits all hosts."""

import json
import re

import pytest
import torch

from dmlteach.course.widgets import TripletPlayground, loss_and_gradient
from dmlteach.errors import DMLTeachError

MARGIN = 0.2


def spec_gradients(loss: str, a, p, n):
    """The formulas of the paper, written out for one triplet."""
    if loss == "triplet":
        active = MARGIN + (a - p).square().sum() > (a - n).square().sum()
        return [2 * active * g for g in (n - p, p - a, a - n)]
    s = torch.sigmoid((a - p).square().sum() - ((a - n).square().sum() + (p - n).square().sum()) / 2)
    return [s * g for g in (a - 2 * p + n, p - 2 * a + n, a + p - 2 * n)]


@pytest.mark.parametrize("dimension", [1, 2])
@pytest.mark.parametrize("loss", ["triplet", "sst"])
def test_values_are_those_of_the_papers_formulas(loss, dimension):
    generator = torch.Generator().manual_seed(3)
    for points in torch.randn(50, 3, dimension, generator=generator, dtype=torch.float64):
        _, gradient = loss_and_gradient(loss, points.tolist(), MARGIN)
        expected = torch.stack(spec_gradients(loss, *points))
        torch.testing.assert_close(torch.tensor(gradient, dtype=torch.float64), expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize("loss", ["triplet", "sst", "contrastive"])
def test_gradient_is_the_slope_of_the_loss(loss):
    points = [[-0.5, 0.3], [0.4, 0.1], [0.1, 0.6]]
    _, gradient = loss_and_gradient(loss, points)
    for i in range(3):
        for k in range(2):
            ahead, behind = ([list(z) for z in points] for _ in range(2))
            ahead[i][k] += 1e-5
            behind[i][k] -= 1e-5
            slope = (loss_and_gradient(loss, ahead)[0] - loss_and_gradient(loss, behind)[0]) / 2e-5
            assert slope == pytest.approx(gradient[i][k], abs=1e-6)


def test_exactly_at_the_margin_the_triplet_loss_moves_nothing():
    for a in (-1.3, -0.4, 0.0, 0.7, 1.1):  # 0.2 + 0.4² = 0.6², whatever the rounding of each sum
        _, gradient = loss_and_gradient("triplet", [[a], [a + 0.4], [a + 0.6]], MARGIN)
        assert gradient == [[0.0], [0.0], [0.0]]


def test_moving_a_point_from_python_changes_the_values():
    playground = TripletPlayground(line=[0, 1, 0.8])
    before = playground.values["sst"]["gradient"][2][0]
    playground.line = [0, 1, 0.2]
    after = playground.values["sst"]["gradient"][2][0]
    assert before < 0 < after  # pushed right of the midpoint to the right, left of it to the left
    assert playground.answer["points"] == [[0.0], [1.0], [0.2]]


def test_the_values_follow_view_and_margin():
    playground = TripletPlayground(line=[0, 1, 1.2])
    assert playground.values["triplet"]["loss"] == 0
    playground.margin = 1.0
    assert playground.values["triplet"]["loss"] == pytest.approx(1 + 1 - 1.44)
    playground.view = "plane"
    assert [len(g) for g in playground.values["sst"]["gradient"]] == [2, 2, 2]


def test_a_message_from_the_figure_is_answered_with_the_state_it_belongs_to():
    playground = TripletPlayground()
    playground.set_state({"line": [0.1, 0.2, 0.3], "margin": 0.5})  # what the front-end's message does
    assert playground.answer["points"] == [[0.1], [0.2], [0.3]]
    assert playground.answer["margin"] == 0.5
    expected = loss_and_gradient("triplet", [[0.1], [0.2], [0.3]], 0.5)
    assert (playground.values["triplet"]["loss"], playground.values["triplet"]["gradient"]) == expected


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("view", "circle", "unknown view 'circle'.*line, plane"),
        ("follow", "tripplet", "did you mean 'triplet'"),
        ("line", [0, 1], r"\[a, p, n\]"),
        ("line", [0, 1, "far"], r"\[a, p, n\]"),
        ("line", [0, 1, float("nan")], "within ±2.5"),
        ("plane", [[0, 0], [1, 1], [0, 9]], "within ±2"),
        ("plane", [0, 1, 2], r"\[ax, ay\]"),
        ("margin", -0.1, "0 to 2"),
    ],
)
def test_a_state_that_cannot_be_is_refused_by_name(name, value, message):
    with pytest.raises(DMLTeachError, match=message):
        TripletPlayground(**{name: value})
    playground = TripletPlayground()
    before = getattr(playground, name)
    with pytest.raises(DMLTeachError, match=message):
        setattr(playground, name, value)
    assert getattr(playground, name) == before


def test_output_holds_the_widget_and_html_that_loads_nothing():
    data, _ = TripletPlayground(view="plane", contrastive=True)._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    page = data["text/html"]
    assert not re.search(r"""(src|href)=["'](?!data:)|url\(["']?http|\bimport\b""", page)
    assert TripletPlayground._esm in page
    state = json.loads(re.search(r'data-state="([^"]+)"', page)[1].replace("&quot;", '"'))
    assert state["view"] == "plane"
    assert state["contrastive"]


def test_the_picture_says_what_it_shows():
    page = TripletPlayground(line=[0, 1, 0.3])._repr_mimebundle_()[0]["text/html"]
    alt = re.search(r'alt="([^"]+)"', page)[1]
    assert "anchor at 0.00, positive at 1.00, negative at 0.30" in alt
    assert "triplet loss 1.11, negative gradients: a by 1.40, p by −2.00, n by 0.60." in alt


def test_the_module_is_small():
    assert len(TripletPlayground._esm.encode()) <= 40_000
