"""What a teacher is told of each exercise: there for all, gives no answer away, and is on the page."""

import json
import re
from itertools import takewhile

import pytest

from dmlteach import course
from dmlteach.course import teachers_page
from dmlteach.course.exercises import CHAPTERS, five_questions, in_page
from dmlteach.course.exercises.kinds import Choice, Function, Number, tensor_of

EXERCISES = [exercise for chapter in CHAPTERS for exercise in chapter.exercises]
every_exercise = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)
every_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
# What comes beside the minutes that a chapter says it takes to do: extras, and functions that take longer.
REFRESHERS, PROJECT = 15, 15
MORE = {
    "start_here": REFRESHERS, "which_method_is_best": PROJECT,
    "temperature": 5, "proxies_clusters_trees": 5,
}  # fmt: skip


def written(value: float) -> set[str]:
    """A number in the ways in which somebody might write it."""
    ways = {f"{value:g}", f"{value:,.0f}" if value == int(value) else f"{value:g}"}
    ways |= {f"{value:.{decimals}f}" for decimals in (1, 2, 3, 4)}
    ways |= {f"{100 * value:.{decimals}f} %" for decimals in (0, 1, 2)}
    return ways | {way.replace(" %", "%") for way in ways} | {way.replace("-", "−") for way in ways}


def gives_away(say: str, value: float) -> set[str]:
    """The ways in which a number stands in a text, by itself and not as a part of another one."""
    alone = r"(?<![\w.,−-]){}(?![\w%]|[.,]\d)"
    return {way for way in written(value) if re.search(alone.format(re.escape(way)), say)}


def named_in(page: str, heading: str) -> str:
    """The section of an exercise."""
    lines = page.partition(heading)[2].splitlines()
    return "\n".join(takewhile(lambda line: not line.startswith("#"), lines[1:]))


@every_exercise
def test_every_exercise_tells_a_teacher_what_goes_wrong_and_asks_one_to_three_questions(exercise):
    minutes, often, say = exercise.teaching
    assert 1 <= minutes <= 15
    assert len(often.split()) > 5 and often.endswith(".")
    assert "?" in say and 1 <= len(re.findall(r"[.?](?= |$)", say)) <= 5
    replies = [words for _, words in getattr(exercise, "mistakes", ())]
    assert say not in (*replies, *exercise.hints)


@every_exercise
def test_what_to_say_holds_no_answer(exercise):
    say = exercise.teaching.say
    if isinstance(exercise, Number):
        for asked in (exercise, exercise.variant(1), exercise.variant(2)):
            for value in tensor_of(asked.value()).reshape(-1).tolist():
                assert not gives_away(say, value)
    elif isinstance(exercise, Choice):
        right = [option.text for option in exercise.options.values() if option.right]
        assert not [text for text in right if text in say]
    elif isinstance(exercise, Function):
        lines = [line.strip() for line in exercise.solution.splitlines()]
        assert not [line for line in lines if line and line in say]


def test_an_answer_is_found_however_it_is_written():
    for said in ("it is 0.57", "57 % of them", "about 0.5665."):
        assert gives_away(said, 0.5665)
    assert gives_away("just 75,240,000 triplets", 75_240_000.0) and gives_away("−6, that is", -6.0)
    assert not gives_away("if both scores were 500, or 0.55", 0.5)


@every_chapter
def test_the_minutes_of_a_chapter_are_those_that_it_says_it_takes_to_do(chapter):
    notebook = json.loads((course.CHECKOUT / "notebooks" / f"{chapter.name}.ipynb").read_text("utf-8"))
    opening = "".join(notebook["cells"][0]["source"])
    (to_do,) = re.findall(r"(\d+) (?:to do|minutes of doing)", opening)
    assert teachers_page.minutes(chapter) == int(to_do) + MORE.get(chapter.name, 0)
    assert (chapter.name in MORE) == (chapter.name in teachers_page.LONGER)


@every_chapter
def test_the_page_has_every_exercise_with_its_note_and_its_place(chapter):
    page = teachers_page.page()
    section = page.partition(f"## {chapter.number} · {chapter.title}\n")[2].partition("\n## ")[0]
    assert f", {teachers_page.minutes(chapter)} minutes." in section
    for exercise in chapter.exercises:
        place = in_page.anchor(chapter.name, exercise.id)
        note = named_in(section, f"### [{exercise.number}](#{place}) {exercise.title}")
        assert note.strip().startswith(f"{exercise.teaching.minutes} minutes: ")
        assert f"- **Often:** {exercise.teaching.often}\n- **Say:** {exercise.teaching.say}" in note
    assert page.endswith(five_questions.IN_CLASS)
