"""Rows of the benchmark, repeated: `python -m benchmarks.repeated METHOD … [--seed 0]`.

A final with an equal seed on the same processor with the same number of threads must reach the same numbers,
to the last bit; one with a new seed must fall into the 95 % prediction interval of the others. Repetitions
are kept in repeated.jsonl beside this file; new seeds are rows of tuned.jsonl. repeated.md tells both.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t

from benchmarks import grid
from benchmarks.course_rows import device_of
from benchmarks.trainings import one_thread, run
from benchmarks.tuning import SEEDS, Rows, of_methods, seed_of, training
from dmlteach.device import processor

HOME = Path(__file__).parent
FIRST = SEEDS[:3]  # the seeds of every final
NUMBERS = ("recall@1", "map@r")


def repeat(rows: Rows, method: str, seed: int, quick: bool) -> dict[str, Any]:
    """Train a final once more, and put both readings beside each other.

    Args:
        rows: of the benchmark.
        method: whose final.
        seed: of the row.
        quick: one step: does it run?
    """
    (row,) = (row for row in rows.of((method, ""), "final") if seed_of(row) == seed)
    with tempfile.TemporaryDirectory() as folder:
        again = run(row["what"], training(row["what"], quick), Path(folder, "run"))
    first, second = ({name: one.get(name) for name in NUMBERS} for one in (row, again))
    device = {"first": device_of(row), "again": device_of(again)}
    return {"what": row["what"], "first": first, "again": second, "device": device}


def prediction(values: Sequence[float]) -> tuple[float, float]:
    """The interval into which one more value falls in 95 of 100 cases, if all are drawn from one normal law.

    Args:
        values: that are known.
    """
    mean, spread, number = np.mean(values), np.std(values, ddof=1), len(values)
    half = t.ppf(0.975, number - 1) * spread * np.sqrt(1 + 1 / number)
    return float(mean - half), float(mean + half)


def page(rows: Rows, repeated: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Both kinds of repetition as Markdown."""
    yield f"{grid.beside()}\n"
    yield "| final | Recall@1 | once more, same seed | the same bits | processor |"
    yield "|---|---|---|---|---|"
    for row in repeated:
        name, seed = row["what"]["cell"][0], seed_of(row)
        first, again = row["first"]["recall@1"], row["again"]["recall@1"]
        same = "yes" if row["first"] == row["again"] else "no"
        yield f"| `{name}`, seed {seed} | {first:.4%} | {again:.4%} | {same} | {row['device']['again']} |"
    yield "\n| method | seeds 0–2, prediction interval | new seeds | inside | processors |"
    yield "|---|---|---|---|---|"
    for cell, _ in of_methods():
        finals = {seed_of(row): row for row in rows.of(cell, "final")}
        new = [row for seed, row in finals.items() if seed not in FIRST]
        if new and set(FIRST) <= finals.keys():
            first = [finals[seed] for seed in FIRST]
            low, high = prediction([row["recall@1"] for row in first])
            inside = sum(low <= row["recall@1"] <= high for row in new)
            told = ", ".join(f"{row['recall@1']:.1%}" for row in new)
            there, here = (" and ".join(sorted({device_of(row) for row in some})) for some in (first, new))
            devices = there if there == here else f"{there}; the new ones: {here}"
            yield f"| `{cell[0]}` | {low:.1%} to {high:.1%} | {told} | {inside} of {len(new)} | {devices} |"


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.repeated", description=__doc__)
    parser.add_argument(
        "methods", nargs="*", help="whose finals are repeated; none: only the page is written"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the rows")
    parser.add_argument("--output", type=Path, default=HOME, help="folder of the results")
    parser.add_argument("--quick", action="store_true", help="one step: does it run?")
    args = parser.parse_args()
    one_thread()
    rows, file = Rows(HOME / "tuned.jsonl"), args.output / "repeated.jsonl"
    for method in args.methods:
        row = repeat(rows, method, args.seed, args.quick)
        if row["device"]["first"] != row["device"]["again"]:
            print(f"{method} was trained on {row['device']['first']}, not on {processor()}: not compared")
            continue
        with file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")
    (args.output / "repeated.md").write_text("\n".join(page(rows, read(file))) + "\n", encoding="utf-8")


def read(file: Path) -> list[dict[str, Any]]:
    """Repetitions that are kept."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [json.loads(line) for line in lines]


if __name__ == "__main__":
    main()
