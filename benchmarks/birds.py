"""Methods on CUB-200-2011, tuned alike: `python -m benchmarks.birds --root DIR --weights FILE [--jobs 2]`.

Every run fine-tunes the same ImageNet network with an embedding of the same size, on crops of the same size,
in equally many batches of 80 images; loss, batches and class vectors are the method's. Each has four learning
rates, and up to two more where the best lies at an end, chosen on val species that no training has seen.
Finals train on all training species, over three seeds. The best on val trains for longer, with a larger
embedding where that is better on val, at the rate that is best on val after as many steps; densely-anchored
sampling (DAS) is tuned beside it. How long they take is planned for one thread of a CPU: about 4, 8 and 60
minutes.

Every run is a row of birds.jsonl beside this file, written when it ends: repeated or interrupted, the command
goes on with what is missing, a training from its last checkpoint. birds.md is written from the rows.
"""

import argparse
import json
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import grid
from benchmarks.birds_page import FROZEN, page
from benchmarks.trainings import make
from benchmarks.tuning import Cell, Rows, Setting, of_rates, task, without_rate
from dmlteach import losses, methods

HOME = Path(__file__).parent
NETWORK: dict[str, Any] = {
    "dataset": "cub200", "backbone": "timm/tf_efficientnet_lite0", "image_size": 128, "embedding_dim": 128,
    "transform": "resized_crop",
}  # fmt: skip
SCHEDULE: dict[str, Any] = {"batch_size": 80, "batches_per_epoch": 62, "schedule": "cosine"}
LENGTHS: dict[str, dict[str, Any]] = {
    "tuning": {"epochs": 2, "eval_every": 2},
    "size": {"epochs": 2, "eval_every": 2},  # a tuning run with a larger embedding
    "final": {"epochs": 4, "eval_every": 0},
    "check": {"epochs": 26, "eval_every": 26},  # the steps of the long run, measured on val
    "long": {"epochs": 26, "eval_every": 0},
}
SEEDS = (0, 1, 2)
LARGER = 512  # numbers of an embedding, as in most papers
CHECKED = 3  # rates for a long run: the best of short runs, and the next smaller ones that were tried
RATES = (1e-5, 3e-5, 1e-4, 3e-4)
FURTHER = {1e-5: 3e-6, 3e-6: 1e-6, 3e-4: 1e-3, 1e-3: 3e-3}  # where the best lies at an end
SERIES = sorted({*RATES, *FURTHER.values()})

LOCAL: dict[str, Any] = {"sampler": "local_classes", "sampler_options": {"images_per_class": 5}}
CELLS: dict[Cell, dict[str, Any]] = {
    ("softmax", ""): {},
    ("triplet", "random batches"): {"sampler": "random"},
    ("sst", "random batches"): {"sampler": "random"},
    ("sst", "local batches"): {"sampler": "local"},
    ("sst", "batches of near species"): LOCAL,
    # Its recipe all but freezes the backbone, for thousands of steps.
    ("margin", ""): {"rate_factors": {"backbone": 1.0}},
    ("multi_similarity", ""): {},
    # Its recipe freezes the backbone for five epochs of 60.
    ("proxy_anchor", ""): {"frozen_epochs": 0},
    ("arcface", ""): {},
    # The authors' start of the head; all others start as a rotation of the network's features.
    ("sst", "head from random weights"): LOCAL
    | {"head_options": {"start": "random", "feature_scale": 1.0}, "rate_factors": {"head": 10.0}},
}
QUICK: dict[str, Any] = {
    "dataset": "omniglot", "backbone": "omniglot_cnn", "image_size": None, "transform": None, "classes": 30,
    "epochs": 1, "batches_per_epoch": 1, "batch_size": 40,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.birds", description=__doc__)
    parser.add_argument("--root", help="folder or archive of CUB-200-2011")
    parser.add_argument("--weights", help=f"ImageNet weights of {NETWORK['backbone']}")
    parser.add_argument("--compile", action="store_true", help="compile the network: faster steps")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side, one thread each")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start no run after these")
    parser.add_argument("--output", type=Path, default=HOME, help="folder of the rows")
    parser.add_argument("--only", nargs="*", default=None, help="methods; default all")
    parser.add_argument("--quick", action="store_true", help="one step on a few drawings: does it run?")
    args = parser.parse_args()
    if not args.quick and not (args.root and args.weights):
        parser.error("birds need --root and --weights; only --quick goes without")
    rows = Rows(args.output / "birds.jsonl")
    files = {"root": args.root, "weights": args.weights}
    if not args.quick:
        for name, given in files.items():  # told before the first run
            if not Path(given).exists():
                parser.error(f"--{name}: there is no {given}")
        frozen(rows, files)
    here = files | {"compile": args.compile}
    make((tuning, sizes, finals, checks, longest), rows, lambda what: training(what, here, args.quick), args)
    (args.output / "birds.md").write_text(
        "\n".join(page(rows, CELLS, NETWORK["embedding_dim"])) + "\n", encoding="utf-8"
    )


def training(what: dict[str, Any], given: dict[str, Any], quick: bool = False) -> dict[str, Any]:
    """Options of TrainConfig of one run.

    Args:
        what: of its row.
        given: root, weights and compile, which are others on every machine.
        quick: one step on a few drawings, which only shows that it runs.
    """
    options = {**NETWORK, **SCHEDULE, **LENGTHS[what["stage"]], **given, **what["options"]}
    return options | QUICK | {"eval_every": min(1, options["eval_every"])} if quick else options


def frozen(rows: Rows, files: dict[str, Any]) -> None:
    """The rows of the network's own features, without training, on the same images of test and val.

    Args:
        rows: kept so far.
        files: root and weights.
    """
    network = {name: NETWORK[name] for name in ("dataset", "backbone", "image_size")}
    for stage, split in FROZEN.items():
        if rows.of(("frozen", ""), stage):
            continue
        with tempfile.TemporaryDirectory() as folder:
            options = grid.options(**network, **files, split=split, output=f"{folder}/found.json")
            grid.dmlteach("evaluate", *options)
            found = json.loads(Path(folder, "found.json").read_text())
        what = {"cell": ["frozen", ""], "stage": stage, "options": {}}
        rows.add({"what": what, **{name: found[name] for name in ("recall@1", "map@r", "num_classes")}})


def tuning(rows: Rows) -> Iterator[list[dict]]:
    """Rounds of runs on val species: all methods, then the best of them with DAS.

    Args:
        rows: what has been run so far.
    """
    every: list[Setting] = [(cell, {"method": cell[0], **options}) for cell, options in CELLS.items()]
    yield from of_rates(rows, every, RATES, FURTHER)
    pairs = [cell for cell in CELLS if losses.kind(methods.get(cell[0]).loss).compares == "examples"]
    if best := best_on_val(rows, pairs):  # DAS makes examples, which class vectors do not look at
        with_das = {"method": best[0], **CELLS[best], "das": True}
        yield from of_rates(rows, [((best[0], f"{best[1]} with DAS".strip()), with_das)], RATES, FURTHER)


def sizes(rows: Rows) -> Iterator[list[dict]]:
    """The best on val with a larger embedding.

    Args:
        rows: what has been run so far.
    """
    best = best_on_val(rows)
    if best and (chosen := rows.chosen(best)):
        larger = without_rate(chosen) | {"embedding_dim": LARGER}
        yield [task(best, "size", larger, chosen["learning_rate"], SEEDS[0])]


def larger_if_better(rows: Rows, cell: Cell) -> dict[str, Any]:
    """The option of long runs by which their embedding is larger, where that is better on val.

    Args:
        rows: what has been run so far.
        cell: the best on val.
    """
    tuned, larger = rows.best(cell), rows.of(cell, "size")
    is_better = tuned and any(row["recall@1"] > tuned["recall@1"] for row in larger)
    return {"embedding_dim": LARGER} if is_better else {}


def finals(rows: Rows) -> Iterator[list[dict]]:
    """All at their chosen rates, seed by seed.

    Args:
        rows: what has been run so far.
    """
    tuned = dict.fromkeys(tuple(row["what"]["cell"]) for row in rows.rows if row["what"]["stage"] == "tuning")
    for seed in SEEDS:
        yield [of_chosen(rows, cell, "final", seed) for cell in tuned if rows.chosen(cell)]


def checks(rows: Rows) -> Iterator[list[dict]]:
    """The best on val with the steps of the long run, by which the rate of that is chosen.

    Where the smallest of the rates is best, the next smaller one follows, at most twice.

    Args:
        rows: what has been run so far.
    """
    best = best_on_val(rows)
    if best and (chosen := rows.chosen(best)):
        tried = {row["what"]["options"]["learning_rate"] for row in rows.of(best, "tuning")}
        rates = sorted(rate for rate in tried if rate <= chosen["learning_rate"])[-CHECKED:]
        options = without_rate(chosen) | larger_if_better(rows, best)
        yield [task(best, "check", options, rate, SEEDS[0]) for rate in rates]
        for _ in range(2):
            checked = {row["what"]["options"]["learning_rate"] for row in rows.of(best, "check")}
            highest = rows.best(best, stage="check")
            if highest and highest["what"]["options"]["learning_rate"] == min(checked) > SERIES[0]:
                smaller = SERIES[SERIES.index(min(checked)) - 1]
                yield [task(best, "check", options, smaller, SEEDS[0])]


def longest(rows: Rows) -> Iterator[list[dict]]:
    """The best on val once more, for longer. It and its rate are chosen without a look at the test.

    Args:
        rows: what has been run so far.
    """
    best = best_on_val(rows)
    if best and (highest := rows.best(best, stage="check")):
        yield [{**highest["what"], "stage": "long"}]


def of_chosen(rows: Rows, cell: Cell, stage: str, seed: int) -> dict[str, Any]:
    return {"cell": list(cell), "stage": stage, "options": {**(rows.chosen(cell) or {}), "seed": seed}}


def best_on_val(rows: Rows, among: Iterable[Cell] = tuple(CELLS)) -> Cell | None:
    """Of what has been tuned so far; None where nothing has been.

    Args:
        rows: what has been run so far.
        among: what may be chosen; default all without DAS.
    """
    found = {cell: best["recall@1"] for cell in among if (best := rows.best(cell))}
    return max(found, key=lambda cell: found[cell]) if found else None


if __name__ == "__main__":
    main()
