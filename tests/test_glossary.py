"""The glossary: each chapter links a term where it first uses it, and the order is that of the alphabet."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dmlteach import course
from dmlteach.course import execute

GLOSSARY = (course.CHECKOUT / "docs" / "glossary.md").read_text(encoding="utf-8")
TERMS = re.findall(r"^## (.+)$", GLOSSARY, re.MULTILINE)
CHAPTERS = list(execute.notebooks(course.CHECKOUT).values())
# What is no running text: summaries in HTML, code, equations, headings, links other than to the glossary.
NO_PROSE = "|".join(
    (
        r"<summary>.*?</summary>",
        r"```.*?```|`[^`]*`",
        r"\$\$.*?\$\$|\$[^$]*\$",
        r"^#.*?$",
        r"\[[^\]]*\]\((?!\.\./docs/glossary)[^)]*\)",
    )
)
LINK = re.compile(r"\[([^\]]*)\]\(\.\./docs/glossary\.md#([^)]*)\)")


def anchor(term: str) -> str:
    """What the site calls the place of an entry."""
    return re.sub(r"[^\w\- ]", "", term.lower()).replace(" ", "-")


def prose(path: Path) -> str:
    """A chapter's running text; exercises, which are worded elsewhere, and sources left out."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    texts = [text.partition("\n## Sources")[0] for text in texts if not text.startswith("**Exercise ")]
    return re.sub(NO_PROSE, " ", "\n\n".join(texts), flags=re.DOTALL | re.MULTILINE)


def uses(term: str, text: str) -> Iterator[re.Match]:
    """Where a term is used, singular or plural, by itself and not as part of a longer one."""
    longer = [other for other in TERMS if term.lower() in other.lower() and other != term]
    words = "|".join(re.escape(word).replace(r"\ ", r"\s+") for word in [*longer, term])
    for match in re.finditer(rf"(?<![\w@#-])({words})(?:s|es)?(?![\w@-])", text, re.IGNORECASE):
        if " ".join(match[1].lower().split()) == term.lower():
            yield match


def test_entries_are_in_the_order_of_the_alphabet():
    key = [term.lower().replace("×", "x").replace("-", "") for term in TERMS]
    assert key == sorted(key) and len(set(key)) == len(key)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_term_is_linked_where_a_chapter_first_uses_it(path):
    text = prose(path)
    links = [(*match.span(1), match[2]) for match in LINK.finditer(text)]
    missing = []
    for term in TERMS:
        for use in uses(term, text):
            to = next((to for start, end, to in links if start <= use.start() and use.end() <= end), None)
            if to in (None, anchor(term)):  # else it is part of the name of another entry
                missing += (
                    [f"{term}: {text[max(0, use.start() - 40) : use.end() + 40]!r}"] if to is None else []
                )
                break
    assert not missing, "\n".join(missing)


def test_every_link_to_the_glossary_finds_its_entry():
    anchors = {anchor(term) for term in TERMS}
    for path in CHAPTERS:
        assert {to for _, to in LINK.findall(path.read_text(encoding="utf-8"))} <= anchors
