"""What limits the best method on Omniglot: `python -m benchmarks.limits [--jobs 2] [--seconds 3600]`.

The best method of `benchmarks.tuned` trains with its tuned rate and option on fit classes, with the steps
of a final, in networks that differ in one thing each: channels, depth, pixels. Measured are val classes,
and as many that it was trained on: where those are learned, more training is not what is missing. The
network that is best on val then trains on all training classes for as many steps as the long runs, and is
measured once on the test.

Every run is a row of limits.jsonl beside this file, written when it ends; repeated or interrupted, the
command goes on with what is missing. limits.md is written from the rows.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.course_rows import device_of
from benchmarks.trainings import make
from benchmarks.tuning import SEEDS, Rows, mean_recall, of_methods, training

HOME = Path(__file__).parent
NETWORKS = {
    "omniglot_cnn": "as in the benchmark",
    "larger.py:Wider": "twice as many channels",
    "larger.py:Deeper": "twice as many convolutions",
    "larger.py:Finer": "drawings of 56 pixels instead of 28",
}


def best(tuned: Rows) -> dict[str, Any]:
    """Options of the method with the highest mean of its finals.

    Args:
        tuned: rows of `benchmarks.tuned`.
    """
    cell = max((cell for cell, _ in of_methods()), key=lambda cell: mean_recall(tuned, cell))
    return tuned.chosen(cell) or {}


def options_of(what: dict[str, Any], quick: bool = False) -> dict[str, Any]:
    """Options of TrainConfig of one run.

    Args:
        what: of its row.
        quick: one step on a few drawings.
    """
    options = training(what, quick)
    file, colon, name = options["backbone"].partition(":")
    return options | {"backbone": f"{HOME / file}{colon}{name}" if colon else file}


def plans(options: dict[str, Any]) -> tuple[Callable[[Rows], Iterator[list[dict]]], ...]:
    """Networks on val, then the best of them for longer.

    Args:
        options: of the best method.
    """

    def on_val(rows: Rows) -> Iterator[list[dict]]:
        yield [of(network, "check", options) for network in NETWORKS]

    def longest(rows: Rows) -> Iterator[list[dict]]:
        if found := {network: row["recall@1"] for network, row in by_network(rows, "check").items()}:
            yield [of(max(found, key=lambda network: found[network]), "long", options)]

    return on_val, longest


def of(network: str, stage: str, options: dict[str, Any]) -> dict[str, Any]:
    """What a row is."""
    given = {**options, "backbone": network, "seed": SEEDS[0]}
    return {"cell": [options["method"], NETWORKS[network]], "stage": stage, "options": given}


def by_network(rows: Rows, stage: str) -> dict[str, dict[str, Any]]:
    """Rows that came to an end."""
    return {
        row["what"]["options"]["backbone"]: row
        for row in rows.rows
        if row["what"]["stage"] == stage and "recall@1" in row
    }


def page(rows: Rows) -> Iterator[str]:
    """limits.md.

    Args:
        rows: of limits.jsonl.
    """
    checks, long = by_network(rows, "check"), by_network(rows, "long")
    if not checks:
        yield "Not run yet."
        return
    first = next(iter(checks.values()))
    method, classes = first["what"]["options"]["method"], first["num_classes"]
    yield (
        f"`{method}` with its tuned rate and option, {first['steps']} steps on fit classes, one seed: "
        f"Recall@1 on {classes} val classes, and on as many of those that it was trained on.\n"
    )
    yield "| network | untrained | val | trained on | minutes, processor |"
    yield "|---|---|---|---|---|"
    for network, row in checks.items():
        cost = f"{row['wall_seconds'] / 60:.0f}, {device_of(row)}"
        numbers = f"{row['untrained']:.1%} | {row['recall@1']:.1%} | {row['on_training_classes']:.1%}"
        yield f"| {NETWORKS[network]} | {numbers} | {cost} |"
    for network, row in long.items():
        yield (
            f"\nThe best of them on val ({NETWORKS[network]}), {row['steps']:,} steps on all training "
            f"classes: Recall@1 **{row['recall@1']:.1%}** among {row['num_classes']} test classes (untrained "
            f"{row['untrained']:.1%}), {row['on_training_classes']:.1%} among as many that it was trained on."
        )


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.limits", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side, one thread each")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start no run after these")
    parser.add_argument("--output", type=Path, default=HOME, help="folder of the rows")
    parser.add_argument("--quick", action="store_true", help="one step of each: does it run?")
    args = parser.parse_args()
    rows, args.only = Rows(args.output / "limits.jsonl"), None
    options = best(Rows(HOME / "tuned.jsonl"))
    make(plans(options), rows, lambda what: options_of(what, args.quick), args)
    (args.output / "limits.md").write_text("\n".join(page(rows)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
