"""What was measured of a method, here and elsewhere, as sentences for its card."""

from collections.abc import Sequence
from typing import Any

from dmlteach.course import measured, published
from dmlteach.course.measured import Ranked
from dmlteach.errors import DMLTeachError, counted

BASELINE = "softmax"
RATE = "the learning rate"
NEAR = 0.02  # of Recall@1: values that come so near to the best are as good for a first try


def ranges(method: str) -> list[str]:
    """What to tune first and in which range, from the tuning runs on val classes.

    Args:
        method: our id.
    """
    if measured.tuned(method) is None:
        return ["It is not tuned here yet."]
    tried, found = measured.runs(method, measured.RECIPE, "tuning"), _tried(method)
    first, *others = sorted(found, key=lambda name: -_spread(found[name]))
    classes = f"{tried[0].num_classes} val classes"
    sentence = f"First {first}, which moved Recall@1 by {_spread(found[first]):.1f} points on {classes}"
    sentence += "".join(f"; then {name}, by {_spread(found[name]):.1f}" for name in others)
    return [f"{sentence}.", *(_range(name, found[name]) for name in (first, *others))]


def moved(method: str) -> dict[str, float]:
    """Points of Recall@1 on val between the best and the worst value of the rate, and of the option.

    Args:
        method: our id.
    """
    return {name: _spread(recalls) for name, recalls in _tried(method).items()}


def _tried(method: str) -> dict[str, dict[float, float]]:
    """Recall@1 by learning rate, and by the option at the rate that most runs had; nothing where untuned."""
    if measured.tuned(method) is None:
        return {}
    tried = measured.runs(method, measured.RECIPE, "tuning")
    value, rate = (_most([getattr(run, name) for run in tried]) for name in ("value", "learning_rate"))
    rates = {run.learning_rate: run.recall for run in tried if run.value == value}
    values = {r.value: r.recall for r in tried if r.learning_rate == rate and r.value is not None}
    found = {RATE: rates, f"`{tried[0].option}`": values}
    return {name: recalls for name, recalls in found.items() if len(recalls) > 1}


def _most(values: list[Any]) -> Any:
    """The value that stands there most often; that of the recipe, and the rate that was best with it."""
    return max(values, key=values.count)


def _spread(recalls: dict[float, float]) -> float:
    """Percent between the highest and the lowest."""
    return 100 * (max(recalls.values()) - min(recalls.values()))


def _range(what: str, recalls: dict[float, float]) -> str:
    """The values tried, the best (of equal ones the first, the recipe's), and those that come near to it."""
    best, values = max(recalls, key=lambda value: recalls[value]), sorted(recalls)
    near = [value for value in values if recalls[value] >= recalls[best] - NEAR]
    span = f"{near[0]:g}" if len(near) == 1 else f"{near[0]:g} to {near[-1]:g}"
    tried = ", ".join(f"{value:g}" for value in values)
    sentence = (
        f"{what[0].upper()}{what[1:]}: best {best:g} of {tried}; within {100 * NEAR:g} points of it, {span}."
    )
    at_end = best in (values[0], values[-1])
    return sentence + (" The best is an end of what was tried: look beyond it, too." if at_end else "")


def ranks(method: str) -> list[str]:
    """How a method ranks among those measured alike, with the interval over seeds.

    Args:
        method: our id.
    """
    order = measured.ranking()
    place = next((i for i, one in enumerate(order) if one.method == method), None)
    if place is None:
        return [f"It has not been run with the {len(order)} methods that were tuned alike."]
    own, run = order[place], next(iter(order[place].runs.values()))
    lines = [
        f"{_ordinal(place + 1)} of {len(order)} methods tuned alike: Recall@1 {_recall(own)} among "
        f"{run.num_classes} test classes of {run.dataset} after {run.steps:,} steps of {run.backbone}"
        f"{_untrained(own)}."
    ]
    for seeds, alike in _alike(own, order).items():
        lines.append(f"{counted(seeds, 'shared seed')} cannot tell it from: {', '.join(alike)}.")
    baseline = next((one for one in order if one.method == BASELINE), None)
    if baseline is not None and method != BASELINE:
        lines.append(f"The classifier, `{BASELINE}`, reaches {_recall(baseline)} there.")
    return lines


def _alike(own: Ranked, order: Sequence[Ranked]) -> dict[int, list[str]]:
    """Methods whose difference to this one has an interval that holds 0, by the seeds that both have."""
    found: dict[int, list[str]] = {}
    for other in order:
        mean, half, seeds = own.minus(other)
        if other.method != own.method and not abs(mean) > half:
            found.setdefault(seeds, []).append(other.method)
    return found


def _recall(one: Ranked) -> str:
    mean, half = one.recall()
    return f"{100 * mean:.1f} ± {100 * half:.1f} % ({len(one.runs)} seeds, 95 % interval)"


def _untrained(one: Ranked) -> str:
    known = [run.untrained for run in one.runs.values() if run.untrained is not None]
    return f"; untrained, the network reaches {100 * sum(known) / len(known):.1f} %" if known else ""


def _ordinal(place: int) -> str:
    ending = "th" if place % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"{place}{ending}"


def reported(method: str) -> list[str]:
    """What papers and tables report of a method, a sentence for each data set.

    Args:
        method: our id.
    """
    try:
        rows = published.results(method=method)
    except DMLTeachError:
        return ["Among the published results that dmlteach knows it has none."]
    by_dataset: dict[str, list[published.Result]] = {}
    for row in rows:
        if (row.metric, row.k) == ("Recall@K", 1):
            by_dataset.setdefault(row.dataset_id, []).append(row)
    return [_reported_on(dataset, rows) for dataset, rows in by_dataset.items()]


def _reported_on(dataset: str, rows: list[published.Result]) -> str:
    values = sorted(row.value for row in rows)
    span = f"{values[0]:.1f} %" if len(values) == 1 else f"{values[0]:.1f} to {values[-1]:.1f} %"
    networks = ", ".join(dict.fromkeys(row.backbone for row in rows))
    sources = "; ".join(dict.fromkeys(row.source for row in rows))
    return f"{dataset}: Recall@1 {span} ({networks}) in {sources}."
