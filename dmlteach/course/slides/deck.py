"""What the slides of a chapter hold: texts from the notebook's metadata, what is shown from its outputs."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dmlteach.course.sources import CURE, SLIDE
from dmlteach.errors import DMLTeachError
from dmlteach.files import damaged, read_json

CLOSING = re.compile(r"(?:## What you can do now\n\n|\*\*What you can do now:\*\* )(.+?)\n\n", re.DOTALL)
OPEN = re.compile(r"\*\*What is still open[.:]\*\* (.+?)(?:\n\n|$)", re.DOTALL)
LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
IMAGE = re.compile(r'<img [^>]*class="dml-figure[^>]*>')  # the drawing for a wide page; the other is no img
DETAILS = re.compile(r"</?details>|<summary>.*?</summary>")


@dataclass(frozen=True)
class Slide:
    """One figure, table or explorable of a chapter, and what is said of it.

    Attributes:
        question: what the class is asked before it looks closely.
        takeaway: what is said afterwards.
        kind: of what is shown.
        shown: HTML of a figure or an explorable, Markdown of a table.
    """

    question: str
    takeaway: str
    kind: Literal["figure", "explorable", "table"]
    shown: str


@dataclass(frozen=True)
class Deck:
    """The slides of a chapter; all texts are Markdown.

    Attributes:
        name: of the notebook.
        number: of the chapter, as it is shown.
        title: of the chapter.
        question: that it opens with.
        slides: between the first and the last.
        closing: what its reader can do now.
        still_open: what it leaves open.
    """

    name: str
    number: str
    title: str
    question: str
    slides: list[Slide]
    closing: str
    still_open: str


def read(number: str, source: Path, executed: Path) -> Deck:
    """The slides of a chapter.

    Args:
        number: of the chapter.
        source: its notebook, whose cells have the texts.
        executed: the same notebook with outputs.

    Raises:
        DMLTeachError: it has no slides, a text is missing, or a cell shows nothing for its slide.
    """
    cells = read_json(source, CURE)["cells"]
    outputs = {cell["id"]: cell.get("outputs", []) for cell in read_json(executed, CURE)["cells"]}
    title, *marked = [cell for cell in cells if SLIDE in cell["metadata"] or cell is cells[0]]
    if not marked:
        raise DMLTeachError(
            f"{source.name} has no slides. Give cells that show a figure the metadata "
            f'"{SLIDE}": {{"question": …, "takeaway": …}}, in JupyterLab under Property Inspector.'
        )
    text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return Deck(
        name=source.stem,
        number=number,
        title=title_of(cells),
        question=_text(source, title, "question"),
        slides=[_slide(source, cell, outputs.get(cell["id"], [])) for cell in marked],
        closing=_section(source, CLOSING, text),
        still_open=_section(source, OPEN, text),
    )


def title_of(cells: list[dict[str, Any]]) -> str:
    """Title of a chapter, without its number.

    Args:
        cells: of its notebook; the first one begins with "# 01 · ".
    """
    return "".join(cells[0]["source"]).partition("\n")[0].partition("·")[2].strip()


def _text(source: Path, cell: dict[str, Any], name: str) -> str:
    text = cell["metadata"].get(SLIDE, {}).get(name)
    if not text:
        raise damaged(source, f"the slide of cell {cell['id']!r} has no {name}", "Write it in its metadata.")
    return text


def _section(source: Path, pattern: re.Pattern[str], text: str) -> str:
    """A paragraph at the end of the chapter, without links; it begins with a capital."""
    found = pattern.search(f"{text}\n\n")
    if not found:
        raise damaged(source, "it does not say what its reader can do now, or what is still open", CURE)
    words = " ".join(LINK.sub(r"\1", found[1]).split())
    return words[0].upper() + words[1:]


def _slide(source: Path, cell: dict[str, Any], outputs: list[dict[str, Any]]) -> Slide:
    question, takeaway = (_text(source, cell, name) for name in ("question", "takeaway"))
    for data in (output.get("data", {}) for output in outputs):
        html, markdown = ("".join(data.get(f"text/{kind}", "")) for kind in ("html", "markdown"))
        if image := IMAGE.search(html):
            return Slide(question, takeaway, "figure", image[0])
        if html.startswith("<div data-dmlteach="):
            return Slide(question, takeaway, "explorable", html)
        if "|---" in markdown:
            return Slide(question, takeaway, "table", DETAILS.sub("", markdown).strip())
    raise damaged(
        source, f"cell {cell['id']!r} has a slide, and shows no figure and no table", "Take its slide away."
    )
