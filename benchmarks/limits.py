"""What limits the best method on Omniglot: `python -m benchmarks.limits [--jobs 2] [--seconds 3600]`.

The best method of `benchmarks.tuned` trains with its tuned rate and option on fit classes, with the steps
of a final, in networks that differ in one thing each: channels, depth, pixels; then in the best of these
with more channels, and with a larger embedding. Measured are val classes, and as many that it was trained
on: where those are learned, more training is not what is missing. In the network that is best on val the
method, and SST, then train on all training classes for as many steps as the long runs, and are measured
once on the test.

Every run is a row of limits.jsonl beside this file, written when it ends; repeated or interrupted, the
command goes on with what is missing. limits.md is written from the rows.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.course_rows import device_and_threads
from benchmarks.trainings import make
from benchmarks.tuning import SEEDS, Rows, mean_recall, of_methods, sst_at_its_best, training

HOME = Path(__file__).parent
NEW = 2.0  # points that training gains more on its own classes than on new ones, which are called much
GAIN = 1.0  # points that another network is to gain
NETWORKS: dict[str, dict[str, Any]] = {
    "as in the benchmark": {"backbone": "omniglot_cnn"},
    "twice as many channels": {"backbone": "larger.py:Wider"},
    "twice as many convolutions": {"backbone": "larger.py:Deeper"},
    "drawings of 56 pixels instead of 28": {"backbone": "larger.py:Finer"},
    "56 pixels, and two last layers of 256 channels": {"backbone": "larger.py:Tapered"},
    "56 pixels, 256 channels, an embedding of 512 numbers": {
        "backbone": "larger.py:Tapered",
        "embedding_dim": 512,
    },
}


def chosen(tuned: Rows) -> list[dict[str, Any]]:
    """Options of the method with the highest mean of its finals, and of SST in its best batches.

    Args:
        tuned: rows of `benchmarks.tuned`.
    """
    best = max((cell for cell, _ in of_methods()), key=lambda cell: mean_recall(tuned, cell))
    return [options for cell in (best, sst_at_its_best(tuned)) if (options := tuned.chosen(cell))]


def options_of(what: dict[str, Any], quick: bool = False) -> dict[str, Any]:
    """Options of TrainConfig of one run.

    Args:
        what: of its row.
        quick: one step on a few drawings.
    """
    options = training(what, quick)
    file, colon, name = options["backbone"].partition(":")
    return options | {"backbone": f"{HOME / file}{colon}{name}" if colon else file}


def plans(methods: list[dict[str, Any]]) -> tuple[Callable[[Rows], Iterator[list[dict]]], ...]:
    """The first method in all networks on val, then all methods in the best of them for longer.

    Args:
        methods: their options.
    """

    def on_val(rows: Rows) -> Iterator[list[dict]]:
        yield [of(network, "check", methods[0]) for network in NETWORKS]

    def longest(rows: Rows) -> Iterator[list[dict]]:
        if checks := rows_of(rows, "check"):
            yield [of(best_on_val(checks), "long", options) for options in methods]

    return on_val, longest


def best_on_val(checks: list[dict[str, Any]]) -> str:
    """By MAP@R: it sees all drawings of a class, and tells apart what has the same first neighbors.

    Args:
        checks: rows of the networks on val.

    Returns:
        One of NETWORKS.
    """
    return max(checks, key=lambda row: row["map@r"])["what"]["cell"][1]


def of(network: str, stage: str, options: dict[str, Any]) -> dict[str, Any]:
    """What a row is."""
    given = {**options, **NETWORKS[network], "seed": SEEDS[0]}
    return {"cell": [options["method"], network], "stage": stage, "options": given}


def rows_of(rows: Rows, stage: str) -> list[dict[str, Any]]:
    """Rows that came to an end."""
    return [row for row in rows.rows if row["what"]["stage"] == stage and "recall@1" in row]


def page(rows: Rows) -> Iterator[str]:
    """limits.md.

    Args:
        rows: of limits.jsonl.
    """
    checks = rows_of(rows, "check")
    if not checks:
        yield "Not run yet."
        return
    method, classes = checks[0]["what"]["cell"][0], checks[0]["num_classes"]
    yield (
        f"`{method}` with its tuned rate and option, {checks[0]['steps']} steps on fit classes, one seed; "
        f"measured on {classes} val classes, and on as many of those that it was trained on.\n"
    )
    yield from table("network", [(row["what"]["cell"][1], row) for row in checks])
    yield from of_long_runs(rows_of(rows, "long"))


def of_long_runs(found: list[dict[str, Any]]) -> Iterator[str]:
    """Networks that were the best on val, trained for longer; the highest first."""
    if not found:
        return
    found = sorted(found, key=lambda row: -row["recall@1"])
    first = found[0]
    yield (
        "\nThe networks that were the best on val by MAP@R when they were tried, "
        f"{first['steps']:,} steps on all training classes; measured on {first['num_classes']} test classes, "
        "and on as many that were trained on.\n"
    )
    names = [f"`{method}` | {network}" for method, network in (row["what"]["cell"] for row in found)]
    yield from table("method | network", list(zip(names, found, strict=True)))
    own = 100 * (first["on_training_classes"] - first["untrained_on_training_classes"])
    new = 100 * (first["recall@1"] - first["untrained"])
    yield (
        f"\nTraining took the first of them {own:.1f} points up on classes that it was trained on, and "
        f"{new:.1f} on new ones: {'much' if own - new > NEW else 'little'} of what is missing comes from the "
        "test classes being new."
    )
    yield from by_network(found)


def by_network(found: list[dict[str, Any]]) -> Iterator[str]:
    """What the network of a later choice on val gained on the test, method by method."""
    runs: dict[str, list[dict[str, Any]]] = {}
    for row in found:
        runs.setdefault(row["what"]["cell"][0], []).append(row)
    for method, of_it in runs.items():
        first, *later = sorted(of_it, key=lambda row: row["made_with"]["date"])
        for row in later:
            gain = 100 * (row["recall@1"] - first["recall@1"])
            direction = "higher" if gain > 0 else "lower"
            gained = "nothing" if gain <= 0 else f"{'more' if gain > GAIN else 'less'} than {GAIN:.0f} point"
            yield (
                f"\n`{method}` ends {abs(gain):.1f} points {direction} in the network "
                f"chosen later ({row['what']['cell'][1]}), one seed each: more of a network "
                f"gains {gained} there."
            )


def table(what: str, rows: list[tuple[str, dict[str, Any]]]) -> Iterator[str]:
    """A line of each row, that begins with its name."""
    head = f"| {what} | untrained | Recall@1 | MAP@R | trained on: untrained | trained on: Recall@1 |"
    yield head
    yield f"|{'---|' * (head.count('|') - 1)}"
    for name, row in rows:
        shares = ("untrained", "recall@1", "map@r", "untrained_on_training_classes", "on_training_classes")
        numbers = " | ".join(f"{row[share]:.1%}" for share in shares)
        yield f"| {name} | {numbers} |"
    yield f"\nTrained on {' and '.join(sorted({device_and_threads(row) for _, row in rows}))}."


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.limits", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side, one thread each")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start no run after these")
    parser.add_argument("--output", type=Path, default=HOME, help="folder of the rows")
    parser.add_argument("--quick", action="store_true", help="one step of each: does it run?")
    args = parser.parse_args()
    rows, args.only = Rows(args.output / "limits.jsonl"), None
    methods = chosen(Rows(HOME / "tuned.jsonl"))
    make(plans(methods), rows, lambda what: options_of(what, args.quick), args)
    (args.output / "limits.md").write_text("\n".join(page(rows)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
