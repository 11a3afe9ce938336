"""The retrieval browser on a page without a kernel, and with one that answers as a notebook's does."""

import json

import pytest
import torch
from PIL import Image

from dmlteach import data, models
from dmlteach.course.widgets import RetrievalBrowser
from dmlteach.embeddings import embed
from tests.browser.waiting import until

ROOT = ".dml-retrieval_browser"
NETWORKS = ("untrained", "softmax", "sst")


@pytest.fixture(scope="module")
def gallery():
    return data.load("omniglot", "test", classes=20)


@pytest.fixture(scope="module")
def embeddings(gallery):
    return {name: embed(models.pretrained(name), gallery, "cpu") for name in NETWORKS}


@pytest.fixture
def browser_of(gallery, embeddings):
    return lambda **state: RetrievalBrowser(gallery, NETWORKS, embeddings, queries=12, **state)


@pytest.fixture
def notebook(page, tmp_path):
    """The figure with a model whose messages reach the widget in this process, as a kernel gets them."""

    def open_page(browser: RetrievalBrowser):
        def message(changed: str) -> dict:
            browser.set_state(json.loads(changed))
            return {"answer": browser.answer}

        page.expose_function("toKernel", message)
        state = {name: getattr(browser, name) for name in browser.trait_names() if name in SHARED}
        host = f"""
        const state = {json.dumps(state)}, listeners = {{}};
        let changed = {{}};
        const model = {{
          get: (key) => state[key], on: (name, call) => (listeners[name] = call), off() {{}},
          set: (key, value) => {{ state[key] = changed[key] = value; }},
          save_changes: async () => {{
            const sent = JSON.stringify(changed);
            changed = {{}};
            Object.assign(state, await toKernel(sent));
            listeners["change:answer"]();
          }},
        }};
        render({{ model, el: document.body }});"""
        path = tmp_path / "notebook.html"
        path.write_text(
            f'<!doctype html><meta charset="utf-8"><style>{RetrievalBrowser._css}</style><body>'
            f'<script type="module">{RetrievalBrowser._esm}\n{host}</script>',
            encoding="utf-8",
        )
        page.goto(path.as_uri())
        page.wait_for_selector(f"{ROOT} .dml-stage > *")
        return page

    return open_page


SHARED = ("view", "query", "shown", "strokes", "copying", "numbers", "kernel", "data", "answer")


def rows(page, network: str) -> list[int]:
    """Rows of the gallery that are shown under a network."""
    items = page.locator(f"{ROOT} .dml-network[data-network={network}] li").all()
    return [int(item.get_attribute("data-row")) for item in items]


def visible_networks(page) -> list[str]:
    return [n for n in NETWORKS if page.locator(f".dml-network[data-network={n}]").is_visible()]


# --- picking


def test_the_answer_is_two_actions_away_and_equals_the_library(from_disk, browser_of):
    browser = browser_of()
    page = from_disk(browser)
    assert visible_networks(page) == ["untrained"]
    page.get_by_role("checkbox", name="softmax").check()
    page.get_by_role("checkbox", name="SST").check()
    page.wait_for_selector(".dml-network[data-network=sst] img[src]")
    assert visible_networks(page) == list(NETWORKS)
    for name in NETWORKS:
        assert rows(page, name) == browser.neighbours[name]["rows"]


def test_arrow_keys_go_through_the_queries_and_marks_equal_labels(from_disk, browser_of, gallery):
    browser = browser_of(query=0, shown=NETWORKS)
    page = from_disk(browser)
    page.focus("[data-key=query0]")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('.dml-asked').textContent === 'query 5'")
    browser.query = 4
    label = int(gallery.labels[browser._queries[4]])
    for name in NETWORKS:
        assert rows(page, name) == browser.neighbours[name]["rows"]
        shown = page.locator(f".dml-network[data-network={name}] .dml-word").all_inner_texts()
        expected = ["✓ right" if c == label else "✗ wrong" for c in browser.neighbours[name]["labels"]]
        assert shown == expected
        styles = page.eval_on_selector_all(
            f".dml-network[data-network={name}] li img",
            "all => all.map(e => getComputedStyle(e).borderTopStyle)",
        )
        assert styles == ["solid" if "✓" in word else "dashed" for word in expected]
    page.wait_for_function(
        "document.querySelector('.dml-status').textContent.startsWith('Query 5, character')"
    )
    count = sum("✓" in word for word in expected)
    assert f"SST: {count} of 5 right" in page.inner_text(".dml-status")


def test_a_case_shows_all_networks_and_reset_returns(from_disk, browser_of):
    browser = browser_of(query=0)
    page = from_disk(browser)
    page.click("button:text-is('right only after training')")
    page.wait_for_selector(".dml-network[data-network=sst] img[src]")
    words = [page.locator(f".dml-network[data-network={n}] .dml-word").first.inner_text() for n in NETWORKS]
    assert words == ["✗ wrong", "✓ right", "✓ right"]
    page.click("button:text-is('Reset')")
    page.wait_for_function("document.querySelector('.dml-asked').textContent === 'query 1'")
    assert visible_networks(page) == ["untrained"]


def test_numbers_are_in_a_table(from_disk, browser_of):
    browser = browser_of(shown=NETWORKS)
    page = from_disk(browser)
    page.click("text=Show numbers")
    for name in NETWORKS:
        cells = page.locator(f"td[data-of={name}]").all_inner_texts()
        shown = [float(cell.rpartition(" d ")[2]) for cell in cells]
        assert shown == pytest.approx(browser.neighbours[name]["distances"], abs=0.006)


# --- drawing


def test_without_kernel_examples_are_answered_and_drawings_say_where_they_would_be(from_disk, browser_of):
    browser = browser_of(shown=NETWORKS)
    page = from_disk(browser)
    page.click("button:text-is('Draw a character')")
    page.click("button:text-is('letter A')")
    page.wait_for_selector(".dml-network[data-network=sst] img[src]")
    (example,) = (one for one in browser.data["examples"] if one["name"] == "letter A")
    browser.view, browser.strokes = "draw", example["strokes"]
    for name in NETWORKS:
        assert rows(page, name) == browser.neighbours[name]["rows"]
    drag(page, [(60, 60), (200, 90)])
    page.get_by_text("This page has no kernel: ").wait_for()
    assert visible_networks(page) == []
    page.click("button:text-is('Undo')")
    page.wait_for_selector(".dml-network[data-network=sst] img[src]")


def drag(page, points) -> None:
    box = page.locator(".dml-pad").bounding_box()
    (x, y), *others = [(box["x"] + u, box["y"] + v) for u, v in points]
    page.mouse.move(x, y)
    page.mouse.down()
    for x, y in others:
        page.mouse.move(x, y, steps=5)
    page.mouse.up()


SHOWS = """([network, rows]) => {
  const shown = [...document.querySelectorAll(`[data-network=${network}] li`)];
  return shown.map((item) => item.dataset.row).join() === rows.join();
}"""


def answered(page, browser) -> None:
    """The kernel has answered the strokes it holds, and its neighbours are shown."""
    page.get_by_text("answered by the kernel").wait_for()
    for name in NETWORKS:
        page.wait_for_function(SHOWS, arg=[name, browser.neighbours[name]["rows"]])
    page.wait_for_selector(".dml-network[data-network=sst] img[src]")


def test_with_the_mouse_a_character_is_drawn_and_the_kernel_answers(notebook, browser_of):
    browser = browser_of(view="draw", shown=NETWORKS)
    page = notebook(browser)
    assert "nothing drawn" in page.inner_text(".dml-badge")
    drag(page, [(60, 60), (60, 240), (220, 240)])
    until(page, lambda: len(browser.strokes) == 1)
    answered(page, browser)
    (stroke,) = browser.strokes
    assert stroke[0] == pytest.approx([20, 20], abs=1) and stroke[-1] == pytest.approx([77, 84], abs=1.5)
    first = browser.neighbours
    drag(page, [(150, 40), (150, 120)])
    until(page, lambda: len(browser.strokes) == 2)
    answered(page, browser)
    assert browser.neighbours != first
    page.click("button:text-is('Clear')")
    page.wait_for_function("document.querySelector('.dml-badge').textContent.includes('nothing drawn')")
    assert browser.strokes == [] and visible_networks(page) == []


def test_with_the_keyboard_a_character_is_drawn(notebook, browser_of):
    browser = browser_of(view="draw", shown=NETWORKS)
    page = notebook(browser)
    page.focus("[data-key=pad]")
    for key in (
        *["ArrowUp"] * 3,
        " ",
        *["ArrowDown"] * 6,
        "Shift+ArrowRight",
        " ",
        "ArrowLeft",
        " ",
        "ArrowUp",
    ):
        page.keyboard.press(key)
    down = [[52, y] for y in (31, 38, 45, 52, 59, 66, 73)] + [[53, 73]]
    until(page, lambda: browser.strokes == [down, [[46, 73], [46, 66]]])
    answered(page, browser)
    page.wait_for_function(
        "document.querySelector('.dml-status').textContent.includes('pen is down at 46, 66')"
    )


def test_taps_are_joined_while_the_pen_is_down(notebook, browser_of):
    browser = browser_of(view="draw", shown=NETWORKS)
    page = notebook(browser)
    page.click("button:text-is('Pen down')")
    for x, y in ((40, 40), (40, 200), (160, 200)):
        page.locator(".dml-pad").click(position={"x": x, "y": y})
    until(page, lambda: [len(stroke) for stroke in browser.strokes] == [3])
    page.click("button:text-is('Pen down')")
    page.locator(".dml-pad").click(position={"x": 200, "y": 60})
    until(page, lambda: [len(stroke) for stroke in browser.strokes] == [3, 1])  # a dot
    answered(page, browser)


def test_a_drawing_has_no_more_points_than_the_kernel_takes(notebook, browser_of):
    nearly_all = [[[20 + x % 60, (x * 37) % 105] for x in range(4998)]]
    browser = browser_of(view="draw", shown=NETWORKS, strokes=nearly_all)
    page = notebook(browser)
    drag(page, [(60, 60), (60, 240), (220, 240)])
    until(page, lambda: [len(stroke) for stroke in browser.strokes] == [4998, 2])
    page.locator(".dml-pad").click(position={"x": 200, "y": 60})
    page.focus("[data-key=pad]")
    for key in (" ", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    page.wait_for_function("document.querySelector('.dml-status').textContent.includes('pen is down')")
    answered(page, browser)
    assert [len(stroke) for stroke in browser.strokes] == [4998, 2]


def test_a_copy_of_a_query_is_judged_right_or_wrong(notebook, browser_of, gallery):
    browser = browser_of(view="draw", shown=NETWORKS)
    page = notebook(browser)
    drag(page, [(60, 60), (240, 220)])
    until(page, lambda: len(browser.strokes) == 1)
    answered(page, browser)
    assert page.locator(".dml-word", has_text="right").count() == 0
    page.get_by_label("I copy a character").check()
    page.get_by_label("the character I copy").select_option("7")
    page.wait_for_function("[...document.querySelectorAll('.dml-word')].every(e => e.textContent)")
    label = int(gallery.labels[browser._queries[7]])
    for name in NETWORKS:
        words = page.locator(f".dml-network[data-network={name}] .dml-word").all_inner_texts()
        assert ["✓" in word for word in words] == [c == label for c in browser.neighbours[name]["labels"]]


def test_what_is_drawn_is_what_the_networks_get(notebook, browser_of):
    browser = browser_of(view="draw")
    page = notebook(browser)
    drag(page, [(70, 50), (100, 220), (230, 130)])
    page.get_by_text("answered by the kernel").wait_for()
    d = page.get_attribute(".dml-ink", "d")
    drawn = [[[float(v) for v in z.split()] for z in stroke.split("L")] for stroke in d.split("M")[1:]]
    assert drawn == browser.strokes
    assert float(page.get_attribute(".dml-ink", "stroke-width")) == browser.data["pen"]


# --- access


@pytest.mark.parametrize("view", ["pick", "draw"])
def test_whatever_has_the_focus_keeps_its_keys_from_jupyter(from_disk, browser_of, view):
    page = from_disk(browser_of(view=view, numbers=True))
    focusable = f"{ROOT}, {ROOT} :is([tabindex], button, input, select, summary)"
    unmarked = f"[...document.querySelectorAll('{focusable}')].filter(e => !e.dataset.lmSuppressShortcuts)"
    assert page.locator(focusable).count() > 12
    assert page.evaluate(f"{unmarked}.map(element => element.outerHTML)") == []


def test_the_takeaway_is_reached_by_keyboard_alone_and_tab_leaves(from_disk, browser_of):
    page = from_disk(browser_of())
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Takeaway":
            page.keyboard.press("Enter")
            break
    assert page.get_by_text("carries over from those it was trained on").is_visible()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement === document.body")


def test_escape_leaves_the_pad(from_disk, browser_of):
    page = from_disk(browser_of(view="draw"))
    page.focus("[data-key=pad]")
    page.keyboard.press("Escape")
    assert page.evaluate(f"document.activeElement.matches('{ROOT}')")


@pytest.mark.parametrize("view", ["pick", "draw"])
def test_it_fits_a_phone_and_answers_to_a_finger(from_disk, browser_of, view):
    figure = browser_of(view=view, shown=NETWORKS, strokes=[[[20, 20], [80, 80]]])
    page = from_disk(figure, size=(360, 740), has_touch=True, is_mobile=True)
    page.wait_for_selector(".dml-network[data-network=sst] img[src]")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    if view == "pick":
        for option in page.locator(".dml-option").all():
            box = option.bounding_box()
            assert min(box["width"], box["height"]) >= 44
        page.locator(".dml-option").nth(2).tap()
        page.wait_for_function("document.querySelector('.dml-asked').textContent === 'query 3'")
    else:
        assert page.eval_on_selector(".dml-pad", "pad => getComputedStyle(pad).touchAction") == "none"
        page.locator(".dml-pad").tap(position={"x": 50, "y": 200})
        page.wait_for_function("document.querySelector('.dml-pad').ariaLabel.includes('2 strokes')")


def test_right_and_wrong_differ_without_colour(browser, tmp_path, browser_of):
    path = tmp_path / "page.html"
    path.write_text(browser_of(query=0, shown=NETWORKS)._repr_mimebundle_()[0]["text/html"], encoding="utf-8")
    context = browser.new_context(forced_colors="active", reduced_motion="reduce")
    page = context.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector(".dml-network[data-network=untrained] img[src]")
    page.click("button:text-is('right only after training')")
    page.wait_for_selector(".dml-wrong")
    border = "e => getComputedStyle(e).borderTopStyle"
    assert page.locator(".dml-wrong img").first.evaluate(border) == "dashed"
    assert page.locator(".dml-right img").first.evaluate(border) == "solid"
    context.close()


def test_the_picture_is_there_without_scripts(browser, tmp_path, browser_of):
    path = tmp_path / "page.html"
    path.write_text(browser_of(shown=NETWORKS)._repr_mimebundle_()[0]["text/html"], encoding="utf-8")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    assert page.get_by_alt_text("Retrieval browser: query").bounding_box()["width"] > 300
    context.close()


def test_pictures_of_ones_own_are_browsed_under_two_networks(from_disk, tmp_path):
    shades = torch.randint(0, 256, (6, 6, 4, 4, 3), generator=torch.Generator().manual_seed(0)).byte().numpy()
    for label, drawn in enumerate(shades):
        folder = tmp_path / "mine" / f"class_{label}"
        folder.mkdir(parents=True)
        for i, pixels in enumerate(drawn):
            Image.fromarray(pixels).resize((60 + 5 * i, 70), Image.Resampling.BICUBIC).save(
                folder / f"{i}.png"
            )
    mine = data.load("folder", "test", root=tmp_path / "mine")
    networks = {f"seed {seed}": models.create("resnet18", 16, seed=seed) for seed in (0, 1)}
    figure = RetrievalBrowser(mine, networks, queries=2, shown=list(networks))
    page = from_disk(figure)
    assert page.get_by_role("button", name="character").count() == 0  # no pad, nothing to draw on
    for name, network in networks.items():
        z = embed(network, mine, "cpu").double()
        d = torch.cdist(z, z).fill_diagonal_(torch.inf)[figure._queries[figure.query]]
        expected = d.argsort()[:5].tolist()
        shown = page.locator(f".dml-network[data-network='{name}'] .dml-word").all_inner_texts()
        right = mine.labels[expected] == mine.labels[figure._queries[figure.query]]
        assert ["right" in word for word in shown] == right.tolist()
