"""What commands print: numbers, notes, sentences and tables."""

from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from dmlteach.course.cards import Card
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
    typer.echo(str(report).partition("\n")[0])
    for sentence in report.sentences():
        first, *more = sentence.splitlines()
        typer.echo(_filled(first, "  ", "    "))
        for line in more:
            typer.echo(f"    {line}")


def print_card(card: "Card") -> None:
    """The card of a method: parts with a heading, lines as wide as the terminal.

    Args:
        card: of the method.
    """
    from dmlteach.course.cards.contents import RECIPE, SOURCE

    typer.echo(card.method)
    for heading, sentences in card.sections():
        typer.echo(f"\n{heading}")
        for sentence in sentences:
            typer.echo(_filled(sentence, "  ", "    "))
        if heading == RECIPE:
            for row in card.recipe:
                typer.echo(_filled(f"{row.part + ':':<14} {row.published or '–'}", "  ", " " * 17))
                if row.here != row.published:
                    why = f" ({row.why})" if row.why else ""
                    typer.echo(_filled(f"on {card.dataset}: {row.here or '–'}{why}", " " * 17, " " * 19))
        if heading == SOURCE and card.command:
            typer.echo(f"  {card.command}")  # whole, to copy it


def _filled(text: str, first: str, others: str) -> str:
    """A text as wide as the terminal, its lines indented."""
    import shutil
    import textwrap

    return textwrap.fill(
        text, shutil.get_terminal_size().columns, initial_indent=first, subsequent_indent=others,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


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
