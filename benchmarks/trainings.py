"""Trainings of a benchmark, each a row: one at a time in a worker, several workers side by side."""

import hashlib
import multiprocessing
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from benchmarks.tuning import Rows, key
from dmlteach import data, evaluate, evaluate_domains
from dmlteach.device import choose_device, environment
from dmlteach.distributed import World
from dmlteach.errors import DMLTeachError, NotFiniteError
from dmlteach.models import Model
from dmlteach.sweep.one import peak_memory
from dmlteach.train import Run, TrainConfig, fit, resolve
from dmlteach.train.build import build_model


def run(what: dict[str, Any], options: dict[str, Any], folder: Path) -> dict[str, Any]:
    """One training in a worker, and its row; what an interrupted one has left in the folder goes on.

    Args:
        what: of the row.
        options: all of TrainConfig that the training has; those that `what` lacks, such as the folder of the
            images, are not kept.
        folder: of the training, which stays there.

    Raises:
        DMLTeachError: the training cannot be made, or not go on. That it diverged is what its row says.
    """
    device = choose_device()
    forget_peak()
    started = time.perf_counter()
    config = TrainConfig(**options, output=str(folder), resume=True, progress=False)
    try:
        measured = (
            on_val(config, device, what["stage"] == "check")
            if config.eval_every
            else on_test(config, what["stage"] == "long")
        )
    except NotFiniteError as error:
        measured = {"error": str(error).replace(str(folder), "…")}
    steps = options["epochs"] * options["batches_per_epoch"]
    seconds = round(time.perf_counter() - started, 2)
    row = {"what": what, "steps": steps, **measured, "wall_seconds": seconds}
    return row | peak(device) | {"made_with": environment(device)}


def unfinished(rows: Rows, what: dict[str, Any]) -> Path:
    """Where a training is kept until its row is there.

    Args:
        rows: of the benchmark.
        what: of the row.
    """
    return rows.file.parent / "unfinished" / hashlib.sha256(key(what).encode()).hexdigest()[:16]


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


def on_val(config: TrainConfig, device: torch.device, beside: bool = False) -> dict[str, Any]:
    """Train on fit classes; the numbers of the last state on val. Test classes are not measured.

    Args:
        config: of the training.
        device: to train on.
        beside: measure the untrained network on val as well, and the trained one on as many fit classes.
    """
    run = Run(config, device, World())
    untrained = measured_on_val(run)["recall@1"] if beside else None
    train(run)
    if not run.history or "val" not in run.history[-1]:
        return {"error": run.ended}
    found = {name: run.history[-1]["val"][name] for name in ("recall@1", "map@r", "num_classes")}
    if beside:
        found |= {"untrained": untrained} | on_training_classes(config, "fit", run.model, found)
    return found


def on_training_classes(
    config: TrainConfig, split: str, model: Model, found: dict[str, Any]
) -> dict[str, float]:
    """Recall@1 on as many classes as were measured, of those that were trained on, and what it was before.

    They are other classes, easier or harder: only beside the untrained network do the two compare.

    Args:
        config: of the training.
        split: of the classes that were trained on.
        model: that was trained.
        found: what was measured on the others.
    """
    images = data.load(config.dataset, split, config.root).first_classes(found["num_classes"])
    untrained = build_model(None, config, resolve(config), images.channels)
    after, before = (evaluate(network, images)["recall@1"] for network in (model, untrained))
    return {"on_training_classes": after, "untrained_on_training_classes": before}


def measured_on_val(run: Run) -> dict[str, Any]:
    """What `evaluate` returns for the network of a run as it is."""
    assert run.parts.val is not None
    return run.parts.val.measure(run.model, run.device.type)


def train(run: Run, after_step: Callable[[Run], None] = lambda run: None) -> None:
    """Train to the end, without a look at the test classes.

    Args:
        run: that has not started.
        after_step: called after each step.
    """
    run.start()
    while not run.over():
        run.plan_epoch()
        for batch, pixels in run.remaining_batches():
            run.train_on(batch, pixels)
            after_step(run)
        if run.epoch_is_complete():
            run.end_epoch()


def on_test(config: TrainConfig, long: bool = False) -> dict[str, Any]:
    """Train on all training classes; the last state on the test classes, of drawings across domains, too.

    Args:
        config: of the training.
        long: measure it on as many training classes as well: is more training what it lacks?
    """
    _, metrics, model = fit(config)
    shown = ("recall@1", "map@r", "num_classes", "train_seconds", "steps", "ended")
    planned = sum(row["plan_seconds"] for row in metrics["epochs"])
    numbers = {name: metrics["final"][name] for name in shown}
    numbers["trained_steps"] = numbers.pop("steps")
    found = {**numbers, "plan_seconds": planned, "untrained": metrics["untrained"]["recall@1"]}
    if config.dataset == "omniglot":
        across = evaluate_domains(model, "omniglot", ks=(1,), classes=config.classes)["domains"]
        found["across_domains"] = {direction: row["recall@1"] for direction, row in across.items()}
    if long:
        found |= on_training_classes(config, "train", model, numbers)
    return found


def one_thread() -> None:
    torch.set_num_threads(1)


def make(
    plans: Iterable[Callable[[Rows], Iterator[list[dict]]]],
    rows: Rows,
    options_of: Callable[[dict[str, Any]], dict[str, Any]],
    args: Any,
) -> None:
    """Make every row of the plans that is missing, round by round, each chosen by those before.

    A training that cannot be made, or not go on, ends the program with its sentence; repeated, it goes on.

    Args:
        plans: of rounds; a round lists what its rows are.
        rows: kept so far.
        options_of: what a row is → all options of its training.
        args: of the command line: `jobs`, `seconds` and `only`.
    """
    end = time.monotonic() + args.seconds
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.jobs, context, initializer=one_thread) as pool:
        for plan in plans:
            for tasks in plan(rows):
                wanted = [what for what in tasks if args.only is None or what["cell"][0] in args.only]
                try:
                    side_by_side([(what, options_of(what)) for what in wanted], rows, pool, args.jobs, end)
                except DMLTeachError as error:
                    sys.exit(f"error: {error}")


def side_by_side(
    tasks: Iterable[tuple[dict[str, Any], dict[str, Any]]], rows: Rows, pool: Executor, jobs: int, end: float
) -> None:
    """Run all tasks that have no row yet while there is time, and keep each row as it comes.

    A training is kept until its row is there, so that an interruption loses none.

    Args:
        tasks: what each row is, and all options of its training.
        rows: kept so far.
        pool: of workers.
        jobs: how many there are.
        end: no training starts after this time of `time.monotonic`.

    Raises:
        DMLTeachError: of a training without a row; none was started after it, and the others have theirs.
    """
    waiting = [task for task in tasks if key(task[0]) not in rows.done]
    running: set[Future[dict[str, Any]]] = set()
    refused: list[DMLTeachError] = []
    while running or (waiting and time.monotonic() < end):
        while waiting and len(running) < jobs and time.monotonic() < end:
            what, options = waiting.pop(0)
            running.add(pool.submit(run, what, options, unfinished(rows, what)))
        finished, running = wait(running, return_when=FIRST_COMPLETED)
        for future in finished:
            try:
                row = future.result()
            except DMLTeachError as error:
                refused.append(error)
                waiting.clear()
                continue
            rows.add({**row, "side_by_side": jobs})
            shutil.rmtree(unfinished(rows, row["what"]), ignore_errors=True)
            said = row.get("recall@1", row.get("error"))
            print(row["what"]["cell"], row["what"]["stage"], said, file=sys.stderr, flush=True)
    if refused:
        raise refused[0]
