"""The proxy explorer on a page without a kernel: opened from a file, with the network off."""

import base64

import pytest
import torch

from dmlteach.course.widgets import ProxyExplorer
from dmlteach.course.widgets.proxy_explorer.listening import FAMILIES
from dmlteach.course.widgets.proxy_explorer.widget import STATES
from dmlteach.distances import cosine_to
from tests.browser.test_touch import PHONE, swipe
from tests.browser.told import status

ROOT = ".dml-proxy_explorer"
EVALUATE = """async ([source, loss, states]) => {
    const module = await import("data:text/javascript;base64," + source);
    return states.map(({ s, labels, scale, margin }) => module.listening(loss, s, labels, scale, margin));
}"""
STATES_PER_LOSS = 200


def random_states() -> list[dict]:
    """Batches of several sizes, scales and margins; proxies without a point of their class among them."""
    generator = torch.Generator().manual_seed(6)
    states = []
    for i in range(STATES_PER_LOSS):
        n, classes = (3, 6, 12)[i % 3], (2, 3, 5)[i % 5 % 3]
        z, p = (torch.randn(k, 24, generator=generator, dtype=torch.float64) for k in (n, classes))
        z[0] = p[i % classes] * (1, 1, -1)[i % 3] + (0.01 * z[0] if i % 2 else z[0])  # near it, or opposite
        states.append({
            "z": z, "p": p, "labels": torch.randint(classes, (n,), generator=generator),
            "scale": 64 ** float(torch.rand((), generator=generator)),
            "margin": 0.5 * float(torch.rand((), generator=generator)),
        })  # fmt: skip
    return states


def in_the_page(page, loss: str, states: list[dict]) -> list[dict]:
    given = [
        {
            "s": cosine_to(state["z"], state["p"]).tolist(), "labels": state["labels"].tolist(),
            "scale": state["scale"], "margin": state["margin"],
        }
        for state in states
    ]  # fmt: skip
    source = base64.b64encode(ProxyExplorer._esm.encode()).decode()
    return page.evaluate(EVALUATE, [source, loss, given])


@pytest.mark.parametrize("loss", FAMILIES)
def test_value_and_weights_equal_autograd_of_the_library(page, loss):
    states = random_states()
    for state, ours in zip(states, in_the_page(page, loss, states), strict=True):
        z, p = state["z"].clone().requires_grad_(), state["p"].clone().requires_grad_()
        value = FAMILIES[loss].library(z, state["labels"], p, state["scale"], state["margin"])
        value.backward()
        assert ours["value"] == pytest.approx(value.item(), rel=1e-9, abs=1e-9)
        w, s = torch.tensor(ours["weights"], dtype=torch.float64), cosine_to(z, p).detach()
        unit_z, unit_p = (torch.nn.functional.normalize(x.detach()) for x in (z, p))
        of_z = (w @ unit_p - (w * s).sum(1, keepdim=True) * unit_z) / z.detach().norm(dim=1, keepdim=True)
        of_p = (w.T @ unit_z - (w * s).sum(0)[:, None] * unit_p) / p.detach().norm(dim=1, keepdim=True)
        size = max(1.0, float(w.abs().max()))
        torch.testing.assert_close(of_z, z.grad, rtol=1e-6, atol=1e-8 * size)
        torch.testing.assert_close(of_p, p.grad, rtol=1e-6, atol=1e-8 * size)


def shares(page) -> list[float]:
    return [
        float(share)
        for share in page.eval_on_selector_all(f"{ROOT} .dml-heard", "all => all.map(e => e.dataset.share)")
    ]


@pytest.mark.parametrize("label", STATES)
def test_a_named_state_draws_the_numbers_of_the_kernel(from_disk, label):
    page = from_disk(ProxyExplorer("proxy_anchor", 4.0))
    page.get_by_role("button", name=label).click()
    page.wait_for_selector(f"button[aria-pressed=true]:text-is('{label}')")
    explorer = ProxyExplorer(**STATES[label])
    assert shares(page) == pytest.approx(explorer.shares.tolist(), abs=1e-9)
    assert page.inner_text("[data-of=half]") == f"{explorer.half} of {len(explorer.labels)} points"
    assert page.inner_text("[data-of=nearest]").startswith(f"{explorer.nearest} of ")


def test_the_answer_to_the_question_is_two_actions_away(from_disk):
    page = from_disk(ProxyExplorer())
    assert "at scale 32" in page.inner_text(".dml-question")
    status(page, "comes from 5 of 15 points")
    page.focus("[data-key=scale]")
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    status(page, "scale 32: half of what turns the proxy of A comes from 1 of 15 points")
    page.get_by_role("button", name="Reset").click()
    status(page, "scale 1: half of what turns the proxy of A comes from 5 of 15 points")


def test_a_proxy_is_moved_by_keyboard_and_the_table_follows(from_disk):
    page = from_disk(ProxyExplorer(numbers=True))
    page.focus("[data-key=proxy1]")
    status(page, "the proxy of B")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowRight")
    page.wait_for_selector("[data-key=proxy1][aria-valuenow='218']")
    explorer = ProxyExplorer(proxies=[92, 218, 325], focus=1)
    assert shares(page) == pytest.approx(explorer.shares.tolist(), abs=1e-9)
    told = page.eval_on_selector_all("td[data-of=weight]", "all => all.map(e => Number(e.dataset.value))")
    assert told == pytest.approx(explorer.weights[:, 1].tolist(), abs=1e-9)


@pytest.mark.parametrize("loss", FAMILIES)
def test_play_moves_the_proxy_to_where_its_forces_cancel(from_disk, loss):
    page = from_disk(ProxyExplorer(loss, 8.0, scene="two", proxies=[60, 225, 315]))
    page.get_by_role("button", name="Play").click()
    status(page, "pulls and pushes cancel, it rests")
    assert abs(float(page.get_attribute("[data-key=proxy0]", "aria-valuenow")) - 90) <= 2
    status(page, "0 of its 6 points are nearest to it")


def test_loss_margin_and_points_are_chosen_by_menus(from_disk):
    page = from_disk(ProxyExplorer())
    assert page.locator("[data-key=margin]").is_hidden()
    page.select_option("[data-key=loss]", "arcface")
    status(page, "ArcFace, scale 1, margin 0.1 (an angle, in radians)")
    page.focus("[data-key=margin]")
    page.keyboard.press("ArrowRight")
    status(page, "margin 0.2")
    page.select_option("[data-key=scene]", "two")
    status(page, "of 16 points")
    assert "of the six points of A" in page.inner_text(".dml-question")


def centre(page, c: int) -> tuple[float, float]:
    box = page.locator(f"[data-key=proxy{c}] .dml-hit").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_a_mouse_drags_a_proxy_and_a_click_places_the_focused_one(from_disk):
    page = from_disk(ProxyExplorer())
    page.mouse.move(*centre(page, 2))
    page.mouse.down()
    to = centre(page, 0)
    page.mouse.move(*to, steps=6)
    page.mouse.up()
    page.wait_for_function(
        "document.querySelector('[data-key=proxy2]').getAttribute('aria-valuenow') === '92'"
    )
    status(page, "the proxy of C")
    box = page.locator(f"{ROOT} svg").bounding_box()
    page.mouse.click(box["x"] + box["width"] - 20, box["y"] + box["height"] / 2)
    page.wait_for_function(
        "['0', '360'].includes(document.querySelector('[data-key=proxy2]').getAttribute('aria-valuenow'))"
    )


def test_a_finger_drags_a_proxy_and_does_not_scroll(from_disk):
    page = from_disk(ProxyExplorer(), **PHONE)
    page.locator("[data-key=proxy0]").scroll_into_view_if_needed()
    scrolled, before = page.evaluate("scrollY"), page.get_attribute("[data-key=proxy0]", "aria-valuenow")
    swipe(page, centre(page, 0), (70, 40))
    assert page.get_attribute("[data-key=proxy0]", "aria-valuenow") != before
    assert page.evaluate("scrollY") == scrolled
    box = page.locator("[data-key=proxy0] .dml-hit").bounding_box()
    assert min(box["width"], box["height"]) >= 44


@pytest.mark.parametrize("state", [{}, {"loss": "arcface", "margin": 0.5}, STATES["two modes"]])
def test_it_fits_a_screen_and_a_phone(fits, state):
    fits(lambda: ProxyExplorer(**state), ROOT)
