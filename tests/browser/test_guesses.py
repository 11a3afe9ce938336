"""Predictions on a page: typed, drawn into their figure, kept and carried; the five questions."""

import json

import pytest
from typer.testing import CliRunner

from dmlteach.cli import app
from dmlteach.course import exercises
from dmlteach.course.exercises import progress
from dmlteach.course.guesses import guessed, mark_guess
from dmlteach.plots.inline import image_tag
from dmlteach.plots.style import Picture, context
from tests.browser.forms import asked, form_of, kept, reply_of
from tests.browser.test_access import serious_faults

GUESS, CHOICE = "guess.active_triplets", "guess.rates"
FIRST, SECOND = "opening.proxies", "closing.proxies"
LONG_CODE = "guess = ...\n\n# a long one"


def drawn() -> Picture:
    """The figure of a chapter: from 28 % to 1.8 % on an axis from 0 to 1."""
    with context():
        picture = Picture(6.4, 3.4, "a curve that falls")
        axes = picture.subplots()
        axes.plot([0, 12], [0.28, 0.018])
        axes.set(xlim=(0, 12), ylim=(0, 1), xlabel="epoch", ylabel="share of active triplets")
        mark_guess(axes, GUESS, "before", span=(0, 0.3))
        mark_guess(axes, GUESS, "after", span=(0.7, 1))
    return picture


def stacked() -> Picture:
    """Another image of the same, of another shape, which no line is for."""
    picture = Picture(3, 5, "the same, stacked")
    picture.subplots()
    return picture


@pytest.fixture(scope="module")
def chapter(write_chapter, tmp_path_factory) -> str:
    """A page with two predictions, what answers them, and a question of each kind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(progress.VARIABLE, str(tmp_path_factory.mktemp("nobody") / "progress.json"))
        picture = drawn()
        beside = guessed(GUESS, {"before": 0.28, "after": 0.018}, picture, digits=1).rich()["text/html"]
        other = guessed(CHOICE, "a").rich()["text/html"]
    wide, narrow = (image_tag(p.png(), p.alt) for p in (picture, stacked()))
    first, second, numbers, letter = (asked(id, LONG_CODE) for id in (FIRST, SECOND, GUESS, CHOICE))
    return write_chapter(
        f'{first}{numbers}{letter}<h2>Measured</h2><div class="cell wide">{wide}</div>'
        f'<div class="cell narrow">{narrow}</div><div class="cell">{beside}</div>'
        f'<div class="cell">{other}</div>{second}',
        ".narrow { display: none } @media (max-width: 500px) "
        "{ .wide { display: none } .narrow { display: block } }",
    )


def guess(page, before: str, after: str) -> str:
    """Type two guesses and keep them; what the form says."""
    first, second = form_of(page, GUESS).get_by_role("textbox").all()
    first.fill(before)
    second.fill(after)
    return kept_by(page, GUESS)


def kept_by(page, id: str) -> str:
    form_of(page, id).get_by_role("button", name="Keep my answer").click()
    return reply_of(page, id)


def beside(page) -> list[str]:
    return [p.inner_text() for p in page.locator(".dml-guess:visible p").all()]


def heights(page) -> list[float]:
    """Where the lines lie, in fractions of the image from its top."""
    image = page.locator(".wide img").bounding_box()
    boxes = [rule.bounding_box() for rule in page.locator(".dml-rule").all()]
    return [(box["y"] + 1 - image["y"]) / image["height"] for box in boxes]


def test_without_a_guess_the_page_says_nothing_about_one(reader):
    page = reader()
    assert beside(page) == [] and page.locator(".dml-rule").count() == 0
    assert page.locator(".cell:has(pre):visible").count() == 0  # forms stand in the place of the code


def test_a_guess_stands_under_the_figure_and_as_a_line_in_it_and_a_reload_keeps_it(reader):
    page = reader(viewport={"width": 1280, "height": 900})
    said = guess(page, "60 %", "20")
    assert "Triplets that still teach: kept" in said and "before the training: 60 %" in said
    for _ in range(2):
        assert beside(page) == [
            "Your guess, before the training: 60 %. Measured: 28.0 %, 32.0 points less.",
            "Your guess, after a few passes over the data: 20 %. Measured: 1.8 %, 18.2 points less.",
        ]
        assert page.locator(".dml-rule-label").all_inner_texts() == ["my guess: 60 %", "my guess: 20 %"]
        page.reload()
        page.wait_for_selector(".dml-rule")
    picture = drawn()
    picture.draw_without_rendering()
    box = picture.axes[0].get_position()
    wanted = [1 - (box.y0 + share * box.height) for share in (0.6, 0.2)]
    assert heights(page) == pytest.approx(wanted, abs=0.006)
    assert form_of(page, GUESS).get_by_role("textbox").first.input_value() == "60"
    assert reply_of(page, GUESS) == said
    assert json.loads(kept(page)[GUESS]["answer"]) == [60, 20] and kept(page)[GUESS]["tries"] == 1


def test_another_guess_moves_the_line_and_a_guess_off_the_scale_is_not_kept(reader):
    page = reader()
    guess(page, "60", "20")
    high = heights(page)[0]
    guess(page, "30", "20")
    assert heights(page)[0] > high + 0.1 and page.locator(".dml-rule").count() == 2
    said = guess(page, "140", "20")
    assert "140 % cannot be" in said and "Your earlier answer is still kept." in said
    assert form_of(page, GUESS).locator(".dml-state").inner_text() == ""
    assert "cannot be read as a number" in guess(page, "many", "20")
    assert json.loads(kept(page)[GUESS]["answer"]) == [30, 20]


def test_on_a_phone_the_stacked_figure_has_no_line_and_the_sentence_stays(reader):
    page = reader(viewport={"width": 390, "height": 844})
    guess(page, "60", "20")
    assert len(beside(page)) == 2 and page.locator(".dml-rule").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 1000, "height": 844})
    page.wait_for_selector(".dml-rule")
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_selector(".dml-rule", state="detached")


def test_a_choice_is_guessed_by_the_keyboard_alone(reader):
    page = reader()
    form_of(page, CHOICE).get_by_role("radio").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert "kept" in form_of(page, CHOICE).get_by_role("status").inner_text()
    assert beside(page) == [
        "Your guess: less than lies between the best method and the tenth. "
        "Measured: more than lies between the best method and the tenth."
    ]


def test_numbers_are_guessed_by_the_keyboard_alone_and_each_field_says_what_it_is(reader):
    page = reader()
    form_of(page, GUESS).get_by_label("before the training").focus()
    page.keyboard.type("60")
    page.keyboard.press("Tab")
    page.keyboard.type("20")
    page.keyboard.press("Enter")
    assert len(beside(page)) == 2
    group = form_of(page, GUESS).get_by_role("group")
    assert "share of random triplets" in group.locator("legend").inner_text()
    assert page.locator(".dml-marks").get_attribute("aria-hidden") == "true"
    assert page.get_by_role("note", name="Your guess").count() == 1


def test_guesses_and_both_answers_travel_to_dmlteach_progress_and_back(reader, tmp_path, monkeypatch):
    monkeypatch.setenv(progress.VARIABLE, str(tmp_path / "progress.json"))
    page = reader()
    guess(page, "60", "20")
    for id, label in ((FIRST, "a"), (SECOND, "b")):
        form_of(page, id).locator(f"#answer-{id.replace('.', '-')}-{label}").check()
        kept_by(page, id)
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    download.value.save_as(tmp_path / "page.json")
    done = CliRunner().invoke(app, ["progress", "--import", str(tmp_path / "page.json")])
    assert done.exit_code == 0 and "3 exercises changed" in done.output
    assert [progress.answer_of(id) for id in (GUESS, FIRST, SECOND)] == [[60, 20], {"a": ""}, {"b": ""}]
    assert len(guessed(GUESS, {"before": 0.28, "after": 0.018}).sentences) == 2

    exercises.check(CHOICE, "a")
    CliRunner().invoke(app, ["progress", "--export", str(tmp_path / "lab.json")])
    other = reader()
    other.get_by_label("Import a file").set_input_files(tmp_path / "lab.json")
    other.wait_for_selector("text=Imported: 4 exercises changed")
    assert len(beside(other)) == 3 and other.locator(".dml-rule").count() == 2
    assert form_of(other, FIRST).get_by_role("checkbox").first.is_checked()


def test_the_opening_tells_nothing_and_the_closing_shows_both_answers(reader):
    page = reader()
    opening, closing = form_of(page, FIRST), form_of(page, SECOND)
    opening.get_by_role("checkbox").nth(2).check()
    opening.get_by_label("Your reason for c").fill("pairs look closer")
    said = kept_by(page, FIRST)
    assert "the course comes back to it" in said
    assert not any(option.why in said for option in exercises.get(FIRST).options.values())
    closing.get_by_role("checkbox").nth(1).check()
    said = kept_by(page, SECOND)
    assert "at the beginning: c" in said and "now: b" in said and "b and d are right." in said
    assert "c, no: " in said and "(Your reason at the beginning: pairs look closer)" in said
    link = closing.get_by_role("link", name="Proxies, clusters, trees")
    assert link.get_attribute("href").startswith("proxies_clusters_trees.html#")
    opening.get_by_role("checkbox").nth(1).check()
    assert "is the one that is kept" in kept_by(page, FIRST)
    assert json.loads(kept(page)[FIRST]["answer"]) == {"c": "pairs look closer"}


@pytest.mark.parametrize("look", ["light", "dark", "forced"])
def test_axe_finds_nothing_serious_where_guesses_are_shown(reader, look):
    page = reader(
        viewport={"width": 390, "height": 844},
        has_touch=True,
        is_mobile=True,
        color_scheme="dark" if look == "dark" else "light",
        forced_colors="active" if look == "forced" else "none",
    )
    guess(page, "60", "20")
    form_of(page, CHOICE).get_by_role("radio").first.check()
    for id in (FIRST, SECOND):
        form_of(page, id).get_by_role("checkbox").first.check()
    for id in (CHOICE, FIRST, SECOND):
        kept_by(page, id)
    assert not serious_faults(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for control in page.locator("form button, form label:has(input), form input[type=text]").all():
        if control.is_visible():
            assert control.bounding_box()["height"] >= 44
