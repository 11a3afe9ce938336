"""What the results explorer ranks: the benchmark's runs, and what others have published, by its filters."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

from scipy.stats import t

from dmlteach.course import measured, published
from dmlteach.errors import unknown_name
from dmlteach.metrics import mean_and_interval
from dmlteach.options import one_of

VIEWS = ("final", "tuning", "published")
ALL, OWN, BEST = "all", "own", "best"
UNKNOWN = "not given"
# Filters of each view, those first on which the values of the next depend. Our runs are compared under one
# value each of data, backbone and steps, so these have no "all"; the device decides seconds alone.
SETTING = ("dataset", "backbone", "steps", "device")
FILTERS: dict[str, tuple[str, ...]] = {
    "final": (*SETTING, "sampler", "seed"),
    "tuning": (*SETTING, "sampler", "rate"),
    "published": ("dataset", "backbone", "dim"),
}
PAPERS = "cub200"  # the data set on which most is published


class Row(NamedTuple):
    """A number that can be ranked, with what the filters ask for as text.

    Attributes:
        name: of what is ranked: a method and its variant; of published numbers, all that is told of them.
        told: what is shown below the name.
        facts: by the name of a filter.
        option: setting of the loss in a run of tuning.
        value: Recall@1.
        classes: that were searched; None where the source does not say.
        untrained: Recall@1 of the network before its first step, where it was measured.
    """

    name: str
    told: str
    facts: Mapping[str, str]
    option: str
    value: float
    classes: int | None
    untrained: float | None


class Entry(NamedTuple):
    """A line of the ranking: a name and its values by seed."""

    name: str
    values: dict[str, float]

    def mean(self) -> tuple[float, float]:
        """Mean over the seeds, and half of its 95 % interval."""
        return mean_and_interval([*self.values.values()])


@cache
def rows(view: str) -> tuple[Row, ...]:
    """All numbers of a view, in the order of their file.

    Args:
        view: "final", "tuning" or "published".
    """
    if view == "published":
        found = [r for r in published.results() if (r.metric, r.k) == ("Recall@K", 1) and r.dataset_id]
        return tuple(dict.fromkeys(map(_published, found)))  # a number that stands twice counts once
    return tuple(_measured(run) for run in measured.runs(stage=view))


def _measured(run: measured.Run) -> Row:
    facts = {
        "dataset": run.dataset, "backbone": run.backbone, "steps": str(run.steps), "device": run.device,
        "sampler": run.sampler, "seed": str(run.seed), "rate": f"{run.learning_rate:g}",
        "variant": run.variant,
    }  # fmt: skip
    option = "" if run.value is None else f"{run.option} {run.value:g}"
    return Row(
        f"{run.method} {run.variant}".strip(), "", _Facts(facts), option, run.recall, run.num_classes,
        run.untrained,
    )  # fmt: skip


def _published(result: published.Result) -> Row:
    backbone, dim = result.backbone or UNKNOWN, str(result.dim or UNKNOWN)
    facts = {"dataset": result.dataset_id, "backbone": backbone, "dim": dim, "source": result.source}
    told = f"{backbone}, D = {dim}; {result.source}"
    name = f"{result.method}; {told}"
    return Row(name, told, _Facts(facts), "", result.value / 100, None, None)


class _Facts(dict[str, str]):
    """Facts of a row; two rows with the same are one."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))


def options(view: str, filter: str, given: Mapping[str, str]) -> list[str]:
    """Values that a filter may have, the usual one first.

    Args:
        view: as of `rows`.
        filter: one of `FILTERS`.
        given: values of the filters before it.
    """
    before = FILTERS[view][: FILTERS[view].index(filter)]
    left = [r for r in rows(view) if all(_passes(view, f, given[f], r) for f in before if f in given)]
    counted = Counter(row.facts[filter] for row in left if filter in row.facts)
    usual = [PAPERS] if view == "published" and filter == "dataset" else []
    known = [value for value in usual if value in counted]
    known += sorted(
        set(counted) - {*known}, key=lambda v: (-counted[v], v) if filter in SETTING else _order(v)
    )
    extra = {"sampler": [OWN, ALL], "seed": [ALL], "rate": [BEST], "dim": [ALL]}
    if (view, filter) == ("published", "backbone") or (filter == "device" and len(known) > 1):
        return [ALL, *known]
    return [*extra.get(filter, []), *known]


def _order(value: str) -> tuple[float, str]:
    try:
        return float(value), value
    except ValueError:
        return float("inf"), value


def settled(view: str, filters: Mapping[str, Any]) -> dict[str, str]:
    """All filters of a view with a value: that given, or the usual one.

    Args:
        view: as of `rows`.
        filters: values of some of them.

    Raises:
        DMLTeachError: a filter that the view has not, or a value that no number has.
    """
    for name in filters:
        one_of("filter", name, FILTERS[view])
    chosen: dict[str, str] = {}
    for name in FILTERS[view]:
        known = options(view, name, chosen)
        value = str(filters.get(name, known[0]))
        if value not in known:
            raise unknown_name(f"{name} of the {view} numbers", value, known)
        chosen[name] = value
    return chosen


def _passes(view: str, filter: str, value: str, row: Row) -> bool:
    if filter == "sampler" and value == OWN:
        return row.facts["variant"] == measured.RECIPE
    return value in (ALL, BEST) or row.facts[filter] == value


def ranking(view: str, filters: Mapping[str, str]) -> list[Entry]:
    """What passes the filters, the best mean first.

    Args:
        view: as of `rows`.
        filters: settled.
    """
    left = [r for r in rows(view) if all(_passes(view, f, v, r) for f, v in filters.items() if f != "rate")]
    choose: Callable[[list[Row], str], list[Row]] = _at_rate if view == "tuning" else lambda of, _: of
    entries = []
    for name in dict.fromkeys(row.name for row in left):
        chosen = choose([row for row in left if row.name == name], filters.get("rate", ""))
        if chosen:
            values: dict[str, float] = {}
            for row in chosen:  # of a seed that was run on several devices, the first in the file counts
                values.setdefault(row.facts.get("seed", ""), row.value)
            entries.append(Entry(name, values))
    return sorted(entries, key=lambda entry: -entry.mean()[0])


def _at_rate(tried: list[Row], rate: str) -> list[Row]:
    """The best of what was tried for a method; or, with one rate for all, the run with its loss as it was
    with every rate.
    """
    settings: dict[tuple[str, str], list[Row]] = {}
    for row in tried:
        settings.setdefault((row.facts["rate"], row.option), []).append(row)
    if rate == BEST:
        best = min(tried, key=lambda row: (-row.value, float(row.facts["rate"])))
        return [best, *settings[best.facts["rate"], best.option]]
    rates = Counter(option for _, option in settings)
    return settings.get((rate, rates.most_common(1)[0][0]), [])


def beside(view: str, filters: Mapping[str, str]) -> tuple[int | None, float | None]:
    """What a Recall@1 is to be seen beside: how many classes were searched, and the untrained network's.

    Args:
        view: as of `rows`.
        filters: settled.
    """
    left = [r for r in rows(view) if all(_passes(view, f, filters[f], r) for f in SETTING if f in filters)]
    before = [row.untrained for row in left if row.untrained is not None]
    return left[0].classes, sum(before) / len(before) if before else None


@cache
def packed() -> dict[str, Any]:
    """All views as JSON, each word written once, and quantiles of Student's t."""
    tables = {view: _table(rows(view), (*FILTERS[view], *_MORE[view])) for view in VIEWS}
    most = max(len(entry.values) for entry in ranking("final", settled("final", {})))
    freedom = range(1, max(most, 2) + 30)
    return {
        "tables": tables,
        "t": [round(float(t.ppf(0.975, df)), 6) for df in freedom],
        "filters": {view: list(names) for view, names in FILTERS.items()},
        "papers": PAPERS,
    }


_MORE = {"final": ("variant",), "tuning": ("variant",), "published": ("source",)}


def _table(given: Iterable[Row], facts: Iterable[str]) -> dict[str, Any]:
    given, facts = list(given), ["name", "told", "option", "classes", *facts]
    lines = [
        {"name": r.name, "told": r.told, "option": r.option, "classes": str(r.classes or ""), **r.facts}
        for r in given
    ]
    words = {fact: list(dict.fromkeys(line[fact] for line in lines)) for fact in facts}
    places = {fact: {word: i for i, word in enumerate(of)} for fact, of in words.items()}
    return {
        "words": words,
        "rows": [[places[fact][line[fact]] for fact in facts] for line in lines],
        "values": [round(row.value, 6) for row in given],
        "untrained": [None if row.untrained is None else round(row.untrained, 6) for row in given],
    }
