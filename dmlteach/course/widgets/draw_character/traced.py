"""Two hundred drawings of test characters, traced to strokes: what somebody might draw, and its right answer.

`record.py` beside this file traces them.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dmlteach.course.widgets.strokes import Strokes

FILE = Path(__file__).with_name("traced.json")
EXAMPLES = 6  # of them that the page offers: the first ones, whatever is found for them


@dataclass(frozen=True)
class Traced:
    """Strokes that were traced from a drawing.

    Attributes:
        character: which of the test characters, from 0.
        drawer: who drew it, from 1: the gallery's drawings are those of drawer 0.
        strokes: lists of points [x, y].
    """

    character: int
    drawer: int
    strokes: Strokes


@cache
def traced() -> list[Traced]:
    """The drawings as they were traced."""
    return [Traced(*item) for item in json.loads(FILE.read_text(encoding="utf-8"))]
