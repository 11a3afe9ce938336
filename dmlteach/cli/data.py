"""Commands of the data sets: list, check, get."""

import sys
from typing import Annotated

import typer

from dmlteach.cli.options import DatasetOption, Root, dataset_options, option
from dmlteach.cli.tables import print_report, print_table
from dmlteach.errors import unknown_name

app = typer.Typer(help="Data sets: list them, get one, check a copy.", no_args_is_help=True)


@app.command("list")
def data_list() -> None:
    """The data sets and what they are.

    \b
    Example:
        dmlteach data list
    """
    from dmlteach import data

    print_table(["data set", "what it is"], [[name, _first_line(name)] for name in data.names()])


def _first_line(dataset: str) -> str:
    from importlib import import_module

    return (import_module(f"dmlteach.data.{dataset}").__doc__ or "").strip().partition("\n")[0]


@app.command("check")
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

    options = dataset_options(name, dataset_option)
    report = data.check(name, root, quick=quick, progress=sys.stderr.isatty(), **options)
    print_report(report)
    if not report.ok:
        raise typer.Exit(1)


@app.command("get")
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
    print_report(report)
    if not report.ok:
        raise typer.Exit(1)
