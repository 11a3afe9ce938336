"""Questions whose answers are kept, not marked: predictions, and those that open and close the course."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, NamedTuple

from dmlteach.course.exercises import progress
from dmlteach.course.exercises.kinds import YOUR_REASON, Choice, Exercise, Teaching, kind_of, letters_of
from dmlteach.course.exercises.replies import KEPT, NOT_YET, TO_COMPARE, Reply, shown
from dmlteach.course.exercises.written import UnreadableError, read

# What is said here and on a page without a kernel.
GUESS_KEPT = "It is kept, and will stand beside what is measured."
ANSWER_KEPT = "Your answer is kept; the course comes back to it at its end."
PERCENT = "These are less than 1 %; write 40 for 40 %."
OUTSIDE = "{} cannot be: it lies between {} and {}."
YOUR_GUESS = "Your guess"
FIRST_STAYS = "Your first answer is the one that is kept: the course has come back to it."
ANSWERS, BEFORE, NOW, NO_ANSWER = "Your answers", "at the beginning", "now", "none"
FIRST_REASON = " (Your reason at the beginning: {})"

NO_TEACHING = Teaching(0, "", "")  # nothing is marked, so there is no mistake


@dataclass(frozen=True, kw_only=True)
class Unmarked(Exercise):
    """What these kinds have in common: no number among the exercises, no hints, no solution.

    Attributes:
        number: none.
        hints: none.
        solution: none.
        teaching: none.
    """

    number: str = ""
    hints: tuple[str, ...] = ()
    solution: str = ""
    teaching: Teaching = NO_TEACHING

    def as_kept(self, answer: Any) -> str:
        """An answer that `judge` has kept, as JSON: what the progress file and the site have."""
        raise NotImplementedError

    def is_settled(self) -> bool:
        """Whether the answer that is kept is not changed any more."""
        return False


# --- predictions


@dataclass(frozen=True, kw_only=True)
class Prediction(Unmarked):
    """A number, or several, that the reader commits to before they are measured.

    Attributes:
        parts: what each number is of, in words, by a short name.
        unit: as it is written behind a number, e.g. "%"; percent are guessed as 40 and measured as 0.4.
        least: the smallest number that makes sense.
        most: the largest.
    """

    parts: Mapping[str, str]
    unit: str
    least: float = 0.0
    most: float = 100.0

    @property
    def heading(self) -> str:
        return f"Prediction · {self.title}"

    def judge(self, answer: Any) -> Reply:
        """Kept if it is as many numbers as are asked for, within the bounds; texts are read."""
        try:
            answer, doubts = self._read(answer)
        except UnreadableError as error:
            return Reply(NOT_YET, str(error))
        reply = self._look_at(answer)
        return replace(reply, details=(*doubts, *reply.details))

    def _look_at(self, answer: Any) -> Reply:
        numbers, asked = _numbers(answer), len(self.parts)
        wanted = "; ".join(self.parts.values())
        if numbers is None or len(numbers) != asked:
            given = kind_of(answer) if numbers is None else _counted(len(numbers))
            return Reply(NOT_YET, f"This is {given}; what is asked for is {_counted(asked)}.", wanted)
        for x in numbers:
            if not self.least <= x <= self.most:
                given, least, most = (with_unit(y, self.unit) for y in (x, self.least, self.most))
                return Reply(NOT_YET, OUTSIDE.format(given, least, most), wanted)
        small = self.unit == "%" and any(numbers) and all(x < 1 for x in numbers)
        case = {name: with_unit(x, self.unit) for name, x in zip(self.parts.values(), numbers, strict=True)}
        return Reply(KEPT, GUESS_KEPT, case=case, details=(PERCENT,) if small else (), caption=YOUR_GUESS)

    def as_kept(self, answer: Any) -> str:
        """A list of the numbers."""
        return json.dumps(_numbers(self._read(answer)[0]))

    def _read(self, answer: Any) -> tuple[Any, tuple[str, ...]]:
        return read(answer, self._percent, self.unit)

    @property
    def _percent(self) -> float | None:
        """What 1 % is among these numbers."""
        return 1.0 if self.unit in ("%", "points") else None

    def for_page(self) -> dict[str, Any]:
        """What is asked, and what is said to numbers."""
        return {
            "kind": "prediction",
            "question": self.question,
            "parts": list(self.parts.values()),
            "unit": self.unit,
            "percent": self._percent,
            "least": self.least,
            "most": self.most,
            "kept_words": GUESS_KEPT,
            "small_words": PERCENT,
            "outside": OUTSIDE,
        }


@dataclass(frozen=True, kw_only=True)
class PredictedChoice(Unmarked):
    """One of several things that may come out, which the reader chooses before it is measured.

    Attributes:
        options: by letter.
    """

    options: Mapping[str, str]

    @property
    def heading(self) -> str:
        return f"Prediction · {self.title}"

    def judge(self, answer: Any) -> Reply:
        """Kept if it is one of the letters."""
        chosen, known = letters_of(answer), ", ".join(self.options)
        if chosen is None or len(chosen) != 1:
            return Reply(NOT_YET, "One letter is asked for, in quotes.", f"one of {known}")
        (letter,) = chosen
        if letter not in self.options:
            return Reply(NOT_YET, f"There is no choice {letter!r}.", f"one of {known}")
        return Reply(KEPT, GUESS_KEPT, case={letter: self.options[letter]}, caption=YOUR_GUESS)

    def as_kept(self, answer: Any) -> str:
        """The letter."""
        return json.dumps(sorted(letters_of(answer) or ())[0])

    def for_page(self) -> dict[str, Any]:
        """What can be chosen."""
        return {
            "kind": "predicted_choice",
            "question": self.question,
            "options": dict(self.options),
            "kept_words": GUESS_KEPT,
        }


def _numbers(answer: Any) -> list[float] | None:
    """A number, or several in a row, as they are written; None where it is something else."""
    answer = answer.tolist() if hasattr(answer, "tolist") else answer
    items = answer if isinstance(answer, tuple | list) else [answer]
    known = all(isinstance(x, Real) and not isinstance(x, bool) for x in items)
    return [float(x) for x in items] if known else None


def _counted(number: int) -> str:
    return "one number" if number == 1 else f"{number} numbers"


def with_unit(x: float, unit: str) -> str:
    """A number as a reader likes it: "40 %", "3.5 points", "12".

    Args:
        x: the number.
        unit: none where empty.
    """
    return f"{shown(float(x))} {unit}".strip()


# --- the questions that open and close the course


class Place(NamedTuple):
    """Where the course answers a question: the chapter's title, its file without ending, and the section."""

    chapter: str
    file: str
    section: str


@dataclass(frozen=True, kw_only=True)
class Opening(Unmarked, Choice):
    """A question asked before the course: the answer is kept, and nothing is told yet.

    Attributes:
        place: "2 of 5".
        closing: id of the same question at the end of the course; from its answer on, this one stays.
    """

    place: str
    closing: str

    @property
    def heading(self) -> str:
        return f"Question {self.place} · {self.title}"

    def judge(self, answer: Any) -> Reply:
        """Kept if it names choices that there are."""
        problem = super().judge(answer)
        chosen = letters_of(answer)
        if chosen is None or not chosen or chosen - set(self.options):
            return Reply(NOT_YET, problem.words, f"some of {', '.join(self.options)}")
        return Reply(KEPT, FIRST_STAYS if self.is_settled() else ANSWER_KEPT)

    def as_kept(self, answer: Any) -> str:
        """Reasons by letter."""
        return json.dumps(_reasons(answer, self.options), ensure_ascii=False)

    def is_settled(self) -> bool:
        """Whether the closing question has been answered."""
        return progress.answer_of(self.closing) is not None

    def for_page(self) -> dict[str, Any]:
        """The choices alone: a page's source tells no more than the page."""
        return {
            "kind": "opening",
            "options": {letter: {"text": option.text} for letter, option in self.options.items()},
            "closing": self.closing,
            "kept_words": ANSWER_KEPT,
            "stays_words": FIRST_STAYS,
            "none_words": "Nothing is chosen.",
            "expected": f"some of {', '.join(self.options)}",
        }


@dataclass(frozen=True, kw_only=True)
class Closing(Unmarked, Choice):
    """The same question after the course: the first answer stands beside the second, then each is explained.

    Attributes:
        place: "2 of 5".
        opening: id of the same question at the beginning.
        where: where the course answers it.
        measured: makes the sentence with the number that was measured there.
    """

    place: str
    opening: str
    where: Place
    measured: Callable[[], str] = field(repr=False)

    @property
    def heading(self) -> str:
        return f"Question {self.place}, once more · {self.title}"

    def judge(self, answer: Any) -> Reply:
        """Both answers, which choices are right, and why."""
        chosen = letters_of(answer)
        if chosen is None or not chosen or chosen - set(self.options):
            return Reply(NOT_YET, super().judge(answer).words, f"some of {', '.join(self.options)}")
        first = progress.answer_of(self.opening)
        before = _reasons(first, self.options) if isinstance(first, dict) else {}
        now = _reasons(answer, self.options)
        details = [self._line(letter) + _said(letter, before, now) for letter in self.options]
        case = {BEFORE: ", ".join(before) or NO_ANSWER, NOW: ", ".join(now)}
        more = self._measured("ipynb")
        return Reply(TO_COMPARE, self._right, case=case, details=(*details, more), caption=ANSWERS)

    def as_kept(self, answer: Any) -> str:
        """Reasons by letter."""
        return json.dumps(_reasons(answer, self.options), ensure_ascii=False)

    def is_settled(self) -> bool:
        """Whether it has been answered once: what is said then explains everything."""
        return progress.answer_of(self.id) is not None

    @property
    def _right(self) -> str:
        right = [letter for letter, option in self.options.items() if option.right]
        return f"{' and '.join(right)} {'is' if len(right) == 1 else 'are'} right."

    def _measured(self, ending: str) -> str:
        chapter, file, section = self.where
        return f"Measured in [{chapter}]({file}.{ending}#{section}): {self.measured()}"

    def for_page(self) -> dict[str, Any]:
        """All that is said to any two answers."""
        return {
            "kind": "closing",
            "opening": self.opening,
            "options": {
                letter: {"text": option.text, "line": self._line(letter)}
                for letter, option in self.options.items()
            },
            "right_words": self._right,
            "measured": self._measured("html"),
            "none_words": "Nothing is chosen.",
            "expected": f"some of {', '.join(self.options)}",
            "called": {"answers": ANSWERS, "before": BEFORE, "now": NOW, "none": NO_ANSWER},
            "your_reason": YOUR_REASON,
            "first_reason": FIRST_REASON,
        }


def _reasons(answer: Any, options: Iterable[str]) -> dict[str, str]:
    """The chosen letters in the order of the options, each with its reason ("" where there is none)."""
    chosen = letters_of(answer) or set()
    given = {str(k).strip().lower(): v for k, v in answer.items()} if isinstance(answer, Mapping) else {}
    return {x: given[x] if isinstance(given.get(x), str) else "" for x in options if x in chosen}


def _said(letter: str, before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """The reader's own reasons for a choice."""
    words = ""
    for form, reasons in ((FIRST_REASON, before), (YOUR_REASON, now)):
        if reasons.get(letter, "").strip():
            words += form.format(reasons[letter])
    return words
