"""Commands of many runs: sweep, compare."""

import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dmlteach.cli.options import option, swept_over
from dmlteach.cli.tables import print_notes, print_table
from dmlteach.errors import DMLTeachError, counted, unknown_name
from dmlteach.files import check_place
from dmlteach.options import at_least
from dmlteach.sweep.choices import PLURAL, SWEPT, merged, read_file
from dmlteach.train.config import TrainConfig

if TYPE_CHECKING:
    from dmlteach.sweep.compare import Table
    from dmlteach.sweep.overview import Overview
    from dmlteach.sweep.ray_cluster import Cluster

FEW = 8  # settings whose curves can be told apart
FAILED = 1  # exit code where runs of a sweep have failed


@swept_over({PLURAL.get(name, name): field for name, field in SWEPT.items()})
def sweep(
    choices: Mapping[str, Any],
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE",
            help="YAML file of options and their values, e.g. methods: [sst, triplet]; what is "
            "given beside it takes the place of its own.",
            show_default="none",
        ),
    ] = None,
    output: Annotated[
        str | None,
        option(
            "Folder of the sweep: its index, and a folder for each run.", "DIR", "runs/sweep, or runs/FILE"
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        option(
            "Runs side by side, one thread each.",
            "N",
            "one per core, or one on a GPU; with --ray, all it has room for",
        ),
    ] = None,
    ray: Annotated[
        str | None,
        option(
            "Train on a Ray cluster, one CPU (or GPU) for each run, --jobs at once at most: HOST:PORT of its "
            "head, or local for one that is started here.",
            "ADDRESS",
            "processes of this machine",
        ),
    ] = None,
    retry_failed: Annotated[bool, option("Try runs again that have failed before.")] = False,
) -> None:
    """Train with all values of the options, crossed; values of one option have commas between them.

    Every run is an ordinary run folder. The same command again goes on: what is done is skipped, what was
    interrupted is continued. Lists are written as such: --das-option scale_range=[0.5,2],[1,2].

    \b
    Example:
        dmlteach sweep --methods sst,triplet --seeds 0-4 --learning-rate 3e-4,1e-3,3e-3 --epochs 3
        dmlteach sweep mine.yaml --output runs/mine --jobs 4
        dmlteach sweep mine.yaml --output runs/mine --ray 10.0.0.1:6379
        dmlteach compare runs/mine
    """
    tables = [merged(table, choices) for table in (read_file(file) if file else [{}])]
    place = output or (f"runs/{Path(file).stem}" if file else "runs/sweep")
    overview = run_sweep(tables, Path(place), jobs, retry_failed, ray)
    typer.echo(f"sweep: {place} ({overview.line()}); see them beside each other: dmlteach compare {place}")
    if overview.failed:
        raise typer.Exit(FAILED)


def run_sweep(
    tables: Sequence[Mapping[str, Any]],
    folder: Path,
    jobs: int | None = None,
    retry_failed: bool = False,
    ray: str | None = None,
) -> "Overview":
    """Train all runs of a sweep while its overview is shown: live in a terminal, else a line for each run.

    Args:
        tables: options and their values, each crossed by itself.
        folder: of the sweep.
        jobs: side by side; None: as many as suit the device, or the cluster.
        retry_failed: whether runs that have failed before are tried again.
        ray: address of a Ray cluster; None: processes of this machine.

    Returns:
        The overview at the end.
    """
    from dmlteach.sweep import driver, grid

    if jobs is not None:
        at_least("--jobs", jobs, 1)
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise DMLTeachError("a sweep trains each run in a process of its own; start it without torchrun.")
    check_place(folder / "index.sqlite")
    runs = grid.plan(tables)
    with _executor(ray, jobs, {run.config.device for run in runs}) as (jobs, cluster), _shown(jobs) as show:
        overview = driver.sweep(runs, folder, jobs, retry_failed, show, cluster)
    for name, reason in overview.failed.items():
        print_notes([f"{name} has failed: {reason}"])
    if overview.failed:
        print_notes(["once the cause is cured, --retry-failed tries them again."])
    return overview


@contextmanager
def _executor(ray: str | None, jobs: int | None, devices: set[str]) -> "Iterator[tuple[int, Cluster | None]]":
    """How many runs are trained at once, and the Ray cluster that trains them; None: this machine does."""
    from dmlteach.sweep import ray_cluster, workers

    if ray is None:
        usual = min(map(workers.usual_jobs, devices))
        yield jobs or usual, None
        return
    with ray_cluster.connected(ray, jobs) as cluster:
        yield jobs or min(map(cluster.room, devices)), cluster


@contextmanager
def _shown(jobs: int) -> "Iterator[Callable[[Overview, str], None]]":
    """How a sweep is shown while it goes on."""
    if not sys.stderr.isatty():

        def say(overview: "Overview", event: str) -> None:
            if event:
                typer.echo(f"{event}; {overview.line()}", err=True)

        yield say
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    seen: list[Overview] = []
    console = Console(stderr=True)
    with Live(console=console, get_renderable=lambda: Text("\n".join(_lines(seen))), refresh_per_second=2):

        def show(overview: "Overview", event: str) -> None:
            seen[:] = [overview]
            if event:
                console.print(Text(event))

        yield show


def _lines(seen: "Sequence[Overview]") -> list[str]:
    if not seen:
        return ["looking through the runs …"]
    return [seen[0].line(), *(f"  {line}" for line in seen[0].at_work())]


def train_over_seeds(config: TrainConfig, seeds: str) -> None:
    """What `dmlteach train --seeds` does: a sweep over seeds, and its comparison.

    Args:
        config: of each run, but for its seed.
        seeds: as a command line has them.
    """
    from dmlteach import foreign
    from dmlteach.sweep.grid import given_of

    given = given_of(config)
    if "seed" in given:
        raise DMLTeachError("--seeds takes the place of --seed; leave out one of the two.")
    own = {name: value for name, value in given.items() if name in SWEPT}
    table = {n: {k: [one] for k, one in v.items()} if isinstance(v, dict) else [v] for n, v in own.items()}
    folder = config.output or f"runs/{config.method}-{foreign.called(config.dataset)}-seeds"
    overview = run_sweep([{**table, "seeds": seeds}], Path(folder))
    if overview.failed:
        raise typer.Exit(FAILED)
    compare([folder])


def compare(
    runs: Annotated[list[str], typer.Argument(metavar="SWEEP|RUN", help="Folders of sweeps, and of runs.")],
    measure: Annotated[
        str, option("Number of metrics.json to compare, e.g. map@r or train_seconds.", "NAME")
    ] = "recall@1",
    on: Annotated[str, option("Classes it was measured on: test, or val to choose by.", "NAME")] = "test",
    against: Annotated[
        str | None, option("Setting from which the others' differences are taken.", "NAME", "the best mean")
    ] = None,
    output: Annotated[
        str | None,
        option("Figures to write, without the ending.", "FILE", "comparison, in the folder of the sweep"),
    ] = None,
) -> None:
    """Runs beside each other: mean over seeds, 95 % interval, and differences seed by seed, with a figure.

    A difference is told from 0 where its 95 % interval excludes it. Runs that were measured on other test
    sets stand in tables of their own.

    \b
    Example:
        dmlteach compare runs/sweep
        dmlteach compare runs/sweep --on val --against "sst learning_rate=0.001"
        dmlteach compare runs/sst-omniglot-0 runs/triplet-omniglot-0 --output mine
    """
    from dmlteach.sweep import compare as room

    place = Path(output) if output else _usual_place(runs, measure, on)
    if not place.name:
        raise DMLTeachError(f"--output {output} is a folder; name a file in it, e.g. {place / 'comparison'}.")
    check_place(place.with_name(f"{place.name}.png"))
    found, missing = room.read(runs)
    tables = room.tables(found, measure, on)
    for names in [{setting.name: setting for setting in table.settings} for table in tables]:
        if against is not None and against not in names:
            raise unknown_name("setting", against, names)
    if missing:
        print_notes([f"{counted(missing, 'run')} of these sweeps are not done, and stand in no table."])
    for number, table in enumerate(tables):
        _print(table, against)
        name = place.name if len(tables) == 1 else f"{place.name}-{number + 1}"
        for picture, path in _pictures(table, place.with_name(name)):
            from dmlteach.plots import style

            style.save(picture, path)
            typer.echo(f"figure: {path}.png")


def _usual_place(runs: Sequence[str], measure: str, on: str) -> Path:
    """Where figures go: into the first sweep, or where one stands; by what is not usual in them."""
    from dmlteach.sweep.index import FILE

    sweeps = [Path(run) for run in runs if (Path(run) / FILE).is_file()]
    other = [one for one, usual in ((on, "test"), (measure, "recall@1")) if one != usual]
    return (sweeps[0] if sweeps else Path()) / "-".join(["comparison", *other])


def _print(table: "Table", against: str | None) -> None:
    """One test set: a row for each setting."""
    from dmlteach.sweep import compare as room

    named = [setting for setting in table.settings if setting.name == against]
    reference = named[0] if named else table.settings[0]
    typer.echo(table.title())
    rows = []
    for setting in table.settings:
        told = "" if setting is reference else room.difference(setting, reference).in_words(table.measure)
        rows.append([setting.name, str(len(setting.values)), setting.in_words(table.measure), told])
    print_table(["runs", "seeds", table.called(), f"minus {reference.name}"], rows)
    typer.echo("")


def _pictures(table: "Table", path: Path) -> Iterator[tuple[Any, Path]]:
    """The figures of a test set: ranking, curves where val was measured, a table of two options."""
    from dmlteach.plots import comparison, curves

    values = {setting.name: [*setting.values.values()] for setting in table.settings}
    what, before = f"{table.called()} on {table.num_classes:,} {table.on} classes", table.untrained()
    if table.is_share():
        yield comparison.ranking(values, what, {"untrained": before} if before is not None else None), path
    if (grid := table.grid()) and table.is_share():
        rows, columns, cells = grid
        yield comparison.heat_map(cells, what, before, rows, columns), path.with_name(f"{path.name}-table")
    if len(values) <= FEW:
        several = {setting.name: [*setting.places.values()] for setting in table.settings}
        runs = [run for places in several.values() for run in places]
        if all(map(_evaluated, runs)):
            yield curves.curves_over_seeds(several), path.with_name(f"{path.name}-curves")


def _evaluated(run: Path) -> bool:
    """Whether a run is there, and was measured on val classes after an epoch at least."""
    from dmlteach.plots.curves import read_curve

    return (run / "metrics.json").is_file() and not all(map(math.isnan, read_curve(run).recall))
