"""The playground on a page without a kernel: opened from a file, with the network off."""

import pytest
import torch

from dmlteach.course.widgets import TripletPlayground
from dmlteach.losses import sst_loss, triplet_loss
from tests.browser.waiting import painted


def negative_gradients(loss, points) -> list[list[float]]:
    """By autograd of the library, in this process."""
    z = torch.tensor(points, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([[1], [-1], [-1]])
    loss(z, torch.tensor([0, 0, 1]), targets=targets).backward()
    return (-z.grad).tolist()


def shown(page, loss: str) -> list[list[float]]:
    return [
        page.eval_on_selector(
            f"td[data-loss={loss}][data-of={key}]", "cell => JSON.parse(cell.dataset.value)"
        )
        for key in "apn"
    ]


def close(given, expected):
    return torch.allclose(torch.tensor(given), torch.tensor(expected), atol=1e-6)


def test_it_reacts_to_the_keyboard_without_any_request(from_disk):
    page = from_disk(TripletPlayground(line=[0, 1, 0.8]))
    page.focus("[data-key=n]")
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowRight")
    page.wait_for_selector('[data-key=n][aria-label="negative, x 0.31"]')
    for name, loss in (("triplet", triplet_loss), ("sst", sst_loss)):
        assert close(shown(page, name), negative_gradients(loss, [[0.0], [1.0], [0.31]]))
    assert "formula" in page.inner_text(".dml-badge")
    page.wait_for_function(
        "document.querySelector('.dml-status').textContent.includes('opposite directions')"
    )


def test_the_sentence_is_seen_with_the_points_and_read_aloud_after_a_rest(from_disk):
    page = from_disk(TripletPlayground(line=[0, 1, 0.4]))
    page.wait_for_function("document.querySelector('[role=status]').textContent.includes('opposite')")
    seen, spoken = page.evaluate(
        """() => new Promise((done) => {
            const line = (selector) => document.querySelector(selector).textContent;
            const n = document.querySelector('[data-key=n]');
            n.focus();
            n.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true }));
            n.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true }));
            const told = () => done([line('.dml-status'), line('[role=status]')]);
            requestAnimationFrame(() => requestAnimationFrame(told));  // drawn by then
        })"""
    )
    assert "push n the same way" in seen and "opposite" in spoken
    page.wait_for_function("document.querySelector('[role=status]').textContent.includes('the same way')")
    assert page.text_content("[role=status]") == page.text_content(".dml-status")
    assert page.get_attribute(".dml-status", "aria-hidden") == "true"  # or it would be read twice


def test_moving_the_mark_moves_the_points(from_disk):
    page = from_disk(TripletPlayground(line=[0, 0, 0]))
    page.focus("[data-key=mark]")
    for _ in range(3):
        page.keyboard.press("ArrowRight")  # the anchor goes right, the other two stay together
    page.wait_for_selector('[data-key=mark][aria-label*="a − p 0.30, p − n 0.00, n − a −0.30"]')
    assert page.get_attribute("[data-key=a]", "aria-label") == "anchor, x 0.20"
    assert page.get_attribute("[data-key=p]", "aria-label") == "positive, x −0.10"


def test_the_mark_follows_a_dragged_point(from_disk):
    page = from_disk(TripletPlayground(line=[0, 1, 0.8]))
    before = page.get_attribute("[data-key=mark]", "transform")
    box = page.locator("[data-key=p] .dml-shape").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 90, y, steps=4)
    page.mouse.up()
    page.wait_for_function(
        "before => document.querySelector('[data-key=mark]').getAttribute('transform') !== before", arg=before
    )
    assert float(page.get_attribute("[data-key=p]", "aria-valuenow")) < 0.7


def test_in_the_plane_a_click_places_the_chosen_point_and_step_follows_the_arrows(from_disk):
    page = from_disk(TripletPlayground(view="plane"), dark=True)
    page.locator(".dml-panels svg").first.click(position={"x": 120, "y": 100})
    start = [[-0.8, -0.4], [0.7, -0.6]]
    page.wait_for_function("document.querySelector('[data-key=n]').ariaLabel !== 'negative, x 0.10, y 0.50'")
    page.click("text=Show numbers")
    n = [float(page.input_value(f"input[aria-label='negative {axis}']")) for axis in "xy"]
    push = negative_gradients(sst_loss, [*start, n])
    page.click("button:text-is('Step')")
    expected = n[0] + 0.25 * push[2][0]
    page.wait_for_function(
        "x => Math.abs(document.querySelector('[data-key=n]').getAttribute('aria-valuenow') - x) < 1e-3",
        arg=expected,
    )


def test_nothing_moves_by_itself_and_tab_leaves(from_disk):
    page = from_disk(TripletPlayground())
    label = page.get_attribute("[data-key=n]", "aria-label")
    page.wait_for_timeout(700)
    assert page.get_attribute("[data-key=n]", "aria-label") == label
    page.focus("[data-key=n]")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.matches('.dml-playground')")
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
    assert page.evaluate("document.activeElement === document.body")


def test_play_goes_on_until_paused(from_disk):
    page = from_disk(TripletPlayground(line=[-1, 1, 0.5]))
    page.click("button:text-is('Play')")
    page.wait_for_function("document.querySelector('[data-key=a]').getAttribute('aria-valuenow') > -0.9")
    page.click("button:text-is('Pause')")
    painted(page)
    paused = page.get_attribute("[data-key=a]", "aria-valuenow")
    page.wait_for_timeout(300)
    assert page.get_attribute("[data-key=a]", "aria-valuenow") == paused
    page.click("button:text-is('Reset')")
    page.wait_for_selector('[data-key=a][aria-label="anchor, x −1.00"]')


@pytest.mark.parametrize("view", ["line", "plane"])
def test_whatever_has_the_focus_keeps_its_keys_from_jupyter(from_disk, view):
    # Notebook 7 matches shortcuts on the focused element before it looks at those around it.
    page = from_disk(TripletPlayground(view=view, numbers=True))
    focusable = ".dml-playground, .dml-playground :is([tabindex], button, input, select, summary)"
    unmarked = f"[...document.querySelectorAll('{focusable}')].filter(e => !e.dataset.lmSuppressShortcuts)"
    assert page.locator(focusable).count() > 15
    assert page.evaluate(f"{unmarked}.map(element => element.outerHTML)") == []


@pytest.mark.parametrize("view", ["line", "plane"])
def test_it_fits_a_phone_and_its_points_are_large_enough_to_touch(from_disk, view):
    page = from_disk(TripletPlayground(view=view))
    page.set_viewport_size({"width": 360, "height": 800})
    page.wait_for_function("document.querySelector('.dml-stage svg').clientWidth < 360")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for key in "apn":
        box = page.locator(f"[data-key={key}] .dml-hit").bounding_box()
        assert min(box["width"], box["height"]) >= 24
