"""Commands of training: train, and the methods there are."""

import os
from typing import Annotated

import typer

from dmlteach.cli.options import (
    RECIPE,
    BatchSize,
    Checkpoint,
    Classes,
    Dataset,
    DatasetOption,
    Device,
    Epochs,
    MaxMinutes,
    Method,
    Output,
    RecallAt,
    Resume,
    Root,
    Seed,
    option,
    pairs,
)
from dmlteach.cli.tables import print_metrics, print_table


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
        f"{part}_options": pairs(ctx.params[f"{part}_option"])
        for part in ("loss", "das", "sampler", "head", "dataset")
    }

    from dmlteach.train import TrainConfig, fit

    result = fit(TrainConfig(**config))
    if os.environ.get("RANK", "0") == "0":  # of several processes, one draws and speaks
        from dmlteach.plots import curves, style

        if result.metrics["epochs"]:  # a time limit may have come inside the first
            style.save(curves.training_curves({result.path.name: result.path}), result.path / "curve")
        start = "before" if checkpoint else "untrained"
        print_metrics(result.metrics["final"], result.metrics.get("untrained"), start)
        if not progress:  # with progress it stands above the numbers
            typer.echo(f"training has ended: {result.metrics['final']['ended']}")
        typer.echo(f"run: {result.path}")


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
    print_table(["method", "paper, and what the recipe takes from it"], rows)
    typer.echo(
        "\nDensely-anchored sampling (--das; Liu et al., ECCV 2022) can go before any pair or triplet loss. "
        "The paper's\nruns are on the unit sphere (--normalize), but for N-pair and generalised lifted; "
        "elsewhere made embeddings\ncarry gradients here (detach=False), or the whole embedding would drift."
    )
