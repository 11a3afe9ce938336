"""The chapters: committed clean, complete, and executed without a warning within their time."""

import json
import re
from functools import cache
from pathlib import Path

import pytest

from dmlteach import course

CHAPTERS = sorted((course.CHECKOUT / "notebooks").glob("*.ipynb"))
NOTEBOOKS = [*CHAPTERS, *sorted((course.CHECKOUT / "notebooks" / "reports").glob("*.ipynb"))]
TASKS = course.plan(course.CHECKOUT, "fast")
SECONDS = 75  # of one CPU core, for each notebook
UNANSWERED = "not answered yet"


@cache
def cells(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def source(cell: dict) -> str:
    return "".join(cell["source"])


def code_of(path: Path) -> list[dict]:
    return [cell for cell in cells(path) if cell["cell_type"] == "code"]


def text_of(path: Path) -> str:
    return "\n\n".join(source(cell) for cell in cells(path) if cell["cell_type"] == "markdown")


def is_exercise(cell: dict) -> bool:
    """Whether a cell waits for the reader's answer."""
    return re.search(r"^\w+ = \.\.\.", source(cell), re.MULTILINE) is not None


every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
every_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


def test_the_core_route_is_there():
    assert [path.stem[:2] for path in CHAPTERS] == ["00", "01", "02", "03", "08", "09"]


@every_notebook
def test_notebook_is_committed_without_outputs(path):
    for cell in code_of(path):
        assert cell["outputs"] == [] and cell["execution_count"] is None


@every_notebook
def test_cells_have_an_id_of_their_own(path):
    ids = [cell["id"] for cell in cells(path)]
    assert len(set(ids)) == len(ids)


@every_chapter
def test_chapter_has_the_parameters_that_all_chapters_share(path):
    tagged = [cell for cell in code_of(path) if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1
    names = {line.split(" = ")[0] for line in source(tagged[0]).splitlines() if " = " in line}
    assert {"profile", "dataset", "seed", "device"} <= names


@every_chapter
def test_the_profile_is_used_or_said_to_make_no_difference(path):
    parameters, *others = [source(cell) for cell in code_of(path)]
    (line,) = [line for line in parameters.splitlines() if line.startswith("profile = ")]
    used = any(re.search(r"\bprofile\b", code) for code in others)
    assert used == ("makes no difference" not in line)


@every_chapter
def test_chapter_says_what_it_is_for_and_ends_with_what_is_open_and_its_sources(path):
    text = text_of(path)
    assert source(cells(path)[0]).startswith(f"# {path.stem[:2]} · ")
    assert "## Conventions" in text and "still open" in text
    parts = [text.rindex(part) for part in ("## Exercises", "## Summary", "hat you can do now", "## Sources")]
    assert parts == sorted(parts)


@every_chapter
def test_chapter_has_three_exercises_or_more(path):
    assert sum(is_exercise(cell) for cell in code_of(path)) >= 3


@every_chapter
def test_words_that_make_readers_feel_slow_are_left_out(path):
    words = text_of(path).lower().replace(",", " ").replace(".", " ").split()
    assert not {"simply", "obviously", "trivially", "clearly,"} & set(words)


@every_notebook
def test_code_that_the_site_folds_away_is_folded_in_jupyter_too(path):
    for cell in code_of(path):
        folded = cell["metadata"].get("jupyter", {}).get("source_hidden", False)
        away = {"hide-input", "remove-input"} & set(cell["metadata"].get("tags", []))
        assert folded == bool(away), source(cell)[:80]


def test_first_retrieval_picture_is_the_third_cell_to_run():
    code = [source(cell) for cell in code_of(CHAPTERS[0])]
    assert "retrieval_grid" in code[2]
    assert [cell["cell_type"] for cell in cells(CHAPTERS[0])[1:4]] == ["code"] * 3


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task["source"].stem)
def test_notebook_runs_quietly_and_in_time(task):
    if not course.is_current(task):  # `dmlteach course` uses the result, and this test that of the course
        course.execute(**task)
    executed = json.loads(task["target"].read_text(encoding="utf-8"))
    assert executed["metadata"]["dmlteach"]["cpu_seconds"] <= SECONDS
    for cell in code_of(task["target"]):
        for output in cell["outputs"]:
            said = "".join(output.get("text", ""))
            assert output["output_type"] != "error" and output.get("name") != "stderr", said
            assert "Warning" not in said and "Traceback" not in said, said
        if is_exercise(cell):
            assert UNANSWERED in "".join("".join(output.get("text", "")) for output in cell["outputs"])
        for output in cell["outputs"]:
            page = "".join(output.get("data", {}).get("text/html", ""))
            assert page.count("<img") == page.count('<img alt="') - page.count('<img alt=""')
