"""Exercises of a teacher's own: handed out, answered, and collected as those of the course are."""

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dmlteach.cli import app
from dmlteach.course import CHECKOUT, exercises
from dmlteach.course.assignments import assignment as assigned
from dmlteach.course.assignments import collecting, marks
from dmlteach.course.assignments.hand_ins import HandIn
from dmlteach.course.assignments.rerun import Answer

OWN = '''"""Hands on distances. More of this file nobody reads."""

from random import Random

import torch

from dmlteach.course.exercises.kinds import Function, Number


def legs(a: int, b: int) -> Number:
    return Number(
        id="own.length",
        number="A1",
        title="A length",
        question=f"How long is the vector ({a}, {b})? To two decimals.",
        hints=("Pythagoras.",),
        solution=f"answer = ({a} ** 2 + {b} ** 2) ** 0.5",
        value=lambda: (a**2 + b**2) ** 0.5,
        means="the root of the sum of squares",
        decimals=2,
        mistakes=((lambda: a + b, "This is the sum of the legs."),),
        with_numbers=lambda random: legs(random.randint(2, 9), random.randint(20, 90)),
    )


EXERCISES = (
    legs(3, 4),
    Function(
        id="own.double",
        number="A2",
        title="Twice",
        question="Write a function that doubles a tensor.",
        hints=("Add.",),
        solution="def answer(x):\\n    return x + x",
        arguments=("x",),
        definition=lambda x: 2 * x,
        cases=lambda generator: [(torch.randn(3, generator=generator),)],
        returns="a tensor like x",
    ),
)
'''
LENGTH, DOUBLE = "own.length", "own.double"


@pytest.fixture(autouse=True)
def none_taken_in(monkeypatch):
    monkeypatch.setattr(exercises, "_own", {})


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "mine" / "distances.py"
    path.parent.mkdir()
    path.write_text(OWN)
    return path


def command(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["assignment", *map(str, words)])
    return result.exit_code, result.output


@pytest.fixture
def handed_out(file, tmp_path) -> Path:
    ids = tmp_path / "ids.txt"
    ids.write_text("ann\nbob\neve\n")
    folder = tmp_path / "week1"
    words = ("make", "--own", file.parent, "--out", folder, "--name", "week1", "--students", ids)
    code, output = command(
        *words, "01", "--exercise", LENGTH, "--exercise", DOUBLE, "--exercise", "triplet.hinge"
    )
    assert (code, "6 notebooks" in output) == (0, True), output
    return folder


def hand_in(folder: Path, student: str, answers: dict[str, str]) -> Path:
    page = json.loads((folder / "release" / student / "week1" / "distances.ipynb").read_text())
    for cell in page["cells"]:
        source = "".join(cell["source"])
        for id, code in answers.items():
            if f'check("{id}"' in source:
                cell["source"] = f'{code}\ncheck("{id}", answer)'
    path = folder / "submitted" / student / "week1" / "distances.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(page))
    return path


def statuses(folder: Path, tmp_path: Path) -> dict[tuple[str, str], str]:
    code, output = command("collect", folder, "-o", tmp_path / "marks.csv")
    assert code == 0, output
    lines = (tmp_path / "marks.answers.csv").read_text().splitlines()[1:]
    return {(line.split(",")[0], line.split(",")[1]): line.split(",")[3] for line in lines}


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_own_exercises_are_collected_with_each_students_numbers(handed_out, tmp_path, monkeypatch, start):
    monkeypatch.setattr(collecting, "START", start)
    made = assigned.read(handed_out)
    right = {who: made.asked(who, LENGTH).solution for who in made.students}
    assert len(set(right.values())) == 3
    hand_in(handed_out, "ann", {LENGTH: right["ann"], DOUBLE: "def answer(x):\n    return 2 * x"})
    hand_in(handed_out, "bob", {LENGTH: right["ann"], DOUBLE: "def answer(x):\n    return x * x"})
    found = statuses(handed_out, tmp_path)
    assert found[("ann", LENGTH)] == found[("ann", DOUBLE)] == "right"
    assert found[("bob", LENGTH)] == found[("bob", DOUBLE)] == "not yet"
    assert "own.length: the answer to the numbers of ann" in (tmp_path / "marks.notes.csv").read_text()
    page = (tmp_path / "marks.html").read_text()
    assert "A1 A length" in page and "Ask:" not in page  # they have no note of what to ask


def test_the_file_that_counts_is_the_teachers(handed_out, tmp_path):
    path = hand_in(handed_out, "eve", {LENGTH: "answer = 1"})
    (path.parent / "distances.py").write_text(OWN.replace("(a**2 + b**2) ** 0.5", "1.0"))
    assert statuses(handed_out, tmp_path)[("eve", LENGTH)] == "not yet"


def test_the_notebook_runs_as_it_is_handed_out_where_the_teachers_folder_is_not(handed_out, tmp_path):
    place = handed_out / "release" / "bob" / "week1"
    (handed_out / "own" / "distances.py").unlink()
    cells = json.loads((place / "distances.ipynb").read_text())["cells"]
    code = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    program = code.replace("answer = ...", "answer = 1")
    environment = os.environ | {"DMLTEACH_PROGRESS": str(tmp_path / "progress.json")}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=place, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "A1" in done.stdout and "It is too small." in done.stdout and "not answered yet" in done.stdout
    assert json.loads((tmp_path / "progress.json").read_text())["exercises"][LENGTH]["status"] == "not yet"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("EXERCISES", "ASKED"), "give a tuple EXERCISES"),
        (('"own.double"', '"own.length"'), "two exercises have the id 'own.length'"),
        (('"own.double"', '"triplet.hinge"'), "the id 'triplet.hinge' is taken"),
        (("return x + x", "return x * x"), "own.double does not take its own solution for right"),
        (("return x + x", "return x + y"), "own.double fails on its own solution: RaisedError"),
        (("from random", "from nowhere"), "fails when it is imported: ModuleNotFoundError"),
        (("legs(3, 4)", "legs(3)"), "fails when it is imported: TypeError"),
        (("lambda: (a**2", "lambda: (c**2"), "own.length fails on its own solution: NameError"),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence_and_nothing_is_written(file, tmp_path, change, said):
    file.write_text(OWN.replace(*change))
    code, output = command("make", "--own", file, "--out", tmp_path / "out")
    assert (code, said in output.replace("\n", " ")) == (2, True), output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("nowhere.py", "no file"),
        ("empty", "holds no file that ends in .py"),
        ("ensembles.py", "name of a chapter"),
        ("my-own.py", "letters, digits and _"),
    ],
)
def test_a_file_that_cannot_be_is_told(tmp_path, place, said):
    (tmp_path / "empty").mkdir()
    for name in ("ensembles.py", "my-own.py"):
        (tmp_path / name).write_text(OWN)
    code, output = command("make", "--own", tmp_path / place, "--out", tmp_path / "out")
    assert (code, said in output.replace("\n", " ")) == (2, True), output


def test_something_must_be_asked(tmp_path):
    code, output = command("make", "--out", tmp_path / "out")
    assert (code, "name a chapter, e.g. 01" in output) == (2, True), output


def test_the_example_of_the_page_for_teachers_is_handed_out_as_it_stands(tmp_path):
    page = (CHECKOUT / "docs" / "teaching.md").read_text("utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "mine.py").write_text(example)
    (tmp_path / "ids.txt").write_text("\n".join(f"s{number}" for number in range(20)))
    words = ("--own", tmp_path / "mine.py", "--out", tmp_path / "out", "--students", tmp_path / "ids.txt")
    code, output = command("make", *words)
    assert (code, "20 notebooks" in output) == (0, True), output
    questions = {assigned.read(tmp_path / "out").asked(f"s{n}", "mine.length").question for n in range(20)}
    assert len(questions) > 10
    page = (tmp_path / "out" / "release" / "s0" / "assignment" / "mine.ipynb").read_text("utf-8")
    assert 'answer = ...  # {\\"a letter\\": \\"because …\\"}' in page
    assert "answer = ...  # text, in quotes" in page
    assert "**Exercise A4 · Distance or cosine?** Which" in page  # one mark at its end, not two
    assert "Exercises of *Distances by hand*." in page


def test_a_known_mistake_that_is_right_for_another_is_not_held_for_their_answer(
    handed_out, tmp_path, monkeypatch
):
    made = assigned.read(handed_out)
    right = {who: made.asked(who, LENGTH).value() for who in made.students}
    monkeypatch.setattr(
        "dmlteach.course.assignments.rerun._mistake", lambda *_: "This is the sum of the legs."
    )
    hand_in(handed_out, "bob", {LENGTH: f"answer = {right['ann']}"})
    assert statuses(handed_out, tmp_path)[("bob", LENGTH)] == "not yet"
    assert "right for another" not in (tmp_path / "marks.notes.csv").read_text()


@pytest.mark.parametrize(
    ("words", "waited"),
    [
        ("your code was stopped after 60 s, in a cell, line 2.", True),
        ("the check was stopped after 60 s.", True),
        ("your code was stopped after 20 s, in a cell, line 2.", False),
        ("your code raised ValueError: 60 s", False),
        ("It is too large.", False),
    ],
)
def test_what_the_clock_stopped_before_its_time_is_for_the_teacher_to_look_at(tmp_path, words, waited):
    given = HandIn("ann", "distances", tmp_path / "x.ipynb", datetime.now(UTC), ["answer = 1"])
    collected = [(given, {LENGTH: Answer(LENGTH, "not yet", words)})]
    made = assigned.Assignment(name="w", notebooks={"distances": [LENGTH]})
    assert ["stopped by the clock" in n["what"] for n in marks.notes(made, collected)] == [True] * waited


def test_no_hand_ins_at_a_time_is_refused(tmp_path):
    code, output = command("collect", tmp_path, "--jobs", 0)
    assert (code, "jobs" in output) == (2, True), output


def test_marks_do_not_take_the_place_of_the_overview(tmp_path):
    code, output = command("collect", tmp_path, "-o", tmp_path / "marks.html")
    assert (code, "name the CSV file of the marks" in " ".join(output.split())) == (2, True), output
