"""A reader's guess beside what is measured: a sentence under the figure, and a line in it.

In a notebook both are drawn from the answer that is kept. The site is built without a reader: there the
output says where the guess would stand, and a script (`exercises/in_page/guesses.js`) puts it there.
"""

import html
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dmlteach.course.exercises import get, in_page, progress
from dmlteach.course.exercises.replies import Shown
from dmlteach.course.exercises.unmarked import PredictedChoice, Prediction, with_unit
from dmlteach.errors import DMLTeachError
from dmlteach.options import one_of
from dmlteach.plots.reading import COLUMN, PHONE
from dmlteach.plots.style import Picture, context

COLOUR = "#8250df"  # 5 : 1 on white, 3.5 : 1 on the dark page; of no role in any figure


class Mark(NamedTuple):
    """Where a figure shows a guess.

    Attributes:
        axes: of the figure.
        id: of the prediction.
        part: which of its numbers.
        axis: "x": the line crosses the axis of x at the guess; "y" likewise.
        span: from where to where the line goes along the other axis, in fractions of the axes.
        label: what the line says before the number.
    """

    axes: Axes
    id: str
    part: str
    axis: str
    span: tuple[float, float]
    label: str


def mark_guess(
    axes: Axes, id: str, part: str, axis: str = "y", span: tuple[float, float] = (0.0, 1.0), called: str = ""
) -> None:
    """Draw the reader's guess as a dashed line, if there is one; `guessed` tells the site where it would be.

    Args:
        axes: of a figure whose limits are set; a guess outside them is drawn at their end.
        id: of a prediction.
        part: which of its numbers.
        axis: "x" or "y", the axis on which the number lies; of a linear scale.
        span: from where to where the line goes along the other axis, in fractions of the axes.
        called: which guess it is, in a word, where a figure shows several.

    Raises:
        DMLTeachError: there is no such prediction, part or axis.
    """
    question = _prediction(id)
    one_of("part", part, question.parts)
    one_of("axis", axis, ("x", "y"))
    mark = Mark(axes, id, part, axis, span, f"my guess, {called}" if called else "my guess")
    _marks(axes.figure).append(mark)
    guess = _guess(id)
    if isinstance(guess, list):
        number = guess[list(question.parts).index(part)]
        low, high = sorted(axes.get_xlim() if axis == "x" else axes.get_ylim())
        at = min(max(number / _scale(question), low), high)
        _draw(mark, at, f"{mark.label}: {with_unit(number, question.unit)}")


def _draw(mark: Mark, at: float, words: str) -> None:
    """A line and its label, which leave the limits of the axes as they are."""
    axes, (start, end) = mark.axes, mark.span
    low, high = axes.get_xlim() if mark.axis == "x" else axes.get_ylim()
    share = (at - low) / (high - low)
    if mark.axis == "x":
        place, xs, ys = axes.get_xaxis_transform(), (at, at), (start, end)
        corner, ha, va = (at, end), "right" if share > 0.6 else "left", "top"
    else:
        place, xs, ys = axes.get_yaxis_transform(), (start, end), (at, at)
        ha, va = "right" if start > 0.5 else "left", "top" if share > 0.85 else "bottom"
        corner = (end if start > 0.5 else start, at)
    beside = (-4 if ha == "right" else 4, -3 if va == "top" else 2)  # points
    axes.annotate(
        words, corner, xycoords=place, xytext=beside, textcoords="offset points", color=COLOUR, ha=ha, va=va
    )
    axes.add_artist(Line2D(xs, ys, transform=place, color=COLOUR, linestyle=(0, (4, 2)), zorder=6))


class Guessed(Shown):
    """The reader's guess and what was measured, in a sentence for each number; nothing where there is none.

    Attributes:
        content: all that a page needs to say it, as JSON has it.
        guess: what is kept: a list of numbers, a letter, or None.
    """

    def __init__(self, content: dict[str, Any], guess: Any):
        self.content = content
        self.guess = guess

    @property
    def sentences(self) -> list[str]:
        """What is said."""
        if self.guess is None:
            return []
        return (_about_choice if "options" in self.content else _about_numbers)(self.content, self.guess)

    def plain(self) -> str:
        """As text, a sentence a line."""
        return "\n".join(self.sentences)

    def rich(self) -> dict[str, str]:
        """HTML that says the same, and holds what a page needs."""
        said = "".join(f"<p>{html.escape(line)}</p>" for line in self.sentences)
        hidden = "" if said else " hidden"
        style = f"border-left: 0.2em solid {COLOUR}; padding-left: 0.8em"
        return {
            "text/html": f'<div class="dml-guess" role="note" aria-label="Your guess" style="{style}"'
            f"{hidden}>{said}{in_page.as_script(self.content)}</div>"
        }

    def __repr__(self) -> str:
        return f"Guessed({self.content['id']!r}, {self.guess!r})"


def guessed(
    id: str, measured: Mapping[str, float] | str, figure: Picture | None = None, digits: int = 0
) -> Guessed:
    """What the reader predicted beside what was measured; shows nothing where there is no prediction.

    Args:
        id: of a prediction.
        measured: for each of its parts the number, of percent as a fraction; of a choice the letter that
            came true.
        figure: with marks of `mark_guess`, shown right before this.
        digits: of a measured number behind the point.

    Raises:
        DMLTeachError: there is no such prediction, or what was measured does not fit it.
    """
    choice = get(id)
    if isinstance(choice, PredictedChoice):
        one_of("choice", str(measured), choice.options)
        return Guessed({"id": id, "options": dict(choice.options), "measured": measured}, _guess(id))
    question = _prediction(id)
    if not isinstance(measured, Mapping) or set(measured) != set(question.parts):
        raise DMLTeachError(f"{id} asks for {', '.join(question.parts)}; give a number for each of them.")
    scale = _scale(question)
    rounded = {name: f"{scale * float(x):.{digits}f}" for name, x in measured.items()}  # as chapters print it
    content = {
        "id": id,
        "parts": list(question.parts.values()),
        "unit": question.unit,
        "measured": [float(rounded[name]) + 0.0 for name in question.parts],  # −0 becomes 0
        "digits": digits,
        **(_drawings(figure, question) if figure is not None else {}),
    }
    return Guessed(content, _guess(id))


def _drawings(figure: Picture, question: Prediction) -> dict[str, Any]:
    """The marks in each drawing that a page may show: for a column of text, and for a phone."""
    if not any(mark.id == question.id for mark in _marks(figure)):
        return {}
    with context():
        drawings = dict.fromkeys(figure.for_page(width) for width in (COLUMN, PHONE))  # one, if it fits both
    return {"drawings": [_places(drawing, question) for drawing in drawings]}


def _places(figure: Figure, question: Prediction) -> dict[str, Any]:
    """Marks in fractions of the image, from the left and the top, and its shape: wide ÷ high."""
    figure.draw_without_rendering()  # a layout is found when it is drawn
    width, height = figure.get_size_inches()
    marks: list[dict[str, Any]] = []
    for axes, _, part, axis, span, label in [mark for mark in _marks(figure) if mark.id == question.id]:
        box = axes.get_position()
        across, along = ((box.x0, box.x1), (1 - box.y0, 1 - box.y1))
        own, other = (across, along) if axis == "x" else (along, across)
        limits = axes.get_xlim() if axis == "x" else axes.get_ylim()
        marks.append({
            "part": list(question.parts).index(part),
            "label": label,
            "axis": axis,
            "at": [
                [_scale(question) * float(limit), round(float(end), 5)]
                for limit, end in zip(limits, own, strict=True)
            ],
            "span": [round(float(other[0] + f * (other[1] - other[0])), 5) for f in span],
        })  # fmt: skip
    return {"shape": round(float(width / height), 4), "marks": marks}


def _about_numbers(content: Mapping[str, Any], guess: list[float]) -> list[str]:
    unit, digits = content["unit"], content["digits"]
    sentences = []
    for part, mine, found in zip(content["parts"], guess, content["measured"], strict=True):
        apart = _rounded(abs(mine - found), digits)
        behind = " points" if unit in ("%", "points") else f" {unit}".rstrip()
        more = f"{apart:.{digits}f}{behind} {'more' if found > mine else 'less'}"
        words = more if apart else "as you guessed"
        sentences.append(
            f"Your guess, {part}: {with_unit(mine, unit)}. Measured: {f'{found:.{digits}f} {unit}'.strip()}, "
            f"{words}."
        )
    return sentences


def _about_choice(content: Mapping[str, Any], guess: str) -> list[str]:
    options, found = content["options"], content["measured"]
    if guess == found:
        return [f"Your guess: {options[guess]}. That is what was measured."]
    return [f"Your guess: {options.get(guess, guess)}. Measured: {options[found]}."]


def _rounded(x: float, digits: int) -> float:
    """Halves go up, here and in the page."""
    return math.floor(x * 10**digits + 0.5) / 10**digits


def _prediction(id: str) -> Prediction:
    question = get(id)
    if not isinstance(question, Prediction):
        raise DMLTeachError(f"{id} is no prediction of numbers; name one that is.")
    return question


def _guess(id: str) -> Any:
    """What is kept, if it is of the form that is asked for."""
    question, kept = get(id), progress.answer_of(id)
    if isinstance(question, Prediction):
        fits = isinstance(kept, list) and len(kept) == len(question.parts)
        known = fits and all(
            isinstance(x, int | float) and question.least <= x <= question.most for x in kept
        )
        return kept if known else None
    return kept if isinstance(kept, str) else None


def _scale(question: Prediction) -> float:
    return 100.0 if question.unit == "%" else 1.0


def _marks(figure: Any) -> list[Mark]:
    """The marks of a figure, kept with it."""
    if not hasattr(figure, "dmlteach_marks"):
        figure.dmlteach_marks = []
    return figure.dmlteach_marks
