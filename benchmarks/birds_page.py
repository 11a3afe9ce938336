"""birds.md: what the rows of `benchmarks.birds` say, as tables."""

from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks import grid
from benchmarks.course_rows import short_device_of
from benchmarks.tuning import Cell, Rows, mean_recall
from dmlteach.course.statements import signed
from dmlteach.metrics import mean_and_interval

FROZEN = {"frozen": "test", "frozen on val": "val"}  # stage of the untrained network's rows → split


def page(rows: Rows, planned: Iterable[Cell], dim: int) -> Iterator[str]:
    """The tables as Markdown.

    Args:
        rows: of the benchmark.
        planned: what is to be tuned.
        dim: numbers of an embedding, where a row does not say another.
    """
    yield f"{beside(rows)}\n"
    cells = dict.fromkeys(tuple(row["what"]["cell"]) for row in rows.rows if row["what"]["stage"] == "tuning")
    yield "| method | batches, head | learning rate | on val | Recall@1 | MAP@R | seeds | training, min |"
    yield f"|{'---|' * 8}"
    for cell in sorted(cells, key=lambda cell: (-mean_recall(rows, cell), -on_val(rows, cell))):
        yield row_of(rows, cell)
    if without := [
        f"`{name}`{f' ({about})' if about else ''}" for name, about in planned if (name, about) not in cells
    ]:
        yield f"\nNot tuned yet: {', '.join(without)}."
    yield from of_sizes(rows, dim)
    yield from rates_of_long_runs(rows, dim)
    yield from long_runs(rows, dim)


def of_sizes(rows: Rows, dim: int) -> Iterator[str]:
    """The same short runs with a larger embedding, on val."""
    larger = [row for row in rows.rows if row["what"]["stage"] == "size" and "recall@1" in row]
    if not larger:
        return
    yield "\nWith a larger embedding, after the steps of the tuning, measured on val, one seed:\n"
    yield "| method | learning rate | embedding | Recall@1 | MAP@R |"
    yield f"|{'---|' * 5}"
    for row in larger:
        cell, rate = tuple(row["what"]["cell"]), row["what"]["options"]["learning_rate"]
        same = [r for r in rows.of(cell, "tuning") if r["what"]["options"]["learning_rate"] == rate]
        for found in (*same, row):
            size = size_of(found, dim)
            yield f"| `{cell[0]}` | {rate:g} | {size} | {found['recall@1']:.1%} | {found['map@r']:.1%} |"


def size_of(row: dict[str, Any], dim: int) -> int:
    return row["what"]["options"].get("embedding_dim", dim)


def rates_of_long_runs(rows: Rows, dim: int) -> Iterator[str]:
    """What the best reaches on val after the steps of the long run, by rate."""
    checked = [row for row in rows.rows if row["what"]["stage"] == "check" and "recall@1" in row]
    if not checked:
        return
    yield "\nThe rate of a long run, chosen on val by runs as long as it, one seed:\n"
    yield f"| method | embedding | learning rate | Recall@1 after {checked[0]['steps']:,} steps | MAP@R |"
    yield f"|{'---|' * 5}"
    for row in sorted(checked, key=lambda row: row["what"]["options"]["learning_rate"]):
        name, rate = row["what"]["cell"][0], row["what"]["options"]["learning_rate"]
        yield f"| `{name}` | {size_of(row, dim)} | {rate:g} | {row['recall@1']:.1%} | {row['map@r']:.1%} |"


def beside(rows: Rows) -> str:
    """What the numbers are to be seen beside."""
    steps = {row["what"]["stage"]: row["steps"] for row in rows.rows if "steps" in row}
    lengths = ", ".join(f"{number:,} ({stage})" for stage, number in steps.items())
    own = " and ".join(
        f"Recall@1 {row['recall@1']:.1%}, MAP@R {row['map@r']:.1%} among {row['num_classes']} {split} classes"
        for stage, split in FROZEN.items()
        for row in rows.of(("frozen", ""), stage)
    )
    own = f" Untrained, the network's own features reach {own}." if own else ""
    on_test = [row for row in rows.rows if row["what"]["stage"] in ("final", "long") and "untrained" in row]
    start = sorted({f"{row['untrained']:.1%}" for row in on_test})
    reduced = (
        f" Reduced to the size of the embedding, before the first step: {', '.join(start)}." if start else ""
    )
    return (
        f"Steps: {lengths}.{own}{reduced} *An end*: the best was the smallest or largest rate tried. Minutes "
        "are of one thread of a CPU beside other work, and no measure of speed."
    )


def row_of(rows: Rows, cell: Cell) -> str:
    """One line: what was chosen, and what the finals reached."""
    tried, best = rows.of(cell, "tuning"), rows.best(cell)
    if best is None:
        return f"| `{cell[0]}` | {cell[1]} | no run came to an end | | | | | |"
    rates = [row["what"]["options"]["learning_rate"] for row in tried]
    rate = best["what"]["options"]["learning_rate"]
    shown = f"{rate:g}{' (an end)' if rate in (min(rates), max(rates)) else ''}"
    return (
        f"| `{cell[0]}` | {cell[1]} | {shown} | {best['recall@1']:.1%} | {finals(rows.of(cell, 'final'))} |"
    )


def finals(found: list[dict[str, Any]]) -> str:
    """Means over the seeds, with half of the interval where there are several."""
    if not found:
        return "not run yet | | | "
    if len(found) == 1:
        quality = [f"{found[0][name]:.1%}" for name in ("recall@1", "map@r")]
    else:
        quality = [
            grid.percent(mean_and_interval([row[name] for row in found])) for name in ("recall@1", "map@r")
        ]
    minutes = sum(row["train_seconds"] for row in found) / len(found) / 60
    return f"{' | '.join(quality)} | {len(found)} | {minutes:.0f}"


def long_runs(rows: Rows, dim: int) -> Iterator[str]:
    """What was trained for longer, beside the network's own features."""
    found = [row for row in rows.rows if row["what"]["stage"] == "long" and "recall@1" in row]
    if not found:
        return
    steps = " or ".join(sorted({f"{row['steps']:,}" for row in found}))
    yield (
        f"\nThe best on val, trained for longer on all training species, {steps} steps, one seed. "
        "*Trained on*: Recall@1 on as many of the species that were trained on, before and after.\n"
    )
    yield (
        "| method | embedding | learning rate | Recall@1 | trained on | MAP@R | above its own features | "
        "training, min |"
    )
    yield f"|{'---|' * 8}"
    frozen = rows.of(("frozen", ""), "frozen")
    for row in found:
        gain = f"{signed(row['recall@1'] - frozen[0]['recall@1'])} points" if frozen else "not measured"
        rate, minutes = row["what"]["options"]["learning_rate"], row["train_seconds"] / 60
        seen = grid.before_and_after(row)
        quality = f"{row['recall@1']:.1%} | {seen} | {row['map@r']:.1%} | {gain}"
        yield (
            f"| `{row['what']['cell'][0]}` | {size_of(row, dim)} | {rate:g} | {quality} | "
            f"{minutes:.0f} {short_device_of(row)} |"
        )


def on_val(rows: Rows, cell: Cell) -> float:
    best = rows.best(cell)
    return best["recall@1"] if best else 0.0
