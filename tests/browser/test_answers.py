"""Exercises answered in the page: forms, hints and what is kept, from the disk and without the network."""

import json

import pytest
from typer.testing import CliRunner

from dmlteach.cli import app
from dmlteach.course import exercises
from dmlteach.course.exercises import progress
from tests.browser.forms import KEY, asked, form_of, kept, reply_of
from tests.browser.test_access import serious_faults

CHOICE, NUMBER, PAIR = "triplet.collapse", "before.softmax", "before.gradient"
TEXT, CODE = "start.own_problem", "triplet.hinge"


def _folded(id: str) -> str:
    page = ""
    stages = [*exercises.get(id).hints, "solved"]
    for stage, text in reversed([*enumerate(stages, 1)]):
        page = f"<details><summary>Stage {stage}</summary><p>{text}</p>{page}</details>"
    return page


@pytest.fixture(scope="module")
def chapter(write_chapter) -> str:
    """A page with an exercise of each kind."""
    return write_chapter("".join(asked(id) + _folded(id) for id in (CHOICE, NUMBER, PAIR, TEXT, CODE)))


def checked(page, id: str) -> str:
    """Press the form's button; what is said."""
    form_of(page, id).get_by_role("button").click()
    return reply_of(page, id)


def test_each_kind_is_answered_and_the_answer_is_there_after_a_reload(reader):
    page = reader()
    assert "not answered yet" in checked(page, NUMBER) and kept(page) == {}
    form_of(page, NUMBER).get_by_role("textbox").fill("5")
    assert "a probability lies between 0 and 1" in checked(page, NUMBER)
    form_of(page, NUMBER).get_by_role("textbox").fill("1/2")
    assert "Softmax: right" in checked(page, NUMBER)
    boxes = form_of(page, CHOICE)
    assert boxes.get_by_role("checkbox").count() == 5
    said = checked(page, CHOICE)
    assert "not answered yet" in said and "missing" not in said and CHOICE not in kept(page)
    boxes.get_by_label("raise the margin to 1").check()
    boxes.get_by_label("Your reason for a").fill("more room")
    said = checked(page, CHOICE)
    assert "a, no: at the collapse" in said and "(Your reason: more room)" in said and "2 of them" in said
    form_of(page, TEXT).get_by_role("textbox").fill("My shop has\nmany products.")
    assert form_of(page, TEXT).get_by_role("button").inner_text() == "Compare"  # it is not marked
    assert "An answer to compare yours with" in checked(page, TEXT)
    assert form_of(page, PAIR).locator("label").all_inner_texts() == list(exercises.get(PAIR).parts)
    assert "Answered on this page: 2 of 4" in page.locator(".dml-kept").inner_text()

    replies = [reply_of(page, id) for id in (NUMBER, CHOICE, TEXT)]
    page.reload()
    assert [reply_of(page, id) for id in (NUMBER, CHOICE, TEXT)] == replies and reply_of(page, PAIR) == ""
    assert form_of(page, NUMBER).get_by_role("textbox").input_value() == "0.5"
    assert boxes.get_by_label("raise the margin to 1").is_checked()
    assert boxes.get_by_label("Your reason for a").input_value() == "more room"
    assert form_of(page, TEXT).get_by_role("textbox").input_value() == "My shop has\nmany products."
    record = kept(page)[NUMBER]
    assert (record["status"], record["tries"], record["hints"]) == ("right", 2, 0)


def test_one_status_stands_at_an_exercise_and_a_right_answer_still_counts(reader):
    page = reader()
    field = form_of(page, NUMBER).get_by_role("textbox")
    for given, status, counts in (("0.5", "right", False), ("7", "not yet", True), ("two", "not yet", True),
                                  ("", "not answered yet", True), ("0.5", "right", False)):  # fmt: skip
        field.fill(given)
        said = checked(page, NUMBER)
        assert f"Softmax: {status}" in said and ("An earlier answer of yours was right" in said) == counts
        assert form_of(page, NUMBER).locator(".dml-state").inner_text() == ""
    field.fill("7")
    checked(page, NUMBER)
    page.reload()
    assert "Softmax: right" in reply_of(page, NUMBER) and "earlier" not in reply_of(page, NUMBER)


def test_what_was_answered_elsewhere_has_its_status_at_the_button(reader, tmp_path, monkeypatch):
    monkeypatch.setenv(progress.VARIABLE, str(tmp_path / "progress.json"))
    exercises.check(NUMBER, 0.5)  # a notebook keeps that it was right, not what was answered
    CliRunner().invoke(app, ["progress", "--export", str(tmp_path / "from_lab.json")])
    page = reader()
    page.get_by_label("Import a file").set_input_files(tmp_path / "from_lab.json")
    page.wait_for_selector("text=Imported: 1 exercise changed")
    assert form_of(page, NUMBER).locator(".dml-state").inner_text() == "✓ right"
    form_of(page, NUMBER).get_by_role("textbox").fill("7")
    assert "An earlier answer of yours was right" in checked(page, NUMBER)
    assert form_of(page, NUMBER).locator(".dml-state").inner_text() == ""


@pytest.mark.parametrize("answer", ["[]", "[1, 2]", '"0.5"', '{"0": 0.5}', "[null]", "7", "{"])
def test_a_kept_answer_of_another_form_draws_no_reply(reader, answer):
    page = reader()
    record = {"status": "right", "tries": 1, "hints": 0, "solution": False, "when": "", "answer": answer}
    page.evaluate("([key, text]) => localStorage.setItem(key, text)",
                  [KEY, json.dumps({"version": 1, "exercises": {NUMBER: record}})])  # fmt: skip
    page.reload()
    assert reply_of(page, NUMBER) == "" and form_of(page, NUMBER).get_by_role("textbox").input_value() == ""
    assert form_of(page, NUMBER).locator(".dml-state").inner_text() == "✓ right"


def test_numbers_are_typed_as_people_write_them_and_echoed_so(reader):
    page = reader()
    form_of(page, NUMBER).get_by_role("textbox").fill("50 %")
    said = checked(page, NUMBER)
    assert "Softmax: right" in said and "“50 %” is read as 0.5." in said
    form_of(page, NUMBER).get_by_role("textbox").fill("75,240,000")
    assert "your answer = 75,240,000" in checked(page, NUMBER)
    first, second = form_of(page, PAIR).get_by_role("textbox").all()
    first.fill("−2")
    second.fill("0 %")
    assert "no percentage is asked for" in checked(page, PAIR)
    assert [f.get_attribute("aria-invalid") for f in (first, second)] == ["false", "true"]


def test_what_is_no_number_is_said_and_not_a_try(reader):
    page = reader()
    first, second = form_of(page, PAIR).get_by_role("textbox").all()
    first.fill("2")
    assert "not answered yet" in checked(page, PAIR)
    second.fill("zero")
    assert "“zero” cannot be read as a number" in checked(page, PAIR)
    assert second.get_attribute("aria-invalid") == "true" and kept(page) == {}
    second.fill("0")
    assert ": right" in checked(page, PAIR)


def test_code_is_answered_in_the_notebook_and_the_cell_of_a_form_is_gone(reader):
    page = reader()
    cells = page.locator(".cell")
    assert [cell.is_visible() for cell in cells.all()] == [False, False, False, False, True]
    assert "dmlteach lab 01" in page.locator("main").inner_text()


def test_opened_hints_and_the_solution_are_noted_and_a_right_answer_stays_right(reader):
    page = reader()
    form_of(page, NUMBER).get_by_role("textbox").fill("0.5")
    checked(page, NUMBER)
    below = page.locator(".dml-answer", has=form_of(page, NUMBER)).locator("xpath=following-sibling::*[1]")
    for stage in range(1, len(exercises.get(NUMBER).hints) + 2):
        below.locator("summary", has_text=f"Stage {stage}").click()
        page.wait_for_function(
            f"JSON.parse(localStorage['{KEY}']).exercises['{NUMBER}'].{'hints' if stage < 3 else 'solution'}"
        )
    form_of(page, NUMBER).get_by_role("textbox").fill("7")
    assert "too large" in checked(page, NUMBER)
    record = kept(page)[NUMBER]
    assert (record["status"], record["tries"], record["hints"]) == ("right", 1, 2)
    assert record["solution"] and record["answer"] == "[0.5]"


def test_answers_travel_to_dmlteach_progress_and_back_and_nothing_is_lost(reader, tmp_path, monkeypatch):
    monkeypatch.setenv(progress.VARIABLE, str(tmp_path / "progress.json"))
    exercises.check(PAIR, (2.0, 0.0))
    exercises.check(NUMBER, 5.0)
    page = reader()
    form_of(page, NUMBER).get_by_role("textbox").fill("0.5")
    checked(page, NUMBER)
    form_of(page, TEXT).get_by_role("textbox").fill("Words.")
    checked(page, TEXT)
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    download.value.save_as(tmp_path / "from_page.json")
    done = CliRunner().invoke(app, ["progress", "--import", str(tmp_path / "from_page.json")])
    assert done.exit_code == 0 and "2 exercises changed" in done.output
    records = progress.read()[0]
    assert {id: r.status for id, r in records.items()} == {PAIR: "right", NUMBER: "right", TEXT: "to compare"}
    assert CliRunner().invoke(app, ["progress", "--export", str(tmp_path / "from_lab.json")]).exit_code == 0

    other = reader()
    form_of(other, TEXT).get_by_role("textbox").fill("Other words.")
    checked(other, TEXT)
    other.get_by_label("Import a file").set_input_files(tmp_path / "from_lab.json")
    other.wait_for_selector("text=Imported: 2 exercises changed")
    assert {id: r["status"] for id, r in kept(other).items()} == {i: r.status for i, r in records.items()}
    assert form_of(other, TEXT).get_by_role("textbox").input_value() == "Other words."
    assert form_of(other, NUMBER).get_by_role("textbox").input_value() == "0.5"


@pytest.mark.parametrize("content", ["", "[]", '{"version": 1, "exercises": {"a": {"tries": "many"}}}'])
def test_a_file_that_holds_no_progress_changes_nothing(reader, tmp_path, content):
    page = reader()
    (tmp_path / "odd.json").write_text(content)
    page.get_by_label("Import a file").set_input_files(tmp_path / "odd.json")
    page.wait_for_selector("text=holds no progress")
    assert kept(page) == {}


def test_a_damaged_store_is_put_aside_and_a_newer_one_is_left_alone(reader):
    page = reader()
    page.evaluate(f"localStorage.setItem('{KEY}', '{{')")
    form_of(page, NUMBER).get_by_role("textbox").fill("0.5")
    checked(page, NUMBER)
    assert kept(page)[NUMBER]["status"] == "right"
    assert page.evaluate(f"localStorage.getItem('{KEY}.damaged-1')") == "{"
    page.evaluate(f"localStorage.setItem('{KEY}', '{{\"version\": 99}}')")
    assert "newer version" in checked(page, NUMBER)
    assert page.evaluate(f"localStorage.getItem('{KEY}')") == '{"version": 99}'


def test_without_a_script_the_page_is_as_it_was_written(reader):
    page = reader(java_script_enabled=False)
    assert page.locator("form").count() == 0 and page.locator(".cell:visible").count() == 5
    assert page.locator("li", has_text="raise the margin to 1").is_visible()
    assert page.locator("summary:visible").count() == 5


def test_all_of_it_works_by_the_keyboard_alone(reader):
    page = reader()
    form_of(page, CHOICE).get_by_role("checkbox").first.focus()
    for letter in "abcde":
        if letter in "ce":
            page.keyboard.press("Space")
            page.keyboard.press("Tab")
            page.keyboard.type(f"because {letter}")
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    said = form_of(page, CHOICE).get_by_role("status")
    assert ": right" in said.inner_text() and "because e" in said.inner_text()


@pytest.mark.parametrize("look", ["light", "dark", "forced"])
def test_axe_finds_nothing_serious_in_forms_and_replies(reader, look):
    page = reader(
        viewport={"width": 390, "height": 844},
        has_touch=True,
        is_mobile=True,
        color_scheme="dark" if look == "dark" else "light",
        forced_colors="active" if look == "forced" else "none",
    )
    form_of(page, CHOICE).get_by_label("raise the margin to 1").check()
    form_of(page, NUMBER).get_by_role("textbox").fill("5")
    for id in (CHOICE, NUMBER, PAIR, TEXT):
        checked(page, id)
    assert not serious_faults(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for control in page.locator("form button, form label:has(input), form input[type=text]").all():
        if control.is_visible():
            assert control.bounding_box()["height"] >= 44
