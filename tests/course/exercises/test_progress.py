"""Progress: one file, whole at any moment, that loses nothing to another process or to damage."""

import json
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest
from typer.testing import CliRunner

from dmlteach.cli import app
from dmlteach.course import exercises
from dmlteach.course.exercises import progress
from dmlteach.course.exercises.progress import Record


def run(*arguments: str, answer: str | None = None):
    return CliRunner().invoke(app, ["progress", *arguments], input=answer)


def records() -> dict[str, Record]:
    return progress.read()[0]


def test_the_file_is_in_the_users_data_folder_unless_named(monkeypatch):
    monkeypatch.delenv(progress.VARIABLE)
    assert progress.file() == Path(platformdirs.user_data_dir("dmlteach")) / "progress.json"


def test_tries_hints_and_the_solution_are_noted():
    exercises.check("before.softmax", 1)
    exercises.hint("before.softmax")
    exercises.check("before.softmax", 0.5)
    exercises.solution("before.softmax")
    record = records()["before.softmax"]
    assert (record.status, record.tries, record.hints, record.solution) == ("right", 2, 1, True)
    assert record.when.endswith("+00:00")


def test_a_right_answer_stays_right():
    exercises.check("before.softmax", 0.5)
    exercises.check("before.softmax", 1)
    assert records()["before.softmax"].status == "right"
    assert records()["before.softmax"].tries == 1


def test_the_answer_itself_is_not_kept(progress_file):
    exercises.check("start.own_problem", "My secret plan.")
    assert "secret" not in progress_file.read_text()


def test_two_processes_at_once_lose_nothing():
    code = (
        "import sys; from dmlteach.course.exercises import progress\n"
        "for i in range(40):\n"
        "    progress.add_try('both', 'not yet'); progress.add_try(f'{sys.argv[1]}.{i}', 'right')"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, name]) for name in ("one", "two")]
    assert [process.wait(600) for process in running] == [0, 0]
    kept = records()
    assert kept["both"].tries == 80
    assert {f"{name}.{i}" for name in ("one", "two") for i in range(40)} <= set(kept)


def test_a_process_that_dies_while_it_writes_leaves_the_old_file_whole(progress_file):
    progress.add_try("before.softmax", "right")
    before = progress_file.read_bytes()
    code = (
        "import os; from dmlteach.course.exercises import progress\n"
        "progress.os.replace = lambda *paths: os._exit(9)\n"
        "progress.add_try('before.k_means', 'right')"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 9
    assert progress_file.read_bytes() == before
    assert progress.add_try("before.k_means", "right") == ""  # its lock went with it
    assert set(records()) == {"before.softmax", "before.k_means"}


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"version": 1}', '{"version": 1, "exercises": {"a": 3}}', "\xff\xfe",
     '{"version": 1, "exercises": {"a": {"tries": "many"}}}', '{"version": 1, "exercises": [1, 2]}',
     '{"version": Infinity, "exercises": {}}', "[" * 100_000],
)  # fmt: skip
def test_a_damaged_file_is_kept_aside_and_said_once(progress_file, content):
    progress_file.parent.mkdir()
    progress_file.write_bytes(content.encode("latin-1"))
    reply = exercises.check("before.softmax", 0.5)
    aside = progress_file.with_name("progress.damaged-1.json")
    assert reply.status == "right" and "was damaged" in reply.note and str(aside) in reply.plain()
    assert aside.read_bytes() == content.encode("latin-1")
    assert exercises.check("before.softmax", 0.5).note == ""
    assert set(records()) == {"before.softmax"}


def test_a_second_damaged_file_does_not_replace_the_first(progress_file):
    progress_file.parent.mkdir()
    for number in (1, 2):
        progress_file.write_text(f"damage {number}")
        assert "was damaged" in progress.read()[1]
    kept = sorted(path.read_text() for path in progress_file.parent.glob("*.damaged-*"))
    assert kept == ["damage 1", "damage 2"]


def test_what_an_older_file_lacks_takes_its_default_and_unknown_exercises_stay(progress_file):
    progress_file.parent.mkdir()
    old = {"version": 0, "exercises": {"gone.exercise": {"status": "right"}}}
    progress_file.write_text(json.dumps(old))
    assert records() == {"gone.exercise": Record("right")}
    exercises.check("before.softmax", 0.5)
    assert set(records()) == {"gone.exercise", "before.softmax"}
    assert json.loads(progress_file.read_text())["version"] == progress.VERSION


def test_a_newer_file_is_left_as_it_is(progress_file):
    progress_file.parent.mkdir()
    progress_file.write_text('{"version": 99, "exercises": {}}')
    assert "newer dmlteach" in exercises.check("before.softmax", 0.5).note
    assert "99" in progress_file.read_text()
    shown = run()
    assert shown.exit_code == 2 and "newer dmlteach" in shown.stderr


def test_where_nothing_can_be_written_the_reply_still_comes(progress_file, monkeypatch):
    progress_file.parent.write_text("a file where the folder should be")
    reply = exercises.check("before.softmax", 0.5)
    assert reply.status == "right" and "could not be saved" in reply.note


# ── two files into one ────────────────────────────────────────────────────────────────────────────────


def written(path: Path, **entries: dict) -> Path:
    """A file as an export leaves it; `before_softmax` stands for `before.softmax`."""
    content = {id.replace("_", ".", 1): entry for id, entry in entries.items()}
    path.write_text(json.dumps({"version": 1, "exercises": content}))
    return path


def test_of_two_records_the_better_status_wins_and_nothing_is_deleted(tmp_path):
    exercises.check("before.softmax", 5.0)
    exercises.check("before.softmax", 1.0)
    exercises.check("before.k_means", (0.5, 10.0))
    source = written(
        tmp_path / "theirs.json",
        before_softmax={"status": "right", "tries": 1, "hints": 2, "answer": "[0.5]"},
        before_k_means={"status": "not yet", "tries": 7, "solution": True},
        gone_exercise={"status": "to compare", "answer": '"words"', "unknown": 3},
    )
    assert progress.take_in(source) == 3
    found = records()
    softmax, k_means = found["before.softmax"], found["before.k_means"]
    assert (softmax.status, softmax.tries, softmax.hints, softmax.answer) == ("right", 2, 2, "[0.5]")
    assert (k_means.status, k_means.tries, k_means.solution) == ("right", 7, True)
    assert found["gone.exercise"] == Record("to compare", answer='"words"')
    assert source.exists() and progress.take_in(source) == 0  # the second time there is nothing new


def test_an_answer_of_ones_own_stays_where_both_have_the_same_status(tmp_path):
    mine, theirs = Record("to compare", answer='"mine"'), Record("to compare", answer='"theirs"', when="2030")
    assert progress.merged(mine, theirs).answer == '"mine"'
    assert progress.merged(Record("to compare"), theirs).answer == '"theirs"'
    assert progress.merged(Record("not yet", answer='"wrong"'), theirs).answer == '"theirs"'


@pytest.mark.parametrize("content", ["", "[]", '{"version": 1, "exercises": {"a": {"status": "perfect"}}}'])
def test_a_file_that_holds_no_progress_is_one_sentence_and_changes_nothing(tmp_path, progress_file, content):
    exercises.check("before.softmax", 0.5)
    before = progress_file.read_bytes()
    (tmp_path / "odd.json").write_text(content)
    failed = run("--import", str(tmp_path / "odd.json"))
    assert failed.exit_code == 2 and "holds no progress; give one" in failed.stderr
    assert progress_file.read_bytes() == before and (tmp_path / "odd.json").exists()


def test_a_file_that_is_not_there_or_is_of_a_newer_version_is_one_sentence(tmp_path, progress_file):
    missing = run("--import", str(tmp_path / "none.json"))
    assert missing.exit_code == 2 and "none.json cannot be read: No such file" in missing.stderr
    (tmp_path / "new.json").write_text('{"version": 99, "exercises": {}}')
    newer = run("--import", str(tmp_path / "new.json"))
    assert newer.exit_code == 2 and "newer dmlteach" in newer.stderr
    assert not progress_file.exists()


def test_the_command_says_how_much_an_import_changed(tmp_path):
    source = written(tmp_path / "one.json", before_softmax={"status": "right", "tries": 1})
    assert f"imported: {source}, 1 exercise changed" in run("--import", str(source)).output
    assert f"imported: {source}, 0 exercises changed" in run("--import", str(source)).output


# ── the command ───────────────────────────────────────────────────────────────────────────────────────


def test_progress_is_a_table_by_chapter(progress_file):
    exercises.check("before.softmax", 0.5)
    exercises.hint("sst.resting_place")
    exercises.check("sst.resting_place", lambda a, p: a)
    exercises.check("start.own_problem", "Some text.")
    shown = run()
    assert shown.exit_code == 0
    rows = [" ".join(line.split()) for line in shown.output.splitlines()]
    assert "00 Start here 2 of 9 done" in rows
    assert "00.7 Softmax right 1" in rows
    assert "00.4 Your own problem done, not marked 1" in rows
    assert "02.3 The place where SST leaves n alone not yet 1 1 hint" in rows
    assert "predictions and questions, not marked 0 of 6 kept" in rows
    assert f"file: {progress_file}" in shown.output


def test_progress_of_somebody_new_is_an_empty_table_and_writes_nothing(progress_file):
    shown = run()
    assert shown.exit_code == 0 and "0 of 9 done" in shown.output
    assert not progress_file.parent.exists()


def test_export_writes_what_was_done(tmp_path):
    exercises.check("before.softmax", 0.5)
    target = tmp_path / "mine.json"
    assert run("--export", str(target)).exit_code == 0
    assert json.loads(target.read_text())["exercises"]["before.softmax"]["status"] == "right"


def test_export_makes_its_folder_and_where_it_cannot_be_made_is_one_error(tmp_path):
    assert run("--export", str(tmp_path / "new" / "mine.json")).exit_code == 0
    failed = run("--export", str(tmp_path / "new" / "mine.json" / "mine.json"))
    assert failed.exit_code == 2 and failed.stderr.startswith("error: ") and "not a folder" in failed.stderr
    assert "Traceback" not in failed.output


def test_reset_asks_first_and_forgets_when_told():
    exercises.check("before.softmax", 0.5)
    assert "kept" in run("--reset", answer="n\n").output
    assert records()
    assert "forgotten" in run("--reset", answer="y\n").output
    assert not records()


def test_reset_with_yes_does_not_ask():
    exercises.check("before.softmax", 0.5)
    result = run("--reset", "--yes")
    assert result.exit_code == 0 and "?" not in result.output
    assert not records()


def test_reset_takes_a_damaged_file_away_too(progress_file):
    progress_file.parent.mkdir()
    progress_file.write_text("{")
    assert run("--reset", "--yes").exit_code == 0
    assert not progress_file.exists()


def test_checking_opens_no_connection(monkeypatch):
    import socket

    def refuse(*arguments, **more):
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert exercises.check("before.softmax", 0.5).status == "right"
