"""The training replay on a page without a kernel: opened from a file, with the network off."""

import pytest

from dmlteach.widgets import TrainingReplay
from dmlteach.widgets.training_replay import curves

LAST = 24
SLIDER = "input[aria-label=epoch]"


@pytest.fixture
def static(browser, tmp_path):
    """Opens the HTML that a replay leaves in an executed notebook; nothing may be requested."""
    contexts, requests, errors = [], [], []

    def open_page(dark: bool = False, size=(1200, 1000), context=None, **state):
        body = TrainingReplay(**state)._repr_mimebundle_()[0]["text/html"]
        style = "background:#111;color:#eee" if dark else "background:#fff;color:#111"
        path = tmp_path / "page.html"
        path.write_text(
            f'<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            f'<body style="{style}">{body}</body>',
            encoding="utf-8",
        )
        viewport = {"width": size[0], "height": size[1]}
        contexts.append(browser.new_context(offline=True, viewport=viewport, **(context or {})))
        page = contexts[-1].new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(path.as_uri())
        page.wait_for_selector(".dml-training_replay [data-curve=loss]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []


def says(page, words: str) -> None:
    page.wait_for_function("w => document.querySelector('.dml-status').textContent.includes(w)", arg=words)


def marker(page, side: str, key: str = "loss") -> tuple[float, float]:
    dot = page.locator(f"[data-curve={key}][data-of={side}] .dml-dot")
    return float(dot.get_attribute("cx")), float(dot.get_attribute("cy"))


def test_the_answer_is_two_actions_away_and_hidden_until_then(static):
    page = static()
    assert page.locator("[data-cloud]").count() == 0
    assert page.locator("[data-curve]").count() == 2
    assert "hardest" not in page.inner_text(".dml-training_replay")
    page.select_option("label:has-text('my prediction') select", "right")
    page.click("button:text-is('Show the points')")
    says(page, "Your prediction: right; collapsed at the end: right.")
    assert page.locator("[data-cloud]").count() == 2
    assert "hardest triplet of each anchor" in page.inner_text(".dml-stage")


def test_what_it_shows_is_what_was_recorded(static):
    page = static(left="sst", right="hardest", revealed=True, epoch=7, numbers=True)
    for side, name in (("left", "sst"), ("right", "hardest")):
        for key in ("loss", "recall", "distance"):
            cells = page.locator(f"td[data-of={side}][data-key={key}]")
            shown = cells.evaluate_all("cells => cells.map(cell => cell.dataset.value)")
            known = [float(value) for value in shown if value is not None]
            assert known == pytest.approx([v for v in curves()[name][key] if v is not None], rel=1e-4)
            assert len(known) == (LAST if key == "loss" else LAST + 1)  # no loss before training
    assert page.locator("tr[aria-current]").get_attribute("data-epoch") == "7"
    label = page.get_attribute("[data-curve=recall][data-of=left]", "aria-label")
    assert f"epoch 7 of 24: {round(100 * curves()['sst']['recall'][7])} %" in label


def test_the_marker_and_the_points_follow_the_epoch(static):
    page = static(revealed=True, epoch=LAST)
    before, cloud = marker(page, "left"), page.inner_html("[data-cloud=right]")
    page.focus(SLIDER)
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    page.wait_for_function("document.querySelector('.dml-epoch').textContent === '21 of 24'")
    assert marker(page, "left")[0] < before[0]
    assert page.inner_html("[data-cloud=right]") != cloud
    page.keyboard.press("Home")
    says(page, "Before training. Left, run A: different characters")


def spread(page, side: str) -> float:
    """Width of what is drawn inside a frame, as a share of the frame."""
    return page.eval_on_selector(
        f"[data-cloud={side}]",
        """svg => { const boxes = [...svg.querySelectorAll('.dml-points')].map(p => p.getBBox());
            const low = Math.min(...boxes.map(b => b.x)), high = Math.max(...boxes.map(b => b.x + b.width));
            return (high - low) / svg.clientWidth; }""",
    )


def test_the_collapsed_run_is_one_spot_until_it_is_magnified(static):
    page = static(revealed=True, epoch=LAST)
    assert spread(page, "right") < 0.1 < 0.2 < spread(page, "left")
    page.check("label:has-text('magnify') input")
    page.wait_for_function("document.querySelector('[data-cloud=right]').textContent.includes('magnified')")
    assert spread(page, "right") > 0.5


def test_play_runs_to_the_last_epoch_and_stops(static):
    page = static(epoch=LAST - 3)
    page.click("button:text-is('Play')")
    page.wait_for_selector("button:text-is('Pause')")
    page.wait_for_function("document.querySelector('.dml-epoch').textContent === '24 of 24'")
    page.wait_for_selector("button:text-is('Play')")
    page.click("button:text-is('Play')")  # from the end it begins anew
    page.wait_for_function("parseInt(document.querySelector('.dml-epoch').textContent) < 3")
    page.click("button:text-is('Pause')")
    page.click("button:text-is('Reset')")
    page.wait_for_function("document.querySelector('.dml-epoch').textContent === '21 of 24'")


def test_nothing_plays_by_itself_and_less_motion_means_slower_steps(static):
    page = static(context={"reduced_motion": "reduce"})
    page.wait_for_timeout(700)
    assert page.inner_text(".dml-epoch") == "0 of 24"
    page.click("button:text-is('Play')")
    page.wait_for_timeout(600)
    assert page.inner_text(".dml-epoch") == "0 of 24"
    page.wait_for_function("document.querySelector('.dml-epoch').textContent === '1 of 24'")


def test_the_takeaway_is_reached_by_keyboard_alone(static):
    page = static()
    seen = []
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.textContent"))
        if seen[-1] == "Show the points":
            page.keyboard.press("Enter")
            says(page, "Before training.")
        if seen[-1] == "Takeaway":
            break
    assert seen[-1] == "Takeaway" and "Show the points" in "".join(seen)
    page.keyboard.press("Enter")
    assert "look at the distances too" in page.inner_text("details:last-of-type")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.matches('.dml-training_replay')")


def test_named_states_hide_the_answer_or_show_it(static):
    page = static()
    page.click("button:text-is('collapsed beside healthy')")
    says(page, "Epoch 24 of 24.")
    says(page, "apart on average (1.")  # of that before training, in per cent
    assert page.locator("[data-cloud]").count() == 2
    page.click("button:text-is('pair 2')")
    says(page, "points hidden")
    assert page.locator("[data-cloud]").count() == 0
    assert "loss of run C" in page.get_attribute("[data-curve][data-of=right]", "aria-label")


def test_either_column_can_hold_any_run(static):
    page = static(revealed=True, epoch=LAST)
    page.select_option(".dml-controls label:has-text('right') >> nth=-1 >> select", "contrastive")
    says(page, "Right, run E")
    says(page, "not collapsed")


@pytest.mark.parametrize("revealed", [False, True])
def test_whatever_has_the_focus_keeps_its_keys_from_jupyter(static, revealed):
    page = static(revealed=revealed, numbers=True)
    focusable = ".dml-explorable, .dml-explorable :is([tabindex], button, input, select, summary)"
    unmarked = f"[...document.querySelectorAll('{focusable}')].filter(e => !e.dataset.lmSuppressShortcuts)"
    assert page.locator(focusable).count() > 12
    assert page.evaluate(f"{unmarked}.map(e => e.outerHTML).filter(e => !e.includes('dml-explorable'))") == []


@pytest.mark.parametrize("revealed", [False, True])
def test_it_fits_a_phone_and_its_controls_are_large_enough_to_touch(static, revealed):
    page = static(size=(360, 800), context={"has_touch": True, "is_mobile": True}, revealed=revealed)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for control in page.locator(".dml-explorable :is(button, select, summary, input[type=range])").all():
        if control.is_visible():
            assert control.bounding_box()["height"] >= 44, control.evaluate("e => e.outerHTML")
    page.locator(SLIDER).scroll_into_view_if_needed()
    box = page.locator(SLIDER).bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] - 6, box["y"] + box["height"] / 2)
    page.wait_for_function("parseInt(document.querySelector('.dml-epoch').textContent) > 20")


def test_an_unreadable_page_still_has_the_picture(static, browser):
    body = TrainingReplay(revealed=True, epoch=LAST)._repr_mimebundle_()[0]["text/html"]
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.set_content(body)
    picture = page.locator("img").first
    assert picture.bounding_box()["width"] > 300
    assert "Run B" in picture.get_attribute("alt")
    context.close()
