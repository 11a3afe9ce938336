"""embedding-lab.html: one file, opened from the disk with the network off; it trains in a worker."""

import re

import pytest
import torch

from dmlteach.course.widgets import EmbeddingLab
from dmlteach.course.widgets.embedding_lab import widget
from dmlteach.course.widgets.embedding_lab.characters import characters
from dmlteach.course.widgets.embedding_lab.picture import unpack
from dmlteach.course.widgets.embedding_lab.widget import source
from dmlteach.course.widgets.page import lab_page
from dmlteach.metrics import recall_at_k
from tests.browser.waiting import until

LABELS_OVER_ANOTHER = """() => {
    const seen = (node) => node.checkVisibility() && node.textContent.trim();
    const labels = ".dml-stage text, .dml-stage span:not(:has(*)), .dml-stage p, .dml-controls > *";
    const boxes = [...document.querySelectorAll(labels)].filter(seen)
        .map((node) => [node.textContent, node.getBoundingClientRect()]);
    return boxes.flatMap(([told, a], i) => boxes.slice(i + 1)
        .filter(([, b]) => a.left < b.right - 1 && b.left < a.right - 1)
        .filter(([, b]) => a.top < b.bottom - 2 && b.top < a.bottom - 2)
        .map(([other]) => [told, other]));
}"""


@pytest.fixture
def opened(page, tmp_path):
    """Opens the page with an address, once the drawings are there; nothing is requested."""
    path = tmp_path / "lab.html"
    path.write_text(lab_page(), encoding="utf-8")
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.context.set_offline(True)

    def open_page(address: str = ""):
        page.goto("about:blank")
        page.goto(path.as_uri() + address)
        page.wait_for_selector("[data-cloud]")
        return page

    yield open_page
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:", "about:"))] == []


def step_to(page, step: int) -> None:
    """Press Step until that many are done."""
    for done in range(1, step + 1):
        page.click("button:text-is('Step')")
        page.wait_for_function(
            "step => document.querySelector('[data-cloud] text').textContent === `step ${step}`",
            arg=done,
        )


def numbers(page, lab: int = 0) -> dict[str, float]:
    """What the table says of a lab."""
    cells = page.eval_on_selector_all(
        f"[data-lab='{lab}'] td", "cells => cells.map(cell => [cell.dataset.key, cell.dataset.value])"
    )
    return {key: float(value) for key, value in cells if value != "null"}


def test_it_is_one_file_of_at_most_400_kb():
    assert len(lab_page().encode()) <= 400_000


def test_it_rests_until_play_and_then_trains_until_pause(opened):
    page = opened("#numbers=true")
    page.wait_for_timeout(400)
    assert numbers(page)["step"] == 0
    page.click("button:text-is('Play')")
    page.wait_for_function("document.querySelector('[data-lab] [data-key=step]').dataset.value > 20")
    page.click("button:text-is('Pause')")
    seen = []

    def rests() -> bool:
        seen.append(numbers(page))
        return seen[-2:-1] == seen[-1:]

    until(page, rests, every=300)  # steps that were asked for before are still answered
    assert "raw pixels reach 76 %" in page.inner_text(".dml-status")


def test_a_link_repeats_a_training_and_another_seed_does_not(opened):
    ends = []
    for address in ("#loss=sst&numbers=true", "#loss=sst&numbers=true", "#loss=sst&seed=1&numbers=true"):
        page = opened(address)
        step_to(page, 3)
        ends.append(numbers(page))
    assert ends[0] == ends[1] != ends[2]
    assert page.evaluate("location.hash") == "#loss=sst&seed=1&numbers=true"


def test_each_named_state_asks_its_own_question_and_waits_for_play(opened):
    page = opened("#numbers=true")
    step_to(page, 1)
    asked = [page.inner_text(".dml-question")]
    states = page.locator("[aria-label='show me'] button").all()
    for state in states:
        state.click()
        page.wait_for_function(
            "before => document.querySelector('.dml-question').textContent !== before", arg=asked[-1]
        )
        page.wait_for_selector("[data-lab] [data-key=step][data-value='0']")
        asked.append(page.inner_text(".dml-question"))
        assert page.is_visible("button:text-is('Play')")  # not Pause
    assert len(set(asked)) == 6 and all(text.startswith("Predict first") for text in asked)
    assert all(text.count("?") == 1 and len(text) < 200 for text in asked[1:])
    page.select_option("label:has-text('loss') select", "contrastive")  # none of them any more
    page.wait_for_function(
        "first => document.querySelector('.dml-question').textContent === first", arg=asked[0]
    )


def test_play_rests_where_a_named_state_shows_what_it_is_there_for_and_goes_on(opened):
    page = opened("#negatives=hardest&rate=0.03&seed=2&numbers=true")  # a link, and another seed
    assert "hardest negatives" in page.inner_text(".dml-question")
    page.click("button:text-is('Play')")
    page.wait_for_function("document.querySelector('.dml-status').textContent.startsWith('Step 400. Rec')")
    page.click("button:text-is('Play')")
    page.wait_for_function("document.querySelector('[data-lab] [data-key=step]').dataset.value > 400")


def test_the_lab_says_what_a_tuple_is(opened):
    assert "A tuple is what the loss compares" in opened().inner_text(".dml-legend")


def test_a_changed_setting_starts_anew_and_stands_in_the_address(opened):
    page = opened("#numbers=true")
    step_to(page, 2)
    page.select_option("label:has-text('loss') select", "contrastive")
    page.wait_for_selector("[data-lab] [data-key=step][data-value='0']")
    assert page.evaluate("location.hash") == "#loss=contrastive&margin=1&numbers=true"
    page.select_option("label:has-text('points') select", "seen")  # which changes no training
    page.click("button:text-is('Step')")
    page.wait_for_selector("[data-lab] [data-key=step][data-value='1']")


def test_a_lab_beside_it_starts_from_the_same_network(opened):
    page = opened("#beside=still&numbers=true")
    assert numbers(page, 0) == numbers(page, 1)
    step_to(page, 2)
    assert numbers(page, 0)["unseen"] != numbers(page, 1)["unseen"]
    assert page.locator("[data-curve=unseen] .dml-second").get_attribute("d").count("L") == 2


def test_the_line_of_raw_pixels_is_the_librarys_recall(opened):
    page = opened()
    told = characters()
    pixels = torch.from_numpy(unpack(told).reshape(600, -1)[400:].copy()).double()
    recall = recall_at_k(pixels, torch.arange(200) // 20, ks=(1,))[1]
    shown = re.search(r"raw pixels (\d+) %", page.text_content("[data-curve=unseen]"))
    assert shown and abs(int(shown[1]) - 100 * recall) <= 0.501  # a half may be rounded either way
    assert "untrained" in page.text_content("[data-curve=unseen]")
    assert "chance 10 %" in page.text_content("[data-curve=unseen]")


def test_the_keyboard_alone_looks_at_another_drawing(opened):
    page = opened()
    first = page.get_attribute(".dml-strip [role=img]", "aria-label")
    page.focus("label:has-text('drawing') input[type=range]")
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "before => document.querySelector('.dml-strip [role=img]').getAttribute('aria-label') !== before",
        arg=first,
    )
    assert page.get_attribute(".dml-strip [role=img]", "aria-label") == "character 21, drawing 2"
    assert page.locator(".dml-strip [role=img]").count() == 6


def test_the_figure_offers_what_python_takes(opened):
    page = opened()
    found = page.eval_on_selector_all(
        ".dml-controls label:has(select)",
        """labels => labels.map(label => [label.firstChild.data.trim(),
            [...label.querySelectorAll("option")].map(option => option.value)])""",
    )
    offered = {label: set(values) for label, values in found}
    taken = {
        "pace": widget.PACES,
        "loss": widget.LOSSES,
        "negatives": widget.NEGATIVES,
        "batches": widget.BATCHES,
        "rate": widget.RATES,
        "dimensions": widget.WIDTHS,
        "beside": widget.BESIDE,
        "points": widget.SHOWN,
    }
    assert offered == {label: {str(option) for option in options} for label, options in taken.items()}


def test_an_unreadable_link_says_so_and_opens_the_first_state(opened):
    page = opened("#loss=magic")
    assert "magic" in page.inner_text(".dml-pass-on [role=status]")
    assert page.input_value("label:has-text('loss') select") == "triplet"


NARROW, WIDE = 776, 1280  # windows: in a chapter of the site a figure has 736 px, on a page of its own 940


@pytest.mark.parametrize("width", [NARROW, WIDE])
@pytest.mark.parametrize(
    ("state", "finding"),
    [
        (None, ""),
        ("shuffled labels", "A falling loss says nothing"),
        ("local batches", "does not show it"),
    ],
)
def test_it_is_at_most_700_px_high_with_its_controls_beside_the_picture(opened, page, state, finding, width):
    page.set_viewport_size({"width": width, "height": 800})
    opened()
    if state:  # the longest sentences are told when it rests
        page.click(f"button:text-is('{state}')")
        page.click("button:text-is('Play')")
        page.wait_for_function(
            "words => document.querySelector('.dml-status').textContent.includes(words)",
            arg=finding,
            timeout=300_000,
        )
    whole, stage, controls, told = (
        page.locator(f".dml-embedding_lab{part}").bounding_box()
        for part in ("", " .dml-stage", " .dml-controls", " .dml-status")
    )
    assert whole["height"] <= 700
    assert controls["x"] >= stage["x"] + stage["width"]
    assert told["y"] >= max(box["y"] + box["height"] for box in (stage, controls))
    assert page.evaluate(LABELS_OVER_ANOTHER) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_controls_that_a_loss_has_not_are_not_shown(opened):
    page = opened("#loss=softmax")
    shown = {name: page.is_visible(f"label:has-text('{name}')") for name in ("negatives", "margin", "rate")}
    assert shown == {"negatives": False, "margin": False, "rate": True}


@pytest.mark.parametrize("width", [360, 390, 1280])
def test_it_fits_a_window_of_any_width(opened, page, width):
    page.set_viewport_size({"width": width, "height": 800})
    opened("#beside=still&width=2")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(LABELS_OVER_ANOTHER) == []


def test_in_a_notebooks_html_it_trains_too(from_disk):
    page = from_disk(EmbeddingLab(numbers=True))
    page.wait_for_selector("[data-cloud]")
    step_to(page, 1)
    assert numbers(page)["step"] == 1


def test_the_plane_is_the_principal_one_and_turns_as_little_as_it_can(page):
    generator = torch.Generator().manual_seed(5)
    z = torch.randn(50, 6, generator=generator, dtype=torch.float64) * torch.tensor([3.0, 2, 1, 1, 0.5, 0.1])
    body = """([source, z]) => {
        const { principalPlane, turnedTo } = new Function(source + "; return { principalPlane, turnedTo }")();
        const { points, share } = principalPlane(z, 6, 0, 50), [c, s] = [Math.cos(2), Math.sin(2)];
        const turned = points.map(([x, y]) => [c * x - s * y, s * x + c * y]);
        const mirrored = points.map(([x, y]) => [y, x]);
        return [points, share, turnedTo(turned, points), turnedTo(mirrored, points)];
    }"""
    points, share, turned, mirrored = page.evaluate(body, [source("plane"), z.flatten().tolist()])
    centered = z - z.mean(0)
    values = torch.linalg.svdvals(centered) ** 2
    assert share == pytest.approx(float(values[:2].sum() / values.sum()), rel=1e-9)
    points = torch.tensor(points, dtype=torch.float64)
    torch.testing.assert_close(points.square().sum(0), values[:2])
    for other in (turned, mirrored):
        torch.testing.assert_close(torch.tensor(other, dtype=torch.float64), points)
