"""The t-SNE grid on a page without a kernel: opened from a file, with the network off."""

import base64
import json

import numpy as np
import pytest

from dmlteach.course.widgets import TSNEGrid
from dmlteach.course.widgets.tsne_grid.maps import LEVELS, NETWORK, Setting, load_maps, settings
from tests.browser.told import status

PERPLEXITY_B = "[data-key='b perplexity']"


def row(**setting) -> int:
    return settings().index(Setting(**{"network": NETWORK, "seed": 0, "iterations": 750} | setting))


def shown(page, panel: str, of: str) -> str:
    return page.inner_text(f"[data-of='{panel} {of}']")


def assert_shows(page, panel: str, i: int) -> None:
    """The panel's map and numbers are those of recorded map i."""
    page.wait_for_selector(f"[aria-label='panel {panel.upper()}'] canvas[data-row='{i}']")
    assert shown(page, panel, "kept") == f"{load_maps().kept[i]:.0%}"
    assert shown(page, panel, "recall") == f"{load_maps().recall[i]:.3f}"


def test_the_answer_is_one_button_away_and_nothing_is_requested(from_disk):
    page = from_disk(TSNEGrid())
    assert_shows(page, "a", row(perplexity=10))
    assert_shows(page, "b", row(perplexity=500))
    assert shown(page, "a", "embedding") == shown(page, "b", "embedding") == "answer first"
    assert not page.locator("[data-key='a network']").is_visible()
    status(page, "Which model is better?")
    page.click("button:text-is('A is better')")
    expected = f"{load_maps().embedding_recall[NETWORK]:.3f} (SST)"
    page.wait_for_selector("[data-of='a embedding']:not(:text('answer first'))")
    assert shown(page, "a", "embedding") == shown(page, "b", "embedding") == expected
    status(page, "You chose A, but it cannot be told from maps. Both are the same embedding")
    assert page.locator("[data-key='a network']").is_visible()


def test_arrow_keys_change_one_panel_only(from_disk):
    page = from_disk(TSNEGrid())
    page.focus(PERPLEXITY_B)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert_shows(page, "b", row(perplexity=30))
    assert_shows(page, "a", row(perplexity=10))
    assert page.get_attribute(PERPLEXITY_B, "aria-valuetext") == "30"
    assert page.evaluate("document.activeElement.dataset.key") == "b perplexity"
    page.focus("[data-key='b iterations']")
    page.keyboard.press("Home")
    page.select_option("[data-key='b seed']", "2")
    assert_shows(page, "b", row(perplexity=30, seed=2, iterations=10))
    label = page.get_attribute("[aria-label='panel B'] canvas", "aria-label")
    assert "map B, perplexity 30, seed 2, 10 iterations" in label
    page.click("button:text-is('Reset')")
    assert_shows(page, "b", row(perplexity=500))


def test_a_click_on_a_slider_changes_the_map(from_disk):
    page = from_disk(TSNEGrid())
    box = page.locator("[data-key='a perplexity']").bounding_box()
    page.mouse.click(box["x"] + box["width"] - 3, box["y"] + box["height"] / 2)
    assert_shows(page, "a", row(perplexity=500))


def test_highlighted_drawings_are_painted_where_the_recording_has_them(from_disk):
    page = from_disk(TSNEGrid(a={"perplexity": 30}))
    highlight = TSNEGrid().recording["highlights"][0]
    canvas = "[aria-label='panel A'] canvas"
    side = page.eval_on_selector(canvas, "canvas => canvas.clientWidth")
    red, green, blue = (int(highlight["colour"][i : i + 2], 16) for i in (1, 3, 5))
    pixels = page.eval_on_selector(
        canvas,
        "canvas => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]",
    )
    image = np.array(pixels).reshape(side, side, 4)
    painted = (np.abs(image[..., :3] - (red, green, blue)).max(2) < 8) & (image[..., 3] > 250)
    places = load_maps().points[row(perplexity=30)][highlight["rows"]] / (LEVELS - 1) * (side - 14) + 7
    near = np.zeros_like(painted)
    for x, y in places:
        column, line = round(x), round(side - y)
        assert painted[max(line - 5, 0) : line + 6, max(column - 5, 0) : column + 6].any()
        near[max(line - 6, 0) : line + 7, max(column - 6, 0) : column + 7] = True
    assert not (painted & ~near).any()


def test_the_positions_read_by_the_page_are_those_recorded(from_disk):
    page = from_disk(TSNEGrid())
    source = page.inner_text("script[type=module]").replace("mountAll();", "")
    address = f"data:text/javascript;base64,{base64.b64encode(source.encode()).decode()}"
    read = page.evaluate(
        "async ([address, packed]) => [...(await import(address)).unpack(packed)]",
        [address, TSNEGrid().recording["points"]],
    )
    assert np.array_equal(read, load_maps().points.ravel())


def test_pair_4_shows_two_networks_and_says_so_after_the_answer(from_disk):
    page = from_disk(TSNEGrid())
    page.click("button:text-is('pair 4: and these two?')")
    assert_shows(page, "b", row(network="triplet", perplexity=500))
    assert page.locator("[data-key='b seed']").is_disabled()
    page.click("button:text-is('cannot be told')")
    status(page, "Right, it cannot be told from maps. These are two networks")
    status(page, "Both numbers on the maps favour A, and the embedding of B is the better one.")
    page.select_option("[data-key='b network']", "sst")
    assert_shows(page, "b", row(perplexity=500))
    assert page.locator("[data-key='b seed']").is_enabled()


def test_every_button_of_a_pair_shows_recorded_maps_and_hides_the_answer(from_disk):
    page = from_disk(TSNEGrid(guess="b"))
    buttons = "[aria-label='show a pair of maps'] button"
    for i in range(4):
        page.locator(buttons).nth(i).click()
        page.wait_for_selector(f"{buttons}:nth-child({i + 1})[aria-pressed=true]")
        rows = page.eval_on_selector_all("canvas", "all => all.map(canvas => Number(canvas.dataset.row))")
        assert min(rows) >= 0 and rows[0] != rows[1]
        assert shown(page, "a", "embedding") == "answer first"


def test_the_table_holds_every_number(from_disk):
    page = from_disk(TSNEGrid(numbers=True))
    cells = page.eval_on_selector_all(
        "td[data-row]", "all => all.map(cell => [Number(cell.dataset.row), cell.dataset.value])"
    )
    table: dict[int, list[float]] = {}
    for i, value in cells:
        table.setdefault(i, []).append(json.loads(value))
    maps = load_maps()
    assert sorted(table) == list(range(len(settings())))
    for i, numbers in table.items():
        assert numbers == pytest.approx([maps.kept[i], maps.recall[i]], abs=1e-4)
    assert page.locator("td.dml-shown").count() == 4


def test_the_takeaway_is_reached_by_keyboard_alone(from_disk):
    page = from_disk(TSNEGrid())
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Takeaway":
            break
    page.keyboard.press("Enter")
    assert page.get_by_text("Recall@1 measured in the embedding tells it").is_visible()
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
    assert page.evaluate("document.activeElement === document.body")


def test_whatever_has_the_focus_keeps_its_keys_from_jupyter(from_disk):
    page = from_disk(TSNEGrid(numbers=True, guess="a"))
    focusable = ".dml-tsne_grid, .dml-tsne_grid :is([tabindex], button, input, select, summary)"
    unmarked = f"[...document.querySelectorAll('{focusable}')].filter(e => !e.dataset.lmSuppressShortcuts)"
    assert page.locator(focusable).count() > 15
    assert page.evaluate(f"{unmarked}.map(element => element.outerHTML)") == []


def test_it_fits_a_phone_and_answers_to_touch(browser, tmp_path):
    path = tmp_path / "page.html"
    body = TSNEGrid(guess="b")._repr_mimebundle_()[0]["text/html"]
    viewport = '<meta name="viewport" content="width=device-width">'
    path.write_text(f'<!doctype html><meta charset="utf-8">{viewport}<body>{body}</body>', encoding="utf-8")
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector("canvas[data-row]")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for control in page.locator(".dml-tsne_grid :is(button, select, input, summary)").all():
        box = control.bounding_box()
        assert box is not None and box["height"] >= 44 and box["width"] >= 44
    right = "(e) => e.getBoundingClientRect().right"
    edge = page.eval_on_selector(".dml-stage", right)
    assert all(canvas.evaluate(right) <= edge for canvas in page.locator("canvas").all())
    page.tap("button:text-is('pair 2: two starts')")
    page.wait_for_selector(f"canvas[data-row='{row(perplexity=30, seed=1)}']")
    context.close()


@pytest.mark.parametrize("guess", ["", "a", "neither"])
def test_it_fits_a_screen_and_a_phone(fits, guess):
    fits(lambda: TSNEGrid(guess=guess), ".dml-tsne_grid")


def test_how_to_read_it_is_folded_beside_numbers_and_takeaway(from_disk):
    page = from_disk(TSNEGrid())
    folded = page.locator(".dml-tsne_grid > details")
    assert folded.locator("summary").all_inner_texts() == ["How to read it", "Show numbers", "Takeaway"]
    assert len({round(one.bounding_box()["y"]) for one in folded.all()}) == 1
    folded.first.locator("summary").click()
    assert "Each dot is one of 2,000 drawings" in folded.first.inner_text()
