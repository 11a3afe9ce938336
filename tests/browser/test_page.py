"""playground.html: one file, opened from the disk with the network off; its address holds the state."""

import json

import pytest
import torch

from dmlteach.course.widgets import TripletPlayground
from dmlteach.course.widgets.page import playground_page
from dmlteach.losses import sst_loss


@pytest.fixture
def opened(page, tmp_path):
    """Opens the page with a hash; returns it and its requests."""
    path = tmp_path / "playground.html"
    path.write_text(playground_page(), encoding="utf-8")
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.context.set_offline(True)

    def open_page(address: str = ""):
        page.goto(path.as_uri() + address)
        page.wait_for_selector("[data-key=n]")
        return page

    yield open_page
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []


def address(page) -> str:
    return page.evaluate("location.hash")


def test_it_is_one_small_file():
    assert len(playground_page().encode()) <= 300_000


def test_the_address_follows_the_state_and_the_state_the_address(opened):
    page = opened()
    assert address(page) == ""
    page.focus("[data-key=n]")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("location.hash === '#line=-0.4,0.6,0.5'")
    page.click("text=In the plane")
    page.wait_for_function("location.hash === '#view=plane&line=-0.4,0.6,0.5'")
    page.evaluate("location.hash = '#line=0,1,0.25&margin=0.5'")
    page.wait_for_selector('[data-key=n][aria-label="negative, x 0.25"]')
    assert page.input_value("input[aria-label='margin as a number']") == "0.5"


def test_a_link_opens_the_state_it_was_copied_from(opened):
    page = opened("#view=plane&plane=-0.5,0,0.5,0,0.25,1.5&contrastive=true&follow=contrastive")
    assert page.get_attribute("[data-key=n]", "aria-label") == "negative, x 0.25, y 1.50"
    assert page.locator(".dml-panels svg").count() == 3
    page.click("summary:text('Show numbers')")
    shown = page.eval_on_selector("td[data-loss=sst][data-of=n]", "cell => JSON.parse(cell.dataset.value)")
    z = torch.tensor([[-0.5, 0], [0.5, 0], [0.25, 1.5]], dtype=torch.float64, requires_grad=True)
    sst_loss(z, torch.tensor([0, 0, 1]), targets=torch.tensor([[1], [-1], [-1]])).backward()
    assert shown == pytest.approx((-z.grad[2]).tolist(), abs=1e-6)


@pytest.mark.parametrize(
    "unreadable", ["#line=0,1", "#line=a,b,c", "#view=cube", "#colour=red", "#margin=", "#follow=nca"]
)
def test_an_unreadable_link_says_so_and_starts_afresh(opened, unreadable):
    page = opened(unreadable)
    assert "cannot be read" in page.inner_text(".dml-pass-on [role=status]")
    assert page.get_attribute("[data-key=n]", "aria-label") == "negative, x 0.40"


def test_points_beyond_the_figure_are_held_at_its_edge(opened):
    page = opened("#line=0,99,-99")
    assert page.get_attribute("[data-key=p]", "aria-label") == "positive, x 2.50"
    assert page.get_attribute("[data-key=n]", "aria-label") == "negative, x −2.50"


def test_the_link_can_be_copied_also_where_the_clipboard_is_forbidden(opened):
    page = opened("#margin=1")
    page.evaluate("() => { navigator.clipboard.writeText = async () => { throw new Error('forbidden'); }; }")
    page.click("text=Copy link")
    page.wait_for_function(
        "document.querySelector('.dml-pass-on [role=status]').textContent.includes('Ctrl+C')"
    )
    assert page.input_value("input[aria-label='link to this state']").endswith("#margin=1")
    assert page.evaluate("getSelection().toString()").endswith("#margin=1")


@pytest.mark.parametrize("view", ["line", "plane"])
def test_the_saved_picture_is_the_drawing(opened, view, tmp_path):
    page = opened(f"#view={view}")
    with page.expect_download() as download:
        page.click("text=Save picture")
    saved = tmp_path / "saved.svg"
    download.value.save_as(saved)
    assert download.value.suggested_filename == "triplet-playground.svg"
    content = saved.read_text("utf-8")
    assert "class=" not in content
    page.goto(saved.as_uri())  # Chromium refuses a document that is not well formed
    found = page.evaluate(
        """() => {
            const all = (tag) => [...document.querySelectorAll(tag)];
            const painted = all('path').filter((path) => path.getBoundingClientRect().width > 4).length;
            return { texts: all('text').map((text) => text.textContent), painted };
        }"""
    )
    assert {"a", "p", "n", "Triplet playground"} <= set(found["texts"]), json.dumps(found)
    assert found["painted"] > 10


@pytest.mark.parametrize("view", ["line", "plane"])
def test_in_a_chapter_it_fits_a_screen_and_a_phone(fits, view):
    fits(lambda: TripletPlayground(view=view), ".dml-playground")
