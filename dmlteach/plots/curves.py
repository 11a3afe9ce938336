"""Curves of training runs by epoch and by minute: each run as a line, or the seeds of one as a band."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from dmlteach.errors import DMLTeachError
from dmlteach.files import damaged, read_json
from dmlteach.metrics.over_seeds import interval
from dmlteach.plots.style import GREY, MARKERS, Picture, colour_of, palette, styled

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
        color=colour_of(name, i),
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


@styled
def curves_over_seeds(
    runs: Mapping[str, Sequence[Any]], evaluated_on: str = "val classes", untrained: Sequence[float] = ()
) -> Picture:
    """Recall@1 by epoch: of each method the mean over seeds with its 95 % interval, and every seed as a line.

    Args:
        runs: what `read_curve` takes, one for each seed, by the name of the method.
        evaluated_on: which classes Recall@1 was measured on, for the axis.
        untrained: Recall@1 of each seed's network before its first step, on the same classes: epoch 0.

    Returns:
        The figure. Of one seed there is no band.

    Raises:
        DMLTeachError: a run cannot be read.
    """
    rows = [
        {"method": name, "seed": seed, "epoch": epoch, "recall": recall}
        for name, several in runs.items()
        for seed, run in enumerate(several)
        for epoch, recall in _by_epoch(read_curve(run), untrained[seed] if seed < len(untrained) else None)
    ]
    data = {key: [row[key] for row in rows] for key in ("method", "seed", "epoch", "recall")}
    figure = Picture(6.4, 3.8)
    axes = figure.subplots()
    look: Any = {
        "data": data,
        "x": "epoch",
        "y": "recall",
        "hue": "method",
        "palette": palette(runs),
        "ax": axes,
    }
    seaborn.lineplot(**look, units="seed", estimator=None, linewidth=0.8, alpha=0.5, legend=False)
    seaborn.lineplot(**look, errorbar=interval, marker="o", linewidth=2, err_kws={"alpha": 0.15})
    axes.set(xlabel="epoch", ylabel=f"Recall@1 on {evaluated_on}", ylim=(0, 1), xlim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.legend()
    ends = {name: [_known(read_curve(run).recall)[-1] for run in several] for name, several in runs.items()}
    parts = [f"{name}: at the end {', '.join(f'{end:.3f}' for end in found)}" for name, found in ends.items()]
    before = f" Untrained: {', '.join(f'{start:.3f}' for start in untrained)}." if untrained else ""
    figure.alt = f"Recall@1 on {evaluated_on} by epoch, a line a seed. {'; '.join(parts)}.{before}"
    return figure


def _by_epoch(curve: Curve, untrained: float | None) -> list[tuple[float, float]]:
    start = [] if untrained is None else [(0.0, untrained)]
    return start + [
        (epoch, recall)
        for epoch, recall in zip(curve.epochs, curve.recall, strict=True)
        if not np.isnan(recall)
    ]
