"""Commands of the course: its site, slides, notebooks, figures and reports, and your progress."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dmlteach.cli.options import (
    DEFAULTS,
    BatchSize,
    Classes,
    Dataset,
    DatasetOption,
    Device,
    Epochs,
    MaxMinutes,
    Method,
    Root,
    Seed,
    Split,
    dataset_options,
    option,
    refuse_beside,
    was_given,
)
from dmlteach.cli.tables import print_notes, print_table
from dmlteach.errors import DMLTeachError, unknown_name
from dmlteach.files import check_place, readable, write_text

if TYPE_CHECKING:
    from dmlteach.course.exercises.progress import Record
    from dmlteach.models import Model


def course(
    jobs: Annotated[
        int | None, option("Notebooks executed at the same time.", "N", "one per core, at most 4")
    ] = None,
    force: Annotated[bool, option("Execute also what has not changed.")] = False,
    profile: Annotated[str, option("fast (a laptop without GPU) or full.", "NAME")] = "fast",
    include_restricted: Annotated[
        bool,
        option("Show also figures in build/figures/ whose images may not be passed on; prints their terms."),
    ] = False,
) -> None:
    """Execute all notebooks and render the course as a site that works offline.

    \b
    Example:
        dmlteach course
    """
    from dmlteach.course import site

    page = site.build(jobs=jobs, force=force, profile=profile, restricted=include_restricted, say=typer.echo)
    typer.echo(f"course: {page}")


def slides(
    chapters: Annotated[
        list[str] | None, typer.Argument(help="Numbers or names of chapters.  [default: all of them]")
    ] = None,
    output: Annotated[
        str | None, option("Folder of the pages.", "DIR", "build/slides, in the checkout")
    ] = None,
) -> None:
    """Write the slides of chapters, an HTML file each that opens without a network; index.html lists them.

    \b
    Example:
        dmlteach slides
        dmlteach slides 01 03 --output lecture
    """
    from dmlteach.course import slides as decks
    from dmlteach.course.material import CHECKOUT

    folder = CHECKOUT / "build" / "slides" if output is None else Path(output)
    typer.echo(f"slides: {decks.write(chapters or (), folder, say=typer.echo)}")


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


def bundle(
    output: Annotated[
        str | None,
        option("File to write, or a folder for it.", "PATH", "build/dmlteach-VERSION-PLATFORM-pyXY.tar"),
    ] = None,
    torch_index: Annotated[
        str | None,
        option(
            "On Linux: index of torch's CPU builds; torch comes from your usual one where this has none.",
            "URL",
            "https://download.pytorch.org/whl/cpu",
        ),
    ] = None,
    yes: Annotated[bool, option("Do not ask, however large it becomes.")] = False,
) -> None:
    """Write one archive that installs the course, and shows it, on computers without a network.

    They need the Python and the system of this one. It tells its size before it downloads, and asks above
    1 GB; interrupted, the same command goes on with what has arrived.

    \b
    Example:
        dmlteach bundle
        dmlteach bundle --output /media/stick --yes
    """
    from dmlteach.course import bundle as made

    path = made.place(output)
    planned = made.plan(torch_index or made.TORCH_INDEX, typer.echo)
    typer.echo(str(planned))
    if not (yes or planned.is_small or _agrees("Go on?")):
        typer.echo("nothing was written")
        return
    made.make(planned, path, typer.echo)
    typer.echo(f"bundle: {path} ({readable(path.stat().st_size)})")


def _agrees(question: str) -> bool:
    """Ask; where nobody can answer, say how to do without."""
    try:
        return typer.confirm(question)
    except typer.Abort:
        if sys.stdin.isatty():  # Ctrl-C
            raise
        typer.echo()  # ends the line of the question
        raise DMLTeachError("nobody is there to answer; --yes goes on without asking.") from None


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


OF_A_NETWORK = ("retrieval", "tsne")


def figures(
    ctx: typer.Context,
    name: Annotated[list[str] | None, typer.Argument(help="Figures to draw.", show_default="all")] = None,
    folder: Annotated[
        str | None, option("Where they go.", "DIR", "figures, or build/figures of a network")
    ] = None,
    force: Annotated[bool, option("Redraw also what has not changed.")] = False,
    checkpoint: Annotated[
        str | None,
        option("Of this network instead: run folder, model file or shipped network.", "PATH", "none"),
    ] = None,
    beside: Annotated[
        str | None, option("With --checkpoint: another network to show beside it.", "PATH", "none")
    ] = None,
    dataset: Dataset = DEFAULTS.dataset,
    root: Root = None,
    split: Split = "test",
    classes: Classes = None,
    dataset_option: DatasetOption = [],  # noqa: B006
    device: Device = DEFAULTS.device,
    seed: Seed = DEFAULTS.seed,
) -> None:
    """Redraw the figures whose code or input has changed; or draw those of a network, on any data set.

    With --checkpoint they are `retrieval`, some queries with their four nearest images, and `tsne`, a map
    with thumbnails. Such figures show the data set's images: its terms say whether you may pass them on.

    \b
    Example:
        dmlteach figures
        dmlteach figures gradients_sst --folder /tmp/figures
        dmlteach figures --checkpoint runs/mine --beside softmax --dataset cub200 --root ~/data/cub
    """
    if checkpoint is not None:
        refuse_beside(ctx, "checkpoint", "draws anew what it draws", ["force"])
        _check_names(name, OF_A_NETWORK)
        _of_network(name or list(OF_A_NETWORK), folder or "build/figures", checkpoint, beside, ctx.params)
        return
    for other in ("beside", "dataset", "root", "split", "classes", "dataset_option", "device", "seed"):
        if was_given(ctx, other):
            raise DMLTeachError(
                f"--{other.replace('_', '-')} is of a network's figures: give --checkpoint, too."
            )
    from dmlteach.course import figures

    folder = folder or figures.FOLDER
    _check_names(name, figures.names())
    for one in name or []:
        figures.draw(one, folder)
    if not name:
        figures.draw_all(folder, only_changed=not force)
    typer.echo(f"figures: {folder}")


def _check_names(given: list[str] | None, known: Sequence[str]) -> None:
    for one in given or []:
        if one not in known:
            raise unknown_name("figure", one, known)


def _of_network(
    names: Sequence[str], folder: str, checkpoint: str, beside: str | None, of_data: Mapping[str, Any]
) -> None:
    """Draw the figures of one network or two on a data set; all embeddings come before the first figure."""
    from dmlteach import data
    from dmlteach.course import own_figures
    from dmlteach.embeddings import embed
    from dmlteach.plots import of_networks

    place = Path(folder)
    check_place(place / "figure.png")
    paths = [path for path in (checkpoint, beside) if path]
    networks = {Path(path).name.removesuffix(".safetensors"): _network(path) for path in paths}
    if beside and len(networks) == 1:
        raise DMLTeachError(
            f"--beside {beside} has the name of --checkpoint {checkpoint}; rename one of them."
        )
    dataset, split = of_data["dataset"], of_data["split"]
    options = {"classes": of_data["classes"], **dataset_options(dataset, of_data["dataset_option"])}
    run = checkpoint if Path(checkpoint).exists() else None
    shown, gallery, notes, _ = data.load_for_run(run, dataset, split, of_data["root"], **options)
    images = shown if gallery is None else gallery
    print_notes(notes)
    say = sys.stderr.isatty()
    z = {name: embed(model, images, of_data["device"], progress=say) for name, model in networks.items()}
    written = []
    if "retrieval" in names:
        drawn = of_networks.retrieval(z, images, seed=of_data["seed"])
        only = "" if beside else next(iter(networks))
        written += own_figures.write(drawn, place, "retrieval", dataset, images, only)
    for name in networks if "tsne" in names else ():
        drawn = of_networks.embedding_map(z[name], images, of_data["seed"])
        written += own_figures.write(drawn, place, "tsne", dataset, images, name)
    for file in written:
        typer.echo(str(file))
    if not images.shareable:
        print_notes([f"these show images of {dataset}, whose terms are: {data.terms(dataset)}"])


def _network(path: str) -> "Model":
    """A trained network by its place, or by its name where it comes with the package."""
    from dmlteach import models

    shipped = path in models.SHIPPED and not Path(path).exists()
    return models.pretrained(path) if shipped else models.load(path)


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
