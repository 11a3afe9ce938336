"""Run benchmarks; write results.json and a table (README.md): `python -m benchmarks [names] [--quick]`."""

import argparse
import importlib
import json
import os
import platform
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median

import torch

from dmlteach.device import processor

NAMES = ("command_line", "retrieval", "local_sampling", "training_step", "losses", "searches")
ON_A_GPU = ("training_step", "losses")
PACKAGES = ("torch", "faiss-gpu", "faiss-cpu", "scikit-learn", "pytorch-metric-learning", "numpy")


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(NAMES)}; default all")
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run?")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder of the results")
    args = parser.parse_args()
    for name in args.names:
        if name not in NAMES:
            parser.error(f"unknown benchmark {name!r}; known: {', '.join(NAMES)}")
    args.output.mkdir(parents=True, exist_ok=True)
    file = args.output / "results.json"
    results = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for name in args.names or NAMES:
        print(f"{name} …", file=sys.stderr, flush=True)
        rows = importlib.import_module(f"benchmarks.{name}").rows(args.quick)
        results[title(name)] = {"machine": machine(), "quick": args.quick, "rows": rows}
        file.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (args.output / "README.md").write_text(page(results), encoding="utf-8")
        print(table(rows), flush=True)


def title(name: str) -> str:
    """A benchmark that takes the GPU where there is one has a place of its own beside the CPU's."""
    return f"{name} on a GPU" if name in ON_A_GPU and torch.cuda.is_available() else name


def machine() -> dict:
    """What the numbers depend on."""
    installed = {}
    for package in PACKAGES:
        try:
            installed[package] = version(package)
        except ImportError:
            continue
    return {
        "date": date.today().isoformat(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "packages": installed,
    }


def page(results: dict) -> str:
    """The whole README.md."""
    parts = [
        "# Benchmarks\n",
        "Written by `python -m benchmarks` (`make bench`). Both sides of a ratio are timed in "
        "turns in one run, so a busy machine slows both. Seconds are medians, and so is the ratio: of those "
        "of each turn.\n",
    ]
    for name, result in results.items():
        m = result["machine"]
        packages = ", ".join(f"{k} {v}" for k, v in m["packages"].items())
        size = " **Small sizes: no measure of speed.**" if result["quick"] else ""
        parts.append(f"## {name.replace('_', ' ')}\n\n{table(result['rows'])}\n")
        if name.startswith("losses"):
            missing = importlib.import_module("benchmarks.losses").missing(result)
            parts.extend(f"{words}\n" for words in missing)
        parts.append(
            f"{m['date']}: {m['processor']}, {m['cores']} cores, {m['threads']} threads"
            f"{', ' + m['gpu'] if m['gpu'] else ''}; Python {m['python']}, {packages}.{size}\n"
        )
    return "\n".join(parts)


def table(rows: list[dict]) -> str:
    """Rows as Markdown."""
    lines = [
        "| what | seconds | against | its seconds | times as fast | memory beyond the input |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        ours, *peer = (f"{median(s):.3g}" for s in row["seconds"].values())
        goal = f" (goal ≥ {row['goal']:g})" if "goal" in row else ""
        times = f"{row['ratio']:.3g}{goal}" if "ratio" in row else ""
        seconds_goal = f" (goal < {row['goal_seconds']:g})" if "goal_seconds" in row else ""
        memory = f"{row['extra_gib']:.2f} GiB (goal ≤ {row['goal_gib']:g})" if "extra_gib" in row else ""
        lines.append(
            f"| {row['what']} | {ours}{seconds_goal} | {row.get('peer', '')} | {''.join(peer)} | "
            f"{times} | {memory} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
