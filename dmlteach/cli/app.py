"""The group of commands: what fails in a foreseeable way is one message, and never a traceback."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from dmlteach.errors import DMLTeachError

PACKAGE = Path(__file__).parent.parent
_OUT_OF_MEMORY = re.compile("out of memory|can't allocate memory", re.IGNORECASE)  # as torch says it
_SMALLER = "choose smaller batches (--batch-size, --micro-batch), images or embeddings, or another --device."
INTERRUPTED = 130  # what a shell expects after Ctrl-C


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
        if Path(filename).is_relative_to(PACKAGE):
            typer.secho(f"note: {message}", fg="yellow", err=True)
        else:
            shown(message, category, filename, lineno, file, line)

    with warnings.catch_warnings():
        shown, warnings.showwarning = warnings.showwarning, show
        yield


def _failed(message: str) -> typer.Exit:
    typer.secho(f"error: {message}", fg="red", err=True)
    return typer.Exit(2)
