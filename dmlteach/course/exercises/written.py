"""Numbers as people write them: 0.25, 0,25, −3, 7,500,000, 19/1999, 40 %.

`in_page/judge.js` reads them alike.
"""

import math
import re
from typing import Any, NamedTuple

from dmlteach.course.exercises.replies import shown

SAID = {
    "unreadable": "“{}” cannot be read as a number; write it like 0.25, −3, 19/1999 or 7,500,000.",
    "no_percent": "“{}” is in percent, and no percentage is asked for; write a number without the sign.",
    "thousands": "In “{}” the comma is read as one between thousands; decimals stand behind a point.",
    "share": "“{}” is read as {}.",
}
PLAIN = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)
GROUPED = re.compile(r"[+-]?[1-9][0-9]{0,2}([,\s_])[0-9]{3}(\1[0-9]{3})*(\.[0-9]*)?")
ONE_GROUP = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}")  # 1,200: elsewhere it is 1.2
DECIMAL_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+")


class UnreadableError(Exception):
    """A text that is no number; `str` says so."""


class Written(NamedTuple):
    """A number that was read, and what is to say where it might be meant otherwise ("" if nothing)."""

    value: float
    doubt: str


def number_of(text: str, percent: float | None = None) -> Written | None:
    """A number, or None where the text is none.

    Args:
        text: as a reader types it.
        percent: what 1 % is: 0.01 where a fraction is asked for, 1 where percent or points are; None where
            the sign makes no sense.
    """
    bare = text.replace("−", "-").strip()
    in_percent = bare.endswith("%")
    parts = [part.strip() for part in bare.removesuffix("%").split("/")]
    numbers = [_plain(part) for part in parts]
    if (in_percent and percent is None) or len(numbers) > 2 or None in numbers or 0 in numbers[1:]:
        return None
    value = numbers[0] / (numbers[1:] or [1.0])[0] * (percent if in_percent else 1.0)  # type: ignore[operator]
    if not math.isfinite(value):
        return None
    if in_percent and percent != 1:
        return Written(value, SAID["share"].format(text.strip(), shown(value)))
    doubtful = any(ONE_GROUP.fullmatch(part) for part in parts)
    return Written(value, SAID["thousands"].format(text.strip()) if doubtful else "")


def read(answer: Any, percent: float | None = None, unit: str = "") -> tuple[Any, tuple[str, ...]]:
    """An answer with each of its texts read as a number, and what is doubtful in them.

    Args:
        answer: what is no text, and in no tuple or list, stays as it is.
        percent: as `number_of` takes it.
        unit: may stand behind a number.

    Raises:
        UnreadableError: a text is no number.
    """
    if isinstance(answer, tuple | list):
        items = [read(x, percent, unit) for x in answer]
        return [x for x, _ in items], tuple(line for _, doubts in items for line in doubts)
    if not isinstance(answer, str):
        return answer, ()
    found = number_of(answer.strip().removesuffix(unit), percent)
    if found is None:
        raise UnreadableError(
            SAID["no_percent" if answer.strip().endswith("%") else "unreadable"].format(answer)
        )
    return found.value, (found.doubt,) if found.doubt else ()


def _plain(part: str) -> float | None:
    """A number without percent sign and slash."""
    part = re.sub(r"^([+-])\s+", r"\1", part)
    if GROUPED.fullmatch(part):
        part = re.sub(r"[,\s_]", "", part)
    elif DECIMAL_COMMA.fullmatch(part):
        part = part.replace(",", ".")
    return float(part) if PLAIN.fullmatch(part) else None
