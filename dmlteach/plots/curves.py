"""Curves of training runs, and a comparison of several runs with intervals over seeds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from dmlteach.errors import DMLTeachError
from dmlteach.files import damaged, read_json
from dmlteach.plots.style import CYCLE, GREY, LOSS_COLOURS, MARKERS, Picture, styled

RESUME = "Resume the run with --resume: it writes the file anew from its checkpoint."


class Curve(NamedTuple):
    """One run: numbers per epoch, and when they were reached."""

    epochs: list[float]
    loss: list[float]  # NaN before the first epoch
    recall: list[float]  # Recall@1; NaN in epochs without evaluation
    minutes: list[float]  # of training since the start; empty where unknown


def read_curve(run: Any) -> Curve:
    """The curve of a run folder, of the content of its metrics.json, or of a shipped recording.

    Args:
        run: path of a run folder, a dict with "epochs", or an object with `epochs`, `loss`, `recall` and
            perhaps `seconds`.

    Returns:
        Epochs counted from 1, loss, Recall@1 on val, minutes of training.

    Raises:
        DMLTeachError: the folder holds no metrics.json, or a damaged one, or no epoch is finished.
    """
    file = None
    if isinstance(run, Curve):
        return run
    if hasattr(run, "recall"):
        minutes = np.asarray(getattr(run, "seconds", []), float) / 60
        columns = (np.asarray(x, float).tolist() for x in (run.epochs, run.loss, run.recall, minutes))
        return Curve(*columns)
    if isinstance(run, str | Path):
        file = Path(run) / "metrics.json"
        if not file.is_file():
            raise DMLTeachError(
                f"{run} is no run folder: it has no metrics.json. Train first: dmlteach train."
            )
        run = read_json(file, RESUME)
    try:
        return _curve(run["epochs"])
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        if isinstance(error, DMLTeachError):
            raise
        reason = f"it holds no list of epochs with their numbers: {type(error).__name__} {error}"
        raise damaged(file or Path("metrics.json"), reason, RESUME) from error


def _curve(rows: list[dict[str, Any]]) -> Curve:
    if len(rows) == 0:
        raise DMLTeachError("the run has not finished an epoch yet: there is nothing to draw.")
    seconds = [_number(row["seconds"]) + _number(row.get("plan_seconds", 0)) for row in rows]
    return Curve(
        epochs=[_number(row["epoch"]) + 1 for row in rows],
        loss=[_number(row["loss"]) for row in rows],
        recall=[_number(row.get("val", {}).get("recall@1", np.nan)) for row in rows],
        minutes=(np.cumsum(seconds) / 60).tolist(),
    )


def _number(value: Any) -> float:
    """NaN, or a number that can be drawn."""
    if not isinstance(value, int | float) or abs(value) > 1e12:
        raise ValueError(f"{str(value)[:40]!r} is no number of a training")
    return float(value)


@styled
def training_curves(
    runs: Mapping[str, Any],
    evaluated_on: str = "val classes",
    untrained: float | None = None,
    start: str = "untrained",
) -> Picture:
    """Loss per epoch, and Recall@1 per epoch and (where known) per minute of training.

    Losses of several runs have different units, so each is divided by its first value. Every axis begins
    at 0, that of Recall@1 ends at 1; a panel that would be empty is left out.

    Args:
        runs: what `read_curve` takes, by the name of the run.
        evaluated_on: which classes Recall@1 was measured on, for the axis.
        untrained: Recall@1 of the network before its first step, on the same classes: a dashed line.
        start: what is written beside that line.

    Returns:
        The figure.

    Raises:
        DMLTeachError: a run cannot be read.
    """
    curves = {name: read_curve(run) for name, run in runs.items()}
    evaluated = any(_known(curve.recall) for curve in curves.values())
    timed = evaluated and all(curve.minutes for curve in curves.values())
    panels = 1 + evaluated + timed
    figure = Picture(4.3 * panels, 3.5)
    loss, *recalls = figure.subplots(1, panels, squeeze=False)[0]
    several = len(curves) > 1
    for i, (name, curve) in enumerate(curves.items()):
        unit = [*_known(curve.loss), 1][0] if several else 1
        _line(loss, curve.epochs, np.array(curve.loss) / unit, name, i)
        for axes, x in zip(recalls, (curve.epochs, curve.minutes), strict=False):
            _line(axes, x, curve.recall, name, i)
    loss.set(xlabel="epoch", ylabel="loss ÷ its first value" if several else "training loss")
    loss.set_ylim(*_from_zero(*loss.get_ylim()))
    for axes, xlabel in zip(recalls, ("epoch", "minutes of training"), strict=False):
        axes.set(xlabel=xlabel, ylabel=f"Recall@1 on {evaluated_on}", ylim=(0, 1))
        if untrained is not None:
            _level(axes, untrained, start, [_known(curve.recall)[-1:] for curve in curves.values()])
    for axes in (loss, *recalls):
        axes.set_xlim(left=0)
        axes.grid(alpha=0.25, linewidth=0.6)
        if axes.get_xlabel() == "epoch":
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        else:
            axes.xaxis.set_major_locator(MaxNLocator(4))
    if several:
        loss.legend()
    before = "" if untrained is None else f" {start.capitalize()}, the network has {untrained:.3f}."
    figure.alt = _alt(curves, evaluated_on, timed) + before
    return figure


def _level(axes: Axes, height: float, name: str, ends: Sequence[Sequence[float]]) -> None:
    """A dashed line across, over the curves, with its name on the side where they do not end."""
    axes.axhline(height, color=GREY, linestyle=(0, (4, 2)), linewidth=1.2, zorder=3, clip_on=False)
    below = height > 0.1 and all(end >= height for last in ends for end in last)
    off = (
        8 if any(abs(end - height) < 0.03 for last in ends for end in last) else 3
    )  # past a curve's last mark
    axes.annotate(name, (1, height), (0, -off if below else off), xycoords=("axes fraction", "data"),
                  textcoords="offset points", ha="right", va="top" if below else "baseline", color=GREY,
                  fontsize=9)  # fmt: skip


def _from_zero(low: float, high: float) -> tuple[float, float]:
    """The same axis with 0 on it: some losses are negative."""
    return (min(low, 0), max(high, 0)) if low < 0 else (0, 1.05 * high)


def _line(axes: Axes, x: Sequence[float], y: Any, name: str, i: int) -> None:
    known = ~np.isnan(np.asarray(y, float))
    axes.plot(
        np.asarray(x)[known],
        np.asarray(y)[known],
        color=LOSS_COLOURS.get(name, CYCLE[i % len(CYCLE)]),
        marker=MARKERS[i % len(MARKERS)],
        markersize=4.5,
        label=name,
    )


def _alt(curves: Mapping[str, Curve], evaluated_on: str, timed: bool) -> str:
    parts, evaluated = [], False
    for name, curve in curves.items():
        losses = _known(curve.loss)
        part = (
            f"{name}: the loss goes from {losses[0]:.3g} to {losses[-1]:.3g}"
            if losses
            else f"{name}: no loss"
        )
        if recalls := _known(curve.recall):
            evaluated = True
            part += f", Recall@1 from {recalls[0]:.3f} to {recalls[-1]:.3f}"
        last = curve.epochs[-1]
        parts.append(part + f" in {last:g} epoch{'s' * (last != 1)}")
    what = "training loss" + f", then Recall@1 on {evaluated_on}" * evaluated + ", by epoch"
    return f"Curves of {what}{' and by minute' * timed}. {'; '.join(parts)}."


def _known(values: Sequence[float]) -> list[float]:
    return [value for value in values if not np.isnan(value)]


def mean_and_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Mean over seeds and half the width of its t interval; infinite for a single seed.

    Args:
        values: one number per seed.
        confidence: of the interval.
    """
    from scipy.stats import t

    if len(values) < 2:
        return float(np.mean(values)), float("inf")
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return float(np.mean(values)), float(error * t.ppf((1 + confidence) / 2, len(values) - 1))


@styled
def comparison(table: Mapping[tuple[str, str], Sequence[float]], measure: str = "Recall@1") -> Picture:
    """Every run as a small dot, and mean with 95 % interval over seeds, for losses and samplers.

    Args:
        table: one number per seed, by (loss, sampler).
        measure: what the numbers are, for the axis.

    Returns:
        The figure: a group per sampler, a colour and shape per loss.
    """
    losses_of = list(dict.fromkeys(loss for loss, _ in table))
    samplers_of = list(dict.fromkeys(sampler for _, sampler in table))
    figure = Picture(2.2 * len(samplers_of) + 2.4, 4.0)
    axes = figure.subplots()
    shifts = (np.arange(len(losses_of)) - (len(losses_of) - 1) / 2) * 0.22
    parts = []
    for i, loss in enumerate(losses_of):
        colour, marker = LOSS_COLOURS.get(loss, CYCLE[i % len(CYCLE)]), MARKERS[i % len(MARKERS)]
        for x, sampler in enumerate(samplers_of):
            values = table.get((loss, sampler))
            if values is None:
                continue
            mean, half = mean_and_interval(values)
            at = x + shifts[i]
            axes.scatter([at + 0.07] * len(values), values, s=10, color=colour, alpha=0.6, linewidths=0)
            if np.isfinite(half):
                axes.errorbar(at, mean, half, color=colour, capsize=4, linewidth=1.6)
            axes.plot(at, mean, marker, color=colour, markersize=7, label=loss if x == 0 else None)
            known = f" ± {half:.3f}" if np.isfinite(half) else ""
            parts.append(
                f"{loss} with {sampler} {mean:.3f}{known} ({len(values)} seed{'s' * (len(values) > 1)})"
            )
    axes.set_xticks(range(len(samplers_of)), samplers_of)
    axes.set(xlabel="which images share a batch", ylabel=measure, xlim=(-0.5, len(samplers_of) - 0.5))
    axes.grid(axis="y", alpha=0.25, linewidth=0.6)
    axes.legend(title="loss", loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.alt = f"{measure}, mean and 95 % interval over seeds: {'; '.join(parts)}."
    return figure
