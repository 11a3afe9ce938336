"""Measured numbers come from runs: prose types no share, no difference in points, no half of an interval."""

import json
import re
from pathlib import Path

import pytest

from dmlteach.course import CHECKOUT

PAGES = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
NOTEBOOKS = sorted((CHECKOUT / "notebooks").rglob("*.ipynb"))
NUMBER = re.compile(
    r"(?<![\w.])\d+(?:\.\d+)?\s?(?:%|percent\b|points? (?:higher|lower|more|less|above|below)\b)"
    r"|(?<![\w.])\d+\.\d+\s?times\b|±\s?\d[\d.]*"
)
BOUNDS = {"0 %", "0%", "100 %", "100%"}
INTERVAL = re.compile(r"95\s?% (?:t |prediction |paired )?interval")
# Made up, and said to be: sums to do in one's head, and two colleagues' claims to choose between.
INVENTED = {
    "training_a_benchmark": {"5 %", "2.5 %"},
    "looking_at_an_embedding": {"93 %", "81 %", "98 %", "94 %"},
    "which_method_is_best": {"± 0.2."},
}


def prose(path: Path) -> str:
    """Text that somebody wrote: no code, and nothing that `python -m benchmarks.record` writes."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
        texts += [said for cell in cells for said in cell["metadata"].get("slide", {}).values()]
        text = "\n\n".join(texts)
    text = re.sub(r"<!-- results:(\w+) -->.*?<!-- /results -->", "", text, flags=re.DOTALL)
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def typed(text: str, invented: set[str] = frozenset()) -> list[str]:
    """Numbers in a text that look as if they had been measured."""
    found = (match[0] for match in NUMBER.finditer(INTERVAL.sub("", text)))
    return [number for number in found if number not in BOUNDS | invented]


@pytest.mark.parametrize("path", [*PAGES, *NOTEBOOKS], ids=lambda path: path.stem)
def test_no_measured_number_is_typed_by_hand(path):
    assert typed(prose(path), INVENTED.get(path.stem, set())) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("SST reaches 79.4 % there", ["79.4 %"]),
        ("a mean of 0.71 ± 0.02", ["± 0.02"]),
        ("ends 5.1 points higher", ["5.1 points higher"]),
        ("5.1 points above SST, 1 point below it", ["5.1 points above", "1 point below"]),
        ("is 3.1 times as fast", ["3.1 times"]),
        ("half of the 95 % interval, between 0 % and 100 %", []),
        ("600 points of noise on 3 classes", []),
        ("made 3 times, in version 2.3.1", []),
    ],
)
def test_the_check_itself_finds_such_numbers_and_no_others(text, found):
    assert typed(text) == found
