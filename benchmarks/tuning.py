"""The protocol of `benchmarks.tuned`: what is run, what is chosen from it, and the rows that are kept."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dmlteach import losses, methods

RATES = (3e-4, 1e-3, 3e-3, 1e-2)
FURTHER = {3e-4: 1e-4, 1e-4: 3e-5, 1e-2: 3e-2, 3e-2: 1e-1}  # where the best lies at an end
TUNING = {"epochs": 2, "batches_per_epoch": 100, "eval_every": 2}
FINAL = {"epochs": 3, "batches_per_epoch": 200, "eval_every": 0}  # on all training classes
QUICK = {"epochs": 1, "batches_per_epoch": 1, "classes": 30, "batch_size": 32}
SEEDS = (0, 1, 2, 3, 4)

# One option of each loss, and three values of it with the recipe's among them. The classifier has none.
OPTIONS: dict[str, tuple[str, tuple[float, ...]]] = {
    "abier": ("negative_cost", (1.0, 2.0, 5.0)),
    "angular": ("alpha", (36.0, 45.0, 55.0)),
    "arcface": ("scale", (8.0, 16.0, 32.0)),
    "bier": ("negative_cost", (1.0, 2.0, 5.0)),
    "binomial_deviance": ("negative_cost", (3.0, 10.0, 30.0)),
    "circle": ("gamma", (40.0, 80.0, 160.0)),
    "clustering": ("gamma", (30.0, 100.0, 300.0)),
    "contrastive": ("margin", (2.0, 5.0, 10.0)),
    "fast_ap": ("num_bins", (5, 10, 20)),
    "hdc": ("margin", (0.5, 1.0, 2.0)),
    "histogram": ("num_nodes", (51, 101, 201)),
    "htl": ("beta", (0.05, 0.1, 0.2)),
    "lifted": ("margin", (0.5, 1.0, 2.0)),
    "lifted_modified": ("alpha", (20.0, 40.0, 80.0)),
    "margin": ("alpha", (0.1, 0.2, 0.4)),
    "multi_similarity": ("base", (0.3, 0.5, 0.7)),
    "n_pair": ("l2", (0.0, 0.002, 0.02)),
    "nca": ("scale", (0.3, 1.0, 3.0)),
    "normalized_softmax": ("temperature", (0.025, 0.05, 0.1)),
    "proxy_anchor": ("alpha", (16.0, 32.0, 64.0)),
    "proxy_nca": ("scale", (1.0, 3.0, 9.0)),
    "ranked_list": ("margin", (0.2, 0.4, 0.6)),
    "semihard": ("margin", (0.1, 0.2, 0.4)),
    "smart_mining": ("lambda_", (0.4, 0.8, 1.6)),
    "smooth_ap": ("temperature", (0.005, 0.01, 0.02)),
    "soft_triple": ("scale", (10.0, 20.0, 40.0)),
    "sst": ("num_targets", (2, 5, 10)),
    "supcon": ("temperature", (0.05, 0.1, 0.2)),
    "triplet": ("margin", (0.2, 1.0, 5.0)),
    "weight": ("base", (0.3, 0.5, 0.7)),
}
SAMPLERS = ("random", "class_balanced", "local", "local_classes", "smart", "hierarchical")
WITH_SAMPLERS = ("triplet", "sst", "multi_similarity")
# A triplet's margin means something beside DAS only where embeddings have one length.
WITH_DAS: dict[str, dict[str, Any]] = {
    "triplet": {"normalize": True, "sampler": "class_balanced"},
    "semihard": {},
    "margin": {},
    "multi_similarity": {},
    "contrastive": {},
}

Cell = tuple[str, str]  # a method, and what is different about it: "" for its recipe


def cells() -> dict[str, list[tuple[Cell, dict[str, Any]]]]:
    """What is tuned, by the part of the benchmark: (name, options of TrainConfig) each."""
    das = []
    for name, options in WITH_DAS.items():
        if options:
            das.append(((name, "on the sphere"), options))
        das.append(((name, "with DAS"), {**options, "das": True}))
        das.append(((name, "with DAS, detached"), {**options, "das": True, "das_options": {"detach": True}}))
    return {"methods": [((name, ""), {"method": name}) for name in methods.names()], "das": [
        (cell, {"method": cell[0], **options}) for cell, options in das
    ]}  # fmt: skip


class Rows:
    """What has been run: one JSON object a line."""

    def __init__(self, file: Path):
        self.file = file
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        self.rows = [json.loads(line) for line in lines]
        self.done = {key(row["what"]) for row in self.rows}

    def add(self, row: dict[str, Any]) -> None:
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        self.rows.append(row)
        self.done.add(key(row["what"]))

    def of(self, cell: Cell, stage: str) -> list[dict[str, Any]]:
        """The runs of a cell that came to an end."""
        return [
            row
            for row in self.rows
            if (row["what"]["cell"], row["what"]["stage"]) == (list(cell), stage) and "recall@1" in row
        ]

    def best(self, cell: Cell, by_recipe: bool = False) -> dict[str, Any] | None:
        """The tuning run with the highest Recall@1 on val; of equals the smallest rate.

        Args:
            cell: what was tuned.
            by_recipe: only among the runs with the recipe's own value of the loss's option.
        """
        found = self.of(cell, "tuning")
        if by_recipe:
            found = [row for row in found if "loss_options" not in row["what"]["options"]]
        found.sort(key=lambda row: (-row["recall@1"], row["what"]["options"]["learning_rate"]))
        return found[0] if found else None


def training(what: dict[str, Any]) -> dict[str, Any]:
    """Options of TrainConfig of one run.

    Args:
        what: of its row.
    """
    return {**what["options"], **(TUNING if what["stage"] == "tuning" else FINAL)}


def key(what: dict[str, Any]) -> str:
    return json.dumps(what, sort_keys=True)


def task(cell: Cell, stage: str, options: dict[str, Any], rate: float, seed: int, **loss: float) -> dict:
    """What one run is: the part of its row that is known before."""
    options = {**options, "learning_rate": rate, "seed": seed}
    if loss:
        options["loss_options"] = loss
    return {"cell": list(cell), "stage": stage, "options": options}


def tuning(rows: Rows) -> Iterator[list[dict]]:
    """Rounds of runs on val classes, each chosen by those before."""
    every = [*cells()["methods"], *cells()["das"]]
    yield [task(cell, "tuning", options, rate, 0) for cell, options in every for rate in RATES]
    for _ in range(2):
        further = []
        for cell, options in every:
            best = rows.best(cell, by_recipe=True)
            rate = best and best["what"]["options"]["learning_rate"]
            if rate in FURTHER:
                further.append(task(cell, "tuning", options, FURTHER[rate], 0))
        yield further
    other = []
    for cell, options in cells()["methods"]:
        best = rows.best(cell, by_recipe=True)
        if best and cell[0] in OPTIONS:
            name, values = OPTIONS[cell[0]]
            rate, own = best["what"]["options"]["learning_rate"], own_value(cell[0], name)
            other += [
                task(cell, "tuning", options, rate, 0, **{name: value}) for value in values if value != own
            ]
    yield other


def own_value(method: str, option: str) -> Any:
    """The value of its loss's option that a method has on these drawings by its recipe."""
    recipe = methods.adapt(methods.get(method), "omniglot")
    return recipe.loss_options.get(option, losses.options(recipe.loss)[option].default)


def finals(rows: Rows) -> Iterator[list[dict]]:
    """All chosen values, seed by seed: methods, samplers, DAS."""
    for seeds in (SEEDS[:3], SEEDS[3:]):
        for part in ("methods", "samplers", "das"):
            yield [what for seed in seeds for what in final(rows, part, seed)]


def final(rows: Rows, part: str, seed: int) -> Iterator[dict]:
    if part == "samplers":
        if seed not in SEEDS[:3]:
            return
        for name in WITH_SAMPLERS:
            chosen = rows.best((name, ""))
            for sampler in SAMPLERS:
                if chosen and sampler != methods.get(name).sampler:
                    options = {**chosen["what"]["options"], "sampler": sampler, "seed": seed}
                    yield {"cell": [name, f"with {sampler}"], "stage": "final", "options": options}
        return
    for cell, _ in cells()[part]:
        chosen = rows.best(cell)
        if chosen:
            yield {
                "cell": list(cell),
                "stage": "final",
                "options": {**chosen["what"]["options"], "seed": seed},
            }
