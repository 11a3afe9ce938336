"""A class of sixty hands in: every mark, and everything that is odd, comes out as it was put in."""

import csv
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dmlteach.cli import app
from dmlteach.course import exercises
from dmlteach.course.assignments import assignment, collecting
from dmlteach.course.exercises import answers

CHAPTER = "proxies_clusters_trees"
NUMBER, CHOICE, FUNCTION = "proxies.terms", "proxies.sign", "proxies.greedy"
DUE = "2026-03-02T12:00+00:00"
IN_TIME, LATE = 1772445600, 1772460000  # 10:00 and 14:00 of that day, UTC
RIGHT_CHOICE = 'answer = {"a", "d"}'
BEST_ALONE = "def answer(d, k):\n    return d.sum(0).argsort()[:k].tolist()"
SAME_WRONG = "def answer(d, k):\n    return list(range(k))"
SAME_OTHERWISE = "def answer(d, k):  # mine\n\n    return  list(range(k))"
ENDLESS = "def answer(d, k):\n    while True:\n        pass"
RAISES = "def answer(d, k):\n    return d[k + 1_000_000]"
GREEDY_FOR_MEMORY = "held = bytearray(3 * 1024**3)\nanswer = 0"
A_GIGABYTE = "held = bytearray(1024**3)\n"  # which it may take

Answers = dict[str, str]


def solved(student: str, assigned) -> Answers:
    """Right answers with this student's numbers."""
    number = assigned.asked(student, NUMBER).value()
    return {NUMBER: f"answer = {number}", CHOICE: RIGHT_CHOICE, FUNCTION: exercises.get(FUNCTION).solution}


def with_a_gigabyte(student: str, assigned) -> Answers:
    answers = solved(student, assigned)
    return answers | {NUMBER: A_GIGABYTE + answers[NUMBER]}


def half_the_triplets(student: str, assigned) -> Answers:
    triplets, cosines = assigned.asked(student, NUMBER).value()
    return solved(student, assigned) | {NUMBER: f"answer = ({triplets // 2}, {cosines})"}


def of_another(student: str, assigned) -> Answers:
    return solved(student, assigned) | {NUMBER: solved("s00", assigned)[NUMBER]}


def other(id: str, code: str) -> Callable[[str, object], Answers]:
    return lambda student, assigned: solved(student, assigned) | {id: code}


# How many hand in what: their answers, and the points that they get.
CLASS: list[tuple[int, str, Callable[[str, object], Answers], int]] = [
    (24, "right", solved, 3),
    (1, "a gigabyte", with_a_gigabyte, 3),
    (9, "half the triplets", half_the_triplets, 2),
    (5, "a choice too many", other(CHOICE, 'answer = {"a", "b", "d"}'), 2),
    (3, "best alone", other(FUNCTION, BEST_ALONE), 2),
    (1, "same wrong", other(FUNCTION, SAME_WRONG), 2),
    (1, "same wrong, other blanks", other(FUNCTION, SAME_OTHERWISE), 2),
    (4, "empty", lambda student, assigned: {}, 0),
    (2, "endless", other(FUNCTION, ENDLESS), 2),
    (2, "raises", other(FUNCTION, RAISES), 2),
    (1, "memory", other(NUMBER, GREEDY_FOR_MEMORY), 2),
    (1, "ends Python", other(NUMBER, "import os\n\nos._exit(1)"), 2),
    (2, "another's", of_another, 2),
    (1, "late", solved, 3),
    (1, "renamed", solved, 3),
    (1, "version", solved, 0),
    (1, "unreadable", solved, 0),
]
KINDS = [kind for count, kind, _, _ in CLASS for _ in range(count)]
STUDENTS = [f"s{row:02}" for row in range(len(KINDS))]
KIND = dict(zip(STUDENTS, KINDS, strict=True))
POINTS = {kind: points for _, kind, _, points in CLASS}


def hand_in(folder: Path, student: str, assigned) -> Path:
    """Fill in what was handed out to a student, and hand it in."""
    released = folder / "release" / student / "week1" / f"{CHAPTER}.ipynb"
    page = json.loads(released.read_text())
    given = next(code for _, kind, code, _ in CLASS if kind == KIND.get(student, "right"))(student, assigned)
    for cell in page["cells"]:
        for id, code in given.items():
            source = "".join(cell["source"])
            if f'check("{id}"' in source:
                at = source.index("answer = ...")
                rest = source[at:].partition("\n")[2]
                cell["source"] = f"{source[:at]}{code}\n{rest}"
    path = folder / "submitted" / student / "week1" / released.name
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(page))
    os.utime(path, (IN_TIME, IN_TIME))
    return path


def as_odd_files(folder: Path) -> None:
    """Make what is odd about files, and not about answers."""
    for student, kind in KIND.items():
        path = folder / "submitted" / student / "week1" / f"{CHAPTER}.ipynb"
        if kind == "late":
            os.utime(path, (LATE, LATE))
        elif kind == "renamed":
            path.rename(path.with_name("final (2).ipynb"))
        elif kind in ("version", "unreadable"):
            text = path.read_text().replace('"version": "', '"version": "9.')
            path.write_text(text[:500] if kind == "unreadable" else text)
            os.utime(path, (IN_TIME, IN_TIME))


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    """The folder of an assignment after it was collected, and what the command said."""
    folder = tmp_path_factory.mktemp("teacher") / "week1"
    ids = folder.with_name("ids.txt")
    ids.write_text("\n".join([*STUDENTS, "absent"]))
    chosen = [part for id in (NUMBER, CHOICE, FUNCTION) for part in ("--exercise", id)]
    of_class = ["--students", str(ids), "--salt", "autumn", "--name", "week1"]
    run("assignment", "make", "06", "--out", str(folder), *chosen, *of_class)
    assigned = assignment.read(folder)
    for student in STUDENTS:
        hand_in(folder, student, assigned)
    as_odd_files(folder)
    shutil.copytree(folder / "submitted" / "s00", folder / "submitted" / "stranger")
    with pytest.MonkeyPatch.context() as patch:  # a forked process has them, too
        patch.setattr(answers, "LIMIT", 4.0)
        patch.setattr(collecting, "PER_ANSWER", 4.0)
        for counted in (answers, collecting):  # by its work alone: however busy this computer is
            patch.setattr(counted, "PATIENCE", 100)
        said = run("assignment", "collect", str(folder), "-o", str(folder / "marks.csv"), "--due", DUE)
    return folder, said


def run(*words: str) -> str:
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with open(folder / name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def noted(folder: Path, what: str) -> dict[str, str]:
    return {row["student_id"]: row["note"] for row in rows(folder, "marks.notes.csv") if row["what"] == what}


def of_kind(*kinds: str) -> set[str]:
    return {student for student, kind in KIND.items() if kind in kinds}


def test_there_are_sixty():
    assert len(STUDENTS) == 60


def test_everybody_has_the_marks_of_their_answers(collected):
    found = {row["student_id"]: row for row in rows(collected[0], "marks.csv")}
    expected = {student: POINTS[kind] for student, kind in KIND.items()} | {"absent": 0, "stranger": 0}
    assert {student: float(row["score"]) for student, row in found.items()} == expected
    assert {row["max_score"] for row in found.values()} == {"3"}
    assert found["s00"]["timestamp"] == "2026-03-02T10:00:00+00:00"


def test_the_columns_are_those_that_nbgrader_exports(collected):
    assert list(rows(collected[0], "marks.csv")[0]) == [
        "assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email", "raw_score",
        "late_submission_penalty", "score", "max_score",
    ]  # fmt: skip


def test_what_is_odd_about_files_is_listed_and_nothing_else(collected):
    folder = collected[0]
    assert noted(folder, "late") == dict.fromkeys(of_kind("late"), "by 2.0 hours")
    assert noted(folder, "renamed") == dict.fromkeys(of_kind("renamed"), f"it is {CHAPTER}.ipynb")
    assert set(noted(folder, "other version")) == of_kind("version")
    assert set(noted(folder, "unreadable")) == of_kind("unreadable")
    assert set(noted(folder, "missing")) == {"absent"} | of_kind("version", "unreadable")
    assert set(noted(folder, "unknown student")) == {"stranger"}
    assert set(noted(folder, "another's notebook")) == {"stranger"}
    kinds = Counter(row["what"] for row in rows(folder, "marks.notes.csv"))
    assert set(kinds) == {
        "late", "renamed", "other version", "unreadable", "missing", "unknown student", "another's notebook",
        "right for another", "same wrong code",
    }  # fmt: skip


def test_an_answer_to_the_numbers_of_another_is_told_with_whose_they_are(collected):
    found = noted(collected[0], "right for another")
    assert set(found) == of_kind("another's")
    assert all("s00" in note for note in found.values())


def test_wrong_functions_that_are_the_same_are_told_and_right_ones_never(collected):
    found = noted(collected[0], "same wrong code")
    same = of_kind("same wrong", "same wrong, other blanks")
    # Those who wrote one function word by word are told as well: they were made from one text here.
    assert same <= set(found) <= same | of_kind("best alone", "endless", "raises")
    one, two = sorted(same)
    assert found[one] == f"{FUNCTION}: as {two} wrote it"


def test_each_answer_has_the_reply_that_a_student_would_have_had(collected):
    found = {(row["student_id"], row["exercise"]): row for row in rows(collected[0], "marks.answers.csv")}

    def words(kind: str, id: str) -> set[tuple[str, str]]:
        return {(found[s, id]["status"], found[s, id]["words"]) for s in of_kind(kind)}

    known = dict(exercises.get(FUNCTION).mistakes)
    ((status, said),) = words("best alone", FUNCTION)
    assert (status, said in known.values()) == ("not yet", True)
    ((status, said),) = words("half the triplets", NUMBER)
    assert status == "not yet"
    assert "Of the triplets you have half" in said
    ((status, said),) = words("endless", FUNCTION)
    assert (status, "stopped after 4 s" in said) == ("not yet", True)
    ((status, said),) = words("raises", FUNCTION)
    assert (status, "IndexError" in said) == ("not yet", True)
    assert words("memory", NUMBER) == {("not yet", "stopped: it took more than 2 GB of memory")}
    assert words("ends Python", NUMBER) == {("not yet", "its code ended Python")}
    assert {status for status, _ in words("empty", NUMBER)} == {"not answered yet"}


def test_the_overview_counts_and_names_the_mistakes_and_no_file(collected):
    folder = collected[0]
    page = (folder / "marks.html").read_text()
    assert "62 students, 58 of whom handed in what could be run" in page
    assert "9 × The cosines are right. Of the triplets you have half" in page
    assert "5 × chose b" in page
    assert "3 × These are the k best places" in page
    assert "2 × your code was stopped after 4 s" in page
    assert "2 × your code raised IndexError" in page
    assert str(folder) not in page


def test_it_says_where_everything_is(collected):
    folder, said = collected
    for name in ("marks.csv", "marks.answers.csv", "marks.notes.csv", "marks.html"):
        assert str(folder / name) in said


def test_a_teacher_s_own_progress_and_folder_stay_as_they_were(collected, tmp_path):
    folder = collected[0]
    assert sorted(path.name for path in folder.iterdir()) == [
        "assignment.json", "marks.answers.csv", "marks.csv", "marks.html", "marks.notes.csv",
        "release", "submitted",
    ]  # fmt: skip
