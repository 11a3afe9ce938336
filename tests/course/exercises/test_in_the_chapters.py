"""The exercises where they are read: each chapter asks them in the engine's words and takes its solutions."""

import dis
import json
import re
from itertools import pairwise
from pathlib import Path
from types import CodeType
from typing import NamedTuple

import pytest

from dmlteach import course
from dmlteach.course import execute, exercises
from dmlteach.course.exercises import CHAPTERS, Chapter
from dmlteach.course.exercises.kinds import Reflection
from dmlteach.course.exercises.unmarked import Closing, Opening, PredictedChoice, Prediction

WAITING = re.compile(r"^answer = \.\.\..*$", re.MULTILINE)
PATIENT = "from dmlteach.course.exercises import answers\nanswers.LIMIT = 3600\n"  # no clock decides
# Their check trains, in test_every_exercise.py, too: of a chapter their solutions take torch alone.
TRAIN = {"triplet.cure", "weights.own"}
every_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)


def notebook(chapter: Chapter) -> Path:
    return course.CHECKOUT / "notebooks" / f"{chapter.name}.ipynb"


def cells(chapter: Chapter, kind: str) -> list[str]:
    content = json.loads(notebook(chapter).read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == kind]


def test_every_chapter_of_the_engine_has_a_notebook_and_the_other_way_round():
    there = {number: path.stem for number, path in execute.notebooks(course.CHECKOUT).items()}
    assert {chapter.number: chapter.name for chapter in CHAPTERS} == there
    assert set(there.values()) == {path.stem for path in (course.CHECKOUT / "notebooks").glob("*.ipynb")}


@every_chapter
def test_a_chapter_asks_each_exercise_in_its_words_and_order(chapter):
    asked = [" ".join(text.split()) for text in cells(chapter, "markdown")]
    wanted = [
        " ".join(f"**{e.heading}.** {e.text}".replace("?.**", "?**").split()) for e in chapter.exercises
    ]
    assert [text for text in asked if text.startswith("**Exercise ")] == wanted


@every_chapter
def test_each_exercise_has_a_cell_that_waits_for_an_answer(chapter):
    waiting = [code for code in cells(chapter, "code") if WAITING.search(code)]
    assert [code.splitlines()[-1] for code in waiting] == [
        f'check("{e.id}", answer)' for e in chapter.exercises
    ]


@every_chapter
def test_each_question_that_is_not_marked_has_a_cell_that_keeps_an_answer(chapter):
    asked = [code for code in cells(chapter, "code") if (code.splitlines() or [""])[-1].startswith("check(")]
    waiting = {code.splitlines()[-1]: code for code in asked if not WAITING.search(code)}
    name = {Opening: "first", Closing: "second"}
    assert list(waiting) == [f'check("{q.id}", {name.get(type(q), "guess")})' for q in chapter.unmarked]
    for question, code in zip(chapter.unmarked, waiting.values(), strict=True):
        several = len(question.parts) if isinstance(question, Prediction) else 1
        assert f" = {', '.join(['...'] * several)}" in code.splitlines()[-2]


@every_chapter
def test_the_questions_of_opening_and_closing_are_asked_in_their_words(chapter):
    asked = [" ".join(text.split()) for text in cells(chapter, "markdown")]
    wanted = [
        " ".join(f"**{q.heading}.** {q.text}".split())
        for q in chapter.unmarked
        if isinstance(q, Opening | Closing)
    ]
    assert [text for text in asked if text.startswith("**Question ")] == wanted


@every_chapter
def test_each_prediction_stands_beside_what_was_measured(chapter):
    code = cells(chapter, "code")
    for question in chapter.unmarked:
        if isinstance(question, Prediction | PredictedChoice):
            (asked,) = [i for i, text in enumerate(code) if f'check("{question.id}"' in text]
            (shown,) = [i for i, text in enumerate(code) if f'guessed("{question.id}"' in text]
            assert asked < shown
            marked = [i for i, text in enumerate(code) if f'mark_guess(axes, "{question.id}"' in text]
            assert set(marked) <= {shown - 1, shown - 2}  # a page looks for the last figure before it


@every_chapter
def test_a_prediction_to_make_now_has_a_field_right_below(chapter):
    asked = json.loads(notebook(chapter).read_text(encoding="utf-8"))["cells"]
    for cell, below in pairwise(asked):
        if cell["cell_type"] == "markdown" and "prediction to make" in "".join(cell["source"]):
            assert 'check("guess.' in "".join(below["source"])


@every_chapter
def test_what_a_page_asks_is_worded_for_a_reader_without_a_cell(chapter):
    for exercise in (*chapter.exercises, *chapter.unmarked):
        if exercise.for_page() is not None:
            assert not re.search(
                r"in quotes|the cell|\brun\b.*\b(cell|check)\b|`\{|dictionary", exercise.text
            )
    (how,) = [text for text in cells(chapter, "markdown") if "`solution(" in text]
    assert "In a notebook, replace the `...`" in how and "On the site, answer in the form" in how


class Names(NamedTuple):
    """What a cell defines; what it takes at once; what its functions take whenever they are called."""

    defined: set[str]
    taken: set[str]
    taken_later: set[str]


def names_of(code: str) -> Names:
    module = compile("\n".join(line for line in code.splitlines() if line[:1] not in ("%", "!")), "", "exec")
    names = Names(set(), set(), set())
    for step in dis.get_instructions(module):
        if step.opname == "STORE_NAME":
            names.defined.add(step.argval)
        elif step.opname == "LOAD_NAME" and step.argval not in names.defined:
            names.taken.add(step.argval)
    waiting = [module]
    while waiting:  # functions, classes and comprehensions
        inside = [part for part in waiting.pop().co_consts if isinstance(part, CodeType)]
        steps = [step for part in inside for step in dis.get_instructions(part)]
        names.taken_later.update(s.argval for s in steps if s.opname in ("LOAD_GLOBAL", "LOAD_NAME"))
        waiting += inside
    return names


def needed(cells: list[str], asked: list[int]) -> list[int]:
    """Places of the asked cells and of those that define what they take, as the chapter has it by then.

    What a function takes may be defined below it; what is defined anew after that is not looked for.
    """
    facts = [names_of(cell) for cell in cells]
    found, waiting = set(asked), list(asked)
    while waiting:
        place = waiting.pop()
        for name in facts[place].taken | facts[place].taken_later:
            makers = [i for i in range(max(asked)) if name in facts[i].defined and i != place]
            before = [i for i in makers if i < place][-1:]
            below = makers[:1] if name in facts[place].taken_later - facts[place].defined else []
            waiting += set(before or below) - found
            found.update(before or below)
    return sorted(found)


def test_a_cell_needs_the_last_that_define_what_it_takes_and_no_others():
    cells = [
        "import a",
        "x = 0",
        "x = a.f()",
        "def g(): return k",
        "k = 1",
        "for x in x: y = x",
        "g(), y",
        "w",
    ]
    assert needed(cells, [6]) == [0, 2, 3, 4, 5, 6]
    assert needed(cells, [7]) == [7]
    assert needed(cells, [1, 3]) == [1, 3]


@pytest.mark.parametrize("id", sorted(TRAIN))
def test_a_solution_that_is_judged_elsewhere_takes_nothing_of_its_chapter_but_torch(id):
    (chapter,) = (chapter for chapter in CHAPTERS if id in {e.id for e in chapter.exercises})
    code = cells(chapter, "code")
    (place,) = (i for i, cell in enumerate(code) if f'check("{id}", answer)' in cell)
    solution = names_of(exercises.get(id).solution)
    assert solution.taken | solution.taken_later <= {"torch"}
    assert any("import torch" in cell.splitlines() for cell in code[:place])
    assert code[place].splitlines()[0].startswith("answer = ...") and len(code[place].splitlines()) == 2


@every_chapter
def test_each_solution_is_right_where_the_chapter_asks_for_it(chapter, tmp_path):
    """With what the chapter's cells have defined by then; that all of them run, test_notebooks.py sees."""
    content = json.loads(notebook(chapter).read_text(encoding="utf-8"))
    code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    run = [exercise for exercise in chapter.exercises if exercise.id not in TRAIN]
    asked = []
    for exercise in run:
        (i,) = (i for i, c in enumerate(code) if f'check("{exercise.id}", answer)' in "".join(c["source"]))
        code[i]["source"] = WAITING.sub(
            lambda _, solution=exercise.solution: solution, "".join(code[i]["source"])
        )
        asked.append(i)
    content["cells"] = [code[i] for i in needed(["".join(cell["source"]) for cell in code], asked)]
    for i in asked:
        code[i]["source"] = PATIENT + code[i]["source"]
    answered, executed = tmp_path / "answered.ipynb", tmp_path / "executed.ipynb"
    answered.write_text(json.dumps(content), encoding="utf-8")
    execute.execute(answered, executed, {})

    said = []
    for cell in json.loads(executed.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", ()):
            said.append("".join(output.get("data", {}).get("text/plain", "")).split("\n")[0])
    for exercise in run:
        status = "to compare" if isinstance(exercise, Reflection) else "right"
        assert f"{exercise.heading}: {status}" in said
