"""What a reader is shown: words first, then the failing case in numbers. Never by colour alone."""

import html
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

Status = Literal["right", "not yet", "not answered yet", "to compare", "kept"]
RIGHT: Status = "right"
NOT_YET: Status = "not yet"
UNANSWERED: Status = "not answered yet"
TO_COMPARE: Status = "to compare"  # a reflection: there is nothing to mark
KEPT: Status = "kept"  # a prediction: what is measured comes later

MARKS = {RIGHT: "✓", NOT_YET: "✗", UNANSWERED: "…", TO_COMPARE: "≈", KEPT: "•"}
BORDERS = {RIGHT: "solid", NOT_YET: "dashed", UNANSWERED: "dotted", TO_COMPARE: "double", KEPT: "ridge"}
IN_NUMBERS = "The case in numbers"
LONGEST = 8  # numbers of a row that are shown
ROWS = 4  # of a table
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class Shown:
    """Something that shows itself: below the cell in a notebook, on the standard output elsewhere."""

    _shown_in: int | None = None

    def plain(self) -> str:
        """As text."""
        raise NotImplementedError

    def rich(self) -> dict[str, str]:
        """The same for a notebook, by media type."""
        raise NotImplementedError

    def show(self) -> None:
        """Show it now."""
        shell = _kernel()
        if shell is None:
            print(self.plain())
            return
        from IPython.display import display

        self._shown_in = shell.execution_count
        display({"text/plain": self.plain(), **self.rich()}, raw=True)

    def _ipython_display_(self) -> None:
        """The value of a cell that has shown it already is not shown a second time."""
        shell = _kernel()
        if shell is None or self._shown_in != shell.execution_count:
            self.show()

    def __str__(self) -> str:
        return self.plain()


@dataclass
class Page(Shown):
    """Text with a heading: a question, a hint or a solution.

    Attributes:
        heading: one line.
        text: Markdown.
    """

    heading: str
    text: str

    def plain(self) -> str:
        """The Markdown as it is written."""
        return f"{self.heading}\n\n{self.text}"

    def rich(self) -> dict[str, str]:
        """Markdown, which a notebook typesets."""
        return {"text/markdown": f"**{self.heading}**\n\n{self.text}"}

    __repr__ = Shown.__str__


@dataclass
class Reply(Shown):
    """What `check` answers.

    Attributes:
        status: "right", "not yet", "not answered yet", "to compare" or "kept".
        words: one sentence on the answer.
        expected: what was expected, in words.
        case: the failing case in numbers: name and value, in the order they are read.
        inputs: the failing case as it was put in, to try again: `answer(*reply.inputs)`.
        details: further sentences, one for each part of the answer.
        exercise: "Exercise 02.1 · Gradients that sum to zero".
        note: what else is to say, e.g. that progress could not be saved.
        caption: what the case is, above its table.
    """

    status: Status
    words: str = ""
    expected: str = ""
    case: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple = ()
    details: tuple[str, ...] = ()
    exercise: str = ""
    note: str = ""
    caption: str = IN_NUMBERS

    def __repr__(self) -> str:
        return f"Reply({self.status!r})"

    def plain(self) -> str:
        """As text, one fact a line."""
        lines = [f"{self.exercise}: {self.status}" if self.exercise else self.status]
        lines += [f"  {self.words}"] if self.words else []
        sign = " =" if self.caption == IN_NUMBERS else ":"
        lines += [f"  {name}{sign} {shown(value)}" for name, value in self.case.items()]
        lines += [f"  Expected: {self.expected}"] if self.expected else []
        lines += [f"  {line}" for line in self.details]
        lines += [f"  ({self.note})"] if self.note else []
        return "\n".join(lines)

    def rich(self) -> dict[str, str]:
        """HTML that says the same."""
        return {"text/html": self.html()}

    def html(self) -> str:
        """A block whose border's dash differs with the status; it has no colours of its own."""
        mark = f'<span aria-hidden="true">{MARKS[self.status]}</span>'
        parts = [f"<p>{mark} {html.escape(self.exercise)}: <strong>{self.status}</strong></p>"]
        parts += [f"<p>{_inline(self.words)}</p>"] if self.words else []
        if self.case:
            rows = "".join(
                f'<tr><th scope="row" style="text-align: left">{html.escape(name)}</th>'
                f'<td style="text-align: left">{html.escape(shown(value))}</td></tr>'
                for name, value in self.case.items()
            )
            parts.append(
                f"<table><caption>{html.escape(self.caption)}</caption><tbody>{rows}</tbody></table>"
            )
        parts += [f"<p>Expected: {_inline(self.expected)}</p>"] if self.expected else []
        if self.details:
            items = "".join(f"<li>{_inline(line)}</li>" for line in self.details)
            parts.append(f"<ul>{items}</ul>")
        parts += [f"<p><small>{_inline(self.note)}</small></p>"] if self.note else []
        border = f"border-left: 0.3em {BORDERS[self.status]} currentColor; padding-left: 0.8em"
        return f'<div class="dmlteach-reply" role="status" style="{border}">{"".join(parts)}</div>'

    def show(self) -> None:
        """An answer that is missing is one printed line: a page of them stays short."""
        if self.status == UNANSWERED:
            shell = _kernel()
            self._shown_in = shell.execution_count if shell else None
            print(self.plain())
        else:
            super().show()


def shown(value: Any) -> str:
    """A value as a reader likes it: numbers as people write them, of long tensors the first ones and a shape.

    Args:
        value: anything.
    """
    if isinstance(value, torch.Tensor):
        return shown(value.item()) if value.ndim == 0 else _first_numbers(value)
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int | float):
        return _as_written(value).replace("-", "−")
    if isinstance(value, tuple | list) and len(value) <= LONGEST:
        return "(" + ", ".join(shown(x) for x in value) + ")"
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 200 else text[:199] + "…"


def _as_written(x: float) -> str:
    """Four digits, of what is large all before the point: 0.3333, 75,240,000, 2 × 10⁻⁵."""
    text = f"{x:.4g}" if isinstance(x, float) else str(x)
    if 1 <= abs(x) < 1e15 and ("e" in text or abs(x) >= 10_000):
        return f"{x:,.0f}"
    mantissa, _, exponent = text.partition("e")
    return f"{mantissa} × 10{str(int(exponent)).translate(RAISED)}" if exponent else text


def _first_numbers(tensor: torch.Tensor) -> str:
    """`(0.5, 1)` of a short row; of what is longer its beginning: `(0.5, 1), (2, 3), … of shape (12, 2)`."""
    if tensor.ndim == 1:
        numbers = [shown(x) for x in tensor[:LONGEST].tolist()]
        whole = f"({('; ' if ',' in ''.join(numbers) else ', ').join(numbers)}"  # 75,240,000; 100
        return f"{whole})" if len(tensor) <= LONGEST else f"{whole}, …) of {len(tensor)} numbers"
    table = tensor.reshape(-1, tensor.shape[-1]) if tensor.numel() else tensor.reshape(0, 0)
    rows = [
        f"({', '.join(shown(x) for x in row[:LONGEST].tolist())}{', …' if len(row) > LONGEST else ''})"
        for row in table[:ROWS]
    ]
    more = [] if len(table) <= ROWS else ["…"]
    return f"{', '.join(rows + more)} of shape {tuple(tensor.shape)}".strip()


def _kernel() -> Any:
    """The shell of a notebook's kernel, or None in plain Python; IPython is not imported for it."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell if hasattr(shell, "kernel") else None


def _inline(text: str) -> str:
    """Words with `code` and [links](address) as HTML."""
    code = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))
    return re.sub(r"\[([^\]]+)\]\(([^)\s]+)\)", r'<a href="\2">\1</a>', code)
