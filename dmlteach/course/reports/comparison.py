"""What a comparison of runs says and draws: of sweeps of one's own, or of the benchmark of this package."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import NamedTuple

from dmlteach.course import Text, measured, statements
from dmlteach.course.reports import commands
from dmlteach.course.reports.text import percent
from dmlteach.data.omniglot import DRAWERS
from dmlteach.errors import DMLTeachError, counted, unknown_name
from dmlteach.plots import comparison
from dmlteach.plots.style import Picture
from dmlteach.sweep import compare
from dmlteach.sweep.compare import Setting, Table

BENCHMARK = "the benchmark of dmlteach"
Grid = tuple[str, str, comparison.Table]  # what its rows and its columns are, and the values


class Comparison(NamedTuple):
    """What is compared.

    Attributes:
        source: where the runs are from.
        tables: of settings measured on one test set each, the best mean first.
        missing: runs of the sweeps that are not done.
        grids: values by two options, each with the table whose test set they were measured on.
    """

    source: str
    tables: list[Table]
    missing: int
    grids: Sequence[tuple[Table, Grid]]

    @property
    def is_benchmark(self) -> bool:
        """Whether it is of the runs that come with the package."""
        return self.source == BENCHMARK


def open_runs(runs: str | None, measure: str, on: str) -> Comparison:
    """The runs to compare.

    Args:
        runs: folders of sweeps or runs, with commas between them; None for the benchmark.
        measure: a number of metrics.json; of the benchmark Recall@1 or MAP@R.
        on: "test" or "val"; the benchmark's finals are measured on test only.

    Raises:
        DMLTeachError: there are no such runs, or they were not measured so.
    """
    if runs is None:
        return _benchmark(measure, on)
    found, missing = compare.read(place.strip() for place in runs.split(","))
    tables = compare.tables(found, measure, on)
    grids = [(table, grid) for table in tables if table.is_share() and (grid := table.grid())]
    return Comparison(runs, tables, missing, grids)


def _benchmark(measure: str, on: str) -> Comparison:
    values = {"recall@1": "recall", "map@r": "map_r"}
    for kind, given, known in [("measure of the benchmark", measure, values), ("classes", on, ["test"])]:
        if given not in known:
            raise unknown_name(kind, given, known)
    settings: dict[tuple[str, int], list[Setting]] = {}
    for ranked in measured.ranking():
        numbers = {seed: getattr(run, values[measure]) for seed, run in ranked.runs.items()}
        before = {seed: run.untrained for seed, run in ranked.runs.items() if run.untrained is not None}
        setting = Setting(
            ranked.name, {"method": ranked.method}, numbers, before if measure == "recall@1" else {}
        )
        first = next(iter(ranked.runs.values()))
        settings.setdefault((first.dataset, first.num_classes), []).append(setting)
    tables = [
        Table(dataset, classes, DRAWERS * classes, "test", measure, sorted(found, key=_mean, reverse=True))
        for (dataset, classes), found in settings.items()
    ]
    cells = {}
    for method, sampler in product(measured.BATCHED, measured.SAMPLERS):
        with suppress(DMLTeachError):  # not run yet
            batched = measured.in_batches_of(method, sampler).runs.values()
            cells[method, sampler] = [getattr(run, values[measure]) for run in batched]
    return Comparison(BENCHMARK, tables, 0, [(tables[0], ("method", "sampler", cells))] if cells else [])


def _mean(setting: Setting) -> float:
    return sum(setting.values.values()) / len(setting.values)


def title(found: Comparison) -> Text:
    """Heading, and what was measured.

    Args:
        found: what is compared.
    """
    settings = sum(len(table.settings) for table in found.tables)
    runs = sum(len(setting.values) for table in found.tables for setting in table.settings)
    lines = [f"# {counted(settings, 'setting')} beside each other, {counted(runs, 'run')}", ""]
    lines += [f"Runs of {found.source}. " + " ".join(f"{table.title()}." for table in found.tables)]
    if found.missing:
        lines += ["", f"{counted(found.missing, 'run')} of the sweeps are not done, and stand in no table."]
    return Text("\n".join(lines))


def pictures(found: Comparison) -> Iterator[Picture]:
    """A ranking for each test set, then tables of two options.

    Args:
        found: what is compared.
    """
    for table in found.tables:
        values = {setting.name: [*setting.values.values()] for setting in table.settings}
        what, before = f"{table.called()} among {table.num_classes:,} classes", table.untrained()
        if table.is_share():
            yield comparison.ranking(values, what, {"untrained": before} if before is not None else None)
    for table, (rows, columns, cells) in found.grids:
        what = f"{table.called()} among {table.num_classes:,} classes"
        yield comparison.heat_map(cells, what, table.untrained(), rows, columns)


def table(found: Comparison, against: str | None) -> Text:
    """A row for each setting: mean, interval, and the difference to one of them, paired by seed.

    Args:
        found: what is compared.
        against: the setting from which differences are taken; None for the best mean of each test set.

    Raises:
        DMLTeachError: there is no such setting.
    """
    names = [setting.name for one in found.tables for setting in one.settings]
    if against is not None and against not in names:
        raise unknown_name("setting", against, names)
    parts = []
    for one in found.tables:
        named = {setting.name: setting for setting in one.settings}
        reference = named.get(against or "", one.settings[0])
        lines = [f"| setting | seeds | {one.called()} | minus `{reference.name}` |", "|---|---|---|---|"]
        for setting in one.settings:
            minus = compare.difference(setting, reference).in_words(one.measure)
            told = "" if setting is reference else minus
            lines.append(
                f"| `{setting.name}` | {len(setting.values)} | {setting.in_words(one.measure)} | {told} |"
            )
        parts.append("\n".join([f"{one.title()}.", "", *lines]))
    return Text("\n\n".join(parts))


def how_to_read(found: Comparison) -> Text:
    """What the numbers allow one to say.

    Args:
        found: what is compared.
    """
    many = max(len(table.settings) for table in found.tables)
    lines = [
        "After ± stands half of the 95 % interval of a mean over seeds (Student's t). Differences are paired "
        "by seed; where the interval of a difference holds 0, so many seeds cannot tell which of the two is "
        "better."
    ]
    if many > 2:
        lines.append(
            f"The first of {many} was picked after looking at all of them: part of its lead over the second "
            "is luck."
        )
    single = sum(len(s.values) == 1 for table in found.tables for s in table.settings)
    if single:
        lines.append(
            f"{counted(single, 'setting')} of a single seed: such a place can be chance, and has no interval."
        )
    return Text(" ".join(lines))


def told(found: Comparison) -> Text | None:
    """The questions of the project, where the benchmark is reported on.

    Args:
        found: what is compared.
    """
    return Text("\n".join(statements.told())) if found.is_benchmark else None


def provenance(found: Comparison, measure: str, on: str, against: str | None) -> Text:
    """Where the numbers come from, and the command that writes this page again.

    Args:
        found: what is compared.
        measure, on, against: parameters of the report.
    """
    runs = None if found.is_benchmark else found.source
    again = commands.comparison({"runs": runs, "measure": measure, "on": on, "against": against})
    lines = ["| | |", "|---|---|", f"| this page again | `{again}` |"]
    if found.is_benchmark:
        finals = measured.runs()
        devices = sorted({run.device for run in finals})
        steps = sorted({run.steps for run in finals})
        lines += [
            f"| runs | {len(finals)} finals and {len(measured.runs(stage='tuning'))} of tuning |",
            f"| steps of a final | {', '.join(f'{one:,}' for one in steps)} |",
            f"| devices | {', '.join(devices)} |",
            "| protocol | docs/protocol.md |",
            "| every run | `dmlteach.course.measured.runs()`, each with the command that makes it again |",
        ]
    else:
        places = [
            str(Path(place)) for one in found.tables for s in one.settings for place in s.places.values()
        ]
        lines += [f"| runs | {len(places)}: {', '.join(f'`{place}`' for place in places)} |"]
    return Text("\n".join(lines))


def first_lines(found: Comparison) -> Text:
    """The best and the second of each test set, in a sentence each.

    Args:
        found: what is compared.
    """
    said = []
    for one in found.tables:
        best, *others = one.settings
        number = percent if one.is_share() else "{:.1f}".format
        text = f"`{best.name}` has the highest mean, {number(_mean(best))}"
        if others:
            second = others[0]
            text += f"; `{second.name}` follows with {number(_mean(second))}, {_verdict(best, second)}"
        said.append(f"{text}.")
    return Text(" ".join(said))


def _verdict(best: Setting, second: Setting) -> str:
    """What the seeds that both have tell of them; it may be the other order than that of all seeds."""
    difference = compare.difference(best, second)
    if not difference.seeds:
        return "and no seed is in both, so that the two cannot be compared"
    shared = counted(difference.seeds, "shared seed")
    if not difference.is_told:
        return f"which {shared} cannot tell from chance"
    if difference.mean < 0:
        return f"yet over {shared} `{second.name}` is higher, by more than the interval of their difference"
    return "more than the interval of their difference"
