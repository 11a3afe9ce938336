"""The exercises where they are read: each chapter asks them in the engine's words and takes its solutions."""

import json
import re
from pathlib import Path

import pytest

from dmlteach import course
from dmlteach.course import execute
from dmlteach.course.exercises import CHAPTERS, Chapter
from dmlteach.course.exercises.kinds import Reflection

WAITING = re.compile(r"^answer = \.\.\..*$", re.MULTILINE)
PATIENT = "from dmlteach.course.exercises import answers\nanswers.LIMIT = 3600\n"  # no clock decides
every_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.number)


def notebook(chapter: Chapter) -> Path:
    (path,) = (course.CHECKOUT / "notebooks").glob(f"{chapter.number}_*.ipynb")
    return path


def cells(chapter: Chapter, kind: str) -> list[str]:
    content = json.loads(notebook(chapter).read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == kind]


def test_every_chapter_of_the_engine_has_a_notebook_and_the_other_way_round():
    numbers = [path.name[:2] for path in sorted((course.CHECKOUT / "notebooks").glob("*.ipynb"))]
    assert [chapter.number for chapter in CHAPTERS] == numbers


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
def test_each_solution_is_right_where_the_chapter_asks_for_it(chapter, tmp_path):
    content = json.loads(notebook(chapter).read_text(encoding="utf-8"))
    for exercise in chapter.exercises:
        (cell,) = (c for c in content["cells"] if f'check("{exercise.id}", answer)' in "".join(c["source"]))
        cell["source"] = PATIENT + WAITING.sub(
            lambda _, code=exercise.solution: code, "".join(cell["source"])
        )
    answered, executed = tmp_path / "answered.ipynb", tmp_path / "executed.ipynb"
    answered.write_text(json.dumps(content), encoding="utf-8")
    execute.execute(answered, executed, {})

    said = []
    for cell in json.loads(executed.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", ()):
            said.append("".join(output.get("data", {}).get("text/plain", "")).split("\n")[0])
    for exercise in chapter.exercises:
        status = "to compare" if isinstance(exercise, Reflection) else "right"
        assert f"{exercise.heading}: {status}" in said
