"""Every method on Omniglot over several seeds: `python -m benchmarks.methods [--steps 300]`.

Every run has the same network, images, number of optimiser steps and schedule; batches, loss and head
are the method's. Runs go through the command line, two at a time with one thread each; finished runs
are kept in build/methods, so the command can be repeated or interrupted. Writes methods.json and
methods.md beside this file: Recall@1 and MAP@R on the unseen alphabets as mean and 95 % interval over
the seeds, seconds per epoch, and what densely-anchored sampling changes.
"""

import argparse
import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from benchmarks import grid
from dmlteach import methods
from dmlteach.metrics import mean_and_interval

WITH_DAS = ("margin", "multi_similarity", "triplet")
HOME = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.methods", description=__doc__)
    parser.add_argument("--steps", type=int, default=300, help="optimiser steps of every run")
    parser.add_argument("--epochs", type=int, default=3, help="epochs these make up")
    parser.add_argument("--only", nargs="*", default=None, help="methods to run; default all")
    parser.add_argument("--runs", type=Path, default=Path("build/methods"), help="folder of the runs")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("--output", type=Path, default=HOME, help="folder of the results")
    parser.add_argument("--quick", action="store_true", help="a step of one method, two seeds: does it run?")
    args = parser.parse_args()
    seeds, more = grid.SEEDS, []
    if args.quick:
        args.only, args.steps, args.epochs = ["triplet"], 1, 1
        seeds, more = seeds[:2], grid.options(**grid.QUICK)
    cells = [(name, False) for name in args.only or methods.names()]
    cells += [(name, True) for name in WITH_DAS if args.only is None or name in args.only]
    runs = {
        folder(args.runs, name, das, seed): command(name, das, seed, args.steps, args.epochs) + more
        for seed, (name, das) in product(seeds, cells)
    }
    grid.train_all(runs, args.jobs)
    rows = [
        {"method": name, "das": das, "loss": methods.get(name).loss, "sampler": methods.get(name).sampler}
        | grid.over_seeds(folder(args.runs, name, das, seed) for seed in seeds)
        for name, das in cells
    ]
    content = {"steps": args.steps, "epochs": args.epochs, "seeds": seeds, "rows": rows}
    (args.output / "methods.json").write_text(json.dumps(content, indent=1) + "\n")
    (args.output / "methods.md").write_text("\n".join(page(content)) + "\n")


def folder(runs: Path, name: str, das: bool, seed: int) -> Path:
    return runs / f"{name}{'-das' if das else ''}-{seed}"


def command(name: str, das: bool, seed: int, steps: int, epochs: int) -> list[str]:
    """Options of one run."""
    words = grid.options(
        method=name, dataset="omniglot", seed=seed, eval_every=0,
        epochs=epochs, batches_per_epoch=steps // epochs,
    )  # fmt: skip
    return [*words, "--das"] if das else words


def page(content: dict) -> Iterator[str]:
    """The tables as Markdown, the best Recall@1 first."""
    plain = [row for row in content["rows"] if not row["das"]]
    yield (
        f"{content['steps']} steps of up to 256 images, one thread, two runs side by side; mean ± half of "
        f"the 95 % interval over {len(content['seeds'])} seeds. {grid.beside()} An epoch is one of "
        f"{content['epochs']}; its seconds are those of the fastest run, planning included.\n"
    )
    yield "| method | loss | sampler | Recall@1 | MAP@R | an epoch, s |"
    yield "|---|---|---|---|---|---|"
    for row in sorted(plain, key=lambda row: -row["recall@1"][0]):
        yield (
            f"| `{row['method']}` | {row['loss']} | {row['sampler']} | {grid.percent(row['recall@1'])} | "
            f"{grid.percent(row['map@r'])} | {row['epoch_seconds']:.0f} |"
        )
    yield "\n| method | with DAS | without | difference in Recall@1, same seeds |"
    yield "|---|---|---|---|"
    for row in content["rows"]:
        if row["das"]:
            other = next(r for r in plain if r["method"] == row["method"])
            gain = mean_and_interval([a - b for a, b in zip(row["recalls"], other["recalls"], strict=True)])
            shown = (grid.percent(value) for value in (row["recall@1"], other["recall@1"], gain))
            yield f"| `{row['method']}` | {' | '.join(shown)} |"


if __name__ == "__main__":
    main()
