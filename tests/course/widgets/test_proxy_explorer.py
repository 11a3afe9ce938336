"""The proxy explorer in the kernel: its weights are those of the library's losses, bad states are refused."""

import html
import json
import re

import pytest
import torch

from dmlteach.course.widgets import ProxyExplorer
from dmlteach.course.widgets.proxy_explorer.listening import FAMILIES, on_circle, weights
from dmlteach.course.widgets.proxy_explorer.widget import SCENES, STATES, TELLTALES, packed
from dmlteach.distances import cosine_to
from dmlteach.errors import DMLTeachError

every_loss = pytest.mark.parametrize("loss", FAMILIES)


def random_state(seed: int):
    """Points, proxies and labels in more dimensions than there are points; scale and margin."""
    generator = torch.Generator().manual_seed(seed)
    n, classes = 4 + seed % 5, 2 + seed % 3
    z, p = (torch.randn(k, 16, generator=generator, dtype=torch.float64) for k in (n, classes))
    labels = torch.randint(classes, (n,), generator=generator)
    return z, labels, p, 2.0 ** (seed % 7), 0.1 * (seed % 6)


@every_loss
@pytest.mark.parametrize("seed", range(20))
def test_value_and_weights_are_those_of_the_librarys_loss(loss, seed):
    z, labels, p, scale, margin = random_state(seed)
    z.requires_grad_()
    p.requires_grad_()
    value = FAMILIES[loss].library(z, labels, p, scale, margin)
    by_points, by_proxies = torch.autograd.grad(value, (z, p))
    s = cosine_to(z, p).detach()
    torch.testing.assert_close(
        FAMILIES[loss].of_cosines(s, labels, scale, margin), value.detach(), rtol=1e-9, atol=1e-9
    )
    # The weights times the derivatives of the cosines; these are linearly independent, so that each counts.
    w, unit_z, unit_p = (
        weights(loss, s, labels, scale, margin),
        *(torch.nn.functional.normalize(x.detach()) for x in (z, p)),
    )
    of_points = (w @ unit_p - (w * s).sum(1, keepdim=True) * unit_z) / z.detach().norm(dim=1, keepdim=True)
    of_proxies = (w.T @ unit_z - (w * s).sum(0)[:, None] * unit_p) / p.detach().norm(dim=1, keepdim=True)
    size = max(1.0, float(w.abs().max()))
    torch.testing.assert_close(of_points, by_points, rtol=1e-6, atol=1e-8 * size)
    torch.testing.assert_close(of_proxies, by_proxies, rtol=1e-6, atol=1e-8 * size)


@every_loss
@pytest.mark.parametrize("scene", SCENES)
def test_the_forces_are_the_librarys_gradient_in_the_angle_of_a_proxy(loss, scene):
    explorer = ProxyExplorer(loss, 8.0, 0.3, scene, [75, 200, 340], focus=1)
    angles = torch.tensor(explorer.proxies, dtype=torch.float64).deg2rad().requires_grad_()
    proxies = torch.stack([angles.cos(), angles.sin()], 1)
    points = on_circle(SCENES[scene].degrees)
    FAMILIES[loss].library(points, explorer.labels, proxies, 8.0, 0.3).backward()
    assert float(explorer.forces.sum()) == pytest.approx(float(angles.grad[1]), abs=1e-9)
    assert float(explorer.shares.sum()) == pytest.approx(1)


def test_at_a_small_scale_a_proxy_listens_to_many_at_a_large_one_to_one():
    assert ProxyExplorer(**STATES["all of them"]).half == 5
    assert ProxyExplorer(**STATES["only the hardest"]).half == 1


def test_a_proxy_of_proxy_nca_weighs_all_its_own_points_alike_and_the_others_do_not():
    for loss in FAMILIES:
        own = ProxyExplorer(loss, 32.0).weights[:5, 0]
        alike = float(own.max() - own.min()) < 1e-9 * float(own.abs().max())
        assert alike == (loss == "proxy_nca"), loss


@every_loss
def test_no_proxy_is_nearest_to_both_modes_of_a_class(loss):
    explorer = ProxyExplorer(**{**STATES["two modes"], "loss": loss})
    assert explorer.nearest == 0 and abs(float(explorer.forces.sum())) < 1e-9 * float(
        explorer.forces.abs().sum()
    )
    best = max(ProxyExplorer(scene="two", proxies=[angle, 225, 315]).nearest for angle in range(0, 360, 5))
    assert best == 3


def test_each_loss_has_words_and_each_scene_has_three_classes():
    assert TELLTALES.keys() == FAMILIES.keys()
    for scene in SCENES.values():
        assert set(scene.labels) == {0, 1, 2} and len(scene.labels) == len(scene.degrees)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"loss": "arcfase"}, "did you mean 'arcface'"),
        ({"scale": 3.0}, "scale is 3.0; choose one of 1, 2, 4"),
        ({"margin": 0.7}, "margin is 0.7; choose one of 0, 0.1"),
        ({"scene": "thwo"}, "did you mean 'two'"),
        ({"proxies": [1, 2]}, "give three angles"),
        ({"proxies": "abc"}, "give three angles"),
        ({"focus": 3}, "focus is 3; it is 0, 1 or 2"),
    ],
)
def test_a_state_that_cannot_be_is_refused_by_name(given, message):
    with pytest.raises(DMLTeachError, match=message):
        ProxyExplorer(**given)


def test_output_holds_the_widget_and_html_that_loads_nothing_and_is_small():
    page = ProxyExplorer("arcface", 32.0)._repr_mimebundle_()[0]
    assert "application/vnd.jupyter.widget-view+json" in page
    text = page["text/html"]
    assert not re.search(r"""(src|href)=["'](?!data:)|url\(["']?http|\bimport\b""", text)
    state = json.loads(html.unescape(re.search(r'data-state="([^"]+)"', text)[1]))
    assert state["loss"] == "arcface" and state["recorded"] == json.loads(json.dumps(packed()))
    assert len(ProxyExplorer._esm.encode()) <= 40_000 and len(json.dumps(packed())) <= 10_000


def test_the_picture_has_every_point_and_proxy_and_a_line_for_each_that_is_heard():
    explorer = ProxyExplorer()
    svg, alt = explorer.picture()
    assert svg.count("translate(") == 15 + 3
    assert svg.count("stroke-dasharray") == int((explorer.shares >= 0.002).sum())
    assert "5 of 15 points" in alt and "5 of its 5 points" in alt
