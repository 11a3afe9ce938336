"""The command line. What is heavy is imported inside the command that needs it: `--help` is instant."""

import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from dmlteach.errors import DMLTeachError, unknown_name
from dmlteach.files import check_place, write_json, write_text
from dmlteach.options import pair, value_of

if TYPE_CHECKING:
    from dmlteach.course.exercises.progress import Record
    from dmlteach.data import CheckReport
    from dmlteach.models import Model

_OUT_OF_MEMORY = re.compile("out of memory|can't allocate memory", re.IGNORECASE)  # as torch says it
_SMALLER = "choose smaller batches (--batch-size, --micro-batch), images or embeddings, or another --device."
INTERRUPTED = 130  # what a shell expects after Ctrl-C
RECIPE = "the recipe's"


class Commands(TyperGroup):
    """Commands whose foreseeable failures are one message on stderr and an exit code, never a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; turn mistakes of the user or the environment into exit codes."""
        try:
            with _warnings_in_one_line():
                return super().invoke(ctx)
        except DMLTeachError as error:
            raise _failed(str(error)) from None
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("dmlteach"):
                raise
            cure = 'install everything with: pip install "dmlteach[all]" (`dmlteach doctor` shows what works)'
            raise _failed(f"the package {error.name} is not installed; {cure}") from None
        except OSError as error:
            if error.filename is None:
                raise
            raise _failed(f"{error.filename}: {error.strerror}") from None
        except (MemoryError, RuntimeError) as error:
            if not (isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error))):
                raise
            raise _failed(f"not enough memory; {_SMALLER}") from None
        except KeyboardInterrupt as stopped:
            typer.secho(str(stopped) or "interrupted", fg="yellow", err=True)
            raise typer.Exit(INTERRUPTED) from None


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """What the package warns of is for the user, who has no use for the place in its code."""

    def show(message, category, filename, lineno, file=None, line=None):
        if Path(filename).is_relative_to(Path(__file__).parent):
            typer.secho(f"note: {message}", fg="yellow", err=True)
        else:
            shown(message, category, filename, lineno, file, line)

    with warnings.catch_warnings():
        shown, warnings.showwarning = warnings.showwarning, show
        yield


def _failed(message: str) -> typer.Exit:
    typer.secho(f"error: {message}", fg="red", err=True)
    return typer.Exit(2)


app = typer.Typer(
    name="dmlteach",
    cls=Commands,
    help="Learn, use and reproduce deep metric learning.",
    epilog="Start with: dmlteach doctor, then dmlteach train --method semihard --classes 200 --epochs 2",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: half the time of a framed one
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Data sets: list them, get one, check a copy.", no_args_is_help=True)
app.add_typer(data_app, name="data")


def option(help: str, metavar: str | None = None, default: str | bool = True) -> Any:
    """A typer option whose help names its default in words where the value says nothing (None)."""
    return typer.Option(help=help, metavar=metavar, show_default=default, callback=_not_empty)


def _not_empty(param: typer.CallbackParam, value: Any) -> Any:
    """Refuse an empty text, as an unset variable of a script leaves it: it would be taken for the default."""
    if value == "" or (isinstance(value, list) and "" in value):
        raise DMLTeachError(f"{param.opts[0]} is empty; give it a value, or leave it out.")
    return value


# Options that mean the same in every command.
Method = Annotated[str, option("Recipe; `dmlteach methods` lists them.", "NAME")]
Dataset = Annotated[str, option("Data set; `dmlteach data list` lists them.", "NAME")]
Root = Annotated[
    str | None, option("Folder or archive that holds the data set.", "PATH", "none: embedded data")
]
Epochs = Annotated[int | None, option("Epochs of training.", "N", RECIPE)]
BatchSize = Annotated[int | None, option("Images in a batch.", "N", RECIPE)]
Seed = Annotated[int, option("Of everything random; equal seeds give equal runs.", "N")]
Device = Annotated[str, option("auto, cpu, cuda or mps.", "NAME")]
Output = Annotated[str | None, option("Folder of the run.", "DIR", "runs/METHOD-DATASET-SEED")]
Resume = Annotated[bool, option("Continue the run in --output where its checkpoint stands.")]
Checkpoint = Annotated[
    str | None,
    option(
        "Run folder or model file to start from; its network cannot be changed by --backbone and the like.",
        "PATH",
        "none",
    ),
]
Trained = Annotated[str | None, option("Run folder or model file.", "PATH", "none")]
Backbone = Annotated[
    str | None, option("Instead of a checkpoint: this network's own features.", "NAME", "none")
]
BackboneWeights = Annotated[
    str, option("Of --backbone: imagenet (downloads), cached, none or a file.", "NAME")
]
BackboneSize = Annotated[int | None, option("Of --backbone: side of the images in pixels.", "N", "224")]
RecallAt = Annotated[
    str | None,
    option("K of Recall@K, separated by commas.", "K,K,…", "1,2,4,8 or as published, as far as they fit"),
]
Split = Annotated[str, option("train, test, fit, val, query or gallery.", "NAME")]
MaxMinutes = Annotated[
    float | None, option("End this start after so many minutes of training.", "MINUTES", "no limit")
]
Classes = Annotated[
    int | None,
    option(
        "Only the first so many classes of every split, the test too: numbers of other --classes cannot be "
        "compared.",
        "N",
        "all",
    ),
]
DatasetOption = Annotated[
    list[str], option("Option of the data set, e.g. rotations=true; repeatable.", "NAME=VALUE", False)
]


@app.command()
def train(
    ctx: typer.Context,
    method: Method = "sst",
    dataset: Dataset = "omniglot",
    root: Root = None,
    output: Output = None,
    epochs: Epochs = None,
    max_minutes: MaxMinutes = None,
    batch_size: BatchSize = None,
    batches_per_epoch: Annotated[int | None, option("Batches in an epoch.", "N", RECIPE)] = None,
    seed: Seed = 0,
    device: Device = "auto",
    resume: Resume = False,
    checkpoint: Checkpoint = None,
    loss: Annotated[str | None, option("Loss instead of the method's own.", "NAME", RECIPE)] = None,
    loss_option: Annotated[
        list[str], option("Option of the loss, e.g. num_targets=5; repeatable.", "NAME=VALUE", False)
    ] = [],  # noqa: B006
    das: Annotated[
        bool | None,
        option("Densely-anchored sampling: further embeddings beside the real ones.", default=RECIPE),
    ] = None,
    das_option: Annotated[
        list[str], option("Option of DAS, e.g. copies=3; repeatable.", "NAME=VALUE", False)
    ] = [],  # noqa: B006
    memory: Annotated[
        int | None, option("Embeddings of earlier batches to compare with (cross-batch memory).", "N", RECIPE)
    ] = None,
    imprint: Annotated[
        int | None, option("Images of a class whose mean its vector starts from; 0: at random.", "N", RECIPE)
    ] = None,
    sampler: Annotated[str | None, option("Sampler instead of the method's own.", "NAME", RECIPE)] = None,
    sampler_option: Annotated[
        list[str], option("Option of the sampler, e.g. images_per_class=4; repeatable.", "NAME=VALUE", False)
    ] = [],  # noqa: B006
    backbone: Annotated[
        str | None, option("omniglot_cnn, a torchvision network, or timm/NAME.", "NAME", RECIPE)
    ] = None,
    weights: Annotated[
        str | None,
        option("imagenet (downloads), cached, none, or a file.", "NAME", "cached"),
    ] = None,
    head_option: Annotated[
        list[str], option("Option of an ensemble's head, e.g. weights=size; repeatable.", "NAME=VALUE", False)
    ] = [],  # noqa: B006
    embedding_dim: Annotated[int | None, option("Size of the embedding.", "N", RECIPE)] = None,
    normalize: Annotated[bool | None, option("Put embeddings on the unit sphere.", default=RECIPE)] = None,
    image_size: Annotated[int | None, option("Side of the images in pixels.", "N", "the backbone's")] = None,
    learning_rate: Annotated[float | None, option("Of the optimiser.", "RATE", RECIPE)] = None,
    weight_decay: Annotated[float | None, option("Of the optimiser.", "DECAY", RECIPE)] = None,
    schedule: Annotated[str | None, option("plateau, step, cosine or constant.", "NAME", RECIPE)] = None,
    transform: Annotated[str | None, option("crop, resized_crop, drawing or none.", "NAME", RECIPE)] = None,
    micro_batch: Annotated[
        int | None, option("Images per pass; the loss still sees the whole batch.", "N", "the whole batch")
    ] = None,
    precision: Annotated[str, option("fp32, or bf16 for a faster network.", "NAME")] = "fp32",
    compile: Annotated[bool, option("Compile the network with torch.compile.")] = False,
    eval_every: Annotated[
        int, option("Epochs between evaluations on held-out classes; 0 trains on all of them.", "N")
    ] = 1,
    recall_at: RecallAt = None,
    early_stopping: Annotated[
        int | None, option("Stop after so many epochs without a better training loss.", "N", RECIPE)
    ] = None,
    save_every: Annotated[float, option("Seconds between checkpoints inside an epoch.", "SECONDS")] = 300.0,
    tensorboard: Annotated[bool, option("Also write TensorBoard events.")] = False,
    progress: Annotated[bool, option("Show bars and a line per epoch.")] = True,
    classes: Classes = None,
    dataset_option: DatasetOption = [],  # noqa: B006
) -> None:
    """Train a model and write a run folder: config, metrics, weights, checkpoint and curve.

    \b
    Example:
        dmlteach train --method semihard --classes 200 --epochs 2
        dmlteach train --method sst --dataset omniglot --seed 0 --max-minutes 30
        dmlteach train --dataset cub200 --root ~/data/cub --backbone timm/tf_efficientnet_lite0 \\
            --weights tf_efficientnet_lite0.safetensors --image-size 128 --precision bf16
    """
    config = {name: value for name, value in ctx.params.items() if not name.endswith("_option")}
    config |= {
        f"{part}_options": _pairs(ctx.params[f"{part}_option"])
        for part in ("loss", "das", "sampler", "head", "dataset")
    }

    from dmlteach.train import TrainConfig, fit

    result = fit(TrainConfig(**config))
    if os.environ.get("RANK", "0") == "0":  # of several processes, one draws and speaks
        from dmlteach.plots import curves, style

        if result.metrics["epochs"]:  # a time limit may have come inside the first
            style.save(curves.training_curves({result.path.name: result.path}), result.path / "curve")
        start = "before" if checkpoint else "untrained"
        _print_metrics(result.metrics["final"], result.metrics.get("untrained"), start)
        if not progress:  # with progress it stands above the numbers
            typer.echo(f"training has ended: {result.metrics['final']['ended']}")
        typer.echo(f"run: {result.path}")


@app.command()
def evaluate(
    ctx: typer.Context,
    checkpoint: Trained = None,
    dataset: Dataset = "omniglot",
    root: Root = None,
    backbone: Backbone = None,
    weights: BackboneWeights = "cached",
    image_size: BackboneSize = None,
    split: Split = "test",
    recall_at: RecallAt = None,
    nmi: Annotated[bool, option("Also cluster the embeddings; report NMI and F1 of the clusters.")] = False,
    nmi_starts: Annotated[
        int | None, option("Starts of k-means for --nmi.", "N", "10; above 10,000 images fewer")
    ] = None,
    across: Annotated[
        str | None,
        option(
            "Across domains, instead of --split: forward (queries of the first) or reverse.", "NAME", "no"
        ),
    ] = None,
    device: Device = "auto",
    output: Annotated[str | None, option("JSON file for the numbers.", "FILE", "printed only")] = None,
    classes: Classes = None,
    dataset_option: DatasetOption = [],  # noqa: B006
) -> None:
    """Exact retrieval metrics of a trained model, or of a pre-trained backbone's features, on a data set.

    Of a run's folder, also those of its network before the first step, where the images are those of the
    run's own test. What was trained with --classes N needs --classes N here as well; without it, all classes
    of the split are taken (of a folder of your own images, those of the run).

    \b
    Example:
        dmlteach evaluate --checkpoint runs/sst-omniglot-0 --dataset omniglot --output metrics.json
        dmlteach evaluate --checkpoint runs/sst-omniglot-0 --dataset omniglot --across forward
        dmlteach evaluate --backbone resnet50 --weights imagenet --dataset cub200 --root ~/data/cub
    """
    if across:
        whole = "measures retrieval between whole domains"
        _refuse_beside(ctx, "across", whole, ["split", "nmi", "nmi_starts", "dataset_option"])
    if across not in (None, "forward", "reverse"):
        raise unknown_name("direction across domains", across, ("forward", "reverse"))
    if nmi_starts is not None and not nmi:
        raise DMLTeachError("--nmi-starts is about the clustering of --nmi; give both.")
    if output:
        check_place(output)
    from dmlteach import baseline, data, evaluate_domains, recall
    from dmlteach import evaluate as measure

    ks = None if recall_at is None else recall.parse(recall_at)
    model = _trained_or_backbone(checkpoint, backbone, weights, image_size)
    what = {"model": checkpoint or backbone, "image_size": model.spec.image_size, "dataset": dataset}
    progress = sys.stderr.isatty()
    if across:
        found = evaluate_domains(
            model, dataset, root, reverse=across == "reverse", ks=ks, classes=classes, device=device,
            progress=progress,
        )  # fmt: skip
        typer.echo(found["protocol"])
        for direction, numbers in [*found["domains"].items(), ("average", found["average"])]:
            typer.echo(f"\n{direction}")
            _print_metrics(numbers)
        if checkpoint:
            typer.echo(
                "\nuntrained      not known: a run measures it on its test images, not across domains."
            )
        if output:
            write_json(output, {**what, **found})
        return
    options = {"classes": classes, **_dataset_options(dataset, dataset_option)}
    images, gallery, notes, options = data.load_for_run(checkpoint, dataset, split, root, **options)
    _print_notes(notes)
    numbers = measure(
        model, images, gallery, ks=ks, with_nmi=nmi, nmi_starts=nmi_starts, device=device, progress=progress
    )
    before, unknown = None, ""
    if checkpoint:
        before, unknown = baseline.untrained(checkpoint, numbers, dataset, split, options, images)
    _print_metrics(numbers, before, baseline.called(checkpoint) if checkpoint else "untrained")
    if unknown:
        typer.echo(f"untrained      not known: {unknown}")
    if output:
        known = {"untrained": before} if before else {}
        said = {"notes": notes} if notes else {}
        write_json(output, {**what, "split": split, **numbers, **known, **said})


@app.command()
def embed(
    ctx: typer.Context,
    output: Annotated[str, option("File for the embeddings: .npz or .parquet.", "FILE")],
    checkpoint: Trained = None,
    dataset: Dataset = "omniglot",
    root: Root = None,
    images: Annotated[
        str | None, option("Instead of a data set: every picture below this folder.", "DIR", "none")
    ] = None,
    backbone: Backbone = None,
    weights: BackboneWeights = "cached",
    image_size: BackboneSize = None,
    split: Split = "test",
    device: Device = "auto",
    classes: Classes = None,
    dataset_option: DatasetOption = [],  # noqa: B006
) -> None:
    """Write embeddings to a file for use elsewhere.

    Of a data set, or of every picture of a folder. The file holds embeddings (N, D), and paths, labels and
    names of classes where there are any. As in evaluate, a run's own --classes N is to be named again.

    \b
    Example:
        dmlteach embed --checkpoint runs/mine --images my_images --output my_images.npz
        dmlteach embed --checkpoint runs/sst-omniglot-0 --dataset omniglot --output omniglot.npz
    """
    if images:
        place = "takes the place of a data set"
        _refuse_beside(ctx, "images", place, ["dataset", "root", "split", "classes", "dataset_option"])
    from dmlteach import data, embeddings
    from dmlteach.evaluate import embed as embedded
    from dmlteach.inputs import collapse_sentence, is_collapsed

    embeddings.check(output)
    model = _trained_or_backbone(checkpoint, backbone, weights, image_size)
    if images:
        pictures = data.pictures.load(images, model.spec.channels)
    else:
        options = {"classes": classes, **_dataset_options(dataset, dataset_option)}
        pictures, _, notes, _ = data.load_for_run(checkpoint, dataset, split, root, **options)
        _print_notes(notes)
    z = embedded(model, pictures, device, progress=sys.stderr.isatty())
    _print_notes([collapse_sentence(len(z))] if is_collapsed(z) else [])
    embeddings.write(output, z, pictures)
    typer.echo(f"{len(z):,} embeddings of {z.shape[1]} numbers: {output}")


@app.command()
def search(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE", help="Pictures to search for.")],
    gallery: Annotated[
        str, option("Folder of pictures to search in, with a folder for each class or without.", "DIR")
    ],
    checkpoint: Trained = None,
    k: Annotated[int, option("Neighbours of each image; more than there are: all.", "K")] = 5,
    backbone: Backbone = None,
    weights: BackboneWeights = "cached",
    image_size: BackboneSize = None,
    device: Device = "auto",
    output: Annotated[str, option("PNG file for the picture of what was found.", "FILE")] = "search.png",
) -> None:
    """Find the pictures of a folder nearest to yours.

    Prints a table and draws a picture. An image that lies in the gallery does not find itself. If it lies in
    a class folder there, or elsewhere in a folder called like one, its class is known, and neighbours are
    marked as right or wrong.

    \b
    Example:
        dmlteach search --checkpoint runs/mine --gallery my_images new/one.jpg new/two.jpg
        dmlteach search --backbone resnet50 --weights imagenet --gallery my_images --k 10 new/one.jpg
    """
    from dmlteach import search as engine
    from dmlteach.plots import search as drawing

    drawing.check(output)
    model = _trained_or_backbone(checkpoint, backbone, weights, image_size)
    found = engine.find(model, gallery, images, k, device, sys.stderr.isatty())
    typer.echo(engine.table(found))
    drawing.save(drawing.search_picture(found), output)
    typer.echo(f"\npicture: {output}")


@app.command()
def export(
    output: Annotated[str, option("File for the program, *.pt2.", "FILE")],
    checkpoint: Trained = None,
    backbone: Backbone = None,
    weights: BackboneWeights = "cached",
    image_size: BackboneSize = None,
) -> None:
    """Write a model that runs without dmlteach.

    The program takes uint8 images and normalises them itself; FILE.json beside it says how it is used.

    \b
    Example:
        dmlteach export --checkpoint runs/mine --output mine.pt2
    """
    from dmlteach.export import write

    description = write(_trained_or_backbone(checkpoint, backbone, weights, image_size), output)
    typer.echo(f"program: {output}\nhow to use it: {description}")


@app.command()
def report(
    ctx: typer.Context,
    method: Method = "sst",
    dataset: Dataset = "omniglot",
    root: Root = None,
    output: Annotated[
        str | None,
        option("Folder of the report.", "DIR", "build/reports/METHOD-DATASET-SEED, or CHECKPOINT-DATASET"),
    ] = None,
    epochs: Epochs = None,
    max_minutes: MaxMinutes = None,
    batch_size: BatchSize = None,
    seed: Seed = 0,
    device: Device = "auto",
    checkpoint: Annotated[
        str | None,
        option("Run folder, model file or shipped network to report on instead of training.", "PATH", "none"),
    ] = None,
    parameter: Annotated[
        list[str],
        option(
            "Any other parameter of the notebook, e.g. baseline=RUN (a network to compare with), "
            "weights=none, eval_every=0, show_images=all; repeatable.",
            "NAME=VALUE",
            False,
        ),
    ] = [],  # noqa: B006
) -> None:
    """Train (or take a network that is there) and write a report to hand on: one HTML page.

    papermill runs notebooks/reports/benchmark.ipynb. A training is kept beside the page; the same command
    again evaluates and draws only.

    \b
    Example:
        dmlteach report --method sst --dataset omniglot --max-minutes 2
        dmlteach report --checkpoint runs/sst-omniglot-0 --output build/reports/mine
        dmlteach report --checkpoint sst
    """
    asked = {name for name in ctx.params if _was_given(ctx, name)}
    given = {name: value for name, value in ctx.params.items() if name in asked - {"parameter"}}

    from dmlteach.course import reports

    typer.echo(f"report: {reports.run(texts=tuple(parameter), **given)}")


@app.command()
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


@app.command()
def methods() -> None:
    """The recipes as a table: paper, loss, batches (classes × images), size D of the embedding, optimiser.

    \b
    Example:
        dmlteach methods
    """
    from dmlteach import methods

    rows = []
    for name in methods.names():
        recipe = methods.get(name)
        each = recipe.sampler_options.get("images_per_class")
        batch = f"{recipe.batch_size // each} × {each}" if each else str(recipe.batch_size)
        rate = f"{recipe.learning_rate:.0e}".replace("e-0", "e-")
        rows.append(
            [
                name,
                f"{recipe.paper}\nloss {recipe.loss}; batches {recipe.sampler}, {batch}; "
                f"D = {recipe.embedding_dim}; {recipe.optimizer}, rate {rate}",
            ]
        )
    _print_table(["method", "paper, and what the recipe takes from it"], rows)
    typer.echo(
        "\nDensely-anchored sampling (--das; Liu et al., ECCV 2022) can go before any pair or triplet loss. "
        "The paper's\nruns are on the unit sphere (--normalize), but for N-pair and generalised lifted; "
        "elsewhere made embeddings\ncarry gradients here (detach=False), or the whole embedding would drift."
    )


@app.command()
def doctor() -> None:
    """What works on this computer, and the cure for what does not.

    \b
    Example:
        dmlteach doctor
    """
    from dmlteach.doctor import examine

    for check in examine():
        mark = typer.style("works", fg="green") if check.works else typer.style("fails", fg="red")
        cure = "" if check.works or not check.cure else f"; {check.cure}"
        typer.echo(f"{mark}  {check.name:<10}  {check.found}{cure}")


@app.command()
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


@app.command()
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


@app.command()
def playground(
    output: Annotated[str, option("File to write.", "FILE")] = "playground.html",
) -> None:
    """Write the triplet playground as one HTML file that works without a network, to open or to pass on.

    \b
    Example:
        dmlteach playground --output playground.html
    """
    from dmlteach.course.widgets.page import playground_page

    write_text(output, playground_page())
    typer.echo(f"playground: {output}")


@app.command()
def progress(
    export: Annotated[str | None, option("JSON file to write the progress to.", "FILE", "shown only")] = None,
    reset: Annotated[bool, option("Forget all progress; asks first.")] = False,
    yes: Annotated[bool, option("With --reset: do not ask.")] = False,
) -> None:
    """Your progress in the exercises, by chapter. It is one file on this computer and stays there.

    \b
    Example:
        dmlteach progress
        dmlteach progress --export progress.json
        dmlteach progress --reset
    """
    from dmlteach.course.exercises import progress

    if export:
        progress.export(export)
        typer.echo(f"exported: {export}")
    if reset:
        if not (yes or typer.confirm(f"Forget all progress in {progress.file()}?")):
            typer.echo("kept")
            return
        progress.reset()
        typer.echo("all progress is forgotten")
    if not (export or reset):
        _print_progress()


@data_app.command("list")
def data_list() -> None:
    """The data sets and what they are.

    \b
    Example:
        dmlteach data list
    """
    from dmlteach import data

    _print_table(["data set", "what it is"], [[name, _first_line(name)] for name in data.names()])


@data_app.command("check")
def data_check(
    name: Annotated[str, typer.Argument(help="Data set; `dmlteach data list` lists them.")],
    root: Root = None,
    quick: Annotated[
        bool, option("Your own images: read only their heads, which finds most that are damaged, not all.")
    ] = False,
    dataset_option: DatasetOption = [],  # noqa: B006
) -> None:
    """Compare a data set on disk with the published one and name what is missing.

    A folder of your own images is looked through image by image: what is damaged or left out, which classes
    are for training and which for the test, and whatever a training with default options would refuse.

    \b
    Example:
        dmlteach data check folder --root my_images
        dmlteach data check cub200 --root ~/data/CUB_200_2011
    """
    from dmlteach import data

    options = _dataset_options(name, dataset_option)
    report = data.check(name, root, quick=quick, progress=sys.stderr.isatty(), **options)
    _print_report(report)
    if not report.ok:
        raise typer.Exit(1)


@data_app.command("get")
def data_get(
    name: Annotated[str, typer.Argument(help="Data set; `dmlteach data list` lists them.")],
    root: Annotated[
        str | None, option("Folder to download it into.", "DIR", "none: only say how, download nothing")
    ] = None,
    progress: Annotated[bool, option("Show bars.")] = True,
) -> None:
    """Download a data set from its official place and check it, or say which file to put where.

    \b
    Example:
        dmlteach data get cub200
        dmlteach data get cub200 --root ~/data/cub
    """
    from dmlteach import data

    if name not in data.names():
        raise unknown_name("data set", name, data.names())
    if root is None:
        typer.echo(data.how_to_get(name))
        return
    report = data.get(name, root, progress)
    _print_report(report)
    if not report.ok:
        raise typer.Exit(1)


def _pairs(given: list[str]) -> dict[str, Any]:
    """Options from ["num_targets=5", "balance=true"]."""
    pairs = (pair(text, "options", "num_targets=5") for text in given)
    return {name: value_of(value) for name, value in pairs}


def _dataset_options(dataset: str, given: list[str]) -> dict[str, Any]:
    """Options of a data set that it knows."""
    from dmlteach import data

    options = _pairs(given)
    data.check_options(dataset, options)
    return options


def _refuse_beside(ctx: typer.Context, option: str, reason: str, others: list[str]) -> None:
    """One error where options were given that another one puts out of use."""
    for name in others:
        if _was_given(ctx, name):
            raise DMLTeachError(f"--{option} {reason}; leave out --{name.replace('_', '-')}.")


def _was_given(ctx: typer.Context, name: str) -> bool:
    """Whether an option stands on the command line."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _trained_or_backbone(
    checkpoint: str | None, backbone: str | None, weights: str | None, image_size: int | None
) -> "Model":
    from dmlteach import models

    if (checkpoint is None) == (backbone is None):
        raise DMLTeachError("name the network: give either --checkpoint PATH or --backbone NAME.")
    if checkpoint is not None:
        return models.load(checkpoint)
    # as `train` takes them
    if weights == "none" or (weights == "cached" and models.usual_weights(str(backbone)) == "none"):
        weights = None
    # scaled to length 1: without training, directions tell more than lengths
    return models.create(
        str(backbone), None, weights=weights, normalize=True, image_size=image_size, keep_aspect=True
    )


def _print_metrics(
    numbers: dict[str, Any], untrained: dict[str, Any] | None = None, start: str = "untrained"
) -> None:
    """One line per number; fractions with four decimals, beside those of the untrained network if known."""
    if untrained:
        typer.echo(f"{'':<14} {start:>10} {'trained':>10}")
    for name, value in numbers.items():
        if not isinstance(value, int | float):
            continue
        shown = f"{value:.4f}" if isinstance(value, float) else str(value)
        if untrained:
            before = untrained.get(name) if isinstance(value, float) else None
            shown = f"{'' if before is None else format(before, '.4f'):>10} {shown:>10}"
        typer.echo(f"{name:<14} {shown}")


def _print_notes(notes: list[str]) -> None:
    """What has to be known beside the numbers, apart from them."""
    for note in notes:
        typer.secho(f"note: {note}", fg="yellow", err=True)


def _print_report(report: "CheckReport") -> None:
    """A sentence a line; where the terminal is narrower, the next lines are indented."""
    import shutil
    import textwrap

    width = shutil.get_terminal_size().columns
    typer.echo(str(report).partition("\n")[0])
    for sentence in report.sentences():
        first, *more = sentence.splitlines()
        typer.echo(textwrap.fill(
            first, width, initial_indent="  ", subsequent_indent="    ", break_long_words=False,
            break_on_hyphens=False,
        ))  # fmt: skip
        for line in more:
            typer.echo(f"    {line}")


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
    _print_table(["", "exercise", "state", "tries", "help read"], rows)
    typer.echo(f"\nfile: {progress.file()}")
    if note:
        typer.echo(note)


def _state(record: "Record") -> str:
    return "done, not marked" if record.status == "to compare" else record.status


def _help_taken(record: "Record") -> str:
    hints = "1 hint" if record.hints == 1 else f"{record.hints} hints" if record.hints else ""
    return ", ".join(filter(None, [hints, "solution" if record.solution else ""]))


def _print_table(columns: list[str], rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None, padding=(0, 1, 0, 0))
    for column in table.columns[:-1]:
        column.no_wrap = True  # names are whole, whatever the width
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _first_line(dataset: str) -> str:
    from importlib import import_module

    return (import_module(f"dmlteach.data.{dataset}").__doc__ or "").strip().partition("\n")[0]


def main() -> None:
    """Entry point of the `dmlteach` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(
                errors="backslashreplace"
            )  # a name that the terminal cannot show stops nothing
    app()


if __name__ == "__main__":
    main()
