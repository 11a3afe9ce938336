"""A figure of a chapter as the site shows it: in a wide window and on a phone, by day and by night."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.browser.small_course import CHAPTER
from tests.seen import WINDOWS

WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
TO_BE_READ = 4.5  # contrast of text, of the Web Content Accessibility Guidelines


@pytest.fixture
def chapter(site, browser):
    """Opens the chapter of the tests in a window of a size, with the colors that the reader's system has."""
    contexts = []

    def opened(window: dict, scheme: str, theme: str | None = None):
        contexts.append(browser.new_context(offline=True, viewport=window, color_scheme=scheme))
        page = contexts[-1].new_page()
        page.goto((site / "notebooks" / CHAPTER).with_suffix(".html").as_uri())
        if theme:
            page.evaluate("theme => { document.body.dataset.theme = theme }", theme)
        page.wait_for_function("document.querySelector('.cell_output img').complete")
        return page

    yield opened
    for context in contexts:
        context.close()


def on_page(page) -> np.ndarray:
    """(H, W, 3) pixels of the figure, as they are on the screen."""
    content = page.locator(".cell_output img").first.screenshot()
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


def background(page) -> list[int]:
    color = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return [int(part) for part in color.partition("(")[2].rstrip(")").split(",")[:3]]


def luminance(color) -> float:
    part = np.asarray(color) / 255
    return float(
        np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]
    )


def contrast(one, other) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("window, room", [(WIDE, WINDOWS["column"]), (PHONE, WINDOWS["phone"])])
def test_the_window_decides_which_drawing_is_shown_and_it_is_not_shrunk(chapter, window, room):
    image = chapter(window, "light").locator(".cell_output img")
    assert image.count() == 1
    shown = image.bounding_box()["width"]
    drawn = image.evaluate(
        "async i => { const a = new Image(); a.src = i.currentSrc; await a.decode(); return a.width }"
    )
    assert drawn / 2 - 1 <= shown <= room  # two pixels of the image for one of the page


@pytest.mark.parametrize("window", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize(
    "scheme, theme",
    [("light", None), ("dark", None), ("light", "dark"), ("dark", "light")],
    ids=["day", "night", "dark by choice", "light by choice"],
)
def test_the_page_is_seen_through_a_figure_and_its_ink_stands_out(chapter, window, scheme, theme):
    page = chapter(window, scheme, theme)
    pixels, paper = on_page(page), background(page)
    assert (max(paper) < 60) == ((theme or scheme) == "dark")
    for corner in (pixels[1, 1], pixels[-2, 1], pixels[1, -2], pixels[-2, -2]):
        assert np.abs(corner - paper).max() <= 2
    grey = pixels[np.ptp(pixels, axis=2) <= 12]  # letters, and the black line
    ink = grey[np.abs(grey - paper).sum(1).argmax()]
    assert contrast(ink, paper) > 2 * TO_BE_READ
    color = pixels[np.ptp(pixels, axis=2) > 120]  # the blue line, blue by day and by night
    assert len(color) > 50 and (color.argmax(1) == 2).mean() > 0.95
    assert contrast(np.median(color, axis=0), paper) > 3


def test_printed_from_a_dark_page_a_figure_is_dark_on_white(chapter):
    page = chapter(WIDE, "dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator(".cell_output img").evaluate("i => getComputedStyle(i).filter") == "none"


@pytest.mark.parametrize(
    ("window", "shown"), [(WIDE, "overview.png"), (PHONE, "overview_on_a_phone.png")], ids=["wide", "phone"]
)
def test_the_first_page_has_one_overview_of_two_and_it_is_not_shrunk(site, browser, window, shown):
    context = browser.new_context(offline=True, viewport=window, color_scheme="dark")
    page = context.new_page()
    page.goto((site / "index.html").as_uri())
    images = [
        image for image in page.locator("article img").all() if "overview" in image.get_attribute("src")
    ]
    (visible,) = [image for image in images if image.is_visible()]
    assert len(images) == 2 and visible.get_attribute("src").endswith(shown)
    width = visible.evaluate("image => image.naturalWidth") * 96 / 160  # files have 160 dots an inch
    assert visible.bounding_box()["width"] >= 0.95 * width
    assert "screen" in visible.evaluate("image => getComputedStyle(image).mixBlendMode")
    context.close()


@pytest.mark.parametrize("page", ["results", "api/losses/triplet"])
def test_a_figure_that_comes_as_a_file_is_shown_as_drawn_for_the_window(site, browser, page):
    for window, is_small in ((WIDE, False), (PHONE, True)):
        context = browser.new_context(offline=True, viewport=window)
        shown = context.new_page()
        shown.goto((site / "docs" / f"{page}.html").as_uri())
        images = [image for image in shown.locator("article img").all() if image.is_visible()]
        assert images
        for image in images:
            assert image.get_attribute("src").endswith("_on_a_phone.png") == is_small
            assert image.get_attribute("alt")
            width = image.evaluate("image => image.naturalWidth") * 96 / (160 if is_small else 200)
            assert image.bounding_box()["width"] >= 0.95 * width
        context.close()


def test_figures_that_come_as_files_turn_dark_too(site, browser):
    context = browser.new_context(offline=True, viewport=WIDE, color_scheme="dark")
    page = context.new_page()
    page.goto((site / "docs" / "api" / "losses" / "triplet.html").as_uri())
    content = page.locator("article img").first.screenshot()
    corner = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)[2, 2]
    assert np.abs(corner - background(page)).max() <= 2
    context.close()
