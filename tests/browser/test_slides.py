"""Slides in a browser, from the disk, without a network: nothing is cut off, and keys do what they should."""

from collections.abc import Iterator

import pytest

from dmlteach.course.slides import page as pages
from tests.course.test_slides import CHAPTERS, deck_of

SIZE = {"width": 1280, "height": 720}
# Pixels of a slide of 720: of its texts, of a table, and of the smallest note in an explorable or a figure.
LEGIBLE, IN_TABLE, NOTE = 27, 17, 10
# What is wrong with each slide, its takeaway shown.
FAULTS = """([LEGIBLE, IN_TABLE, NOTE]) => {
  const found = [], slack = 1;
  const within = (one, box) => one.left >= box.left - slack && one.right <= box.right + slack
    && one.top >= box.top - slack && one.bottom <= box.bottom + slack;
  const apart = (a, b) => a.right <= b.left + slack || b.right <= a.left + slack
    || a.bottom <= b.top + slack || b.bottom <= a.top + slack;
  const rect = (element) => element.getBoundingClientRect();
  const letters = (element) => parseFloat(getComputedStyle(element).fontSize);
  document.querySelectorAll(".slides section").forEach((slide, i) => {
    const fault = (what) => found.push(`${i + 1}: ${what}`);
    for (const one of slide.querySelectorAll("*"))
      if (!within(rect(one), rect(slide))) fault(`${one.tagName} ${one.className} is cut off`);
    const parts = [...slide.children];
    parts.forEach((a, k) => parts.slice(k + 1).forEach((b) => {
      if (!apart(rect(a), rect(b))) fault(`${a.tagName}, ${a.className}, overlaps ${b.tagName}`);
    }));
    const shown = slide.querySelector(".shown");
    for (const one of shown?.querySelectorAll("*") ?? [])
      if (!within(rect(one), rect(shown))) fault(`${one.tagName} is cut off`);
    for (const one of slide.querySelectorAll("h1, h2, p.takeaway, .closing p, .title h2"))
      if (letters(one) < LEGIBLE) fault(`letters of ${letters(one)} pixels`);
    for (const one of slide.querySelectorAll("th, td, .table p:not(.takeaway)"))
      if (letters(one) < IN_TABLE) fault(`letters of ${letters(one)} pixels in a table`);
    for (const image of slide.querySelectorAll("img")) {
      const [width, height] = ["width", "height"].map((side) => rect(image)[side] / image.getAttribute(side));
      const scale = Math.min(width, height);
      if (!image.naturalWidth || scale < 1) fault(`figure at ${scale.toFixed(2)} of its size`);
    }
    for (const frame of slide.querySelectorAll("iframe")) {
      const { body } = frame.contentDocument, { offsetWidth, offsetHeight } = frame;
      const scale = rect(frame).width / offsetWidth;
      const stage = body.querySelector(".dml-stage"), { scrollWidth, scrollHeight } = body;
      if (!stage || rect(stage).height < 50) fault("the explorable is not drawn");
      if (scrollHeight > offsetHeight || scrollWidth > offsetWidth) fault("the explorable is cut off");
      for (const text of body.querySelectorAll("text, p, button, label"))
        if (text.textContent && letters(text) * scale < NOTE)
          fault(`a note of ${letters(text) * scale} pixels`);
    }
  });
  return found;
}"""


@pytest.fixture
def lecture(browser, tmp_path) -> Iterator:
    """Opens a chapter's slides from the disk; no script may fail and nothing may be asked of a network."""
    contexts, wrong = [], []

    def opened(name: str, **window: int):
        path = tmp_path / f"{name}.html"
        path.write_text(pages.of_deck(deck_of(name)), encoding="utf-8")
        contexts.append(browser.new_context(offline=True, viewport=SIZE | window))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        local = ("file:", "data:", "blob:", "about:")
        page.on("request", lambda sent: None if sent.url.startswith(local) else wrong.append(sent.url))
        page.goto(path.as_uri())
        page.wait_for_selector("body[data-ready]", state="attached")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def place(page) -> tuple[int, bool]:
    """Which slide is on the screen, from 1, and whether its last part is shown."""
    number = page.evaluate("Reveal.getSlidePastCount() + 1")
    last = page.locator("section.present .fragment").last
    return number, last.count() > 0 and "visible" in (last.get_attribute("class") or "")


@pytest.mark.parametrize("name", CHAPTERS)
def test_no_slide_is_cut_off_and_all_of_it_can_be_read(lecture, name):
    assert lecture(name).evaluate(FAULTS, [LEGIBLE, IN_TABLE, NOTE]) == []


def test_a_key_brings_first_the_takeaway_then_the_next_slide(lecture):
    page = lecture("weighting_pairs")
    told = [place(page)]
    for _ in range(3):
        page.keyboard.press("ArrowRight")
        told.append(place(page))
    assert told == [(1, False), (2, False), (2, True), (3, False)]
    page.keyboard.press("ArrowLeft")
    assert place(page) == (2, True)


def test_what_was_covered_in_the_chapter_is_covered_until_a_key_is_pressed(lecture):
    page = lecture("start_here")
    page.evaluate("Reveal.slide(2)")
    table, takeaway = page.locator("section.present table"), page.locator("section.present .takeaway")
    seen = []
    for _ in range(3):
        seen.append((table.is_visible(), takeaway.is_visible()))
        page.keyboard.press("Space")
    assert seen == [(False, False), (True, False), (True, True)]


@pytest.mark.parametrize("window", [SIZE, {"width": 1920, "height": 1080}], ids=["small", "large"])
def test_in_an_explorable_the_mouse_finds_its_place_and_page_down_goes_on(lecture, window):
    page = lecture("triplet_versus_sst_gradients", **window)
    number = page.evaluate(
        "[...document.querySelectorAll('section')].findLastIndex(s => s.querySelector('iframe'))"
    )
    page.evaluate(f"Reveal.slide({number})")
    point = page.frame_locator("section.present iframe").locator("[data-key=n] .dml-shape")
    start = point.bounding_box()
    x, y = start["x"] + start["width"] / 2, start["y"] + start["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 60, y + 40, steps=4)
    page.mouse.up()
    end = point.bounding_box()
    assert end["x"] - start["x"] == pytest.approx(-60, abs=6)
    assert end["y"] - start["y"] == pytest.approx(40, abs=6)
    for _ in range(2):  # its takeaway, and the next slide
        page.keyboard.press("PageDown")
    assert place(page)[0] == number + 2


def test_each_slide_is_a_printed_page_with_its_takeaway(lecture):
    page = lecture("temperature")
    printed = page.pdf(prefer_css_page_size=True)
    assert printed.count(b"/Type /Page\n") == page.evaluate("Reveal.getTotalSlides()")
    page.emulate_media(media="print")
    assert all(one.is_visible() for one in page.locator(".takeaway").all())
