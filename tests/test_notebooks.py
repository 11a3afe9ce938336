"""The chapters: committed clean, complete, and executed without a warning."""

import json
import re
from functools import cache
from pathlib import Path

import pytest
from filelock import FileLock  # comes with torch

from dmlteach import course
from dmlteach.course import execute
from dmlteach.course.widgets import ResultsExplorer, TrainingReplay, TSNEGrid, WeightExplorer
from tests import seen

NUMBERED = execute.notebooks(course.CHECKOUT)
CHAPTERS = list(NUMBERED.values())
NOTEBOOKS = [*CHAPTERS, *sorted((course.CHECKOUT / "notebooks" / "reports").glob("*.ipynb"))]
TASKS = execute.plan(course.CHECKOUT, "fast")
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


def test_each_chapter_has_a_number_and_no_number_is_missing():
    titles = ["".join(source(cells(path)[0])).splitlines()[0] for path in CHAPTERS]
    assert [title.partition(" · ")[0] for title in titles] == [f"# {n:02}" for n in range(len(CHAPTERS))]
    assert set(CHAPTERS) == set((course.CHECKOUT / "notebooks").glob("*.ipynb"))
    for number, path in NUMBERED.items():
        assert set(re.findall(r"Exercise (\d\d)\.", text_of(path))) == {number}


def test_the_site_lists_the_chapters_in_their_order():
    index = (course.CHECKOUT / "docs" / "index.md").read_text(encoding="utf-8")
    names = [path.stem for path in CHAPTERS]
    assert re.findall(r"^notebooks/(\w+)$", index, re.MULTILINE) == names
    assert re.findall(r"^\| \[\d\d .*?\]\(notebooks/(\w+)\.ipynb\)", index, re.MULTILINE) == names


# What a link calls a chapter, by its number, with or without its title: [chapter 03](…), [03 Which …](…).
CALLED = re.compile(r"\[(?:chapter )?(\d\d)\b[^\]]*\]\([./a-z]*?(\w+)\.(?:ipynb|html)", re.IGNORECASE)


def test_a_link_calls_a_chapter_by_its_number():
    pages = [*NOTEBOOKS, course.CHECKOUT / "docs" / "index.md", *DOCUMENTS]
    called = [link for page in pages for link in CALLED.findall(page.read_text(encoding="utf-8"))]
    assert len(called) >= 30
    for number, name in called:
        assert NUMBERED[number].stem == name


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
    (parameters,) = [source(c) for c in code_of(path) if "parameters" in c["metadata"].get("tags", [])]
    others = [source(cell) for cell in code_of(path) if source(cell) != parameters]
    (line,) = [line for line in parameters.splitlines() if line.startswith("profile = ")]
    used = any(re.search(r"\bprofile\b", code) for code in others)
    assert used == ("makes no difference" not in line)


@every_chapter
def test_chapter_says_what_it_is_for_and_ends_with_what_is_open_and_its_sources(path):
    text = text_of(path)
    assert re.match(r"# \d\d · ", source(cells(path)[0]))
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


def make_current(task: dict) -> None:
    """Once among the processes of a run; `dmlteach course` uses the result, the tests that of the course."""
    task["target"].parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{task['target']}.lock"):
        if not execute.is_current(task) or not is_newer(seen_in(task), task["target"]):
            with seen.recording(seen_in(task)):
                execute.execute(**task)


def seen_in(task: dict) -> Path:
    """What the figures of an executed notebook show, beside it."""
    return task["target"].with_suffix(".seen.jsonl")


def is_newer(file: Path, other: Path) -> bool:
    return file.exists() and file.stat().st_mtime >= other.stat().st_mtime


every_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task["source"].stem)


@every_task
def test_notebook_runs_quietly(task):
    make_current(task)
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


@every_task
def test_letters_of_figures_can_be_read_in_a_wide_window_and_on_a_phone(task):
    make_current(task)
    drawings = [json.loads(line) for line in seen_in(task).read_text(encoding="utf-8").splitlines()]
    pages = [page for cell in code_of(task["target"]) for page in html_of(cell) if "dml-figure" in page]
    # guessed(…) draws its figure again, to find the places of the lines
    assert len({(drawing["alt"], drawing["for"]) for drawing in drawings}) == 2 * len(pages)
    found = {}
    for drawing in drawings:
        room = seen.WINDOWS["phone" if drawing["for"] * seen.PER_INCH < 400 else "column"]
        if faults := seen.faults(drawing, room):
            found[f"{drawing['alt'][:60]} on {room} pixels"] = faults
    assert not found


def html_of(cell: dict) -> list[str]:
    return ["".join(output.get("data", {}).get("text/html", "")) for output in cell["outputs"]]


# --- a number beside what it is to be compared with

RECALL = re.compile(r"recall@1(?![\d…])", re.IGNORECASE)
VALUE = re.compile(r"\d ?%|\b[01]\.\d\d")
BESIDE = {
    "the number of classes": re.compile(r"\b\d[\d,]* (?:\w+ ){0,2}(?:classes|characters|species)"),
    "the untrained network's value": re.compile(r"untrained|guessing|by chance", re.IGNORECASE),
}
DOCUMENTS = [
    course.CHECKOUT / "README.md",
    *sorted(
        path
        for folder in ("docs", "benchmarks", "figures")
        for path in (course.CHECKOUT / folder).glob("*.md")
    ),
]


def lacks(text: str, around: str) -> list[str]:
    """What a text that shows a value of Recall@1, in one paragraph or table, lacks around it."""
    paragraphs = re.split(r"\n\s*\n", text)
    if not any(RECALL.search(paragraph) and VALUE.search(paragraph) for paragraph in paragraphs):
        return []
    return [what for what, pattern in BESIDE.items() if not pattern.search(around)]


def said(cell: dict) -> str:
    """What a reader sees of a cell without its code: a paragraph, or what it put out."""
    if cell["cell_type"] == "markdown":
        return source(cell)
    outputs = [(o.get("text", ""), o.get("data", {})) for o in cell["outputs"]]
    texts = [data.get("text/markdown", data.get("text/plain", text)) for text, data in outputs]
    return "\n\n".join("".join(text) for text in texts)


@every_task
def test_beside_each_recall_that_a_notebook_measures_stand_the_classes_and_the_untrained_network(task):
    make_current(task)
    shown = cells(task["target"])
    texts = [said(cell) for cell in shown]
    for i, cell in enumerate(shown):
        if cell["cell_type"] == "code" and not is_exercise(cell):
            around = "\n".join(texts[max(0, i - 1) : i + 2])  # the cell, and those before and after it
            assert not lacks(texts[i], around), f"{cell['id']} lacks {lacks(texts[i], around)}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_beside_each_recall_in_a_document_stand_the_classes_and_the_untrained_network(path):
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for section in re.split(r"^(?=## )", text, flags=re.MULTILINE):
        assert not lacks(section, section), f"{section[:60]!r} lacks {lacks(section, section)}"


def test_beside_each_recall_that_a_figure_tells_stand_the_classes_and_the_untrained_network():
    figures = (
        TrainingReplay(revealed=True, epoch=7),
        TSNEGrid(guess="neither"),
        ResultsExplorer(),
        WeightExplorer(),
    )
    for figure in figures:
        _, told = figure.picture()
        assert RECALL.search(told) and not lacks(told, told), told


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("Recall@1 is 92.1% among 100 characters; the untrained network has 54.3%.", []),
        ("Recall@1 is 92.1% among 100 characters.", ["the untrained network's value"]),
        ("Recall@1: 0.92 (untrained 0.54)", ["the number of classes"]),
        ("| network | Recall@1 |\n|---|---|\n| sst | 92.1% |", list(BESIDE)),
        ("Recall@1 is the share of queries that find their class.\n\n92.1% of the work is looking.", []),
        ("exact Recall@1…1000, 0.94 GiB", []),
    ],
)
def test_a_recall_that_stands_alone_is_found(text, missing):
    assert lacks(text, text) == missing
