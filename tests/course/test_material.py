"""The reader's copy of the course: complete, renewed where nothing was changed, and never overwritten."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import dmlteach
from dmlteach import files
from dmlteach.course import material
from dmlteach.errors import DMLTeachError

CHAPTER, OTHER, PAGE = "notebooks/00_start.ipynb", "notebooks/01_more.ipynb", "docs/glossary.md"
OLD = {CHAPTER: "chapter", OTHER: "more", "notebooks/reports/benchmark.ipynb": "report", PAGE: "words"}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Puts texts into the place of the course, under a version of the package."""
    home = tmp_path / "home"
    monkeypatch.setattr(material, "home", lambda: home)

    def release(version: str, **texts: str) -> None:
        monkeypatch.setattr(dmlteach, "__version__", version)
        for name, text in {**OLD, "docs/index.md": "of the site", **texts}.items():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_text(text)

    release("1.0")
    return release


@pytest.fixture
def mine(tmp_path, package):
    """A copy of version 1.0."""
    material.copy(tmp_path / "mine")
    return tmp_path / "mine"


def held(folder: Path) -> dict[str, str]:
    """Every file but the manifest, with its text."""
    found = {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}
    found.pop(material.MANIFEST, None)
    return found


def test_a_copy_holds_chapters_report_and_pages_and_says_how_many(tmp_path, package):
    done = material.copy(tmp_path / "mine")
    assert held(tmp_path / "mine") == OLD
    assert done.sentences() == [f"course: {tmp_path / 'mine'} (4 new)"]


def test_a_second_copy_writes_nothing(mine):
    before = {path: path.stat().st_mtime_ns for path in mine.rglob("*")}
    assert material.copy(mine).sentences() == [f"course: {mine} (nothing new)"]
    assert {path: path.stat().st_mtime_ns for path in mine.rglob("*")} == before


def test_what_the_reader_left_alone_is_renewed(mine, package):
    package("1.1", **{CHAPTER: "better"})
    assert material.copy(mine).sentences() == [f"course: {mine} (1 renewed)"]
    assert held(mine) == {**OLD, CHAPTER: "better"}
    package("1.2", **{CHAPTER: "best"})
    material.copy(mine)
    assert held(mine) == {**OLD, CHAPTER: "best"}


def test_what_the_reader_changed_stays_and_a_newer_one_lies_beside_it_once(mine, package):
    (mine / CHAPTER).write_text("my answers")
    assert material.copy(mine).sentences() == [f"course: {mine} (nothing new)"]
    package("1.1", **{CHAPTER: "better"})
    beside = "notebooks/00_start-dmlteach-1.1.ipynb"
    _, said = material.copy(mine).sentences()
    assert said == f"{CHAPTER} stays as you have changed it; the one of dmlteach 1.1 is {beside}"
    assert held(mine) == {**OLD, CHAPTER: "my answers", beside: "better"}
    (mine / beside).unlink()  # read and thrown away: it does not come again
    assert len(material.copy(mine).sentences()) == 1
    assert held(mine) == {**OLD, CHAPTER: "my answers"}


def test_a_file_that_was_there_before_the_first_copy_stays(tmp_path, package):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / CHAPTER).write_text("of my own")
    material.copy(tmp_path)
    assert (tmp_path / CHAPTER).read_text() == "of my own"
    assert (tmp_path / "notebooks/00_start-dmlteach-1.0.ipynb").read_text() == "chapter"


def test_a_changed_file_beside_is_not_overwritten_either(mine, package):
    (mine / CHAPTER).write_text("my answers")
    names = []
    for text in ("better", "even better", "even better still"):  # a version that its authors are working on
        package("1.1", **{CHAPTER: text})
        (name,) = material.copy(mine).beside.values()
        assert (mine / name).read_text() == text
        (mine / name).write_text("mine, too")
        names.append(name)
    assert len(set(names)) == 3
    assert [(mine / name).read_text() for name in names] == ["mine, too"] * 3


def test_a_file_that_the_reader_removed_comes_again(mine):
    (mine / PAGE).unlink()
    assert material.copy(mine).new == [PAGE]
    assert held(mine) == OLD


@pytest.mark.parametrize("cut", range(4))
def test_an_interrupted_renewal_leaves_whole_files_and_is_completed_by_the_next(
    mine, package, monkeypatch, cut
):
    new = {name: text + ", revised" for name, text in OLD.items()}
    package("1.1", **new)
    whole, left = files.whole, [cut]

    def interrupted(path):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return whole(path)

    monkeypatch.setattr(files, "whole", interrupted)
    with pytest.raises(KeyboardInterrupt):
        material.copy(mine)
    monkeypatch.setattr(files, "whole", whole)
    assert all(text in (OLD[name], new[name]) for name, text in held(mine).items())
    assert not material.copy(mine).beside
    assert held(mine) == new


def test_several_copies_at_the_same_time_leave_one_whole_copy(tmp_path):
    code = "import sys; from pathlib import Path; from dmlteach.course import material; "
    command = [sys.executable, "-c", code + "material.copy(Path(sys.argv[1]))", str(tmp_path)]
    running = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait(600) for process in running] == [0] * 4
    there = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert there == {*material.names(), material.MANIFEST}
    assert all((tmp_path / n).read_bytes() == (material.home() / n).read_bytes() for n in material.names())
    assert sorted(json.loads((tmp_path / material.MANIFEST).read_text())["files"]) == material.names()


def test_a_folder_that_is_a_file_is_refused_and_nothing_is_written(tmp_path, package):
    (tmp_path / "mine").write_text("a file")
    with pytest.raises(DMLTeachError, match="mine is not a folder"):
        material.copy(tmp_path / "mine")
    assert (tmp_path / "mine").read_text() == "a file"


def test_a_folder_that_must_not_be_written_is_refused(tmp_path, package, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(DMLTeachError, match="you may not write in"):
        material.copy(tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_a_folder_in_the_place_of_a_chapter_is_told_before_anything_is_written(tmp_path, package):
    (tmp_path / "mine" / OTHER).mkdir(parents=True)
    with pytest.raises(
        DMLTeachError, match=r"01_more\.ipynb cannot be read: .* Move it away, or choose another"
    ):
        material.copy(tmp_path / "mine")
    assert held(tmp_path / "mine") == {}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": 3}', "[" * 100_000])
def test_a_damaged_list_of_what_was_copied_is_one_sentence_and_its_cure_loses_nothing(mine, package, text):
    (mine / CHAPTER).write_text("my answers")
    (mine / material.MANIFEST).write_text(text)
    package("1.1", **{CHAPTER: "better"})
    with pytest.raises(DMLTeachError, match=r"is damaged .*\. Remove it"):
        material.copy(mine)
    (mine / material.MANIFEST).unlink()
    material.copy(mine)
    assert held(mine) == {**OLD, CHAPTER: "my answers", "notebooks/00_start-dmlteach-1.1.ipynb": "better"}


def test_inside_a_copy_that_copy_is_the_usual_folder(mine, monkeypatch):
    monkeypatch.chdir(mine.parent)
    assert material.usual_folder() == mine.parent / "dmlteach-course"
    monkeypatch.chdir(mine)
    assert material.usual_folder() == mine
