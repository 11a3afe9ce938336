"""The rendered course, opened from disk with the network cut off."""

import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

from dmlteach import course
from dmlteach.course import execute, exercises
from dmlteach.course.exercises.kinds import Choice
from dmlteach.course.widgets.draw_character.search import Search
from dmlteach.course.widgets.draw_character.traced import traced
from tests.browser.small_course import EXERCISE, SENTENCE

# A page of each kind, and the widest.
REFERENCE = (
    "docs/api/losses/triplet.html",
    "docs/api/losses/bier.html",
    "docs/api/train.html",
    "docs/api/data.html",
)


@pytest.fixture
def offline(browser):
    """A page without network that notes every request to another place and every complaint."""
    context = browser.new_context(offline=True, viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.elsewhere, page.complaints = [], []
    page.on("request", lambda r: page.elsewhere.append(r.url) if not _is_local(r.url) else None)
    page.on("console", lambda m: page.complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    yield page
    assert page.elsewhere == []
    assert page.complaints == []
    context.close()


def _is_local(url: str) -> bool:
    return url.startswith(("file:", "data:", "blob:", "about:"))


def _bottom(box: dict) -> float:
    return box["y"] + box["height"]


def test_every_page_opens_from_disk_without_the_network_and_shows_no_markup(site, offline):
    pages = sorted(site.rglob("*.html"))
    chapters = {path.stem for path in execute.notebooks(course.CHECKOUT).values()}
    assert {p.stem for p in pages} >= chapters | {
        "of_the_tests", "benchmark", "conventions", "glossary", "index", "search",
    }  # fmt: skip
    for path in pages:
        offline.goto(path.as_uri())
        assert "dmlteach" in offline.title()
        # A living figure may leave a picture to the name of its control; axe looks at those (test_access.py).
        assert offline.locator("img:not([alt]), img[alt='']:not(.dml-explorable img)").count() == 0
        text = "".join(offline.locator("article p, article li, article td").all_inner_texts())
        assert "$" not in text.replace("$DMLTEACH_CACHE", "")  # a variable of the system, not an equation
        if path.is_relative_to(site / "docs" / "api"):
            shown = offline.locator("article").inner_text()
            for raw in ("Args:", "Raises:\n    ", "{py:", "```", "\\_", ":module:"):
                assert raw not in shown, (path.name, raw)


def test_chapters_lead_to_the_embedding_lab_whose_links_are_the_states_of_its_buttons(site, offline):
    for chapter in ("pairs_and_triplets", "which_images_share_a_batch"):
        offline.goto((site / "notebooks" / f"{chapter}.html").as_uri())
        offline.get_by_role("link", name="embedding lab", exact=True).click()
        offline.wait_for_url("**/docs/embedding_lab.html")
    links = offline.locator("article td a").evaluate_all("links => links.map(a => [a.textContent, a.href])")
    assert len(links) == 5
    for label, address in links:
        offline.goto(address.partition("#")[0])
        offline.click(f"button:text-is('{label}')")
        offline.wait_for_function("location.hash.length > 1")
        assert offline.url == address
        offline.goto("about:blank")


def test_a_teacher_s_note_leads_to_the_text_of_its_exercise_and_is_read_on_a_phone(site, offline):
    address = (site / "docs" / "teaching_exercises.html").as_uri()
    for chapter in exercises.CHAPTERS:
        offline.goto(address)
        last = chapter.exercises[-1]
        offline.get_by_role("link", name=last.number, exact=True).click()
        offline.wait_for_function("location.hash.length > 1")
        assert Path(unquote(urlparse(offline.url).path)).stem == chapter.name
        target = offline.locator(f"[id='{unquote(urlparse(offline.url).fragment)}']")
        following = target.evaluate("e => (e.innerText || e.nextElementSibling.innerText).trim()")
        assert following.startswith(last.heading)
    offline.set_viewport_size({"width": 390, "height": 800})
    offline.goto(address)
    assert offline.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_page_asks_for_nothing_after_it_has_come(site, offline):
    names = ("index", "search", "playground", "embedding-lab", "notebooks/of_the_tests", "docs/glossary")
    for name in (*names, *REFERENCE[:2]):
        offline.goto((site / name).with_suffix(".html").as_uri())
        offline.wait_for_load_state("networkidle")  # half a second without a request


def test_the_first_page_answers_a_drawing_and_opens_three_doors(site, offline):
    offline.goto((site / "index.html").as_uri())
    doors = offline.locator(".doors li a").evaluate_all("links => links.map(a => [a.textContent, a.href])")
    assert [name for name, _ in doors] == ["Learn", "Use", "Compare"]
    assert all(Path(unquote(urlparse(address).path)).is_file() for _, address in doors)
    offline.locator(".dml-prepared input").nth(4).check()
    offline.wait_for_selector(".dml-tile[aria-label*=similarity]")
    (one,) = traced()[4:5]
    labels = offline.locator(".dml-tile").evaluate_all("all => all.map(e => e.getAttribute('aria-label'))")
    for neighbor, label in zip(Search().nearest(one.strokes), labels, strict=True):
        assert f"character {neighbor.character + 1}," in label


def test_the_site_is_alive_over_http_and_asks_nobody_else(site, page):
    handler = partial(SimpleHTTPRequestHandler, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.goto(f"{address}/notebooks/of_the_tests.html")
        page.wait_for_selector("math")
        page.goto(f"{address}/index.html")
        page.locator(".dml-prepared input").first.check()
        page.wait_for_selector(".dml-tile[aria-label*=similarity]")
        page.goto(f"{address}/playground.html")
        page.focus("[data-key=n]")
        page.keyboard.press("ArrowLeft")
        page.wait_for_selector('[data-key=n][aria-label="negative, x 0.30"]')
        page.goto("about:blank")
        server.shutdown()
    assert requests and all(url.startswith((address, "data:", "blob:", "about:")) for url in requests)


def test_equations_are_drawn_by_the_browser_itself(site, offline):
    offline.goto((site / "notebooks" / "of_the_tests.html").as_uri())
    inline, display = offline.locator("math[display=inline]"), offline.locator("math[display=block]")
    assert inline.count() == 1 and display.count() == 1
    assert inline.bounding_box()["width"] > 60
    assert display.bounding_box()["width"] > 150
    assert "$" not in offline.locator("article p").first.inner_text()


def test_indices_hang_and_exponents_stand_by_the_font_that_the_site_brings(site, offline):
    offline.goto((site / "notebooks" / "of_the_tests.html").as_uri())
    offline.evaluate("document.fonts.ready")
    loaded = "[...document.fonts].filter(f => f.status === 'loaded').map(f => f.family)"
    assert [name.strip('"') for name in offline.evaluate(loaded)] == ["STIX Two Math"]
    base, index = (offline.locator(f"math msub > :nth-child({i})").first.bounding_box() for i in (1, 2))
    assert _bottom(index) > _bottom(base) + 2
    base, exponent = (offline.locator(f"math msup > :nth-child({i})").first.bounding_box() for i in (1, 2))
    assert _bottom(exponent) < _bottom(base) - 4 and exponent["y"] > base["y"] - 8


def test_hints_come_in_stages_and_a_solution_last_on_a_page_without_kernel(site, offline):
    offline.goto((site / "notebooks" / "of_the_tests.html").as_uri())
    exercise = exercises.get(EXERCISE)
    summaries = [f"Hint {i} of {len(exercise.hints)}" for i in range(1, len(exercise.hints) + 1)]
    summaries.append("A solution")
    for i, text in enumerate([*exercise.hints, exercise.explanation]):
        closed = offline.locator("article summary:visible", has_text=re.compile("Hint|solution"))
        assert closed.all_inner_texts() == summaries[: i + 1]
        first_words = re.split("[`$*]", text)[0][:40]
        assert first_words not in offline.locator("article").inner_text()
        closed.last.focus()
        offline.keyboard.press("Enter")
        assert first_words in offline.locator("article").inner_text()
    assert "not answered yet" not in offline.locator("article").inner_text()


def test_a_number_is_answered_on_the_page_and_kept_from_one_page_to_the_next(site, offline):
    offline.goto((site / "notebooks" / "of_the_tests.html").as_uri())
    form = offline.get_by_role("form", name=exercises.get(EXERCISE).heading)
    for answer, words in (("24", "dot product"), ("2", "right")):
        form.get_by_role("textbox").fill(answer)
        form.get_by_role("button", name="Check").click()
        assert words in form.get_by_role("status").inner_text()
    offline.goto((site / "index.html").as_uri())
    offline.goto((site / "notebooks" / "of_the_tests.html").as_uri())
    assert form.get_by_role("textbox").input_value() == "2"
    assert "Answered on this page: 1 of 1" in offline.locator(".dml-kept").inner_text()


@pytest.mark.parametrize("chapter", exercises.CHAPTERS, ids=lambda chapter: chapter.name)
def test_each_chapter_has_a_form_for_each_answer_that_is_no_code(site, offline, chapter):
    offline.goto((site / "notebooks" / f"{chapter.name}.html").as_uri())
    judged = [e for e in chapter.exercises if e.for_page() is not None]
    forms = offline.get_by_role("form", name=re.compile("^Answer to Exercise"))
    assert [f.get_attribute("aria-label") for f in forms.all()] == [f"Answer to {e.heading}" for e in judged]
    assert offline.locator("article li > p > strong:text-is('a')").count() == 0  # choices are in the forms
    choices = [e for e in judged if isinstance(e, Choice)]
    options = offline.locator("form[aria-label^='Answer to Exercise'] .dml-option > strong").all_inner_texts()
    assert options == [letter for e in choices for letter in e.options]
    in_notebook = offline.locator("em", has_text="This one is answered in the notebook")
    assert in_notebook.count() == len(chapter.exercises) - len(judged)


def test_search_finds_a_chapter_by_its_words(site, offline):
    offline.goto((site / "index.html").as_uri())
    offline.locator("input.sidebar-search").first.fill("embedding numbers")
    offline.keyboard.press("Enter")
    offline.wait_for_url("**/search.html*")
    link = offline.locator("#search-results a", has_text="A chapter").first
    link.click()
    offline.wait_for_url("**/of_the_tests.html*")
    assert SENTENCE in offline.locator("article").inner_text()


@pytest.mark.parametrize(
    "words, target",
    [
        ("triplet_hinges", "docs/api/losses/triplet.html#dmlteach.losses.triplet.triplet_hinges"),
        ("Recall@K", "docs/api/metrics.html"),
        ("kmeans", "docs/api/neighbors.html#dmlteach.neighbors.kmeans"),
    ],
)
def test_search_finds_the_reference_by_a_name_and_by_a_word(site, offline, words, target):
    offline.goto((site / "index.html").as_uri())
    offline.locator("input.sidebar-search").first.fill(words)
    offline.keyboard.press("Enter")
    offline.wait_for_url("**/search.html*")
    link = offline.locator(f'#search-results a[href^="{target}"]').first
    link.click()
    offline.wait_for_url(f"**/{target}*")
    assert "dmlteach" in offline.locator("article").inner_text()


def test_a_public_name_in_a_chapter_leads_to_its_entry_where_it_is_first_used(site, offline):
    offline.goto((site / "notebooks" / "of_the_tests.html").as_uri())
    text = offline.locator("article p", has_text="Neighbourhoods come from")
    assert text.locator("a", has=offline.locator("code")).all_inner_texts() == ["kmeans", "samplers.create"]
    text.get_by_role("link", name="kmeans").click()
    offline.wait_for_url("**/docs/api/neighbors.html#dmlteach.neighbors.kmeans")
    entry = offline.locator('[id="dmlteach.neighbors.kmeans"]')
    assert entry.is_visible() and "kmeans(" in entry.inner_text()


def test_below_a_chapter_stands_what_its_code_takes_from_the_package(site, offline):
    offline.goto((site / "notebooks" / "of_the_tests.html").as_uri())
    used = offline.locator("article p.used").inner_text()
    for name in ("plots.style.Picture", "course.covered", "course.look_inside", "course.exercises.check"):
        assert name in used


def test_the_page_of_a_loss_shows_its_curve_and_its_types_are_links(site, offline):
    offline.goto((site / "docs" / "api" / "losses" / "triplet.html").as_uri())
    curve = offline.locator("article img.for-a-column")
    assert "pull of the positive" in curve.get_attribute("alt").lower()
    assert curve.evaluate("image => image.complete && image.naturalWidth > 400")
    assert "[m + d²(a,p) − d²(a,n)]₊" in offline.locator(".formula").inner_text()
    offline.get_by_role("link", name="DMLTeachError").first.click()
    offline.wait_for_url("**/docs/api/errors.html#dmlteach.DMLTeachError")


def test_links_between_chapter_and_glossary_hold(site, offline):
    offline.goto((site / "notebooks" / "of_the_tests.html").as_uri())
    offline.get_by_role("link", name="the glossary").click()
    offline.wait_for_url("**/glossary.html#anchor")
    assert offline.locator("#anchor").is_visible()


def test_pictures_have_a_text_and_outputs_are_shown(site, offline):
    offline.goto((site / "notebooks" / "of_the_tests.html").as_uri())
    assert offline.locator(".cell_output img").get_attribute("alt") == "A figure of two panels"
    assert offline.locator("img:not([alt])").count() == 0
    assert "def covered(" in offline.locator(".cell_output").nth(1).inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_dark_mode_follows_the_reader(site, browser, scheme):
    context = browser.new_context(offline=True, color_scheme=scheme)
    page = context.new_page()
    page.goto((site / "index.html").as_uri())
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    red = int(background.split("(")[1].split(",")[0])
    assert red > 200 if scheme == "light" else red < 60
    context.close()


def test_page_does_not_scroll_sideways_on_a_phone(site, browser):
    context = browser.new_context(offline=True, viewport={"width": 360, "height": 740})
    page = context.new_page()
    for name in (
        "index.html",
        "notebooks/of_the_tests.html",
        "docs/conventions.html",
        "docs/api.html",
        *REFERENCE,
    ):
        page.goto((site / name).as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    context.close()
