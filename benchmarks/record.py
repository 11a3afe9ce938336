"""Keep what finished runs reached; write the results in README.md and docs/results.md from it, and draw them.

`python -m benchmarks.record RESULT …` adds to runs.json run folders, and JSON files of
`dmlteach evaluate --backbone … --output FILE`; what the same command gave before is replaced. Without
arguments the results are written anew: pages, figures, the rows that the course reads, and the sweeps that
make them again. Nothing there is typed by hand.
"""

import argparse
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks import __main__ as speed
from benchmarks import (
    birds,
    birds_page,
    chapters,
    comparison,
    course_rows,
    domains,
    full_size,
    grid,
    limits,
    look_alikes,
    methods,
    pace,
    pictures,
    repeated,
    sweep_files,
    tuned_page,
)
from benchmarks.tuning import Rows
from dmlteach.course import CHECKOUT, execute, measured, statements
from dmlteach.course import recordings as pretrained
from dmlteach.course.reports import commands
from dmlteach.data.omniglot import CHARACTERS
from dmlteach.metrics import mean_and_interval

HOME = Path(__file__).parent
PAGES = tuple(
    HOME.parent / page for page in ("README.md", "docs/results.md", "docs/protocol.md", "docs/teaching.md")
)
TABLES = {
    "comparison": "comparison.md", "methods": "methods.md", "birds": "birds.md", "domains": "domains.md",
    "tuned": "tuned.md", "speed": "README.md", "full_size": "full_size.md",
    "repeated": "repeated.md", "chapters": "chapters.md", "pace": "pace.md",
    "limits": "limits.md", "look_alikes": "look_alikes.md",
}  # fmt: skip
RUNS = HOME / "runs.json"
PLACES = {"root": "DIR", "weights": "FILE"}
NO_FILES = ("none", "cached", "imagenet")  # weights that are no path
OF_A_DEVICE = ("device", "save_every")
CLASSES = {"omniglot": CHARACTERS["test"], "cub200": 100}  # of the test: Recall@K falls as there are more


def summary(folder: Path) -> dict[str, Any]:
    """What a run was, and what it reached."""
    content = json.loads((folder / "config.json").read_text())
    metrics = json.loads((folder / "metrics.json").read_text())
    saved = torch.load(folder / "checkpoint.pt", weights_only=True)
    config = content["config"]
    return {
        "dataset": config["dataset"],
        "command": command(config),
        "threads": saved["threads"],
        "torch": content["made_with"]["versions"]["torch"],
        "images": sum(row["images"] for row in metrics["epochs"]),
        **metrics["final"],
    }


def evaluation(file: Path) -> dict[str, Any]:
    """What the features of a pre-trained backbone reached, without training."""
    content = json.loads(file.read_text())
    words = f"--backbone {content['model']} --weights FILE --image-size {content['image_size']}"
    place = f"--dataset {content['dataset']} --root DIR"
    return {**content, "command": f"dmlteach evaluate {words} {place}"}


def command(config: dict[str, Any]) -> str:
    """The command line that makes a run again; paths, and what a device decides, mean nothing elsewhere."""
    places = {name: place for name, place in PLACES.items() if config.get(name) not in (None, *NO_FILES)}
    kept = {name: value for name, value in config.items() if name not in OF_A_DEVICE}
    return commands.training(kept | places)


def add(results: list[Path]) -> None:
    """Add runs and evaluations to runs.json."""
    runs = {run["command"]: run for run in _read(RUNS, [])}
    new = [summary(result) if result.is_dir() else evaluation(result) for result in results]
    runs |= {run["command"]: run for run in new}
    RUNS.write_text(json.dumps(list(runs.values()), indent=1) + "\n")


def _read(file: Path, default: Any) -> Any:
    return json.loads(file.read_text()) if file.exists() else default


def shipped() -> Iterator[str]:
    """The networks that come with the package."""
    yield "Networks that come with the package, made by `python -m dmlteach.course.recordings NAME`: the same"
    yield "network, images, schedule and 1,200 steps of 256 images; they differ in the loss and in who"
    yield "shares a batch. Learning rate and option of each are those that the benchmark chose for it."
    yield f"Among {CLASSES['omniglot']} test classes. Shipped is seed 0; beside it mean ± half of"
    trained = [card for name in pretrained.SHIPPED if "config" in (card := pretrained.card(name))]
    devices = " or ".join(sorted({course_rows.device_and_threads(card) for card in trained}))
    yield f"the 95 % interval over the seeds. Minutes are of {devices}."
    yield ""
    yield "| loss | batches | learning rate | Recall@1 | over seeds | Recall@8 | MAP@R | minutes |"
    yield "|---|---|---|---|---|---|---|---|"
    for name in pretrained.SHIPPED:
        card = pretrained.card(name)
        numbers = [f"{card[key]:.1%}" for key in ("recall@1", "recall@8", "map@r")]
        batches, rate, over, cost = "–", "–", "–", "–"
        if "config" in card:
            found = card["recall@1_by_seed"]
            batches, rate = card["config"]["sampler"], f"{card['config']['learning_rate']:g}"
            over = f"{grid.percent(mean_and_interval([*found.values()]))} ({len(found)})"
            cost = f"{card['train_seconds'] / 60:.0f}"
        numbers.insert(1, over)
        yield f"| {' | '.join([name, batches, rate, *numbers, cost])} |"


def one_name() -> Iterator[str]:
    """What the untrained network has over seeds, and trainings of these pages that go by one name."""
    finals, longer = measured.runs(), measured.runs(stage="long")
    untrained = [run.untrained for run in finals if run.untrained is not None]
    seeds, over = len({run.seed for run in finals}), f"{min(untrained):.1%} to {max(untrained):.1%}"
    yield f"Among {CLASSES['omniglot']} test classes the untrained network has Recall@1 {over}, by its seed"
    yield f"({seeds} were used), and by whether a method searches by distance or by direction. Where a page"
    yield "has one number, it is that of seed 0, or the mean over the trainings that it shows."
    yield ""
    short, long_steps = finals[0].steps, longer[0].steps
    steps = f"shipped, 1,200 steps | finals, {short} steps | {long_steps:,} steps"
    yield f"| loss | batches | {steps} |"
    yield "|---|---|---|---|---|"
    for name in pretrained.SHIPPED:
        recipe = pretrained.card(name)["recipe"]
        if isinstance(recipe, dict):  # not of random weights
            mean, half = measured.in_batches_of(name, recipe["sampler"]).recall()
            long = [f"{r.recall:.1%}" for r in longer if (r.method, r.sampler) == (name, recipe["sampler"])]
            shipped_one = f"{pretrained.card(name)['recall@1']:.1%}"
            tuned = f"{100 * mean:.1f} ± {100 * half:.1f} %"
            yield f"| {name} | {recipe['sampler']} | {shipped_one} | {tuned} | {(long or ['not run'])[0]} |"


def runs(dataset: str) -> Iterator[str]:
    """Recorded runs on a data set."""
    chosen = [run for run in _read(RUNS, []) if run["dataset"] == dataset]
    if chosen:
        start = grid.beside() if dataset == "omniglot" else f"Among {CLASSES[dataset]} test classes."
        yield f"{start}\n"
        yield "| command | training | Recall@1 | MAP@R |"
        yield "|---|---|---|---|"
    for run in sorted(chosen, key=lambda run: run.get("train_seconds", 0)):
        cost = "none"
        if "train_seconds" in run:
            unit = "thread" if run["threads"] == 1 else "threads"
            cost = f"{run['train_seconds'] / 60:.1f} min, {run['threads']} CPU {unit}"
        yield f"| `{run['command']}` | {cost} | {run['recall@1']:.1%} | {run['map@r']:.1%} |"


LISTS = {
    "shipped": shipped, "one_name": one_name, "statements": statements.told, "trials": tuned_page.trials,
}  # fmt: skip


def table(name: str) -> str:
    """A page of a benchmark, written from its rows.

    Args:
        name: of TABLES.
    """

    def kept(file: str) -> Any:
        return json.loads((HOME / file).read_text(encoding="utf-8"))

    tuned = Rows(HOME / "tuned.jsonl")
    write: dict[str, Callable[[], Iterable[str]]] = {
        "comparison": lambda: comparison.table(kept("comparison.json")),
        "methods": lambda: methods.page(kept("methods.json")),
        "birds": lambda: birds_page.page(
            Rows(HOME / "birds.jsonl"), birds.CELLS, birds.NETWORK["embedding_dim"]
        ),
        "domains": lambda: domains.table(kept("domains.json")),
        "tuned": lambda: tuned_page.page(tuned),
        "speed": lambda: speed.page(kept("results.json")).splitlines(),
        "full_size": lambda: full_size.page(kept("full_size.json")),
        "repeated": lambda: repeated.page(tuned, repeated.read(HOME / "repeated.jsonl")),
        "chapters": lambda: chapters.page(kept(chapters.FILE), execute.notebooks(CHECKOUT)),
        "pace": lambda: pace.page(Rows(HOME / "pace.jsonl"), tuned),
        "limits": lambda: limits.page(Rows(HOME / "limits.jsonl")),
        "look_alikes": lambda: look_alikes.page(kept(look_alikes.FILE)),
    }
    return "\n".join(write[name]()) + "\n"


def section(name: str) -> str:
    """Text of a section: a figure, lines made here, a table file's, or runs on a data set."""
    if name in pictures.PICTURES:
        return pictures.link(name)
    if name in TABLES:
        text = (HOME / TABLES[name]).read_text()
        return re.sub(r"^## ", "### ", re.sub(r"^# .*\n", "", text), flags=re.MULTILINE).strip()
    if name in LISTS:
        return "\n".join(LISTS[name]())
    return "\n".join(runs(name))


def written(page: str) -> str:
    """A page with its generated sections renewed."""

    def renew(match: re.Match) -> str:
        text = section(match[1])
        lines = ["", text, ""] if text else []
        return "\n".join([f"<!-- results:{match[1]} -->", *lines, "<!-- /results -->"])

    return re.sub(r"<!-- results:(\w+) -->.*?<!-- /results -->", renew, page, flags=re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.record", description=__doc__)
    parser.add_argument("runs", nargs="*", type=Path, help="run folders, and JSON files of evaluations")
    if results := parser.parse_args().runs:
        add(results)
    for name, page in TABLES.items():
        (HOME / page).write_text(table(name), encoding="utf-8")
    course_rows.write()
    sweep_files.write()
    pictures.draw_all()
    for page in PAGES:
        page.write_text(written(page.read_text()))


if __name__ == "__main__":
    main()
