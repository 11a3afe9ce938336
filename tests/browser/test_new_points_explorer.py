"""The new-points explorer on a page without a kernel: opened from a file, with the network off."""

import base64

import pytest
import torch

from dmlteach.course.widgets import NewPointsExplorer
from dmlteach.course.widgets.new_points_explorer.making import nearest, new_points, reach
from dmlteach.course.widgets.new_points_explorer.widget import STATES
from tests.browser.test_touch import PHONE, swipe
from tests.browser.told import status

ROOT = ".dml-new_points_explorer"
EVALUATE = """async ([source, states]) => {
    const module = await import("data:text/javascript;base64," + source);
    return states.map(({ points, own, channels, low, high, shift }) =>
        module.making(points, own, channels, low, high, shift));
}"""


def random_states(number: int = 200) -> list[dict]:
    generator = torch.Generator().manual_seed(7)
    states = []
    for i in range(number):
        dim, own, others = 2 + i % 4, 2 + i % 5, 1 + i % 7
        points = 2 * torch.randn(own + others, dim, generator=generator, dtype=torch.float64)
        high = 1 + float(torch.rand((), generator=generator)) if i % 9 else 1.0
        shift = float(torch.rand((), generator=generator)) if i % 4 else 0.0
        states.append({
            "points": points.tolist(), "own": own, "channels": 1 + i % 2, "low": 2 - high, "high": high,
            "shift": shift,
        })  # fmt: skip
    return states


def test_points_counts_and_reach_equal_those_of_python(page):
    states = random_states()
    source = base64.b64encode(NewPointsExplorer._esm.encode()).decode()
    for state, ours in zip(states, page.evaluate(EVALUATE, [source, states]), strict=True):
        points = torch.tensor(state["points"], dtype=torch.float64)
        own = points[: state["own"]]
        made = new_points(own, 0, state["channels"], state["low"], state["high"], state["shift"])
        torch.testing.assert_close(torch.tensor(ours["made"], dtype=torch.float64), made, rtol=0, atol=1e-12)
        d = torch.cdist(made, points)
        mine = torch.tensor(ours["nearest"])
        assert float((d.gather(1, mine[:, None])[:, 0] - d.amin(1)).max()) < 1e-9  # ties may go either way
        assert ours["reach"] == pytest.approx(reach(made, own, 0), rel=1e-9, abs=1e-12)
        assert ours["inside"] == int((mine < state["own"]).sum())


@pytest.mark.parametrize("label", STATES)
def test_a_named_state_tells_the_numbers_of_the_kernel(from_disk, label):
    page = from_disk(NewPointsExplorer(0.8, 1.25, 0.5, 2, numbers=True))
    page.get_by_role("button", name=label).click()
    page.wait_for_selector(f"button[aria-pressed=true]:text-is('{label}')")
    explorer = NewPointsExplorer(**STATES[label], numbers=True)
    shown = {key: page.inner_text(f"[data-of={key}]") for key in ("inside", "others", "reach")}
    assert shown["inside"] == f"{explorer.inside} of {len(explorer.made)}"
    assert int(shown["others"]) == len(explorer.made) - explorer.inside
    assert shown["reach"].replace("\u00a0", " ") == f"{100 * explorer.reach:.0f} %"
    counts = page.eval_on_selector_all("td[data-of=count]", "all => all.map(e => Number(e.textContent))")
    assert sum(counts) == len(explorer.made) and sum(counts[:5]) == explorer.inside
    assert counts == torch.bincount(nearest(explorer.made, explorer.points), minlength=15).tolist()


def test_the_answer_to_the_question_is_two_actions_away(from_disk):
    page = from_disk(NewPointsExplorer())
    assert "0.5 to 2" in page.inner_text(".dml-question")
    status(page, "180 of 180 new points are nearest to a point of class A; nearly copies")
    page.focus("[data-key=range]")
    page.keyboard.press("End")
    wide = NewPointsExplorer(0.5, 2.0, 0.01)
    status(page, f"{wide.inside} of {len(wide.made)} new points")
    page.get_by_role("button", name="Reset").click()
    status(page, "180 of 180 new points")


def test_the_anchor_is_moved_by_keyboard_and_the_numbers_follow(from_disk):
    page = from_disk(NewPointsExplorer(0.8, 1.25, 0.1))
    page.focus("[data-key=anchor]")
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "Shift+ArrowDown"):
        page.keyboard.press(key)
    page.wait_for_selector("[data-key=anchor][aria-label*='at 2.1, 1.04']")
    moved = NewPointsExplorer(0.8, 1.25, 0.1, at=[2.1, 1.04])
    status(page, f"{moved.inside} of {len(moved.made)} new points")


@pytest.mark.parametrize("shift", [0.0, 0.01])
def test_an_anchor_on_a_classmate_has_numbers_all_the_same(from_disk, shift):
    page = from_disk(NewPointsExplorer(1.0, 1.0, shift))
    page.focus("[data-key=anchor]")
    for key in [*["ArrowRight"] * 4, *["ArrowDown"] * 2]:
        page.keyboard.press(key)
    page.wait_for_selector("[data-key=anchor][aria-label*='at 2.3, 0.75']")
    there = NewPointsExplorer(1.0, 1.0, shift, at=[2.3, 0.75])
    page.wait_for_function("!/Infinity|NaN/.test(document.body.innerText)")
    assert page.inner_text("[data-of=reach]").replace("\u00a0", " ") == f"{100 * there.reach:.0f} %"


def test_play_widens_the_range_to_its_end(from_disk):
    page = from_disk(NewPointsExplorer())
    page.get_by_role("button", name="Play").click()
    status(page, "Scales from 0.5 to 2 on one axis")
    page.wait_for_selector("button[aria-label^=Play]:text-is('Play')")


def test_axes_and_scene_are_chosen_by_menus(from_disk):
    page = from_disk(NewPointsExplorer(0.5, 2.0, 0.0))
    page.select_option("[data-key=channels]", "2")
    both = NewPointsExplorer(0.5, 2.0, 0.0, 2)
    status(page, f"on both axes, no shift: {both.inside} of 25 new points")
    page.select_option("[data-key=scene]", "far")
    far = NewPointsExplorer(0.5, 2.0, 0.0, 2, "far")
    status(page, f"{far.inside} of 25 new points")
    assert int(page.inner_text("[data-of=out]")) > 0


def centre(page) -> tuple[float, float]:
    box = page.locator("[data-key=anchor] .dml-hit").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_a_mouse_drags_the_anchor_and_a_click_places_it(from_disk):
    page = from_disk(NewPointsExplorer())
    x, y = centre(page)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y - 30, steps=5)
    page.mouse.up()
    page.wait_for_function("!document.querySelector('[data-key=anchor]').ariaLabel.includes('1.9, 0.95')")
    after = centre(page)
    assert after == pytest.approx((x + 40, y - 30), abs=2)
    box = page.locator(f"{ROOT} svg").bounding_box()
    page.mouse.click(box["x"] + 170, box["y"] + 170)
    page.wait_for_selector("[data-key=anchor][aria-label*='at 2.2, 2.2']")


def test_a_finger_drags_the_anchor_and_does_not_scroll(from_disk):
    page = from_disk(NewPointsExplorer(), **PHONE)
    page.locator("[data-key=anchor]").scroll_into_view_if_needed()
    scrolled, before = page.evaluate("scrollY"), centre(page)
    swipe(page, before, (50, -40))
    assert centre(page) != before
    assert page.evaluate("scrollY") == scrolled
    box = page.locator("[data-key=anchor] .dml-hit").bounding_box()
    assert min(box["width"], box["height"]) >= 44


@pytest.mark.parametrize("state", [{}, STATES["as for products"], STATES["far from the origin"]])
def test_it_fits_a_screen_and_a_phone(fits, state):
    fits(lambda: NewPointsExplorer(**state), ROOT)
