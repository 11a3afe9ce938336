"""Every method, tuned alike, on Omniglot: `python -m benchmarks.tuned [--jobs 2] [--seconds 3600]`.

For each method four learning rates, a factor of about three apart, and up to two more where the best lies
at an end; then two other values of one option of its loss at the best rate. All are chosen by Recall@1 on
val classes that no training has seen. The finals train on all training classes with the chosen values, and
the last state is measured once on the test classes, over several seeds. Samplers are compared at the rates
chosen for the method; densely-anchored sampling (DAS) has its own rates. The best methods and SST train once
more, for longer.

Every run is a row of tuned.jsonl beside this file, written when it ends: repeated or interrupted, the command
goes on with what is missing. tuned.md is written from the rows.
"""

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from benchmarks.tuned_page import page
from benchmarks.tuning import QUICK, Rows, finals, key, longest, training, tuning
from dmlteach import evaluate_domains
from dmlteach.device import choose_device, environment
from dmlteach.distributed import World
from dmlteach.errors import DMLTeachError
from dmlteach.sweep.one import peak_memory
from dmlteach.train import Run, TrainConfig, fit

HOME = Path(__file__).parent


def run(what: dict[str, Any], quick: bool) -> dict[str, Any]:
    """One training in a worker, and its row."""
    device = choose_device()
    options = training(what)
    forget_peak()
    if quick:
        options |= QUICK | {"eval_every": min(1, options["eval_every"])}
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        options |= {"output": f"{folder}/run", "progress": False}
        try:
            measured = on_val(options, device) if what["stage"] == "tuning" else on_test(options)
        except DMLTeachError as error:
            measured = {"error": str(error).replace(folder, "…")}
    steps = options["epochs"] * options["batches_per_epoch"]
    seconds = round(time.perf_counter() - started, 2)
    row = {"what": what, "steps": steps, **measured, "wall_seconds": seconds}
    return row | peak(device) | {"made_with": environment(device)}


def forget_peak() -> None:
    """Let the peaks of memory begin anew with this run: its process has made others."""
    with suppress(OSError):  # Linux
        Path("/proc/self/clear_refs").write_text("5")
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak(device: torch.device) -> dict[str, int | None]:
    """The most bytes that the process held since, and that it held on the GPU."""
    on_gpu = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    return {"peak_memory": peak_memory(), "gpu_peak_memory": on_gpu}


def on_val(options: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Train on fit classes; the numbers of the last state on val. Test classes are not measured."""
    run = Run(TrainConfig(**options), device, World())
    run.start()
    while not run.over():
        run.plan_epoch()
        for batch, pixels in run.remaining_batches():
            run.train_on(batch, pixels)
        if run.epoch_is_complete():
            run.end_epoch()
    if not run.history or "val" not in run.history[-1]:
        return {"error": run.ended}
    return {name: run.history[-1]["val"][name] for name in ("recall@1", "map@r", "num_classes")}


def on_test(options: dict[str, Any]) -> dict[str, Any]:
    """Train on all training classes; the last state on the test classes, and on them across domains."""
    _, metrics, model = fit(TrainConfig(**options))
    shown = ("recall@1", "map@r", "num_classes", "train_seconds", "steps", "ended")
    planned = sum(row["plan_seconds"] for row in metrics["epochs"])
    numbers = {name: metrics["final"][name] for name in shown}
    numbers["trained_steps"] = numbers.pop("steps")
    across = evaluate_domains(model, "omniglot", ks=(1,), classes=options.get("classes"))["domains"]
    return {
        **numbers,
        "plan_seconds": planned,
        "untrained": metrics["untrained"]["recall@1"],
        "across_domains": {direction: found["recall@1"] for direction, found in across.items()},
    }


def one_thread() -> None:
    torch.set_num_threads(1)


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.tuned", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side, one thread each")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start no run after these")
    parser.add_argument("--output", type=Path, default=HOME, help="folder of the rows")
    parser.add_argument("--only", nargs="*", default=None, help="methods; default all")
    parser.add_argument("--quick", action="store_true", help="one step of each: does it run?")
    args = parser.parse_args()
    end = time.monotonic() + args.seconds
    rows = Rows(args.output / "tuned.jsonl")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.jobs, context, initializer=one_thread) as pool:
        for plan in (tuning, finals, longest):
            for tasks in plan(rows):
                wanted = [t for t in tasks if args.only is None or t["cell"][0] in args.only]
                do([t for t in wanted if key(t) not in rows.done], rows, pool, args, end)
    (args.output / "tuned.md").write_text("\n".join(page(rows)) + "\n", encoding="utf-8")


def do(tasks: Iterable[dict], rows: Rows, pool: ProcessPoolExecutor, args: Any, end: float) -> None:
    """Run all tasks while there is time, and keep each row as it comes."""
    waiting, running = list(tasks), set()
    while running or (waiting and time.monotonic() < end):
        while waiting and len(running) < args.jobs and time.monotonic() < end:
            running.add(pool.submit(run, waiting.pop(0), args.quick))
        finished, running = wait(running, return_when=FIRST_COMPLETED)
        for future in finished:
            row = future.result()
            rows.add({**row, "side_by_side": args.jobs})
            said = row.get("recall@1", row.get("error"))
            print(row["what"]["cell"], row["what"]["stage"], said, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
