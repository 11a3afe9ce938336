"""Draw a character, from the disk and offline: by mouse, finger and keys, with and without its script."""

import pytest

from dmlteach.course.widgets import DrawCharacter
from dmlteach.course.widgets.draw_character import packing
from dmlteach.course.widgets.draw_character.measured import measured
from dmlteach.course.widgets.draw_character.search import Search
from dmlteach.course.widgets.draw_character.traced import EXAMPLES, traced
from dmlteach.course.widgets.strokes import draw_strokes, shrink
from tests.browser.test_touch import PHONE, swipe


@pytest.fixture
def opened(from_disk, tmp_path):
    """Opens the figure beside its script."""
    (tmp_path / packing.SCRIPT).write_text(packing.script(), encoding="utf-8")
    return lambda *traits, **context: from_disk(DrawCharacter(*traits, script=packing.SCRIPT), **context)


def choose(page, i: int) -> None:
    """Take a prepared drawing and wait for the answer."""
    page.locator(".dml-prepared input").nth(i).check()
    page.wait_for_function("() => /the nearest is/.test(document.querySelector('.dml-status').textContent)")


def found(page) -> list[int]:
    """Characters of the table, from 0."""
    rows = page.eval_on_selector_all("tr[data-character]", "rows => rows.map(row => row.dataset.character)")
    return [int(row) for row in rows]


def wait_for_found(page, strokes) -> None:
    """Until the page has answered the last movement as the kernel does."""
    page.wait_for_function(
        "wanted => [...document.querySelectorAll('tr[data-character]')].map(row => row.dataset.character)"
        ".join() === wanted.join()",
        arg=[neighbor.character for neighbor in Search().nearest(strokes)],
    )


def draw(page, points: list[tuple[float, float]]) -> None:
    """A stroke with the mouse, in shares of the pad."""
    page.locator(".dml-pad").scroll_into_view_if_needed()
    box = page.locator(".dml-pad").bounding_box()
    at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*at[0])
    page.mouse.down()
    for x, y in at[1:]:
        page.mouse.move(x, y, steps=8)
    page.mouse.up()


def test_nothing_is_loaded_before_the_first_stroke(opened):
    page = opened()
    page.wait_for_timeout(300)
    assert page.evaluate("globalThis.dmlteachDrawCharacter") is None
    assert page.inner_text(".dml-status") == "Nothing is drawn yet."
    assert page.locator("button:text-is('Undo')").is_disabled()
    draw(page, [(0.2, 0.2), (0.8, 0.7)])
    page.wait_for_function("() => globalThis.dmlteachDrawCharacter")


def test_the_prepared_drawings_get_the_kernels_answer_and_are_judged(opened):
    page = opened([], True)
    for i, one in enumerate(traced()[:EXAMPLES]):
        choose(page, i)
        page.wait_for_function(
            "i => document.querySelector('.dml-status').textContent.startsWith(`Prepared drawing ${i + 1}`)",
            arg=i,
        )
        nearest = Search().nearest(one.strokes)
        assert found(page) == [n.character for n in nearest]
        right = page.locator(".dml-nearest li").evaluate_all(
            "items => items.map(e => e.className === 'dml-right')"
        )
        assert right == [n.character == one.character for n in nearest]
        said = page.inner_text(".dml-status")
        assert ("which is right" in said) == (nearest[0].character == one.character)
        distances = page.eval_on_selector_all(
            "[data-distance]", "cells => cells.map(c => +c.dataset.distance)"
        )
        assert distances == pytest.approx([n.distance for n in nearest], abs=1e-3)
        bars = page.locator(".dml-bar").evaluate_all("bars => bars.map(bar => parseFloat(bar.style.width))")
        assert bars == pytest.approx([100 * n.similarity for n in nearest], abs=0.1)


def test_a_drawing_by_mouse_is_answered_as_in_the_kernel_and_undone_stroke_by_stroke(opened):
    page = opened([], True)
    draw(page, [(0.3, 0.2), (0.3, 0.8)])
    draw(page, [(0.3, 0.5), (0.7, 0.5), (0.7, 0.8)])
    page.wait_for_function(
        "() => /^Your drawing, 2 strokes/.test(document.querySelector('.dml-status').textContent)"
    )
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    path = page.get_attribute(".dml-pad .dml-drawn", "d")
    strokes = [
        [[float(v) for v in point.split()] for point in stroke.split("L")] for stroke in path.split("M")[1:]
    ]
    assert len(strokes) == 2 and all(len(stroke) > 5 for stroke in strokes)
    wait_for_found(page, strokes)
    page.click("button:text-is('Undo')")
    page.wait_for_function("() => /1 stroke:/.test(document.querySelector('.dml-status').textContent)")
    wait_for_found(page, strokes[:1])
    page.click("button:text-is('Clear')")
    page.wait_for_function(
        "() => document.querySelector('.dml-status').textContent === 'Nothing is drawn yet.'"
    )
    assert found(page) == [] and page.locator("button:text-is('Clear')").is_disabled()


def test_the_keyboard_alone_chooses_a_drawing_moves_it_and_clears_it(opened):
    page = opened([], True)
    page.focus(".dml-prepared input >> nth=0")
    page.keyboard.press("ArrowRight")  # from one prepared drawing to the next
    page.wait_for_function(
        "() => /^Prepared drawing 2/.test(document.querySelector('.dml-status').textContent)"
    )
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.matches('.dml-pad')")
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    moved = [[[x + 8, y + 1] for x, y in stroke] for stroke in traced()[1].strokes]
    ends = [n.character for n in Search().nearest(moved)]
    page.wait_for_function(
        """ends => JSON.stringify([...document.querySelectorAll("tr[data-character]")]
            .map(row => +row.dataset.character)) === JSON.stringify(ends)""",
        arg=ends,
    )
    assert page.inner_text(".dml-status").startswith("Prepared drawing 2")  # wherever it lies
    for _ in range(40):
        page.keyboard.press("ArrowLeft")  # as far as the edge
    page.wait_for_function(
        "() => /M0 |L0 /.test(document.querySelector('.dml-pad .dml-drawn').getAttribute('d'))"
    )
    assert "-" not in page.get_attribute(".dml-pad .dml-drawn", "d")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Clear"
    page.keyboard.press("Enter")
    page.wait_for_function(
        "() => document.querySelector('.dml-status').textContent === 'Nothing is drawn yet.'"
    )


def test_what_is_found_is_spoken_after_a_rest(opened):
    page = opened()
    choose(page, 0)
    page.wait_for_function("() => /the nearest is/.test(document.querySelector('[role=status]').textContent)")
    assert page.inner_text("[role=status]") == page.inner_text(".dml-status")
    labels = page.locator(".dml-tile").evaluate_all(
        "tiles => tiles.map(tile => tile.getAttribute('aria-label'))"
    )
    assert all("similarity" in label for label in labels) and len(labels) == 5


def test_the_page_says_how_often_it_is_right_and_what_the_untrained_network_reaches(opened):
    page = opened([], True)
    assert "first for" not in page.inner_text(".dml-note")  # the prediction comes first
    choose(page, 0)
    told, note = measured(), page.inner_text(".dml-note")
    for share in (*told["network"].values(), *told["baseline"].values()):
        assert f"{int(100 * share + 0.5)} %" in note
    assert "659 characters" in note and "200 drawings" in note
    table = page.locator(".dml-table table").nth(1).inner_text()
    assert [f"{100 * share:.1f} %" in table for share in told["network"].values()] == [True, True]
    legend = page.locator(".dml-table .dml-legend").last.inner_text()
    assert f"the same for {100 * told['full']['first']:.0f} %" in legend


def test_the_canvas_shows_what_the_network_gets(opened):
    page = opened()
    choose(page, 0)
    shown = page.evaluate("""() => [...document.querySelector(".dml-seen").getContext("2d")
        .getImageData(0, 0, 28, 28).data].filter((_, i) => i % 4 === 0).map(v => 255 - v)""")
    assert shown == shrink(draw_strokes(traced()[0].strokes)[None]).flatten().tolist()


def test_a_finger_draws_and_does_not_scroll(opened):
    page = opened(**PHONE)
    pad = page.locator(".dml-pad")
    pad.scroll_into_view_if_needed()
    scrolled, box = page.evaluate("scrollY"), pad.bounding_box()
    swipe(page, (box["x"] + 60, box["y"] + 60), (100, 120))
    page.wait_for_function(
        "() => /^Your drawing, 1 stroke/.test(document.querySelector('.dml-status').textContent)"
    )
    assert page.evaluate("scrollY") == scrolled
    for target in (".dml-prepared", "button"):
        for box in page.locator(target).evaluate_all("all => all.map(e => e.getBoundingClientRect().height)"):
            assert box >= 44


@pytest.mark.parametrize("width", [320, 360, 390, 1280])
def test_it_fits_a_window_of_any_width(opened, width):
    page = opened(size=(width, 800))
    choose(page, 0)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = page.locator(".dml-nearest li").evaluate_all(
        "items => items.map(e => e.getBoundingClientRect().right)"
    )
    assert len(boxes) == 5 and max(boxes) <= width


def test_it_is_at_most_700_pixels_high_and_stays_so_when_it_answers(opened):
    page = opened(size=(1280, 800))
    before = page.locator(".dml-explorable").bounding_box()["height"]
    choose(page, 0)
    assert page.locator(".dml-explorable").bounding_box()["height"] == before <= 700


def test_without_its_script_it_says_so_and_another_stroke_is_another_try(from_disk, tmp_path):
    page = from_disk(DrawCharacter(script=packing.SCRIPT))
    draw(page, [(0.3, 0.2), (0.3, 0.8)])
    said = page.wait_for_function(
        "() => [document.querySelector('.dml-status').textContent].find((t) => /could not be loaded/.test(t))"
    )
    assert packing.SCRIPT in said.json_value()
    (tmp_path / packing.SCRIPT).write_text(packing.script(), encoding="utf-8")
    draw(page, [(0.5, 0.2), (0.5, 0.8)])
    page.wait_for_function("() => /^Your drawing, 2/.test(document.querySelector('.dml-status').textContent)")


def test_a_copy_without_any_script_says_where_there_is_one(from_disk):
    page = from_disk(DrawCharacter())
    page.locator(".dml-prepared input").first.check()
    page.wait_for_function(
        "() => /the notebook and the site/.test(document.querySelector('.dml-status').textContent)"
    )
