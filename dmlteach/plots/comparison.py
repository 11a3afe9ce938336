"""Several trainings beside each other: every seed as a dot, means with intervals, and tables as heat maps."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import seaborn

from dmlteach.metrics.over_seeds import interval, mean_and_interval
from dmlteach.plots.letters import folded
from dmlteach.plots.reading import fitted
from dmlteach.plots.style import BLACK, BLUE, GREY, MARKERS, Picture, palette, styled

Table = Mapping[tuple[str, str], Sequence[float]]  # one number per seed


@styled
def comparison(table: Table, measure: str = "Recall@1") -> Picture:
    """Every run as a small dot, and mean with 95 % interval over seeds, for losses and samplers.

    Args:
        table: one number per seed, by (loss, sampler).
        measure: what the numbers are, for the axis.

    Returns:
        The figure: a group per sampler, a colour and shape per loss.
    """
    losses_of = list(dict.fromkeys(loss for loss, _ in table))
    samplers_of = list(dict.fromkeys(sampler for _, sampler in table))
    rows = [(loss, sampler, value) for (loss, sampler), values in table.items() for value in values]
    loss, sampler, value = zip(*rows, strict=True)
    look: Any = {
        "data": {"loss": loss, "sampler": sampler, measure: value},
        "x": "sampler", "y": measure, "hue": "loss", "order": samplers_of, "hue_order": losses_of,
        "palette": palette(losses_of),
    }  # fmt: skip
    figure = Picture(2.2 * len(samplers_of) + 2.4, 4.0)
    axes = figure.subplots()
    apart = 0.8 * (1 - 1 / len(losses_of))  # where stripplot puts the dots
    seaborn.stripplot(**look, ax=axes, dodge=True, jitter=False, size=3.5, alpha=0.6, legend=False)
    seaborn.pointplot(
        **look, ax=axes, dodge=apart, linestyle="none", errorbar=interval, capsize=0.06,
        markers=[MARKERS[i % len(MARKERS)] for i in range(len(losses_of))], markersize=5.5,
        err_kws={"linewidth": 1.6},
    )  # fmt: skip
    axes.set(xlabel="which images share a batch", ylabel=measure, xlim=(-0.5, len(samplers_of) - 0.5))
    axes.grid(axis="y", alpha=0.25, linewidth=0.6)
    axes.legend(title="loss", loc="center left", bbox_to_anchor=(1.0, 0.5))
    parts = [f"{loss} with {sampler} {_said(values)}" for (loss, sampler), values in table.items()]
    figure.alt = f"{measure}, mean and 95 % interval over seeds: {'; '.join(parts)}."
    return figure


@styled
def ranking(
    table: Mapping[str, Sequence[float]], measure: str = "Recall@1", lines: Mapping[str, float] | None = None
) -> Picture:
    """Methods one below the other, the best mean on top: every seed as a dot, mean with 95 % interval.

    Args:
        table: one number per seed, by the name of the method.
        measure: what the numbers are, for the axis.
        lines: values to compare with, by their name: a dashed line each.

    Returns:
        The figure.
    """
    names = sorted(table, key=lambda name: -np.mean(table[name]))
    rows = [(name, value) for name in names for value in table[name]]
    method, value = zip(*rows, strict=True)
    look: Any = {"data": {"method": method, measure: value}, "x": measure, "y": "method", "order": names}
    figure = Picture(6.8, 0.24 * len(names) + 1.2)
    axes = figure.subplots()
    seaborn.stripplot(**look, ax=axes, jitter=False, size=3.5, alpha=0.6, color=BLUE)
    seaborn.pointplot(
        **look, ax=axes, linestyle="none", errorbar=interval, capsize=0.25, color=BLUE, markersize=4.5,
        err_kws={"linewidth": 1.2},
    )  # fmt: skip
    for name, height in (lines or {}).items():
        axes.axvline(height, color=GREY, linestyle=(0, (4, 2)), linewidth=1.2)
        axes.annotate(name, (height, 1), (3, 3), xycoords=("data", "axes fraction"),
                      textcoords="offset points", color=GREY, fontsize=9)  # fmt: skip
    axes.set(ylabel="", ylim=(len(names) - 0.5, -0.5), xlim=(0, 1))
    axes.grid(axis="x", alpha=0.25, linewidth=0.6)
    beside = "".join(f" {name.capitalize()}: {height:.3f}." for name, height in (lines or {}).items())
    parts = "; ".join(f"{name} {_said(table[name])}" for name in names)
    figure.alt = f"{measure}, mean and 95 % interval over seeds, the best first: {parts}.{beside}"
    return figure


@styled
def heat_map(
    table: Table,
    measure: str = "Recall@1",
    untrained: float | None = None,
    rows: str = "loss",
    columns: str = "sampler",
) -> Picture:
    """A table of means over seeds as colours, the numbers written on them: mean ± half of the 95 % interval.

    Args:
        table: one number per seed, by (row, column); a cell may be missing, and says so.
        measure: what the numbers are: fractions, written in percent.
        untrained: what the network reaches before its first step, for the title.
        rows, columns: what they are, for the axes.

    Returns:
        The figure.
    """
    down = list(dict.fromkeys(row for row, _ in table))
    across = list(dict.fromkeys(column for _, column in table))
    summary = {cell: mean_and_interval(values) for cell, values in table.items()}
    cells = [[summary.get((row, column), (np.nan, np.nan)) for column in across] for row in down]
    numbers = 100 * np.array(cells)  # (rows, columns, mean and half of the interval)
    labels = {"xticklabels": across, "yticklabels": down}
    title = "" if untrained is None else f"untrained: {100 * untrained:.1f} %"

    figure = _heat_map((1.25 * len(across) + 2.2, 0.72 * len(down) + 1.2), numbers, True, title, **labels)
    figure.axes[0].set(xlabel=columns, ylabel=rows)
    figure.axes[1].set_ylabel(f"{measure}, %")

    def again(width: float) -> Picture:
        """On a phone there is room for the means alone."""
        if width >= 5:
            return fitted(figure, width)
        small = _heat_map((width, 0.45 * len(down) + 1.8), numbers, False, title, **labels)
        small.axes[0].set_xlabel(folded(f"{measure}, %, by {columns}", 0.55 * width, 10.5))
        small.axes[0].tick_params(axis="x", rotation=90)
        return small

    figure.again = again
    parts = [f"{row} with {column} {_said(values)}" for (row, column), values in table.items()]
    missing = [(row, column) for row, column in product(down, across) if (row, column) not in table]
    parts += [f"{row} with {column} not run" for row, column in missing]
    before = "" if untrained is None else f" Untrained: {untrained:.3f}."
    figure.alt = f"Table of {measure} by {rows} and {columns}: {'; '.join(parts)}.{before}"
    return figure


def _heat_map(
    size: tuple[float, float], numbers: np.ndarray, whole: bool, title: str, **labels: Sequence[str]
) -> Picture:
    """Colours with means on them; the `whole` of it has the intervals and a scale of colours too."""
    said = np.full(numbers.shape[:2], "", object)
    for at in np.argwhere(~np.isnan(numbers[..., 0])):
        mean, half = numbers[tuple(at)]
        said[tuple(at)] = f"{mean:.1f}" + f"\n± {half:.1f}" * bool(whole and np.isfinite(half))
    figure = Picture(*size)
    axes = figure.subplots()
    seaborn.heatmap(
        numbers[..., 0], ax=axes, annot=said, fmt="", cmap=seaborn.light_palette(BLUE, as_cmap=True), vmin=0,
        vmax=100, linewidths=1, annot_kws={"fontsize": 9 if whole else 8.5}, cbar=whole, **labels,
    )  # fmt: skip
    is_number = ~np.isnan(numbers[..., 0]).ravel()
    colors = np.asarray(axes.collections[0].get_facecolor())[is_number]
    for letters, behind in zip(axes.texts, colors, strict=True):
        letters.set_color(_ink_on(behind))
    for row, column in np.argwhere(np.isnan(numbers[..., 0])):
        axes.text(column + 0.5, row + 0.5, "not run", color=GREY, fontsize=8.5, ha="center", va="center")
    axes.set_title(title, loc="left")
    axes.tick_params(length=0)
    axes.tick_params(axis="y", rotation=0)
    return figure


def _ink_on(color: Sequence[float]) -> str:
    """Black or white, whichever stands out more on a color (seaborn takes white on half-tones as well)."""
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in color[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return BLACK if luminance > 0.2 else "white"  # there both have a contrast of about 4.2


def _said(values: Sequence[float]) -> str:
    mean, half = mean_and_interval(values)
    known = f" ± {half:.3f}" if np.isfinite(half) else ""
    return f"{mean:.3f}{known} ({len(values)} seed{'s' * (len(values) > 1)})"
