"""An option of a training: what a field of `TrainConfig` says beside its name, its type and its default."""

import textwrap
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, TypeVar

from dmlteach.options import at_least, positive

RECIPE = "the recipe's"
_KEY = "about"
_Kind = TypeVar("_Kind")


@dataclass(frozen=True)
class About:
    """What there is to say of an option, once for Python, for the command line and for reports.

    Attributes:
        help: what it does, in sentences; the names of other options stand in backquotes.
        metavar: the word for its value on a command line; None where it is yes or no.
        unset: words for what is used where it is None.
        positive: whether a number must be above 0.
        least: the smallest number that means something; None: any does.
        free: whether a second start of a run may have it otherwise: it changes nothing of what is trained.
        of_the_checkpoint: whether the network of a checkpoint decides it, so that it is not given beside one.
    """

    help: str
    metavar: str | None = None
    unset: str = RECIPE
    positive: bool = False
    least: float | None = None
    free: bool = False
    of_the_checkpoint: bool = False

    def check(self, name: str, value: Any) -> None:
        """Refuse a number out of range; None is in every one.

        Args:
            name: of the option.
            value: of the option's type.

        Raises:
            DMLTeachError: says which numbers there are.
        """
        if value is None:
            return
        if self.positive:
            positive(name, value)
        if self.least is not None:
            at_least(name, value, self.least)


def option(help: str, metavar: str | None = None, default: Any = None, **more: Any) -> Any:
    """A field of a configuration.

    Args:
        help, metavar: see `About`.
        default: its value where nobody gives one; `dict` for a new empty one.
        **more: further attributes of `About`.
    """
    said = {_KEY: About(help, metavar, **more)}
    if default is dict:
        return field(default_factory=dict, metadata=said)
    return field(default=default, metadata=said)


def about(option: Field) -> About:
    """What a field says of its option.

    Args:
        option: made by `option`.
    """
    return option.metadata[_KEY]


def documented(kind: type[_Kind]) -> type[_Kind]:
    """A configuration whose docstring lists its options, each as its field describes it.

    Args:
        kind: a dataclass, every field of which is made by `option`.
    """
    lines = "\n".join(map(_line, fields(kind)))  # type: ignore[arg-type]
    kind.__doc__ = f"{(kind.__doc__ or '').rstrip()}\n\n    Attributes:\n{lines}\n    "
    return kind


def _line(option: Field) -> str:
    said, usual = about(option), option.default
    words = "" if usual is MISSING else f" Default: {said.unset if usual is None else usual}."
    return textwrap.fill(
        f"{option.name}: {said.help}{words}", 110, initial_indent=8 * " ", subsequent_indent=12 * " ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
