"""How soon each method gets somewhere, and with how much memory: `python -m benchmarks.pace`.

Every method trains on fit classes as it was tuned, with the rate and option that `benchmarks.tuned` chose.
Every few steps Recall@1 is measured on the val classes; the clock stands still meanwhile, but not while
batches are planned. The first measurement that reaches a goal tells its steps and seconds. Three losses are
also measured in the batches of every sampler: does planning batches pay for what it takes?

Each training is a process of its own with one thread. Its seconds are those that the process had the CPU, so
that other work beside it counts little; they compare among rows of one processor only. Every row is kept in
pace.jsonl beside this file when it ends; repeated or interrupted, the command goes on with what is missing,
and pace.md is written from the rows.
"""

import argparse
import math
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import trainings
from benchmarks.course_rows import short_device_of
from benchmarks.tuning import SEEDS, Cell, Rows, key, of_methods, of_samplers, training
from dmlteach import methods
from dmlteach.device import choose_device, environment
from dmlteach.distributed import World
from dmlteach.train import Run, TrainConfig

HOME = Path(__file__).parent
GOALS = (0.8, 0.85)  # Recall@1 on val
EVERY = 10  # steps between two measurements
CELLS: tuple[Cell, ...] = (*(cell for cell, _ in of_methods()), *of_samplers())


class Watch:
    """Recall@1 on val while a network trains, and the CPU seconds of training until then.

    Attributes:
        curve: (steps, seconds, Recall@1) of each measurement, the first before any step.
    """

    def __init__(self, run: Run):
        self.curve: list[tuple[int, float, float]] = []
        self.seconds, self.since = 0.0, time.process_time()
        self._measure(run)

    def __call__(self, run: Run) -> None:
        """Measure the network every few steps."""
        if run.step % EVERY == 0 or run.step == len(run.batches):
            self._measure(run)

    def _measure(self, run: Run) -> None:
        self.seconds += time.process_time() - self.since
        steps = sum(row["steps"] for row in run.history) + run.step
        recall = trainings.measured_on_val(run)["recall@1"]
        self.curve.append((steps, self.seconds, recall))
        self.since = time.process_time()


def measure(what: dict[str, Any], quick: bool) -> dict[str, Any]:
    """One training, and its row.

    Args:
        what: of the row.
        quick: one step on a few drawings.
    """
    device = choose_device("cpu")
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(**training(what, quick), device="cpu", output=f"{folder}/run", progress=False)
        run = Run(config, device, World())
        watch = Watch(run)
        trainings.forget_peak()
        before = trainings.peak(device)["peak_memory"]
        trainings.train(run, watch)
        after = trainings.peak(device)["peak_memory"]
    memory = None if before is None or after is None else after - before
    classes = run.history[-1]["val"]["num_classes"]
    row = {"what": what, "curve": watch.curve, "num_classes": classes, "memory": memory}
    return row | {"made_with": environment(device)}


def wanted(tuned: Rows) -> Iterator[dict[str, Any]]:
    """What every row is, of those that are tuned.

    Args:
        tuned: rows of `benchmarks.tuned`.
    """
    for cell in CELLS:
        if chosen := tuned.chosen(cell):
            yield {"cell": list(cell), "stage": "tuning", "options": {**chosen, "seed": SEEDS[0]}}


def reached(row: dict[str, Any], goal: float) -> tuple[int, float] | None:
    """Steps and seconds of the first measurement that reaches a goal; None where none does.

    Args:
        row: of pace.jsonl.
        goal: Recall@1 on val.
    """
    return next(((steps, seconds) for steps, seconds, recall in row["curve"] if recall >= goal), None)


def page(rows: Rows, tuned: Rows) -> Iterator[str]:
    """pace.md, the first at the highest goal first.

    Args:
        rows: of pace.jsonl.
        tuned: of `benchmarks.tuned`; rows with other choices than its present ones are left out.
    """
    now = [key(what) for what in wanted(tuned)]
    found = [row for row in rows.rows if key(row["what"]) in now]
    if not found:
        yield "Not measured yet."
        return
    steps, classes = found[0]["curve"][-1][0], found[0]["num_classes"]
    starts = sorted(row["curve"][0][2] for row in found)
    yield (
        f"Trainings of {steps} steps on fit classes with the tuned rates and options, seed 0, and Recall@1 "
        f"on {classes} val classes every {EVERY} steps; untrained, the network reaches {starts[0]:.1%} to "
        f"{starts[-1]:.1%} there. Seconds are those of one thread of a CPU, with planning of batches and "
        "without measuring; they compare among rows of one processor. *Steps to* a Recall@1, in brackets the "
        "seconds. Memory is what a training needs beyond PyTorch and the drawings. –: not reached in so many "
        "steps.\n"
    )
    goals = " | ".join(f"steps to {goal:.0%}" for goal in GOALS)
    yield f"| method | batches | {goals} | a step | Recall@1 at the end | memory | processor |"
    yield f"|{'---|' * (6 + len(GOALS))}"
    for row in sorted(found, key=_order):
        yield f"| {' | '.join(_cells(row))} |"


def _order(row: dict[str, Any]) -> tuple[float, ...]:
    soonest = [(reached(row, goal) or (math.inf,))[0] for goal in reversed(GOALS)]
    return (*soonest, -row["curve"][-1][2])


def _cells(row: dict[str, Any]) -> Iterator[str]:
    name, about = row["what"]["cell"]
    yield f"`{name}`"
    yield about.removeprefix("with ") or f"{methods.get(name).sampler} (its own)"
    for goal in GOALS:
        at = reached(row, goal)
        yield f"{at[0]} ({at[1]:.0f} s)" if at else "–"
    steps, seconds, recall = row["curve"][-1]
    yield from (f"{1000 * seconds / steps:.0f} ms", f"{recall:.1%}")
    yield "not told" if row["memory"] is None else f"{row['memory'] / 2**20:.0f} MiB"
    yield short_device_of(row)


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.pace", description=__doc__)
    parser.add_argument("--output", type=Path, default=HOME, help="folder of the rows")
    parser.add_argument("--only", nargs="*", default=None, help="methods; default all")
    parser.add_argument("--quick", action="store_true", help="one step of each: does it run?")
    args = parser.parse_args()
    rows, tuned = Rows(args.output / "pace.jsonl"), Rows(HOME / "tuned.jsonl")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, trainings.one_thread, max_tasks_per_child=1) as pool:
        for what in wanted(tuned):
            if key(what) not in rows.done and (args.only is None or what["cell"][0] in args.only):
                rows.add(pool.submit(measure, what, args.quick).result())
                print(what["cell"], rows.rows[-1]["curve"][-1], file=sys.stderr, flush=True)
    (args.output / "pace.md").write_text("\n".join(page(rows, tuned)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
