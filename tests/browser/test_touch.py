"""Under a finger: points are dragged, characters are drawn, and the page can still be scrolled."""

import re

import pytest
import torch

from dmlteach import data
from dmlteach.course.widgets import EmbeddingLab, RetrievalBrowser, TripletPlayground
from dmlteach.losses import sst_loss
from tests.browser.waiting import painted

PHONE = {"size": (360, 740), "has_touch": True, "is_mobile": True}
LABELS, ONLY_ROW_0 = torch.tensor([0, 0, 1]), torch.tensor([[1], [-1], [-1]])


def swipe(page, start: tuple[float, float], by: tuple[float, float], steps: int = 8) -> None:
    """One finger down at `start`, moved by `by`, and lifted: real touch events of the browser."""
    client = page.context.new_cdp_session(page)
    for i in range(steps + 1):
        x, y = (a + b * i / steps for a, b in zip(start, by, strict=True))
        kind = "touchMove" if i else "touchStart"
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
        page.wait_for_timeout(20)
    client.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    painted(page)


def centre(page, key: str) -> tuple[float, float]:
    box = page.locator(f"[data-key={key}] .dml-hit").first.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.mark.parametrize("view", ["line", "plane"])
def test_a_finger_drags_a_point_and_the_values_are_those_of_the_library(from_disk, view):
    page = from_disk(TripletPlayground(view=view, numbers=True), **PHONE)
    page.locator("[data-key=n]").first.scroll_into_view_if_needed()
    scrolled = page.evaluate("scrollY")
    before = centre(page, "n")
    swipe(page, before, (-60, 0))
    after = centre(page, "n")
    assert after[0] == pytest.approx(before[0] - 60, abs=6) and after[1] == pytest.approx(before[1], abs=6)
    assert page.evaluate("scrollY") == scrolled  # the finger moved the point, not the page

    places = [page.get_attribute(f"[data-key={key}]", "aria-valuetext").replace("−", "-") for key in "apn"]
    points = [[float(number) for number in re.findall(r"-?[0-9.]+", place)] for place in places]
    z = torch.tensor(points, dtype=torch.float64, requires_grad=True)
    sst_loss(z, LABELS, targets=ONLY_ROW_0).backward()
    shown = page.eval_on_selector("td[data-loss=sst][data-of=n]", "cell => JSON.parse(cell.dataset.value)")
    assert shown == pytest.approx((-z.grad[2]).tolist(), abs=0.02)


@pytest.mark.parametrize("view", ["line", "plane"])
def test_points_are_44_pixels_wide_for_a_finger(from_disk, view):
    page = from_disk(TripletPlayground(view=view), **PHONE)
    for key in "apn":
        box = page.locator(f"[data-key={key}] .dml-hit").first.bounding_box()
        assert min(box["width"], box["height"]) >= 44
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_swipe_beside_the_points_scrolls_the_page(from_disk):
    page = from_disk(TripletPlayground(view="plane", numbers=True), **PHONE)
    before = [page.get_attribute(f"[data-key={key}]", "aria-label") for key in "apn"]
    swipe(page, (20, 500), (0, -250))
    assert page.evaluate("scrollY") > 100
    assert [page.get_attribute(f"[data-key={key}]", "aria-label") for key in "apn"] == before


def test_a_finger_draws_a_stroke_on_the_pad_and_does_not_scroll(from_disk):
    gallery = data.load("omniglot", "test", classes=3)
    page = from_disk(RetrievalBrowser(gallery, ("untrained", "sst"), queries=2, view="draw"), **PHONE)
    pad = page.locator(".dml-pad")
    pad.scroll_into_view_if_needed()
    scrolled, box = page.evaluate("scrollY"), pad.bounding_box()
    swipe(page, (box["x"] + 40, box["y"] + 40), (80, 120))
    assert "1 stroke" in pad.get_attribute("aria-label")
    drawn = page.locator(".dml-ink").bounding_box()
    assert drawn["height"] - drawn["width"] == pytest.approx(120 - 80, abs=4)
    assert 80 < drawn["width"] < 105  # and the width of the pen
    assert page.evaluate("scrollY") == scrolled


def test_a_tap_in_the_plane_looks_at_another_drawing_and_a_swipe_there_scrolls(from_disk):
    page = from_disk(EmbeddingLab(), **PHONE)
    cloud = page.locator("[data-cloud]")
    cloud.scroll_into_view_if_needed()
    looked_at = ".dml-strip [role=img]"
    before, box = page.get_attribute(looked_at, "aria-label"), cloud.bounding_box()
    page.touchscreen.tap(box["x"] + 5, box["y"] + 40)  # the drawing nearest to a corner
    page.wait_for_function(
        "([place, before]) => document.querySelector(place).getAttribute('aria-label') !== before",
        arg=[looked_at, before],
    )
    scrolled = page.evaluate("scrollY")
    swipe(page, (box["x"] + 100, box["y"] + 250), (0, -200))
    assert page.evaluate("scrollY") > scrolled + 100
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
