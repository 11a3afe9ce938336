"""Two hundred drawings of test characters, traced to strokes: what somebody might draw, and its right answer.

`python -m dmlteach.course.widgets.draw_character.traced` traces them anew into the file beside this one.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from dmlteach.course.widgets.draw_character.search import DRAWER, drawings_of
from dmlteach.course.widgets.draw_character.tracing import trace
from dmlteach.data.omniglot import CHARACTERS, DRAWERS

FILE = Path(__file__).with_name("traced.json")
NUMBER = 200
SEED = 0
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
    strokes: list[list[list[int]]]


def chosen() -> tuple[torch.Tensor, torch.Tensor]:
    """Characters and drawers of the drawings to trace: no character twice, none by the gallery's drawer."""
    generator = torch.Generator().manual_seed(SEED)
    characters = torch.randperm(CHARACTERS["test"], generator=generator)[:NUMBER]
    drawers = torch.randint(DRAWER + 1, DRAWERS, (NUMBER,), generator=generator)
    return characters, drawers


def trace_all() -> list[Traced]:
    """The drawings that `chosen` names, traced; a second or two."""
    characters, drawers = chosen()
    return [
        Traced(character, drawer, trace(drawing))
        for character, drawer, drawing in zip(
            characters.tolist(), drawers.tolist(), drawings_of(characters, drawers), strict=True
        )
    ]


@cache
def traced() -> list[Traced]:
    """The drawings as they were traced."""
    return [Traced(*item) for item in json.loads(FILE.read_text(encoding="utf-8"))]


def as_text(drawings: list[Traced]) -> str:
    """The file's content: one drawing a line.

    Args:
        drawings: what was traced.
    """
    lines = (json.dumps([one.character, one.drawer, one.strokes], separators=(",", ":")) for one in drawings)
    return "[\n" + ",\n".join(lines) + "\n]\n"


if __name__ == "__main__":
    FILE.write_text(as_text(trace_all()), encoding="utf-8")
    print(f"{NUMBER} drawings: {FILE}")
