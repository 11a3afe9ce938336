"""Losses × samplers on Omniglot over several seeds: `python -m benchmarks.comparison [--steps 300]`.

Every run has the same network, images, number of optimiser steps and schedule. Runs go through the
command line, two at a time with one thread each; finished runs are kept in build/comparison, so the
command can be repeated or interrupted. Writes comparison.json and comparison.md beside this file:
Recall@1 and MAP@R on the unseen alphabets as mean and 95 % interval over the seeds, and what a run costs.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from statistics import mean

from dmlteach.plots.curves import mean_and_interval

LOSSES = ("softmax", "triplet", "sst")
SAMPLERS = ("random", "class_balanced", "local", "local_classes")
SEEDS = (0, 1, 2)
HOME = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.comparison", description=__doc__)
    parser.add_argument("--steps", type=int, default=300, help="optimiser steps of every run")
    parser.add_argument("--epochs", type=int, default=3, help="epochs these make up")
    parser.add_argument("--runs", type=Path, default=Path("build/comparison"), help="folder of the runs")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("--output", type=Path, default=HOME, help="folder of the results")
    args = parser.parse_args()
    grid = list(product(SEEDS, LOSSES, SAMPLERS))
    with ThreadPoolExecutor(args.jobs) as pool:
        for path in pool.map(lambda run: train(*run, args), grid):
            print(path, file=sys.stderr, flush=True)
    cells = [cell(loss, sampler, args.runs) for loss, sampler in product(LOSSES, SAMPLERS)]
    content = {"steps": args.steps, "epochs": args.epochs, "seeds": SEEDS, "rows": cells}
    (args.output / "comparison.json").write_text(json.dumps(content, indent=1) + "\n")
    (args.output / "comparison.md").write_text("\n".join(table(content)) + "\n")


def train(seed: int, loss: str, sampler: str, args: argparse.Namespace) -> Path:
    """One run in a process of its own; a finished one is not repeated, an interrupted one resumed."""
    folder = args.runs / f"{loss}-{sampler}-{seed}"
    if "final" in _metrics(folder):
        return folder
    options = {
        "method": loss,
        "sampler": sampler,
        "dataset": "omniglot",
        "seed": seed,
        "epochs": args.epochs,
        "batches-per-epoch": args.steps // args.epochs,
        "eval-every": 0,
        "output": folder,
    }
    arguments = [part for key, value in options.items() for part in (f"--{key}", str(value))]
    if sampler == "class_balanced":
        arguments += ["--sampler-option", "images_per_class=8"]  # as many as local_classes
    subprocess.run(
        [sys.executable, "-m", "dmlteach", "train", *arguments, "--resume"],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return folder


def _metrics(folder: Path) -> dict:
    file = folder / "metrics.json"
    return json.loads(file.read_text()) if file.exists() else {}


def cell(loss: str, sampler: str, runs: Path) -> dict:
    """Mean and half-width of the 95 % interval of each number over the seeds."""
    results = [_metrics(runs / f"{loss}-{sampler}-{seed}") for seed in SEEDS]
    row: dict = {"loss": loss, "sampler": sampler, "recalls": [r["final"]["recall@1"] for r in results]}
    for key in ("recall@1", "map@r", "train_seconds"):
        row[key] = mean_and_interval([r["final"][key] for r in results])
    row["plan_share"] = mean(
        sum(e["plan_seconds"] for e in r["epochs"]) / r["final"]["train_seconds"] for r in results
    )
    return row


def table(content: dict) -> Iterator[str]:
    """The rows as Markdown."""
    yield (
        f"{content['steps']} steps of 256 images each, one thread; mean ± half of the 95 % interval over "
        f"{len(content['seeds'])} seeds; in brackets the share of the time that planning batches took.\n"
    )
    yield "| loss | sampler | Recall@1 | MAP@R | training, s |"
    yield "|---|---|---|---|---|"
    for row in content["rows"]:
        recall, precision = (f"{100 * m:.1f} ± {100 * h:.1f} %" for m, h in (row["recall@1"], row["map@r"]))
        seconds = f"{row['train_seconds'][0]:.0f} ({row['plan_share']:.0%})"
        yield f"| {row['loss']} | `{row['sampler']}` | {recall} | {precision} | {seconds} |"


if __name__ == "__main__":
    main()
