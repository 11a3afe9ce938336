"""The command line. What is heavy is imported inside the command that needs it: `--help` is instant."""

import sys
from io import TextIOWrapper

import typer

from dmlteach.cli import assignments, course, data, doctor, networks, sweeps, training
from dmlteach.cli.app import Commands

# In the order in which `dmlteach --help` lists them.
COMMANDS = (
    training.train,
    sweeps.sweep,
    sweeps.compare,
    networks.evaluate,
    networks.embed,
    networks.search,
    networks.export,
    course.report,
    course.figures,
    training.methods,
    doctor.doctor,
    course.course,
    course.slides,
    course.lab,
    course.playground,
    course.progress,
    course.bundle,
)

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
for command in COMMANDS:
    app.command()(command)
app.add_typer(data.app, name="data")
app.add_typer(assignments.app, name="assignment")


def main() -> None:
    """Entry point of the `dmlteach` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(
                errors="backslashreplace"
            )  # a name that the terminal cannot show stops nothing
    app()
