"""Commands that put a network to use: evaluate, embed, search, export."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from dmlteach.cli.options import (
    DEFAULTS,
    Backbone,
    BackboneSize,
    BackboneWeights,
    Classes,
    Dataset,
    DatasetOption,
    Device,
    RecallAt,
    Root,
    Split,
    Trained,
    dataset_options,
    option,
    refuse_beside,
)
from dmlteach.cli.tables import print_metrics, print_notes
from dmlteach.errors import DMLTeachError, unknown_name
from dmlteach.files import check_place, write_json

if TYPE_CHECKING:
    from dmlteach.models import Model


def evaluate(
    ctx: typer.Context,
    checkpoint: Trained = None,
    dataset: Dataset = DEFAULTS.dataset,
    root: Root = None,
    backbone: Backbone = None,
    weights: BackboneWeights = None,
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
    device: Device = DEFAULTS.device,
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
        refuse_beside(ctx, "across", whole, ["split", "nmi", "nmi_starts", "dataset_option"])
    if across not in (None, "forward", "reverse"):
        raise unknown_name("direction across domains", across, ("forward", "reverse"))
    if nmi_starts is not None and not nmi:
        raise DMLTeachError("--nmi-starts is about the clustering of --nmi; give both.")
    if output:
        check_place(output)
    from dmlteach import data, evaluate_domains
    from dmlteach import evaluate as measure
    from dmlteach.evaluation import before_training, recall

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
            print_metrics(numbers)
        if checkpoint:
            typer.echo(
                "\nuntrained      not known: a run measures it on its test images, not across domains."
            )
        if output:
            write_json(output, {**what, **found})
        return
    options = {"classes": classes, **dataset_options(dataset, dataset_option)}
    images, gallery, notes, options = data.load_for_run(checkpoint, dataset, split, root, **options)
    print_notes(notes)
    numbers = measure(
        model, images, gallery, ks=ks, with_nmi=nmi, nmi_starts=nmi_starts, device=device, progress=progress
    )
    before, unknown = None, ""
    if checkpoint:
        before, unknown = before_training.untrained(checkpoint, numbers, dataset, split, options, images)
    print_metrics(numbers, before, before_training.called(checkpoint) if checkpoint else "untrained")
    if unknown:
        typer.echo(f"untrained      not known: {unknown}")
    if output:
        known = {"untrained": before} if before else {}
        said = {"notes": notes} if notes else {}
        write_json(output, {**what, "split": split, **numbers, **known, **said})


def embed(
    ctx: typer.Context,
    output: Annotated[str, option("File for the embeddings: .npz or .parquet.", "FILE")],
    checkpoint: Trained = None,
    dataset: Dataset = DEFAULTS.dataset,
    root: Root = None,
    images: Annotated[
        str | None, option("Instead of a data set: every image below this folder.", "DIR", "none")
    ] = None,
    backbone: Backbone = None,
    weights: BackboneWeights = None,
    image_size: BackboneSize = None,
    split: Split = "test",
    device: Device = DEFAULTS.device,
    classes: Classes = None,
    dataset_option: DatasetOption = [],  # noqa: B006
) -> None:
    """Write embeddings to a file for use elsewhere.

    Of a data set, or of every image of a folder. The file holds embeddings (N, D), and paths, labels and
    names of classes where there are any. As in evaluate, a run's own --classes N is to be named again.

    \b
    Example:
        dmlteach embed --checkpoint runs/mine --images my_images --output my_images.npz
        dmlteach embed --checkpoint runs/sst-omniglot-0 --dataset omniglot --output omniglot.npz
    """
    if images:
        place = "takes the place of a data set"
        refuse_beside(ctx, "images", place, ["dataset", "root", "split", "classes", "dataset_option"])
    from dmlteach import data, embeddings
    from dmlteach.embeddings import embed as embedded
    from dmlteach.inputs import collapse_sentence, is_collapsed

    embeddings.check_file(output)
    model = _trained_or_backbone(checkpoint, backbone, weights, image_size)
    if images:
        shown = data.pictures.load(images, model.spec.channels)
    else:
        options = {"classes": classes, **dataset_options(dataset, dataset_option)}
        shown, _, notes, _ = data.load_for_run(checkpoint, dataset, split, root, **options)
        print_notes(notes)
    z = embedded(model, shown, device, progress=sys.stderr.isatty())
    print_notes([collapse_sentence(len(z))] if is_collapsed(z) else [])
    embeddings.write(output, z, shown)
    typer.echo(f"{len(z):,} embeddings of {z.shape[1]} numbers: {output}")


def search(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE", help="Images to search for.")],
    gallery: Annotated[
        str, option("Folder of images to search in, with a folder for each class or without.", "DIR")
    ],
    checkpoint: Trained = None,
    k: Annotated[int, option("Neighbours of each image; more than there are: all.", "K")] = 5,
    backbone: Backbone = None,
    weights: BackboneWeights = None,
    image_size: BackboneSize = None,
    device: Device = DEFAULTS.device,
    output: Annotated[str, option("PNG file for the figure of what was found.", "FILE")] = "search.png",
) -> None:
    """Find the images of a folder nearest to yours.

    Prints a table and draws a figure. An image that lies in the gallery does not find itself. If it lies in
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
    typer.echo(f"\nfigure: {output}")


def export(
    output: Annotated[str, option("File for the program, *.pt2.", "FILE")],
    checkpoint: Trained = None,
    backbone: Backbone = None,
    weights: BackboneWeights = None,
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


def _trained_or_backbone(
    checkpoint: str | None, backbone: str | None, weights: str | None, image_size: int | None
) -> "Model":
    from dmlteach import foreign, models

    if checkpoint is None and backbone is None:
        raise DMLTeachError("name the network: give either --checkpoint PATH or --backbone NAME.")
    if checkpoint is not None:
        own = backbone if foreign.is_foreign(backbone) else None
        if backbone is not None and own is None:
            raise DMLTeachError(f"{checkpoint} decides which network it is: leave out --backbone {backbone}.")
        for option, given in (("--weights", weights), ("--image-size", image_size)):
            if given is not None:
                raise DMLTeachError(f"{option} is of --backbone; {checkpoint} brings its own: leave it out.")
        return models.load(checkpoint, own)
    if weights in (None, "cached"):
        weights = models.usual_weights(str(backbone))
    # scaled to length 1: without training, directions tell more than lengths
    return models.create(
        str(backbone),
        None,
        weights=None if weights == "none" else weights,
        normalize=True,
        image_size=image_size,
        keep_aspect=True,
    )
