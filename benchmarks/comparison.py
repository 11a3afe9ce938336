"""Losses × samplers on Omniglot over several seeds: `python -m benchmarks.comparison [--steps 300]`.

Every run has the same network, images, number of optimiser steps and schedule. Runs go through the
command line, two at a time with one thread each; finished runs are kept in build/comparison, so the
command can be repeated or interrupted. Writes comparison.json and comparison.md beside this file:
Recall@1 and MAP@R on the unseen alphabets as mean and 95 % interval over the seeds, and what a run costs.
"""

import argparse
import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from benchmarks import grid

LOSSES = ("softmax", "triplet", "sst")
SAMPLERS = ("random", "class_balanced", "local", "local_classes")
HOME = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.comparison", description=__doc__)
    parser.add_argument("--steps", type=int, default=300, help="optimiser steps of every run")
    parser.add_argument("--epochs", type=int, default=3, help="epochs these make up")
    parser.add_argument("--runs", type=Path, default=Path("build/comparison"), help="folder of the runs")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("--output", type=Path, default=HOME, help="folder of the results")
    parser.add_argument("--quick", action="store_true", help="a step of one cell, two seeds: does it run?")
    args = parser.parse_args()
    cells, seeds, more = list(product(LOSSES, SAMPLERS)), grid.SEEDS, []
    if args.quick:
        cells, seeds, more = cells[:1], seeds[:2], grid.options(**grid.QUICK)
        args.steps = args.epochs = 1
    runs = {
        args.runs / f"{loss}-{sampler}-{seed}": command(loss, sampler, seed, args.steps, args.epochs) + more
        for seed, (loss, sampler) in product(seeds, cells)
    }
    grid.train_all(runs, args.jobs)
    rows = [
        {"loss": loss, "sampler": sampler}
        | grid.over_seeds(args.runs / f"{loss}-{sampler}-{seed}" for seed in seeds)
        for loss, sampler in cells
    ]
    content = {"steps": args.steps, "epochs": args.epochs, "seeds": seeds, "rows": rows}
    (args.output / "comparison.json").write_text(json.dumps(content, indent=1) + "\n")
    (args.output / "comparison.md").write_text("\n".join(table(content)) + "\n")


def command(loss: str, sampler: str, seed: int, steps: int, epochs: int) -> list[str]:
    """Options of one run."""
    words = grid.options(
        method=loss, sampler=sampler, dataset="omniglot", seed=seed, eval_every=0,
        epochs=epochs, batches_per_epoch=steps // epochs,
    )  # fmt: skip
    if loss == "softmax":
        words += grid.options(imprint=0)  # the classifier as everybody knows it, from random numbers
    if sampler == "class_balanced":
        words += grid.options(sampler_option="images_per_class=8")  # as many as local_classes
    return words


def table(content: dict) -> Iterator[str]:
    """The rows as Markdown."""
    yield (
        f"{content['steps']} steps of 256 images, one thread (`local` takes fewer and smaller ones: an epoch "
        "has as many as there are groups); mean ± half of the 95 % interval over "
        f"{len(content['seeds'])} seeds; in brackets the share of the time that planning batches took. "
        f"The seconds are of runs beside other work, and no measure of speed. {grid.beside()}\n"
    )
    yield "| loss | sampler | Recall@1 | MAP@R | training, s |"
    yield "|---|---|---|---|---|"
    for row in content["rows"]:
        recall, precision = grid.percent(row["recall@1"]), grid.percent(row["map@r"])
        seconds = f"{row['train_seconds'][0]:.0f} ({row['plan_share']:.0%})"
        yield f"| {row['loss']} | `{row['sampler']}` | {recall} | {precision} | {seconds} |"


if __name__ == "__main__":
    main()
