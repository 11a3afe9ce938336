"""Commands of the course: its site, its notebooks, its figures, its reports, and your progress."""

from typing import TYPE_CHECKING, Annotated

import typer

from dmlteach.cli.options import (
    DEFAULTS,
    BatchSize,
    Dataset,
    Device,
    Epochs,
    MaxMinutes,
    Method,
    Root,
    Seed,
    option,
    was_given,
)
from dmlteach.cli.tables import print_table
from dmlteach.errors import unknown_name
from dmlteach.files import write_text

if TYPE_CHECKING:
    from dmlteach.course.exercises.progress import Record


def course(
    jobs: Annotated[
        int | None, option("Notebooks executed at the same time.", "N", "one per core, at most 4")
    ] = None,
    force: Annotated[bool, option("Execute also what has not changed.")] = False,
    profile: Annotated[str, option("fast (a laptop without GPU) or full.", "NAME")] = "fast",
) -> None:
    """Execute all notebooks and render the course as a site that works offline.

    \b
    Example:
        dmlteach course
    """
    from dmlteach.course import site

    page = site.build(jobs=jobs, force=force, profile=profile, say=typer.echo)
    typer.echo(f"course: {page}")


def lab(
    notebook: Annotated[str, typer.Argument(help="Number or start of the name of a notebook.")] = "00",
    folder: Annotated[
        str | None,
        option(
            "Your copy of the course: made, renewed where you have changed nothing, never overwritten.",
            "DIR",
            "the checkout, or dmlteach-course where dmlteach is installed without one",
        ),
    ] = None,
    browser: Annotated[bool, option("Open a browser window.")] = True,
    port: Annotated[int, option("Port of JupyterLab.", "N")] = 8888,
) -> None:
    """Open JupyterLab at a notebook of the course.

    \b
    Example:
        dmlteach lab
        dmlteach lab 02 --folder my_course
    """
    from dmlteach.course.lab import open_lab

    raise typer.Exit(open_lab(notebook, folder, browser, port, typer.echo))


def playground(
    output: Annotated[
        str | None,
        option("File to write.", "FILE", "playground.html, or embedding-lab.html with --lab"),
    ] = None,
    lab: Annotated[bool, option("The embedding lab instead: an embedding trained in the page.")] = False,
) -> None:
    """Write the triplet playground as one HTML file that works without a network, to open or to pass on.

    \b
    Example:
        dmlteach playground --output playground.html
        dmlteach playground --lab
    """
    from dmlteach.course.widgets.page import lab_page, playground_page

    page, usual = (lab_page, "embedding-lab.html") if lab else (playground_page, "playground.html")
    path = usual if output is None else output
    write_text(path, page())
    typer.echo(f"playground: {path}")


def progress(
    export: Annotated[str | None, option("JSON file to write the progress to.", "FILE", "shown only")] = None,
    take_in: Annotated[
        str | None,
        option(
            "JSON file to add, exported here or on the site: the better status wins, nothing is deleted.",
            "FILE",
            "nothing",
            "--import",
        ),
    ] = None,
    reset: Annotated[bool, option("Forget all progress; asks first.")] = False,
    yes: Annotated[bool, option("With --reset: do not ask.")] = False,
) -> None:
    """Your progress in the exercises, by chapter. It is one file on this computer and stays there.

    \b
    Example:
        dmlteach progress
        dmlteach progress --export progress.json
        dmlteach progress --import dmlteach-progress.json
        dmlteach progress --reset
    """
    from dmlteach.course.exercises import progress

    if take_in:
        changed = progress.take_in(take_in)
        typer.echo(f"imported: {take_in}, {changed} {'exercise' if changed == 1 else 'exercises'} changed")
    if export:
        progress.export(export)
        typer.echo(f"exported: {export}")
    if reset:
        if not (yes or typer.confirm(f"Forget all progress in {progress.file()}?")):
            typer.echo("kept")
            return
        progress.reset()
        typer.echo("all progress is forgotten")
    if not (export or take_in or reset):
        _print_progress()


def _print_progress() -> None:
    """A table by chapter, and the place of the file."""
    from dmlteach.course.exercises import CHAPTERS, progress

    records, note = progress.read()
    rows = []
    for chapter in CHAPTERS:
        done = sum(records[e.id].done for e in chapter.exercises if e.id in records)
        rows.append([chapter.number, chapter.title, f"{done} of {len(chapter.exercises)} done", "", ""])
        for exercise in chapter.exercises:
            record = records.get(exercise.id)
            shown = [_state(record), str(record.tries), _help_taken(record)] if record else ["", "", ""]
            rows.append([exercise.number, f"  {exercise.title}", *shown])
        kept = sum(records[q.id].done for q in chapter.unmarked if q.id in records)
        words = f"{kept} of {len(chapter.unmarked)} kept"
        rows.append(["", "  predictions and questions, not marked", words, "", ""])
    print_table(["", "exercise", "state", "tries", "help read"], rows)
    typer.echo(f"\nfile: {progress.file()}")
    if note:
        typer.echo(note)


def _state(record: "Record") -> str:
    return "done, not marked" if record.status == "to compare" else record.status


def _help_taken(record: "Record") -> str:
    hints = "1 hint" if record.hints == 1 else f"{record.hints} hints" if record.hints else ""
    return ", ".join(filter(None, [hints, "solution" if record.solution else ""]))


def figures(
    name: Annotated[list[str] | None, typer.Argument(help="Figures to draw.", show_default="all")] = None,
    folder: Annotated[str, option("Where they go.", "DIR")] = "figures",
    force: Annotated[bool, option("Redraw also what has not changed.")] = False,
) -> None:
    """Redraw the figures whose code or input has changed.

    \b
    Example:
        dmlteach figures
        dmlteach figures gradients_sst --folder /tmp/figures
    """
    from dmlteach.course import figures

    for one in name or []:
        if one not in figures.names():
            raise unknown_name("figure", one, figures.names())
    for one in name or []:
        figures.draw(one, folder)
    if not name:
        figures.draw_all(folder, only_changed=not force)
    typer.echo(f"figures: {folder}")


def report(
    ctx: typer.Context,
    method: Method = DEFAULTS.method,
    dataset: Dataset = DEFAULTS.dataset,
    root: Root = None,
    output: Annotated[
        str | None,
        option(
            "Folder of the report.",
            "DIR",
            "build/reports/METHOD-DATASET-SEED, CHECKPOINT-DATASET or comparison-SWEEP",
        ),
    ] = None,
    epochs: Epochs = None,
    max_minutes: MaxMinutes = None,
    batch_size: BatchSize = None,
    seed: Seed = DEFAULTS.seed,
    device: Device = DEFAULTS.device,
    checkpoint: Annotated[
        str | None,
        option("Run folder, model file or shipped network to report on instead of training.", "PATH", "none"),
    ] = None,
    comparison: Annotated[
        bool,
        option(
            "Report on many runs instead: those of the benchmark that comes with the package, or "
            "`--parameter runs=DIR` of a sweep."
        ),
    ] = False,
    parameter: Annotated[
        list[str],
        option(
            "An option of `dmlteach train` that is not listed here, e.g. weights=none or eval_every=0, or "
            "another parameter of the notebook, e.g. baseline=RUN (a network to compare with) or "
            "show_images=all; repeatable.",
            "NAME=VALUE",
            False,
        ),
    ] = [],  # noqa: B006
) -> None:
    """Train (or take a network that is there) and write a report to hand on: one HTML page.

    papermill runs a notebook of notebooks/reports/. A training is kept beside the page; the same command
    again evaluates and draws only. With --comparison nothing is trained: methods, seeds and intervals stand
    beside each other.

    \b
    Example:
        dmlteach report --method sst --dataset omniglot --max-minutes 2
        dmlteach report --checkpoint runs/sst-omniglot-0 --output build/reports/mine
        dmlteach report --checkpoint sst
        dmlteach report --comparison --parameter runs=runs/sweep
    """
    asked = {name for name in ctx.params if was_given(ctx, name)}
    given = {n: value for n, value in ctx.params.items() if n in asked - {"parameter", "comparison"}}

    from dmlteach.course import reports

    if comparison:
        given["notebook"] = reports.COMPARISON
    typer.echo(f"report: {reports.run(texts=tuple(parameter), **given)}")
