"""What is handed out: notebooks that run as they are, and refusals before anything is written."""

import json
import os
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dmlteach.cli import app
from dmlteach.course.assignments import Assignment, collecting, handing_out, marks
from dmlteach.course.assignments.cells import read
from dmlteach.course.assignments.collecting import collect
from dmlteach.course.assignments.hand_ins import HandIn, hand_ins
from dmlteach.course.exercises import CHAPTERS, get
from dmlteach.course.exercises import answers as limits
from dmlteach.course.exercises.five_questions import QUESTIONS
from dmlteach.course.exercises.replies import UNANSWERED
from dmlteach.errors import DMLTeachError


def code_of(page) -> list[str]:
    return [cell.source for cell in page.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
def test_each_exercise_can_be_asked_alone_and_a_notebook_without_answers_is_no_mistake(chapter, tmp_path):
    found = []
    for exercise in chapter.exercises:
        assignment = Assignment(name="alone", notebooks={chapter.name: [exercise.id]}, students=["ann"])
        code = code_of(handing_out.notebook(assignment, chapter.name, "ann"))
        given = HandIn("ann", chapter.name, tmp_path / "x.ipynb", None, code)
        ((_, answers),) = collect(assignment, [given])
        found.append((exercise.id, answers[exercise.id].status, answers[exercise.id].words))
    assert [(id, status) for id, status, _ in found] == [(e.id, UNANSWERED) for e in chapter.exercises], found


def test_a_notebook_says_whose_it_is_and_asks_with_their_numbers():
    assignment = Assignment(
        name="w", notebooks={"proxies_clusters_trees": ["proxies.terms"]}, students=["ann", "bob"]
    )
    pages = {
        who: handing_out.notebook(assignment, "proxies_clusters_trees", who) for who in assignment.students
    }
    for who, page in pages.items():
        assert page.metadata["dmlteach"]["student"] == who
        assert assignment.asked(who, "proxies.terms").question in "".join(c.source for c in page.cells)
        assert "use_variants({'proxies.terms': " in code_of(page)[0]
    assert str(pages["ann"]) != str(pages["bob"])


def test_what_is_the_same_for_all_is_marked_and_only_where_others_have_own_numbers():
    ids = {"proxies_clusters_trees": ["proxies.terms", "proxies.sign", "proxies.greedy"]}
    page = handing_out.notebook(Assignment(name="w", notebooks=ids, students=["ann"]), *ids, "ann")
    same = [cell.source.partition(" ·")[0] for cell in page.cells if "(The same for all.)" in cell.source]
    assert same == [f"**Exercise {get('proxies.sign').number}"]
    alike = handing_out.notebook(Assignment(name="w", notebooks=ids), *ids)
    assert "same for all" not in str(alike)


def test_a_notebook_checks_each_exercise_in_a_cell_of_its_own():
    ids = {"ensembles": [e.id for e in CHAPTERS[8].exercises]}
    cells = [
        read(source)
        for source in code_of(handing_out.notebook(Assignment(name="w", notebooks=ids), "ensembles"))
    ]
    assert [sorted(cell.checks) for cell in cells if cell.checks] == [[id] for id in ids["ensembles"]]


def test_predictions_are_not_handed_out():
    kept = {question.id for chapter in CHAPTERS for question in chapter.unmarked}
    assert not kept & {id for ids in handing_out.chosen([c.number for c in CHAPTERS]).values() for id in ids}


def command(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["assignment", *words])
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["make", "77", "--out", "{}"], "unknown chapter '77'"),
        (
            ["make", "01", "--out", "{}", "--exercise", "sst.bound"],
            "unknown exercise of these chapters 'sst.bound'",
        ),
        (["make", "01", "02", "--out", "{}", "--exercise", "sst.bound"], "no exercise of pairs_and_triplets"),
        (["make", "01", "--out", "{}", "--name", "../up"], "'../up' cannot be the id of an assignment"),
        (["make", "01", "--out", "{}", "--name", ".."], "'..' cannot be the id of an assignment"),
        (["make", "01", "--out", "{}", "--students", "nowhere.txt"], "nowhere.txt: No such file"),
        (["make", "01", "--out", "{}", "--salt", "x"], "give them by --students"),
        (["collect", "{}"], "assignment.json"),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_written(words, said, tmp_path):
    folder = tmp_path / "out"
    code, output = command(*(word.format(folder) for word in words))
    assert code == 2
    assert said in output
    assert not folder.exists()


@pytest.mark.parametrize(
    ("students", "said"),
    [
        (["Anna", "anna"], "'Anna' and 'anna' would have one folder"),
        (["CON"], "'CON' cannot be the id of a student: Windows"),
        (["aux.1"], "'aux.1' cannot be the id of a student: Windows"),
        (["x."], "'x.' cannot be the id of a student: it names a folder"),
    ],
)
def test_ids_are_names_of_different_folders_on_every_system(students, said):
    with pytest.raises(DMLTeachError, match=said):
        Assignment(name="w", notebooks={}, students=students)
    assert Assignment(name="w", notebooks={}, students=["anna", "conrad", "x.y", "com10", "auxiliary"])


def test_a_list_of_students_is_read_as_people_write_it(tmp_path):
    ids = tmp_path / "ids.txt"
    ids.write_text("\ufeffann\n\n  bob  # second row\n# nobody\n", encoding="utf-8")
    code, output = command("make", "01", "--out", str(tmp_path / "out"), "--students", str(ids))
    assert (code, "2 notebooks" in output) == (0, True)
    assert json.loads((tmp_path / "out" / "assignment.json").read_text())["students"] == ["ann", "bob"]
    ids.write_text("ann\nann\n")
    code, output = command("make", "01", "--out", str(tmp_path / "two"), "--students", str(ids))
    assert (code, "'ann' is listed twice" in output) == (2, True)


def test_an_assignment_is_not_written_over_another(tmp_path):
    assert command("make", "01", "--out", str(tmp_path / "out"))[0] == 0
    code, output = command("make", "02", "--out", str(tmp_path / "out"))
    assert (code, "holds an assignment already" in output) == (2, True)


@pytest.fixture
def handed_out(tmp_path) -> tuple[Path, Assignment]:
    assignment = Assignment(name="w", notebooks={"ensembles": ["ensembles.own"]})
    handing_out.make(assignment, tmp_path)
    return tmp_path, assignment


def put(folder: Path, *place: str) -> Path:
    target = folder.joinpath(*place)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text((folder / "release" / "w" / "ensembles.ipynb").read_text())
    return target


def test_a_hand_in_at_another_place_is_listed_and_not_lost(handed_out):
    folder, assignment = handed_out
    put(folder, "submitted", "ann", "ensembles.ipynb")
    put(folder, "submitted", "bob", "w", "ensembles.ipynb")
    put(folder, "submitted", "bob", "another", "ensembles.ipynb")
    ann, bob = hand_ins(folder, assignment)
    assert [kind for kind, _ in ann.notes] == ["misplaced"]
    assert (bob.notes, bool(bob.cells), ann.student) == ([], True, "ann")


def test_of_two_of_one_student_the_newest_is_run(handed_out):
    folder, assignment = handed_out
    put(folder, "submitted", "ann", "w", "ensembles.ipynb")
    put(folder, "submitted", "ann", "w", "new.ipynb")
    (folder / "submitted" / "ann" / "w" / "timestamp.txt").write_text("2026-03-02 10:00:00 UTC")
    found = hand_ins(folder, assignment)
    assert sorted(bool(one.cells) for one in found) == [False, True]
    assert {str(one.when) for one in found} == {"2026-03-02 10:00:00+00:00"}


def test_where_nothing_is_handed_in_it_says_where_it_belongs(handed_out):
    with pytest.raises(DMLTeachError, match=r"put hand-ins in submitted/STUDENT/w/"):
        hand_ins(*handed_out)
    put(handed_out[0], "submitted", "bob", "another", "ensembles.ipynb")
    with pytest.raises(DMLTeachError, match=r"no notebook of w lies below .*submitted/STUDENT/w/"):
        hand_ins(*handed_out)


@pytest.mark.parametrize(
    "record",
    [
        {"answer": "A"},
        {"when": "yesterday"},
        {"when": "2026-03-02T10:00:00"},  # no zone: it cannot be compared with one that has
    ],
)
def test_a_damaged_progress_file_does_not_harm_the_overview_of_the_class(handed_out, record):
    folder, _ = handed_out
    opening, closing = (question.id for question in QUESTIONS[0])
    sound = {"status": "to compare", "when": "2026-03-02T10:00:00+00:00", "answer": '"a"'}
    kept = {"version": 1, "exercises": {opening: sound, closing: sound | record}}
    for student, content in (("ann", kept), ("bob", {"version": 1, "exercises": {}})):
        put(folder, "submitted", student, "w", "ensembles.ipynb")
        (folder / "submitted" / student / "w" / "progress.json").write_text(json.dumps(content))
    code, output = command("collect", str(folder), "-o", str(folder / "marks.csv"))
    assert (code, (folder / "marks.html").exists()) == (0, True), output


def test_a_reflection_comes_to_the_teacher_in_its_own_words(handed_out):
    folder, _ = handed_out
    path = put(folder, "submitted", "ann", "w", "ensembles.ipynb")
    path.write_text(path.read_text().replace("answer = ...", "answer = '=SUM(A1) is what I think'"))
    code, output = command("collect", str(folder), "-o", str(folder / "marks.csv"))
    assert code == 0, output
    (line,) = (folder / "marks.answers.csv").read_text().splitlines()[1:]
    assert "'=SUM(A1) is what I think" in line  # no formula in a spreadsheet
    assert line.endswith(",")  # the teacher's column
    assert ",0,0\n" in (folder / "marks.csv").read_text() + "\n"  # reflections have no points


def test_a_cell_that_fails_and_gives_the_answer_nothing_does_not_harm_it(tmp_path):
    code = [
        "from dmlteach.exercises import check",
        "texts = ['three times the cost']",
        "draw(texts)",  # which may change them, and is not defined
        'check("ensembles.own", texts[0])',
    ]
    assignment = Assignment(name="w", notebooks={"ensembles": ["ensembles.own"]})
    ((_, answers),) = collect(assignment, [HandIn("ann", "ensembles", tmp_path / "x.ipynb", None, code)])
    assert answers["ensembles.own"].text == "three times the cost"


def test_where_processes_cannot_be_forked_the_same_comes_out(handed_out, monkeypatch):
    folder, assignment = handed_out
    path = put(folder, "submitted", "ann", "w", "ensembles.ipynb")
    path.write_text(path.read_text().replace("answer = ...", "answer = 'three times the cost'"))
    monkeypatch.setattr(collecting, "START", "spawn")
    ((_, answers),) = collecting.collect(assignment, hand_ins(folder, assignment))
    assert answers["ensembles.own"].text == "three times the cost"


def test_a_process_that_cannot_even_begin_is_not_tried_for_ever(handed_out, monkeypatch):
    folder, assignment = handed_out
    put(folder, "submitted", "ann", "w", "ensembles.ipynb")
    monkeypatch.setattr(collecting, "rerun", lambda *_: os._exit(1))
    ((_, answers),) = collecting.collect(assignment, hand_ins(folder, assignment))
    assert answers["ensembles.own"].words == "its code ended Python"


def test_what_the_clock_stopped_before_its_first_answer_is_for_the_teacher_to_look_at(
    handed_out, monkeypatch
):
    folder, assignment = handed_out
    put(folder, "submitted", "ann", "w", "ensembles.ipynb")
    monkeypatch.setattr(collecting, "rerun", lambda *_: time.sleep(600))
    monkeypatch.setattr(collecting, "GRACE", 0.0)
    for module, limit in ((collecting, "PER_ANSWER"), (limits, "LIMIT")):
        monkeypatch.setattr(module, limit, 0.1)
    collected = collecting.collect(assignment, hand_ins(folder, assignment))
    ((_, answers),) = collected
    assert answers["ensembles.own"].words == "your code was stopped after 0.3 s; does a loop end?"
    assert marks.WAITED in [note["what"] for note in marks.notes(assignment, collected)]
