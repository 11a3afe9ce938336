"""From the tree alone a reader knows where a change goes: CONTRIBUTING names files that are there."""

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent
TEXT = (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")
TABLE = TEXT.partition("## Where a change goes")[2].partition("## ")[0]
ROWS = dict(re.findall(r"^\| (.*?) \| (.*) \|$", TABLE, re.MULTILINE))
ROWS = {change: where for change, where in ROWS.items() if "`" in where}
MOST = 4  # files beside the test


def places(where: str) -> list[str]:
    """Files and folders from the root of the repository."""
    return [path for path in re.findall(r"`([^`]+)`", where) if "/" in path or path.endswith(".md")]


def test_eighteen_changes_have_a_place():
    assert len(ROWS) == 19


@pytest.mark.parametrize("change", ROWS)
def test_the_places_of_a_change_are_there_and_few(change):
    found = places(ROWS[change])
    assert 1 <= len(found) <= MOST
    for path in found:
        pattern = path.replace("NAME", "*").rstrip("/")
        assert list(CHECKOUT.glob(pattern)), f"{path} is not there"


def test_a_training_option_needs_one_file():
    assert places(ROWS["a training option"]) == ["dmlteach/train/config.py"]
