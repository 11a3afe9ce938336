"""What chapters show beside figures: text, source and conventions, read from the code."""

import inspect
import textwrap
from typing import Any


class Text:
    """Markdown that shows itself in a notebook and on the site."""

    def __init__(self, markdown: str):
        self.markdown = markdown

    def _repr_markdown_(self) -> str:
        return self.markdown

    def __repr__(self) -> str:
        return self.markdown


def covered(markdown: str, summary: str = "What was measured (open after your prediction)") -> Text:
    """Markdown that stays folded away until the reader opens it, in a notebook and on the site.

    Args:
        markdown: what a reader should predict first.
        summary: the line that opens it.
    """
    return Text(f"<details><summary>{summary}</summary>\n\n{markdown}\n\n</details>")


def look_inside(thing: Any) -> Text:
    """The source of a function or class of the library, as it is installed.

    Args:
        thing: any function, class or module.
    """
    return Text(f"```python\n{textwrap.dedent(inspect.getsource(thing)).rstrip()}\n```")


def conventions(*names: str) -> Text:
    """Table of losses, read from their code: formula, geometry, options and defaults.

    Args:
        names: losses; default: all of them.
    """
    from dmlteach import losses
    from dmlteach.course.reference.markdown import prose

    rows = ["| loss | value | compares | options and defaults |", "|---|---|---|---|"]
    compares = {"euclidean": "embeddings as they are", "sphere": "embeddings scaled to length 1"}
    for name in names or losses.names():
        formula = inspect.getdoc(getattr(losses, f"{name}_loss"))
        first = " ".join(formula.partition("\n\n")[0].split()).rstrip(".") if formula else ""
        value = prose(first, lambda _: None)  # a |P| does not end a cell, nor do indices make italics
        options = losses.options(name).items()
        given = ", ".join(f"`{k}`" + ("" if p.default is p.empty else f" = {p.default}") for k, p in options)
        rows.append(f"| `{name}` | {value} | {compares[losses.LOSSES[name].geometry]} | {given} |")
    return Text("\n".join(rows))
