"""The one kind of error a user can cure: it says what was given, what is possible, what to do."""

from collections.abc import Iterable
from difflib import get_close_matches
from importlib.util import find_spec

SHOWN = 80  # names; of more, only those that resemble what was given


class DMLTeachError(ValueError):
    """A mistake in input, options or environment. The command line prints it without a traceback."""

    def __str__(self) -> str:
        """The message; bytes of file names that are no Unicode become �, so that it can be printed."""
        return "".join("�" if "\ud800" <= c <= "\udfff" else c for c in super().__str__())


class NotFiniteError(DMLTeachError):
    """A loss or an embedding is NaN or infinite: the training has diverged."""


def printable(text: str) -> str:
    """A name on one line: line breaks, bytes that are no Unicode and the like become �.

    Args:
        text: name of a file or a class.
    """
    return "".join(c if c.isprintable() else "�" for c in text)


def counted(number: int, thing: str) -> str:
    """ "1 image", "1,200 images", "2 classes".

    Args:
        number: how many.
        thing: in the singular.
    """
    plural = thing + ("es" if thing.endswith("s") else "s")
    return f"{number:,} {thing if number == 1 else plural}"


def unknown_name(kind: str, given: object, known: Iterable[str]) -> DMLTeachError:
    """Error for a mistyped name: `unknown loss 'tripplet'; did you mean 'triplet'? Losses: …`.

    Args:
        kind: what the name names, in the singular, e.g. "loss".
        given: what the user wrote.
        known: every valid name.
    """
    known = sorted(set(known))
    close = get_close_matches(str(given), known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    if len(known) > SHOWN:
        known = [*(get_close_matches(str(given), known, n=SHOWN // 4, cutoff=0.3) or known[:SHOWN]), "…"]
    return DMLTeachError(f"unknown {kind} {given!r}{hint} Known: {', '.join(known)}")


class MissingPartError(DMLTeachError, ModuleNotFoundError):
    """A package of an optional part of dmlteach is not installed."""


def need(module: str, part: str) -> None:
    """Say where a package comes from that is not installed.

    Args:
        module: of the package.
        part: optional part of dmlteach that asks for it.

    Raises:
        MissingPartError: it is not there, and how to get it.
    """
    if find_spec(module) is None:
        raise MissingPartError(f"{module} is not installed; it comes with: pip install 'dmlteach[{part}]'")
