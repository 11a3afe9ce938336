"""A guess beside what is measured: the sentence, the line in the figure, and what a page is told."""

import io
import json
import re

import matplotlib.image
import nbformat
import numpy as np
import pytest

from dmlteach.course import execute, exercises
from dmlteach.course.exercises import progress
from dmlteach.course.guesses import COLOUR, guessed, mark_guess
from dmlteach.errors import DMLTeachError
from dmlteach.plots.style import Picture, context

ACTIVE, LUCK = "guess.active_triplets", "guess.by_luck"
MEASURED = {"before": 0.28, "after": 0.018}


@pytest.fixture(autouse=True)
def progress_file(tmp_path, monkeypatch):
    monkeypatch.setenv(progress.VARIABLE, str(tmp_path / "progress.json"))


def figure(mark=True, **more):
    with context():
        picture = Picture(6.4, 3.4, "a curve")
        axes = picture.subplots()
        axes.plot([0, 12], [0.28, 0.018], color="black")
        axes.set(xlabel="epoch", ylabel="share", ylim=(0, 1), xlim=(0, 12))
        if mark:
            mark_guess(axes, ACTIVE, "before", **more)
    return picture


def test_the_sentence_has_guess_measured_value_and_difference():
    exercises.check(ACTIVE, (60, 1.5))
    assert guessed(ACTIVE, MEASURED, digits=1).sentences == [
        "Your guess, before the training: 60 %. Measured: 28.0 %, 32.0 points less.",
        "Your guess, after a few passes over the data: 1.5 %. Measured: 1.8 %, 0.3 points more.",
    ]
    exercises.check(LUCK, 5)
    (said,) = guessed(LUCK, {"luck": 1.3}, digits=1).sentences
    assert said == "Your guess, on average: 5 points. Measured: 1.3 points, 3.7 points less."


def test_a_measured_number_is_rounded_as_the_text_of_a_chapter_rounds_it():
    exercises.check(LUCK, 5)
    for value in (15.15, 0.25, 0.35, 2.5, 1e-9):
        (said,) = guessed(LUCK, {"luck": value}, digits=1).sentences
        assert f"Measured: {value:.1f} points" in said


def test_a_guess_that_is_right_to_the_shown_digits_is_told_so():
    exercises.check(ACTIVE, (28, 2))
    assert all(said.endswith("as you guessed.") for said in guessed(ACTIVE, MEASURED).sentences)


def test_a_choice_is_told_in_its_words():
    exercises.check("guess.rates", "b")
    assert guessed("guess.rates", "b").sentences[0].endswith("That is what was measured.")
    said = guessed("guess.rates", "a").sentences[0]
    assert said.index("Your guess: less than") < said.index("Measured: more than")


def test_without_a_guess_nothing_is_shown_but_a_page_is_told_what_to_say():
    beside = guessed(ACTIVE, MEASURED, figure(), digits=1)
    assert beside.plain() == "" and beside.sentences == []
    page = beside.rich()["text/html"]
    assert " hidden>" in page and "<p>" not in page
    content = json.loads(re.search(r"<script[^>]*>(.*)</script>", page)[1])
    assert content["measured"] == [28.0, 1.8] and content["unit"] == "%" and content["id"] == ACTIVE


def test_with_a_guess_the_html_says_the_sentences_and_is_not_hidden():
    exercises.check(ACTIVE, (60, 20))
    page = guessed(ACTIVE, MEASURED).rich()["text/html"]
    assert page.count("<p>") == 2 and "hidden" not in page and 'aria-label="Your guess"' in page


def pixels(picture) -> np.ndarray:
    return matplotlib.image.imread(io.BytesIO(picture.png()))[..., :3]


def rows_of_the_line(picture) -> np.ndarray:
    """Rows of the image in which the colour of guesses covers much of the width."""
    wanted = np.array([int(COLOUR[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    near = np.abs(pixels(picture) - wanted).max(2) < 0.05
    return np.flatnonzero(near.mean(1) > 0.3)


def test_the_line_is_drawn_where_the_page_is_told_that_it_would_be():
    told = guessed(ACTIVE, MEASURED, figure()).content
    assert len(rows_of_the_line(figure())) == 0
    exercises.check(ACTIVE, (60, 20))
    rows = rows_of_the_line(figure())
    height = len(pixels(figure()))
    column, phone = told["drawings"]
    [[low, start], [high, end]] = column["marks"][0]["at"]
    assert (low, high) == (0, 100) and column["shape"] == pytest.approx(6.4 / 3.4, abs=1e-3)
    assert phone["shape"] < column["shape"] and phone["marks"][0]["label"] == column["marks"][0]["label"]
    place = start + (60 - low) / (high - low) * (end - start)
    assert rows.mean() / height == pytest.approx(place, abs=0.006)


def test_a_guess_outside_the_axes_is_drawn_at_their_end_and_moves_no_limit():
    exercises.check(LUCK, 90)
    with context():
        picture = Picture(6, 2)
        axes = picture.subplots()
        axes.set(xlim=(0, 3), ylim=(0, 1))
        mark_guess(axes, LUCK, "luck", axis="x")
    picture.draw_without_rendering()
    assert axes.get_xlim() == (0, 3) and axes.get_ylim() == (0, 1)
    (label,) = axes.texts
    assert label.get_text() == "my guess: 90 points" and label.xy[0] == 3


def test_a_figure_with_marks_but_no_guess_is_the_same_image_as_one_without():
    assert figure().png() == figure(mark=False).png()


def test_a_figure_tells_only_the_marks_of_the_prediction_that_is_asked():
    picture = figure(called="untrained", span=(0.1, 0.4))
    assert "drawings" not in guessed(LUCK, {"luck": 1.0}, picture).content
    (mark,) = guessed(ACTIVE, MEASURED, picture).content["drawings"][0]["marks"]
    assert mark["label"] == "my guess, untrained" and mark["axis"] == "y" and mark["part"] == 0
    left, right = mark["span"]
    assert 0 < left < right < 0.6


@pytest.mark.parametrize("axis", ["x", "y"])
@pytest.mark.parametrize("points", [0, 0.4, 1.5, 2.9, 3, 90])
def test_the_label_of_a_guess_lies_inside_the_figure(axis, points):
    exercises.check(LUCK, points)
    with context():
        picture = Picture(6, 2)
        axes = picture.subplots()
        axes.set(xlim=(0, 3), ylim=(0, 3))
        mark_guess(axes, LUCK, "luck", axis=axis)
    picture.draw_without_rendering()
    box = axes.texts[0].get_window_extent()
    assert box.x0 >= 0 and box.x1 <= picture.bbox.x1 and box.y0 >= 0 and box.y1 <= picture.bbox.y1


def test_a_page_is_built_without_the_guesses_of_the_one_who_builds_it(tmp_path):
    exercises.check(ACTIVE, (60, 20))
    cell = nbformat.v4.new_code_cell(
        f"from dmlteach.course.guesses import guessed\nguessed('{ACTIVE}', {MEASURED})"
    )
    source, target = tmp_path / "one.ipynb", tmp_path / "executed" / "one.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), source)
    execute.execute(source, target, {})
    page = target.read_text(encoding="utf-8")
    assert "dml-guess" in page and "Your guess, before" not in page and "hidden>" in page
    assert guessed(ACTIVE, MEASURED).sentences  # which this reader sees, in a notebook


@pytest.mark.parametrize(
    ("call", "words"),
    [(lambda: guessed("guess.recal", {}), "did you mean 'guess.recall'"),
     (lambda: guessed(ACTIVE, {"before": 0.2}), "asks for before, after"),
     (lambda: guessed("guess.rates", "z"), "unknown choice 'z'"),
     (lambda: guessed("start.leak", {}), "no prediction of numbers"),
     (lambda: mark_guess(Picture().subplots(), ACTIVE, "befor"), "did you mean 'before'"),
     (lambda: mark_guess(Picture().subplots(), ACTIVE, "before", axis="z"), "unknown axis 'z'")],
)  # fmt: skip
def test_a_mistake_of_a_chapter_is_one_sentence(call, words):
    with pytest.raises(DMLTeachError, match=re.escape(words)):
        call()
