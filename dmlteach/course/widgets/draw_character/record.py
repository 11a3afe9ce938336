"""Trace two hundred drawings of test characters to strokes, a few seconds on a core.

`python -m dmlteach.course.widgets.draw_character.record [--output FILE]`
"""

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor

from dmlteach.course.widgets.draw_character.search import DRAWER, drawings_of
from dmlteach.course.widgets.draw_character.traced import FILE, Traced
from dmlteach.course.widgets.draw_character.tracing import trace
from dmlteach.data.omniglot import CHARACTERS, DRAWERS

NUMBER = 200
SEED = 0


def chosen() -> tuple[Tensor, Tensor]:
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


def as_text(drawings: list[Traced]) -> str:
    """The file's content: one drawing a line.

    Args:
        drawings: what was traced.
    """
    lines = (json.dumps([one.character, one.drawer, one.strokes], separators=(",", ":")) for one in drawings)
    return "[\n" + ",\n".join(lines) + "\n]\n"


def main() -> None:
    """Trace and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=FILE)
    output = parser.parse_args().output
    output.write_text(as_text(trace_all()), encoding="utf-8")
    print(f"{NUMBER} drawings: {output}")


if __name__ == "__main__":
    main()
