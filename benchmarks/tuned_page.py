"""tuned.md: what the rows of `benchmarks.tuned` say, as tables."""

from collections.abc import Iterator

from benchmarks import grid
from benchmarks.course_rows import device_of, short_device_of
from benchmarks.tuning import (
    CHECKED,
    LENGTHS,
    OPTIONS,
    RATES,
    WITH_DAS,
    Cell,
    Rows,
    mean_recall,
    of_methods,
    option_of,
    own_value,
    seed_of,
    without_rate,
)
from dmlteach import methods, samplers
from dmlteach.course.measured import AT_ITS_RATE, BATCHED, SAMPLERS
from dmlteach.metrics import difference_by_seed, mean_and_interval

MEASURED = "Recall@1 | MAP@R | seeds"
COST = "training"


def page(rows: Rows) -> Iterator[str]:
    """The tables as Markdown."""
    tuned, final = (
        one({row["steps"] for row in rows.rows if row["what"]["stage"] == stage})
        for stage in ("tuning", "final")
    )
    jobs: dict[str, set[int]] = {}
    for row in rows.rows:
        jobs.setdefault(device_of(row), set()).add(row["side_by_side"])
    beside = ", ".join(f"{one(numbers)} on {device}" for device, numbers in jobs.items())
    yield (
        f"Tuned on val classes by runs of {tuned} steps, seed 0; finals of {final} steps on all training "
        "classes, measured once on the test classes: mean ± half of the 95 % interval over the seeds. "
        f"{grid.beside()} `softmax` is the classifier. Runs side by side: {beside}. Seconds compare among "
        "runs of one device only; those of a CPU were taken beside other work, and are no measure of speed. "
        "Convolutions of a GPU run in TF32. *An end*: the best was the smallest or largest value tried.\n"
    )
    yield "### Methods\n"
    yield f"| method | {MEASURED} | sampler | learning rate | option | {COST} |"
    yield f"|{'---|' * 8}"
    plain = {cell: rows.of(cell, "final") for cell, _ in of_methods()}
    for cell, found in sorted(plain.items(), key=lambda item: -mean_recall(rows, item[0])):
        if found:
            sampler = methods.get(cell[0]).sampler
            yield f"| `{cell[0]}` | {numbers(found)} | {sampler} | {chosen(rows, cell)} | {cost(found)} |"
    without = [f"`{name}`" for (name, _), found in plain.items() if not found]
    if without:
        yield f"\nNot tuned yet: {', '.join(without)}."
    yield from page_of_samplers(rows)
    yield from page_of_das(rows)
    yield from page_across_domains(rows)
    yield from page_of_long_runs(rows)
    yield from page_of_checks(rows)


def trials() -> Iterator[str]:
    """What is tried for each method, for the page of the protocol."""
    rates = ", ".join(f"{rate:g}" for rate in RATES)
    yield f"1. Four learning rates, a factor of about three apart: {rates}; seed 0, {_length('tuning')} each."
    yield "2. Where the best of them is the smallest or the largest, the next one beyond it, at most twice."
    yield "3. At the best rate, the other two values of one option of the method. The classifier has none."
    yield f"4. The finals: {_length('final')} with what was chosen, over several seeds."
    checked = ", ".join(f"`{name}`" for name in CHECKED)
    yield f"5. The best three of them and SST in its best batches once more, with {_length('long')}: a choice"
    yield "   by the finals, and so on the test classes."
    yield f"6. A check of 1: {checked} with {_length('check')} on val at the chosen rate and its neighbors.\n"
    yield "| method | option | values; the recipe's in bold |"
    yield "|---|---|---|"
    for name, (option, values) in OPTIONS.items():
        own = own_value(name, option)
        shown = ", ".join(f"**{value:g}**" if value == own else f"{value:g}" for value in values)
        yield f"| `{name}` | `{option}` | {shown} |"
    yield f"\nWeight decay, by the recipes: {decays()}."


def decays() -> str:
    """Weight decay of every method here, the most usual last."""
    by_decay: dict[float, list[str]] = {}
    for name in methods.names():
        by_decay.setdefault(methods.adapt(methods.get(name), "omniglot").weight_decay, []).append(f"`{name}`")
    *few, usual = sorted(by_decay, key=lambda decay: len(by_decay[decay]))
    told = [f"{decay:g} for {', '.join(by_decay[decay])}" for decay in few]
    return "; ".join([*told, f"{usual:g} for all others"])


def _length(stage: str) -> str:
    return f"{LENGTHS[stage]['epochs'] * LENGTHS[stage]['batches_per_epoch']:,} steps"


def page_of_samplers(rows: Rows) -> Iterator[str]:
    """The same loss in other batches, and what they gain over random ones, seed by seed."""
    yield "\n### Samplers\n"
    several = {name: samplers.options(name).get("images_per_class") for name in SAMPLERS}
    told = ", ".join(f"{option.default} with `{name}`" for name, option in several.items() if option)
    yield (
        "Rate and option are those chosen for the method with its own sampler, not for each. Drawings of a "
        f"class in a batch: {told}.\n"
    )
    yield f"| method | sampler | {MEASURED} | more than with random, same seeds | {COST} (of it planning) |"
    yield f"|{'---|' * 7}"
    for name in BATCHED:
        random = rows.of((name, "with random"), "final")
        for sampler in SAMPLERS:
            own = sampler == methods.get(name).sampler
            found = rows.of((name, "" if own else f"with {sampler}"), "final")
            if found:
                gain = "" if sampler == "random" else grid.percent(paired(found, random))
                batches = f"{sampler}{' (its own)' if own else ''}"
                yield f"| `{name}` | {batches} | {numbers(found)} | {gain} | {cost(found, planning=True)} |"


def page_of_das(rows: Rows) -> Iterator[str]:
    """Methods with densely-anchored sampling beside themselves without."""
    yield "\n### Densely-anchored sampling\n"
    yield (
        "Each side has its own rate; the option of the loss is that chosen without DAS, and DAS's ranges are "
        "chosen like an option. Copies give gradients to the images they come from; detached ones do not. "
        f"Recall@1 on {val_classes(rows)} was measured for the choice, with one seed and few steps: it is no "
        "result.\n"
    )
    yield f"| method | {MEASURED} | learning rate | option | Recall@1 on val | {COST} |"
    yield f"|{'---|' * 8}"
    for name, options in WITH_DAS.items():
        for about in ("on the sphere" if options else "", "with DAS", "with DAS, detached"):
            best, found = rows.best((name, about)), rows.of((name, about), "final")
            if best:
                what = f"`{name}`{', ' if about else ''}{about}"
                final = numbers(found) if found else " | ".join(["not run yet", *[""] * MEASURED.count("|")])
                tried = f"{chosen(rows, (name, about))} | {100 * best['recall@1']:.1f} %"
                yield f"| {what} | {final} | {tried} | {cost(found) if found else ''} |"
        if found := rows.of((name, AT_ITS_RATE), "final"):
            rate, option = (
                found[0]["what"]["options"]["learning_rate"],
                chosen(rows, (name, "")).split(" | ")[1],
            )
            yield f"| `{name}`, {AT_ITS_RATE} | {numbers(found)} | {rate:g} | {option} | – | {cost(found)} |"


def page_across_domains(rows: Rows) -> Iterator[str]:
    """Finals that were measured on restyled drawings as well."""
    found = {
        cell: [row for row in rows.of(cell, "final") if "across_domains" in row] for cell, _ in of_methods()
    }
    directions = dict.fromkeys(d for runs in found.values() for row in runs for d in row["across_domains"])
    if not directions:
        return
    yield "\n### The same finals across domains\n"
    yield (
        f"Recall@1 where queries and gallery are drawn in different styles. {grid.beside()} These "
        "two are for drawings among drawings.\n"
    )
    yield f"| method | {' | '.join(directions)} | within drawings | seeds |"
    yield f"|{'---|' * (len(directions) + 3)}"
    for (name, _), runs in found.items():
        if runs:
            across = [[row["across_domains"][direction] for row in runs] for direction in directions]
            within = [row["recall@1"] for row in runs]
            cells = [grid.percent(mean_and_interval(values)) for values in (*across, within)]
            yield f"| `{name}` | {' | '.join(cells)} | {len(runs)} |"


def page_of_long_runs(rows: Rows) -> Iterator[str]:
    """The same methods, trained for longer."""
    cells = dict.fromkeys(tuple(row["what"]["cell"]) for row in rows.rows if row["what"]["stage"] == "long")
    found = {cell: rows.of(cell, "long") for cell in cells}
    if not any(found.values()):
        return
    yield f"\n### {_length('long')}\n"
    yield (
        "Of the best methods of the finals, and SST in its best batches, those that were run so far, with "
        f"one seed. Which they are was chosen by the finals, on these test classes. {grid.beside()} *Trained "
        "on*: Recall@1 on as many of the classes that were trained on, before and after.\n"
    )
    yield (
        "| method | sampler | Recall@1 | trained on | MAP@R | Recall@1 of its finals | device | "
        "training, minutes |"
    )
    yield f"|{'---|' * 8}"
    for (name, about), runs in found.items():
        sampler = about.removeprefix("with ") or methods.get(name).sampler
        for row in runs:
            before, minutes = mean_recall(rows, (name, about)), row["train_seconds"] / 60
            seen = grid.before_and_after(row)
            yield (
                f"| `{name}` | {sampler} | {row['recall@1']:.1%} | {seen} | {row['map@r']:.1%} | "
                f"{before:.1%} | {short_device_of(row)} | {minutes:.0f} |"
            )


def page_of_checks(rows: Rows) -> Iterator[str]:
    """Recall@1 on val by rate, after the steps of the tuning and after those of a final."""
    checked = {name: rows.of((name, ""), "check") for name in CHECKED}
    if not any(checked.values()):
        return
    yield "\n### Are the rates of short runs right for longer ones?\n"
    yield (
        f"Recall@1 on {val_classes(rows)} after {_length('tuning')}, by which the rate was chosen (in bold), "
        f"and after {_length('check')}, as many as a final has; one seed.\n"
    )
    yield f"| method | learning rate | {_length('tuning')} | {_length('check')} | device |"
    yield f"|{'---|' * 5}"
    for name, found in checked.items():
        best = rows.best((name, ""))
        among = without_rate(best["what"]["options"]) if best else {}
        short = {
            row["what"]["options"]["learning_rate"]: row["recall@1"]
            for row in rows.of((name, ""), "tuning")
            if without_rate(row["what"]["options"]) == among
        }
        for row in sorted(found, key=lambda row: row["what"]["options"]["learning_rate"]):
            rate = row["what"]["options"]["learning_rate"]
            is_best = best is not None and rate == best["what"]["options"]["learning_rate"]
            shown = f"**{rate:g}**" if is_best else f"{rate:g}"
            before = f"{short[rate]:.1%}" if rate in short else "not run"
            yield f"| `{name}` | {shown} | {before} | {row['recall@1']:.1%} | {device_of(row)} |"
    yield ""
    yield from verdicts({name: found for name, found in checked.items() if found}, rows)


def verdicts(checked: dict[str, list[dict]], rows: Rows) -> Iterator[str]:
    """What the rate chosen by short runs costs in longer ones, of one seed each."""
    for name, found in checked.items():
        best = rows.best((name, ""))
        by_rate = {row["what"]["options"]["learning_rate"]: row["recall@1"] for row in found}
        rate = best["what"]["options"]["learning_rate"] if best else None
        if rate in by_rate:
            lost = 100 * (max(by_rate.values()) - by_rate[rate])
            below = f"{lost:.1f} points" if lost >= 0.05 else "less than 0.1 points"
            end = f"{below} below the best rate" if lost else "with the highest"
            yield f"At the rate that short runs chose, `{name}` ends {end}, in one seed."


def chosen(rows: Rows, cell: Cell) -> str:
    """Rate and option, and whether the best lay inside of what was tried."""
    tried = rows.of(cell, "tuning")
    best = rows.best(cell)
    if best is None:
        return "|"
    options = best["what"]["options"]
    rates = {row["what"]["options"]["learning_rate"] for row in tried}
    rate, at_end = options["learning_rate"], options["learning_rate"] in (min(rates), max(rates))
    option = option_of(best["what"])
    if cell[1] == "" and cell[0] in OPTIONS and not option:
        name = OPTIONS[cell[0]][0]
        option = {name: own_value(cell[0], name)}
    shown = ", ".join(f"{name} {value:g}{end_of(cell, name, value)}" for name, value in option.items())
    return f"{rate:g}{' (an end)' if at_end else ''} | {shown}"


def end_of(cell: Cell, name: str, value: float) -> str:
    tuned, values = OPTIONS.get(cell[0], ("", ()))
    return " (an end)" if name == tuned and value in (values[0], values[-1]) else ""


def numbers(found: list[dict]) -> str:
    recall, precision = (mean_and_interval([row[name] for row in found]) for name in ("recall@1", "map@r"))
    return f"{grid.percent(recall)} | {grid.percent(precision)} | {len(found)}"


def cost(found: list[dict], planning: bool = False) -> str:
    """Seconds on each device.

    Args:
        found: runs.
        planning: and the share of it.
    """
    devices = sorted({short_device_of(row) for row in found})
    by_device = {device: [row for row in found if short_device_of(row) == device] for device in devices}
    told = []
    for device, runs in by_device.items():
        seconds, planned = (sum(row[name] for row in runs) for name in ("train_seconds", "plan_seconds"))
        share = f" ({planned / seconds:.0%})" if planning else ""
        told.append(f"{seconds / len(runs):.0f} s{share} {device}")
    return ", ".join(told)


def val_classes(rows: Rows) -> str:
    """What choices were measured on."""
    return one({row["num_classes"] for row in rows.rows if row["what"]["stage"] == "tuning"}) + " val classes"


def paired(found: list[dict], others: list[dict]) -> tuple[float, float]:
    """Mean and half-width of the differences between runs of equal seed."""
    first, second = ({seed_of(row): row["recall@1"] for row in runs} for runs in (found, others))
    return difference_by_seed(first, second)[:2]


def one(values: set[int]) -> str:
    return " or ".join(f"{value:,}" for value in sorted(values))
