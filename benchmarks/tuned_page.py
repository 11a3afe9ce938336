"""tuned.md: what the rows of `benchmarks.tuned` say, as tables."""

from collections.abc import Iterator

from benchmarks import grid
from benchmarks.tuning import (
    FINAL,
    OPTIONS,
    RATES,
    SAMPLERS,
    TUNING,
    WITH_DAS,
    WITH_SAMPLERS,
    Cell,
    Rows,
    cells,
    own_value,
)
from dmlteach import methods
from dmlteach.metrics import mean_and_interval

MEASURED = "Recall@1 | MAP@R | seeds | training, s | of it planning"


def page(rows: Rows) -> Iterator[str]:
    """The tables as Markdown."""
    machines = sorted({row["made_with"]["device"] for row in rows.rows})
    jobs = {row["side_by_side"] for row in rows.rows}
    tuned, final = (
        one({row["steps"] for row in rows.rows if row["what"]["stage"] == stage})
        for stage in ("tuning", "final")
    )
    yield (
        f"Tuned on val classes by runs of {tuned} steps, seed 0; finals of {final} steps on all training "
        "classes, measured once on the test classes: mean ± half of the 95 % interval over the seeds. "
        f"{grid.beside()} `softmax` is the classifier. Computed on: {', '.join(machines)} (its convolutions "
        f"in TF32), {one(jobs)} runs side by side, so the seconds compare among each other only. *An end*: "
        "the best was the smallest or largest value tried.\n"
    )
    yield "### Methods\n"
    yield f"| method | sampler | learning rate | option | {MEASURED} |"
    yield "|---|---|---|---|---|---|---|---|---|"
    plain = {cell: rows.of(cell, "final") for cell, _ in cells()["methods"]}
    for cell, found in sorted(plain.items(), key=lambda item: -mean_recall(item[1])):
        if found:
            sampler = methods.get(cell[0]).sampler
            yield f"| `{cell[0]}` | {sampler} | {chosen(rows, cell)} | {numbers(found)} |"
    without = [f"`{name}`" for (name, _), found in plain.items() if not found]
    if without:
        yield f"\nNot tuned yet: {', '.join(without)}."
    yield from page_of_samplers(rows)
    yield from page_of_das(rows)


def trials() -> Iterator[str]:
    """What is tried for each method, for the page of the protocol."""
    rates = ", ".join(f"{rate:g}" for rate in RATES)
    yield f"1. Four learning rates, a factor of about three apart: {rates}; seed 0, {_length(TUNING)} each."
    yield "2. Where the best of them is the smallest or the largest, the next one beyond it, at most twice."
    yield "3. At the best rate, the other two values of one option of the loss. The classifier has none."
    yield f"4. The finals: {_length(FINAL)} with what was chosen, over several seeds.\n"
    yield "| method | option | values; the recipe's in bold |"
    yield "|---|---|---|"
    for name, (option, values) in OPTIONS.items():
        own = own_value(name, option)
        shown = ", ".join(f"**{value:g}**" if value == own else f"{value:g}" for value in values)
        yield f"| `{name}` | `{option}` | {shown} |"


def _length(of: dict[str, int]) -> str:
    return f"{of['epochs'] * of['batches_per_epoch']} steps"


def page_of_samplers(rows: Rows) -> Iterator[str]:
    """The same loss in other batches, and what they gain over random ones, seed by seed."""
    yield "\n### Samplers\n"
    yield "Rate and option are those chosen for the method with its own sampler, not for each.\n"
    yield f"| method | sampler | {MEASURED} | more than with random, same seeds |"
    yield "|---|---|---|---|---|---|---|---|"
    for name in WITH_SAMPLERS:
        random = rows.of((name, "with random"), "final")
        for sampler in SAMPLERS:
            own = sampler == methods.get(name).sampler
            found = rows.of((name, "" if own else f"with {sampler}"), "final")
            if found:
                gain = "" if sampler == "random" else grid.percent(paired(found, random))
                yield f"| `{name}` | {sampler}{' (its own)' if own else ''} | {numbers(found)} | {gain} |"


def page_of_das(rows: Rows) -> Iterator[str]:
    """What tuning says of DAS; there are no finals yet."""
    yield "\n### Densely-anchored sampling, on val classes\n"
    yield (
        "The best of the learning rates on val classes, one seed and few steps: what was chosen, no result. "
        "The option was tuned without DAS only. Copies give gradients to the images they come from; detached "
        "ones do not.\n"
    )
    yield "| method | learning rate | option | Recall@1 on val |"
    yield "|---|---|---|---|"
    for name, options in WITH_DAS.items():
        for about in ("on the sphere" if options else "", "with DAS", "with DAS, detached"):
            best = rows.best((name, about))
            if best:
                what = f"`{name}`{', ' if about else ''}{about}"
                yield f"| {what} | {chosen(rows, (name, about))} | {100 * best['recall@1']:.1f} % |"


def mean_recall(found: list[dict]) -> float:
    return sum(row["recall@1"] for row in found) / len(found) if found else 0.0


def chosen(rows: Rows, cell: Cell) -> str:
    """Rate and option, and whether the best lay inside of what was tried."""
    tried = rows.of(cell, "tuning")
    best = rows.best(cell)
    if best is None:
        return "|"
    options = best["what"]["options"]
    rates = {row["what"]["options"]["learning_rate"] for row in tried}
    rate, at_end = options["learning_rate"], options["learning_rate"] in (min(rates), max(rates))
    loss = options.get("loss_options", {})
    if cell[1] == "" and cell[0] in OPTIONS and not loss:
        name = OPTIONS[cell[0]][0]
        loss = {name: own_value(cell[0], name)}
    shown = ", ".join(f"{name} {value:g}{end_of(cell, value)}" for name, value in loss.items())
    return f"{rate:g}{' (an end)' if at_end else ''} | {shown}"


def end_of(cell: Cell, value: float) -> str:
    _, values = OPTIONS.get(cell[0], ("", ()))
    return " (an end)" if values and value in (values[0], values[-1]) else ""


def numbers(found: list[dict]) -> str:
    recall, precision, seconds = (
        mean_and_interval([row[name] for row in found]) for name in ("recall@1", "map@r", "train_seconds")
    )
    planning = sum(row["plan_seconds"] for row in found) / sum(row["train_seconds"] for row in found)
    quality = f"{grid.percent(recall)} | {grid.percent(precision)}"
    return f"{quality} | {len(found)} | {seconds[0]:.0f} | {planning:.0%}"


def paired(found: list[dict], others: list[dict]) -> tuple[float, float]:
    """Mean and half-width of the differences between runs of equal seed."""
    by_seed = {row["what"]["options"]["seed"]: row["recall@1"] for row in others}
    pairs = [(row["recall@1"], by_seed.get(row["what"]["options"]["seed"])) for row in found]
    return mean_and_interval([a - b for a, b in pairs if b is not None])


def one(values: set[int]) -> str:
    return " or ".join(f"{value:,}" for value in sorted(values))
