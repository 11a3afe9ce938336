"""Slides as HTML: reveal.js, styles and figures lie in the page itself."""

import html
import re
from functools import cache
from pathlib import Path
from typing import Any

from dmlteach.course.slides.deck import Deck, Slide

FOLDER = Path(__file__).parent
# What is higher stands beside its texts, where it has more room than between them.
WIDE = 1.8  # width of a figure, in its heights
ROWS = 10  # of a table
PAGE = """<!doctype html>
<html lang="en" class="print-pdf">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · dmlteach</title>
<style>
{style}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def of_deck(deck: Deck) -> str:
    """The page with a chapter's slides.

    Args:
        deck: the slides.
    """
    sections = [_title(deck), *map(_section, deck.slides), _closing(deck)]
    return PAGE.format(
        title=f"{deck.number} · {html.escape(deck.title)}",
        style=_file("reveal.css") + _file("slides.css"),
        body=(
            f'<div class="reveal"><div class="slides">\n{"".join(sections)}</div></div>\n'
            f"<!-- reveal.js:\n{_file('reveal_LICENSE.txt')}-->\n<script>\n{_file('reveal.js')}\n</script>\n"
            f'<script type="module">\n{_file("slides.js")}</script>'
        ),
    )


def of_index(chapters: list[tuple[str, str, str]]) -> str:
    """The page that lists chapters with slides.

    Args:
        chapters: number, title and name of each; its slides lie beside the page.
    """
    rows = (
        f'<li><a href="{name}.html">{number} · {html.escape(title)}</a></li>'
        for number, title, name in chapters
    )
    body = f"<main class=index><h1>Slides</h1><ul>{''.join(rows)}</ul></main>"
    return PAGE.format(title="Slides", style=_file("slides.css"), body=body)


def _title(deck: Deck) -> str:
    return (
        f'<section class="title"><p class="number">{deck.number}</p><h1>{html.escape(deck.title)}</h1>'
        f"<h2>{_inline(deck.question)}</h2><p class=source>dmlteach · CC BY 4.0</p></section>\n"
    )


def _section(slide: Slide) -> str:
    return (
        f'<section class="{slide.kind} {_layout(slide)}"><h2>{_inline(slide.question)}</h2>'
        f'{_shown(slide)}<p class="takeaway fragment">{_inline(slide.takeaway)}</p></section>\n'
    )


def _closing(deck: Deck) -> str:
    return (
        f'<section class="closing"><h2>What you can do now</h2><p>{_inline(deck.closing)}</p>'
        '<div class="fragment"><h2>What is still open</h2>'
        f"<p>{_inline(deck.still_open)}</p></div></section>\n"
    )


def _layout(slide: Slide) -> str:
    if slide.kind == "figure":
        width, height = (int(side) for side in re.findall(r'(?:width|height)="(\d+)"', slide.shown))
        return "between" if width >= WIDE * height else "beside"
    return "between" if slide.kind == "table" and slide.shown.count("\n") <= ROWS else "beside"


def _shown(slide: Slide) -> str:
    """What was covered in the chapter is covered here; an explorable waits in a template for its frame."""
    if slide.kind == "figure":
        return f'<div class="shown">{slide.shown}</div>'
    if slide.kind == "explorable":
        return f'<div class="shown"><template>{slide.shown}</template></div>'
    return f'<div class="shown fragment"><div>{_markdown().render(slide.shown)}</div></div>'


def _inline(markdown: str) -> str:
    return _markdown().renderInline(markdown)


@cache
def _markdown() -> Any:
    from markdown_it import MarkdownIt  # a part of dmlteach[course]

    return MarkdownIt("commonmark").enable("table")


def _file(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
