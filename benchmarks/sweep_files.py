"""The benchmark as sweeps: `dmlteach sweep benchmarks/sweeps/finals.yaml` makes its runs again.

A file lists what was run, row by row of tuned.jsonl: the rates and options of `tuning.yaml` were chosen one
after the other, and those of `finals.yaml` from them.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from benchmarks.tuning import Rows, training

HOME = Path(__file__).parent
FOLDER = HOME / "sweeps"
STAGES = {  # file → stage of its rows
    "tuning": "tuning",
    "finals": "final",
    "long": "long",
    "checks": "check",
}
TITLES = {
    "tuning": "what was tuned",
    "finals": "the finals",
    "long": "the long trainings",
    "checks": "the check of the rates",
}


def tables(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Runs as `dmlteach sweep` reads them: a table for those that differ in rate or seed alone.

    Args:
        rows: of tuned.jsonl, of one stage.
    """
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        options = training(row["what"])
        rate, seed = options.pop("learning_rate"), options.pop("seed")
        by = seed if options["eval_every"] else rate  # on val classes the rate varies, on the test the seed
        table = found.setdefault(json.dumps([options, by], sort_keys=True), {
            "methods": options.pop("method"), **_as_one_value(options), "learning_rate": [], "seeds": [],
        })  # fmt: skip
        table["learning_rate"] = sorted({*table["learning_rate"], rate})
        table["seeds"] = sorted({*table["seeds"], seed})
    return sorted(found.values(), key=lambda table: (table["methods"], json.dumps(table)))


def _as_one_value(options: dict[str, Any]) -> dict[str, Any]:
    """Options in which each list is one value: a sweep takes the values of a list one after the other."""
    return {
        name: _as_one_value(value)
        if isinstance(value, dict)
        else [value]
        if isinstance(value, list)
        else value
        for name, value in options.items()
    }


def text(name: str) -> str:
    """The content of a file, written from the benchmark's rows; "" where no such run is made yet.

    Args:
        name: of the file, without its ending.
    """
    rows = [row for row in Rows(HOME / "tuned.jsonl").of_today() if row["what"]["stage"] == STAGES[name]]
    lines = [
        f"- {yaml.safe_dump(table, default_flow_style=True, width=10_000, sort_keys=False)}"
        for table in tables(rows)
    ]
    start = f"# Written by `python -m benchmarks.record`: {TITLES[name]}, see docs/protocol.md.\n"
    return start + "".join(lines) if lines else ""


def write() -> None:
    """Write the files anew."""
    FOLDER.mkdir(exist_ok=True)
    for name in STAGES:
        if content := text(name):
            (FOLDER / f"{name}.yaml").write_text(content, encoding="utf-8")
