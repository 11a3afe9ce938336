"""The command that says what works on this computer."""

import typer


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
