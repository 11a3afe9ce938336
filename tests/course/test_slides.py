"""Slides: what every chapter's say and show, where they are written, and what a mistake is told."""

import json
import re
from pathlib import Path

import nbformat
import pytest

from dmlteach import course, errors
from dmlteach.course import execute, material, slides
from dmlteach.course.slides import deck, page
from dmlteach.errors import DMLTeachError
from tests.test_notebooks import NUMBERED, TASKS, make_current

CHAPTERS = {path.stem: (number, path) for number, path in NUMBERED.items()}
TARGETS = {task["source"].stem: task for task in TASKS}
NAMES = re.compile(r"Recall@1|√2|\b(?:N|D) = \d+")  # in which a digit is no number that was measured
LONGEST = {"question": 155, "takeaway": 185}  # characters for which a slide has room
every_chapter = pytest.mark.parametrize("name", CHAPTERS)


def marked(name: str) -> list[dict]:
    """Cells with a slide."""
    cells = json.loads(CHAPTERS[name][1].read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if "slide" in cell["metadata"]]


def deck_of(name: str) -> deck.Deck:
    make_current(TARGETS[name])
    number, source = CHAPTERS[name]
    return deck.read(number, source, TARGETS[name]["target"])


# --- the chapters


@every_chapter
def test_a_chapter_has_six_to_twelve_slides_and_opens_with_a_question(name):
    title, *others = marked(name)
    assert title["id"] == "title" and set(title["metadata"]["slide"]) == {"question"}
    assert 6 <= len(others) + 2 <= 12


@every_chapter
def test_a_slide_has_a_question_and_a_takeaway_short_enough_to_be_read_without_a_number(name):
    for cell in marked(name)[1:]:
        texts = cell["metadata"]["slide"]
        assert set(texts) == {"question", "takeaway"}, cell["id"]
        for kind, text in texts.items():
            assert len(text) <= LONGEST[kind] and text[-1] in ".?!", f"{cell['id']}: {text}"
            assert not re.search(r"\d", NAMES.sub("", text)), f"{cell['id']} types a number: {text}"
            assert not re.search(r"[$<]|\]\(", text), f"{cell['id']}: neither formulas nor links: {text}"


@every_chapter
def test_each_slide_shows_something_of_the_executed_chapter_and_nothing_twice(name):
    read = deck_of(name)
    shown = [slide.shown for slide in read.slides]
    assert len(set(shown)) == len(shown) == len(marked(name)) - 1
    assert {slide.kind for slide in read.slides} <= {"figure", "table", "explorable"}
    assert all(slide.shown.count("<img") == 1 for slide in read.slides if slide.kind == "figure")
    assert read.closing and read.still_open and "](" not in read.closing + read.still_open


@every_chapter
def test_a_table_that_shows_recall_names_the_classes_and_the_untrained_network(name):
    for slide in deck_of(name).slides:
        if slide.kind == "table" and "recall@1" in slide.shown.lower():
            assert "untrained" in slide.shown and re.search(
                r"\d+ (?:\w+ )?(?:characters|others)", slide.shown
            )


def test_a_page_names_nothing_outside_itself():
    text = page.of_deck(deck_of("triplet_versus_sst_gradients"))
    assert not re.search(r"""(?:src|href|srcset|action)\s*=\s*["']?(?!data:)[^"'>\s]+""", own_markup(text))
    assert not re.search(r"@import|url\((?!data:)", own_markup(text))
    assert "Permission is hereby granted" in text  # reveal.js goes with its licence


def own_markup(text: str) -> str:
    """A page without scripts."""
    return re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)


# --- a small chapter, executed already

FIGURE = '<style>.dml-figure{}</style><picture><source srcset="data:image/png;base64,NARROW"><img alt="a &gt; b" class="dml-figure dml-figure-ink" width="700" height="300" src="data:image/png;base64,WIDE"></picture>'  # noqa: E501
COVERED = "<details><summary>What was measured</summary>\n\n| a | b |\n|---|---|\n| **1** | 2 |\n\n</details>"
SAID = {"question": "Which *one*?", "takeaway": "Neither of them."}
END = (
    "## What you can do now\n\nYou can [read](a.md) it.\n\n**What is still open.** Nothing. [Go on](b.ipynb)."
)


def write_chapter(checkout: Path, name: str, *cells, title=True) -> None:
    """A chapter and its executed copy: (what is said, MIME type and output) of each cell."""
    made = [nbformat.v4.new_markdown_cell("# 00 · A & B\n\nText.", id="title")]
    made[0].metadata = {"slide": {"question": "What is it?"}} if title else {}
    for i, (said, kind, content) in enumerate(cells):
        output = nbformat.v4.new_output("display_data", data={kind: content})
        made.append(
            nbformat.v4.new_code_cell(
                "1", id=f"cell{i}", outputs=[output], metadata={"slide": said} if said else {}
            )
        )
    made.append(nbformat.v4.new_markdown_cell(END, id="end"))
    notebook = nbformat.v4.new_notebook(cells=made)
    source, target = (checkout / folder / f"{name}.ipynb" for folder in ("notebooks", "build/notebooks"))
    for path in (source, target):
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, path)
    with (source.parent / execute.ORDER).open("a", encoding="utf-8") as order:
        order.write(f"{name}\n")
    (task,) = [task for task in execute.plan(checkout, "fast") if task["source"] == source]
    notebook.metadata["dmlteach"] = {"key": task["key"]}
    nbformat.write(notebook, target)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "code_of_notebook", lambda notebook: [])
    monkeypatch.setattr(execute, "_other_files", lambda package: [])
    return tmp_path


def written(checkout: Path, *chapters: str) -> list[str]:
    folder = checkout / "lecture"
    assert slides.write(chapters, folder, checkout, lambda line: None) == folder / "index.html"
    return sorted(path.name for path in folder.iterdir())


def test_the_wide_drawing_the_table_and_the_explorable_are_shown_with_their_texts(checkout):
    alive = '<div data-dmlteach="x" data-state="{}"><img></div><script type="module">1</script>'
    outputs = (("text/html", FIGURE), ("text/markdown", COVERED), ("text/html", alive))
    write_chapter(checkout, "one", *((SAID, *output) for output in outputs))
    read = deck.read("00", *(checkout / f / "one.ipynb" for f in ("notebooks", "build/notebooks")))
    assert [slide.kind for slide in read.slides] == ["figure", "table", "explorable"]
    assert (read.title, read.question) == ("A & B", "What is it?")
    assert (read.closing, read.still_open) == ("You can read it.", "Nothing. Go on.")
    text = page.of_deck(read)
    assert "WIDE" in text and "NARROW" not in text and "What was measured" not in text
    assert "<td><strong>1</strong></td>" in text and f"<template>{alive}</template>" in text
    assert text.count("Which <em>one</em>?") == text.count("Neither of them.") == 3
    assert text.count("<section") == 5 and "A &amp; B" in text


def test_chapters_are_chosen_by_number_or_name_and_the_index_lists_those_that_lie_there(checkout):
    for name in ("one", "two", "three"):
        write_chapter(checkout, name, (SAID, "text/html", FIGURE))
    assert written(checkout, "01") == ["index.html", "two.html"]
    assert written(checkout, "one") == ["index.html", "one.html", "two.html"]
    index = (checkout / "lecture" / "index.html").read_text("utf-8")
    assert re.findall(r'href="(.*?)">(\d\d)', index) == [("one.html", "00"), ("two.html", "01")]
    assert written(checkout) == ["index.html", "one.html", "three.html", "two.html"]


def test_what_is_not_current_is_executed_first(checkout, monkeypatch):
    write_chapter(checkout, "one", (SAID, "text/html", FIGURE))
    (checkout / "build" / "notebooks" / "one.ipynb").unlink()
    monkeypatch.setattr(execute, "execute_all", lambda tasks, *_: pytest.fail(f"executes {len(tasks)}"))
    with pytest.raises(pytest.fail.Exception, match="executes 1"):
        written(checkout)


@pytest.mark.parametrize(
    ("cells", "options", "said"),
    [
        ([(None, "text/html", FIGURE)], {}, r"one.ipynb has no slides. Give cells .*\"question\""),
        ([({"question": "Why?"}, "text/html", FIGURE)], {}, "the slide of cell 'cell0' has no takeaway"),
        ([(SAID, "text/html", FIGURE)], {"title": False}, "the slide of cell 'title' has no question"),
        ([(SAID, "text/plain", "7")], {}, "cell 'cell0' has a slide, and shows no figure and no table"),
    ],
)
def test_a_chapter_that_lacks_what_slides_need_is_one_sentence(checkout, cells, options, said):
    write_chapter(checkout, "one", *cells, **options)
    with pytest.raises(DMLTeachError, match=said):
        written(checkout)
    assert not (checkout / "lecture").exists()


def test_an_unknown_chapter_names_the_known_ones(checkout):
    write_chapter(checkout, "one", (SAID, "text/html", FIGURE))
    with pytest.raises(DMLTeachError, match="unknown chapter 'on'; did you mean 'one'"):
        written(checkout, "on")


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_executed(checkout, monkeypatch):
    write_chapter(checkout, "one", (SAID, "text/html", FIGURE))
    (checkout / "lecture").write_text("a file")
    monkeypatch.setattr(execute, "execute_all", lambda *_: pytest.fail("executes"))
    with pytest.raises(DMLTeachError, match="lecture"):
        written(checkout)


def test_an_installed_package_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(material, "is_installed", lambda: True)
    with pytest.raises(DMLTeachError, match="slides are made from a clone of the repository"):
        slides.write((), tmp_path / "lecture", course.CHECKOUT)


def test_a_missing_tool_names_what_to_install(checkout, monkeypatch):
    write_chapter(checkout, "one", (SAID, "text/html", FIGURE))
    monkeypatch.setattr(errors, "find_spec", lambda name: None)
    with pytest.raises(DMLTeachError, match=r"markdown_it is not installed.*dmlteach\[course\]"):
        written(checkout)
