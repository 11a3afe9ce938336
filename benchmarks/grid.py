"""Many training runs through the command line: kept, resumed, and summed up over seeds."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean
from typing import Any

from dmlteach import data
from dmlteach.course import recordings as pretrained
from dmlteach.metrics import mean_and_interval

SEEDS = (0, 1, 2)
QUICK: dict[str, Any] = {"classes": 8, "batch_size": 32}  # of runs that only show that they run
SHOWN = ("recall@1", "map@r", "train_seconds")  # of metrics.json's "final"


def train_all(runs: dict[Path, Sequence[str]], jobs: int = 2) -> None:
    """Make every run that is not finished, `jobs` at a time with one thread each.

    Args:
        runs: folder of a run → options of `dmlteach train`.
        jobs: processes side by side.
    """
    with ThreadPoolExecutor(jobs) as pool:
        for folder in pool.map(lambda run: _train(*run), runs.items()):
            print(folder, file=sys.stderr, flush=True)


def _train(folder: Path, options: Sequence[str]) -> Path:
    """One run in a process of its own; a finished one is not repeated, an interrupted one resumed."""
    if "final" not in metrics(folder):
        dmlteach("train", *options, "--output", str(folder), "--resume")
    return folder


def dmlteach(*words: str) -> None:
    """The command line in a process of its own, with one thread."""
    command = [sys.executable, "-m", "dmlteach", *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})


def options(**given: Any) -> list[str]:
    """Options as words: options(batch_size=64) is ["--batch-size", "64"]."""
    return [word for key, value in given.items() for word in (f"--{key.replace('_', '-')}", str(value))]


def metrics(folder: Path) -> dict:
    """metrics.json of a run; empty where there is none yet."""
    file = folder / "metrics.json"
    return json.loads(file.read_text()) if file.exists() else {}


def over_seeds(folders: Iterable[Path]) -> dict:
    """Mean and half-width of the 95 % interval of the final numbers, and what planning and an epoch cost.

    An epoch's seconds are those of the fastest run: the others may have had company.
    """
    results = [metrics(folder) for folder in folders]
    row: dict = {"recalls": [r["final"]["recall@1"] for r in results]}
    for key in SHOWN:
        row[key] = mean_and_interval([r["final"][key] for r in results])
    row["plan_share"] = mean(
        sum(e["plan_seconds"] for e in r["epochs"]) / r["final"]["train_seconds"] for r in results
    )
    row["epoch_seconds"] = min(mean(e["seconds"] + e["plan_seconds"] for e in r["epochs"]) for r in results)
    return row


def beside() -> str:
    """What Recall@1 on Omniglot's test is to be seen beside: the number of classes, the untrained network."""
    start, classes = pretrained.card("untrained"), data.load("omniglot", "test").num_classes
    return (
        f"Among {classes} test classes; untrained, the network reaches Recall@1 {start['recall@1']:.1%} and "
        f"MAP@R {start['map@r']:.1%}."
    )


def percent(value: Sequence[float]) -> str:
    """Mean and half-width as "71.2 ± 0.8 %"; the mean alone where one seed gives no width."""
    width = f" ± {100 * value[1]:.1f}" if math.isfinite(value[1]) else ""
    return f"{100 * value[0]:.1f}{width} %"


def before_and_after(row: dict) -> str:
    """Recall@1 on classes that a long run was trained on, before it and after it, e.g. "31.0% → 88.0%".

    Args:
        row: of the run.
    """
    if "on_training_classes" not in row:
        return "not measured"
    return f"{row['untrained_on_training_classes']:.1%} → {row['on_training_classes']:.1%}"
