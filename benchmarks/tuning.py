"""The protocol of `benchmarks.tuned`: what is run, what is chosen from it, and the rows that are kept."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dmlteach import losses, methods
from dmlteach.course.measured import AT_ITS_RATE, BATCHED, SAMPLERS

RATES = (3e-4, 1e-3, 3e-3, 1e-2)
FURTHER = {3e-4: 1e-4, 1e-4: 3e-5, 1e-2: 3e-2, 3e-2: 1e-1}  # where the best lies at an end
LENGTHS = {
    "tuning": {"epochs": 2, "batches_per_epoch": 100, "eval_every": 2},
    "check": {"epochs": 3, "batches_per_epoch": 200, "eval_every": 3},  # a final's steps, measured on val
    "final": {"epochs": 3, "batches_per_epoch": 200, "eval_every": 0},  # on all training classes
    "long": {"epochs": 25, "batches_per_epoch": 200, "eval_every": 0},
}
OF_CHOSEN = ("final", "long")  # stages that count only with what is chosen today
BEST = 3  # methods that train for long, and SST beside them
CHECKED = ("softmax", "triplet", "multi_similarity")  # is the best rate of short runs that of longer ones?
QUICK = {"epochs": 1, "batches_per_epoch": 1, "classes": 30, "batch_size": 32}
SEEDS = (0, 1, 2, 3, 4)

# One option of each method, and three values of it with that of its recipe among them. It is one of the loss,
# or the factor on the features: the temperature of a loss that has none. The classifier has no option.
HEAD = "feature_scale"
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
    "sst": (HEAD, (0.1, 0.3, 1.0)),
    "supcon": ("temperature", (0.05, 0.1, 0.2)),
    "triplet": ("margin", (0.2, 1.0, 5.0)),
    "weight": ("base", (0.3, 0.5, 0.7)),
}
# A triplet's margin means something beside DAS only where embeddings have one length.
WITH_DAS: dict[str, dict[str, Any]] = {
    "triplet": {"normalize": True, "sampler": "class_balanced"},
    "semihard": {},
    "margin": {},
    "multi_similarity": {},
    "contrastive": {},
}

# How far DAS's embeddings lie from the real ones: CUB's and Cars' ranges (the default), and SOP's two.
DAS_RANGES: tuple[dict[str, Any], ...] = (
    {"scale_range": [0.5, 2.0], "shift": 0.01},
    {"scale_range": [0.5, 2.0], "shift": 0.1},
)

Cell = tuple[str, str]  # a method, and what is different about it: "" for its recipe
Setting = tuple[Cell, dict[str, Any]]  # with options of TrainConfig


def of_methods() -> list[Setting]:
    """Every recipe."""
    return [((name, ""), {"method": name}) for name in methods.names()]


def of_samplers() -> list[Cell]:
    """Three methods in the batches of every sampler but their own."""
    own = {name: methods.get(name).sampler for name in BATCHED}
    return [(name, f"with {sampler}") for name in BATCHED for sampler in SAMPLERS if sampler != own[name]]


def of_das(rows: "Rows") -> list[Setting]:
    """Methods with densely-anchored sampling; the option of the loss is that chosen without it."""
    found: list[Setting] = []
    for name, options in WITH_DAS.items():
        plain = {"method": name, **options}
        best = None if options else rows.best((name, ""))
        if best and (chosen := option_of(best["what"])):
            plain["loss_options"] = chosen
        if options:
            found.append(((name, "on the sphere"), plain))
        for about, detach in (
            ("with DAS", False),
            ("with DAS, detached", True),
        ):  # its default is the recipe's
            found.append(((name, about), {**plain, "das": True, "das_options": {"detach": detach}}))
    return found


def at_rates_of_das(rows: "Rows") -> list[Cell]:
    """Methods without DAS at the rate that was chosen with it, where their own is another."""
    found = []
    for name in (name for name, options in WITH_DAS.items() if not options):
        rates = [
            best["what"]["options"]["learning_rate"]
            for about in ("", "with DAS")
            if (best := rows.best((name, about)))
        ]
        if len(set(rates)) == 2:
            found.append((name, AT_ITS_RATE))
    return found


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
        """The runs of a cell that came to an end; finals only with what is chosen by the tuning of today."""
        found = [
            row
            for row in self.rows
            if (row["what"]["cell"], row["what"]["stage"]) == (list(cell), stage) and "recall@1" in row
        ]
        if stage in OF_CHOSEN and (chosen := self.chosen(cell)):
            found = [row for row in found if row["what"]["options"] == chosen | {"seed": seed_of(row)}]
        return found

    def chosen(self, cell: Cell) -> dict[str, Any] | None:
        """Options of a cell's finals, without the seed; None where nothing is tuned for it yet."""
        name, about = cell
        best = self.best((name, "") if is_of_sampler(cell) or about == AT_ITS_RATE else cell)
        if best is None:
            return None
        options = {key: value for key, value in best["what"]["options"].items() if key != "seed"}
        if about == AT_ITS_RATE and (with_das := self.best((name, "with DAS"))):
            return options | {"learning_rate": with_das["what"]["options"]["learning_rate"]}
        return options | {"sampler": about.removeprefix("with ")} if is_of_sampler(cell) else options

    def of_today(self) -> list[dict[str, Any]]:
        """All runs that came to an end and still count: every tuning run, and finals of what is chosen."""
        cells = dict.fromkeys((tuple(row["what"]["cell"]), row["what"]["stage"]) for row in self.rows)
        return [row for cell, stage in cells for row in self.of(cell, stage)]

    def best(
        self, cell: Cell, among: dict[str, Any] | None = None, stage: str = "tuning"
    ) -> dict[str, Any] | None:
        """The run with the highest Recall@1 on val; of equals the smallest rate.

        Args:
            cell: what was tuned.
            among: only runs that have exactly these options beside rate and seed.
            stage: of the runs: "tuning", or "check".
        """
        found = self.of(cell, stage)
        if among is not None:
            found = [row for row in found if without_rate(row["what"]["options"]) == among]
        found.sort(key=lambda row: (-row["recall@1"], row["what"]["options"]["learning_rate"]))
        return found[0] if found else None


def training(what: dict[str, Any], quick: bool = False) -> dict[str, Any]:
    """Options of TrainConfig of one run.

    Args:
        what: of its row.
        quick: one step on a few drawings, which only shows that it runs.
    """
    options = {**what["options"], **LENGTHS[what["stage"]]}
    return options | QUICK | {"eval_every": min(1, options["eval_every"])} if quick else options


def option_of(what: dict[str, Any]) -> dict[str, Any]:
    """The value of a method's option, by its name, where a run does not have the recipe's.

    Args:
        what: of its row.
    """
    options = what["options"]
    return options.get("loss_options", {}) | options.get("head_options", {})


def without_rate(options: dict[str, Any]) -> dict[str, Any]:
    """Options of a run but for its learning rate and its seed.

    Args:
        options: of its row.
    """
    return {name: value for name, value in options.items() if name not in ("learning_rate", "seed")}


def key(what: dict[str, Any]) -> str:
    return json.dumps(what, sort_keys=True)


def task(cell: Cell, stage: str, options: dict[str, Any], rate: float, seed: int) -> dict[str, Any]:
    """What one run is: the part of its row that is known before."""
    return {"cell": list(cell), "stage": stage, "options": {**options, "learning_rate": rate, "seed": seed}}


def tuning(rows: Rows) -> Iterator[list[dict]]:
    """Rounds of runs on val classes, each chosen by those before: methods, then DAS."""
    yield from search(rows, of_methods())
    yield from search(rows, of_das(rows))


def search(rows: Rows, every: list[Setting]) -> Iterator[list[dict]]:
    """Rates, those beyond an end, then other values of one option at the best rate.

    Args:
        rows: what has been run so far.
        every: what is tuned.
    """
    yield from of_rates(rows, every, RATES, FURTHER)
    yield [
        task(cell, "tuning", other, rate, 0)
        for cell, options in every
        if (rate := best_rate(rows, cell, options))
        for other in others(cell, options)
    ]


def of_rates(
    rows: Rows, every: list[Setting], rates: Sequence[float], further: dict[float, float]
) -> Iterator[list[dict]]:
    """Rates, and twice the one beyond the end where the best lies at an end.

    Args:
        rows: what has been run so far.
        every: what is tuned.
        rates: that all have.
        further: an end → what lies beyond it.
    """
    yield [task(cell, "tuning", options, rate, 0) for cell, options in every for rate in rates]
    for _ in range(2):
        best = [(cell, options, best_rate(rows, cell, options)) for cell, options in every]
        yield [task(cell, "tuning", o, further[rate], 0) for cell, o, rate in best if rate in further]


def best_rate(rows: Rows, cell: Cell, options: dict[str, Any]) -> float | None:
    best = rows.best(cell, among=options)
    return best["what"]["options"]["learning_rate"] if best else None


def others(cell: Cell, options: dict[str, Any]) -> list[dict[str, Any]]:
    """The same options with the other values of the one that is tuned."""
    if options.get("das"):
        given = options.get("das_options", {})
        return [{**options, "das_options": {**given, **ranges}} for ranges in DAS_RANGES]
    if cell[1] or cell[0] not in OPTIONS:
        return []
    name, values = OPTIONS[cell[0]]
    part, own = "head_options" if name == HEAD else "loss_options", own_value(cell[0], name)
    return [{**options, part: {name: value}} for value in values if value != own]


def own_value(method: str, option: str) -> Any:
    """The value of its loss's option that a method has on these drawings by its recipe."""
    recipe = methods.adapt(methods.get(method), "omniglot")
    if option == HEAD:
        return recipe.head_options.get(option, 1.0)  # of a network that starts from random weights
    return recipe.loss_options.get(option, losses.options(recipe.loss)[option].default)


def finals(rows: Rows) -> Iterator[list[dict]]:
    """All chosen values, seed by seed: methods, samplers, DAS."""
    for seeds in (SEEDS[:3], SEEDS[3:]):
        for part in ("methods", "samplers", "das"):
            yield [what for seed in seeds for what in final(rows, part, seed)]


def final(rows: Rows, part: str, seed: int) -> Iterator[dict]:
    if part == "samplers":
        every = of_samplers() if seed in SEEDS[:3] else []
    else:
        every = [cell for cell, _ in (of_methods() if part == "methods" else of_das(rows))]
        every += at_rates_of_das(rows) if part == "das" else []
    for cell in every:
        if chosen := rows.chosen(cell):
            yield {"cell": list(cell), "stage": "final", "options": {**chosen, "seed": seed}}


def checks(rows: Rows) -> Iterator[list[dict]]:
    """Methods with the steps of a final at the chosen rate and those beside it, measured on val.

    Args:
        rows: what has been run so far.
    """
    for name in CHECKED:
        if best := rows.best((name, "")):
            options = without_rate(best["what"]["options"])
            rates = rates_beside(rows, (name, ""), best["what"]["options"]["learning_rate"])
            yield [task((name, ""), "check", options, rate, SEEDS[0]) for rate in rates]


def rates_beside(rows: Rows, cell: Cell, rate: float) -> list[float]:
    """The rate, and the next smaller and larger one that were tried.

    Args:
        rows: what has been run so far.
        cell: of the rates.
        rate: one of them.
    """
    tried = sorted({row["what"]["options"]["learning_rate"] for row in rows.of(cell, "tuning")})
    place = tried.index(rate)
    return tried[max(0, place - 1) : place + 2]


def longest(rows: Rows) -> Iterator[list[dict]]:
    """The best methods of the finals and SST in its best batches, with one seed and many steps."""
    every: list[Cell] = [cell for cell, _ in of_methods()]
    best = sorted(every, key=lambda cell: -mean_recall(rows, cell))[:BEST]
    best.append(sst_at_its_best(rows))
    chosen = {cell: rows.chosen(cell) for cell in best if mean_recall(rows, cell)}
    yield [
        {"cell": list(cell), "stage": "long", "options": {**options, "seed": SEEDS[0]}}
        for cell, options in chosen.items()
        if options
    ]


def sst_at_its_best(rows: Rows) -> Cell:
    """SST in the batches in which its finals are best.

    Args:
        rows: what has been run.
    """
    of_sst: list[Cell] = [("sst", ""), *(("sst", f"with {sampler}") for sampler in SAMPLERS)]
    return max(of_sst, key=lambda cell: mean_recall(rows, cell))


def mean_recall(rows: Rows, cell: Cell) -> float:
    """Recall@1 of a cell's finals; 0 where there are none.

    Args:
        rows: what has been run.
        cell: of them.
    """
    found = [row["recall@1"] for row in rows.of(cell, "final")]
    return sum(found) / len(found) if found else 0.0


def is_of_sampler(cell: Cell) -> bool:
    """Whether a cell is a method in the batches of another sampler."""
    return cell[1].removeprefix("with ") in SAMPLERS


def seed_of(row: dict[str, Any]) -> int:
    return row["what"]["options"]["seed"]
