"""What commands print: numbers, notes, sentences and tables."""

from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from dmlteach.data import CheckReport


def print_metrics(
    numbers: dict[str, Any], untrained: dict[str, Any] | None = None, start: str = "untrained"
) -> None:
    """One line per number; fractions with four decimals, beside those of the untrained network if known.

    Args:
        numbers: by name; what is no number is left out.
        untrained: the same of the network before the first step.
        start: what that network is called.
    """
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


def print_notes(notes: list[str]) -> None:
    """What has to be known beside the numbers, apart from them.

    Args:
        notes: sentences.
    """
    for note in notes:
        typer.secho(f"note: {note}", fg="yellow", err=True)


def print_report(report: "CheckReport") -> None:
    """A sentence a line; where the terminal is narrower, the next lines are indented.

    Args:
        report: of a data set on disk.
    """
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


def print_table(columns: list[str], rows: list[list[str]]) -> None:
    """A table as wide as the terminal; all columns but the last stay whole.

    Args:
        columns: headings.
        rows: a text for each column.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None, padding=(0, 1, 0, 0))
    for column in table.columns[:-1]:
        column.no_wrap = True
    for row in rows:
        table.add_row(*row)
    Console().print(table)
