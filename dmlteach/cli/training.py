"""Commands of training: train, and the methods there are."""

import os
from typing import Annotated

import typer

from dmlteach.cli.options import configured_by, option, was_given
from dmlteach.cli.sweeps import train_over_seeds
from dmlteach.cli.tables import print_card, print_metrics, print_table
from dmlteach.errors import DMLTeachError
from dmlteach.train.config import TrainConfig


@configured_by(TrainConfig)
def train(
    config: TrainConfig,
    seeds: Annotated[
        str | None,
        option(
            "A run for each of these seeds, then their mean: a short `dmlteach sweep`.",
            "SEEDS",
            "one run, with --seed",
        ),
    ] = None,
) -> None:
    """Train a model and write a run folder: config, metrics, weights, checkpoint and curve.

    \b
    Example:
        dmlteach train --method semihard --classes 200 --epochs 2
        dmlteach train --method sst --dataset omniglot --seed 0 --max-minutes 30
        dmlteach train --method sst --seeds 0-4 --epochs 2
        dmlteach train --dataset cub200 --root ~/data/cub --backbone timm/tf_efficientnet_lite0 \\
            --weights tf_efficientnet_lite0.safetensors --image-size 128 --precision bf16
    """
    if seeds is not None:
        return train_over_seeds(config, seeds)
    from dmlteach.train import fit

    result = fit(config)
    if os.environ.get("RANK", "0") == "0":  # of several processes, one draws and speaks
        from dmlteach.plots import curves, style

        if result.metrics["epochs"]:  # a time limit may have come inside the first
            style.save(curves.training_curves({result.path.name: result.path}), result.path / "curve")
        start = "before" if config.checkpoint else "untrained"
        print_metrics(result.metrics["final"], result.metrics.get("untrained"), start)
        if lowest := result.metrics.get("lowest_loss"):
            typer.echo("\nthe network of the epoch with the lowest training loss:")
            print_metrics(lowest)
        if not config.progress:  # with progress it stands above the numbers
            typer.echo(f"training has ended: {result.metrics['final']['ended']}")
        typer.echo(f"run: {result.path}")


def methods(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Method whose card to print.", show_default="all, as a table"),
    ] = None,
    dataset: Annotated[
        str, option("Data set for which the recipe on the card is adapted.", "NAME")
    ] = TrainConfig.dataset,
) -> None:
    """The recipes as a table, or the card of a method.

    The table: paper, loss, batches (classes × images), size D of the embedding, optimizer. The card:
    equation, source, the recipe as published and as a data set adapts it, what to tune and in which range,
    how it ranks here, when to use it.

    \b
    Example:
        dmlteach methods
        dmlteach methods sst
        dmlteach methods sst --dataset cub200
    """
    if name is not None:
        from dmlteach.course.cards import card

        return print_card(card(name, dataset))
    if was_given(ctx, "dataset"):
        raise DMLTeachError("--dataset is about the card of a method: name one, e.g. dmlteach methods sst.")
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
        "\n`dmlteach methods NAME` prints a method's card."
    )
