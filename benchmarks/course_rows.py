"""The rows that the course, the cards of methods and reports read: `dmlteach.course.measured`."""

import csv
import io
from pathlib import Path
from typing import Any

from benchmarks.tuning import OPTIONS, Rows, option_of, own_value, training
from dmlteach import methods
from dmlteach.course import measured
from dmlteach.course.reports import commands

HOME = Path(__file__).parent
SHORT = ("H200", "EPYC", "Xeon")  # what a wide table says of devices whose names hold it


def course_row(row: dict[str, Any]) -> measured.Run:
    """One row of the benchmark as the course knows it.

    Args:
        row: of tuned.jsonl, of a run that came to an end.
    """
    (name, variant), options = row["what"]["cell"], row["what"]["options"]
    recipe = methods.adapt(methods.get(name), "omniglot")
    option, value = OPTIONS[name][0] if name in OPTIONS else "", None
    if option:
        value = float(option_of(row["what"]).get(option, own_value(name, option)))
    return measured.Run(
        method=name,
        variant=variant,
        stage=row["what"]["stage"],
        dataset="omniglot",
        backbone=recipe.backbone,
        sampler=options.get("sampler", recipe.sampler),
        steps=row["steps"],
        seed=options["seed"],
        learning_rate=options["learning_rate"],
        option=option,
        value=value,
        recall=row["recall@1"],
        map_r=row["map@r"],
        num_classes=row["num_classes"],
        untrained=row.get("untrained"),
        train_seconds=row.get("train_seconds"),
        plan_seconds=row.get("plan_seconds"),
        device=device_of(row),
        side_by_side=row["side_by_side"],
        command=commands.training(training(row["what"])),
    )


def device_of(row: dict[str, Any]) -> str:
    """The GPU, or the processor where there was none."""
    made = row["made_with"]
    return made["processor"] if made["device"] == "cpu" else made["device"]


def short_device_of(row: dict[str, Any]) -> str:
    """The device in few letters, for a cell of a wide table."""
    device = device_of(row)
    return next((short for short in SHORT if short in device), device)


def device_and_threads(row: dict[str, Any]) -> str:
    """The device, and how many threads of the CPU worked."""
    threads = row["made_with"]["threads"]
    return f"{device_of(row)} ({threads} thread{'s' * (threads > 1)})"


def text() -> str:
    """The file of the course, written from the benchmark's rows."""
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow(measured.Run._fields)
    rows = [course_row(row) for row in Rows(HOME / "tuned.jsonl").of_today()]
    table.writerows(
        sorted(rows, key=lambda run: (run.stage, run.method, run.variant, run.learning_rate, run.seed))
    )
    return file.getvalue()


def write() -> None:
    """Write the file anew."""
    measured.FILE.write_text(text(), encoding="utf-8")
