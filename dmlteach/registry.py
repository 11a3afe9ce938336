"""Things by name, e.g. losses: which there are, which options each takes, and one made with options."""

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any, Generic, TypeVar

from dmlteach.errors import DMLTeachError
from dmlteach.options import check_options, one_of, options_of

T = TypeVar("T")


class Registry(Generic[T]):
    """A table of things of one kind.

    Args:
        what: one of them is called, e.g. "loss".
        kinds: what makes each, by name: a class or a function.
        facts: names of arguments that are no options: they follow from data and network.
    """

    def __init__(self, what: str, kinds: Mapping[str, Callable[..., T]], facts: Collection[str] = ()):
        self.what, self.kinds, self.facts = what, kinds, facts

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self.kinds)

    def __getitem__(self, name: str) -> Callable[..., T]:
        one_of(self.what, name, self.kinds)
        return self.kinds[name]

    def options(self, name: str) -> dict[str, inspect.Parameter]:
        """Options of what is called so, by name.

        Raises:
            DMLTeachError: nothing is called so.
        """
        return options_of(self[name], self.facts)

    def check(self, name: str, given: Mapping[str, Any]) -> None:
        """Refuse options that are unknown, or of another kind than they are annotated with.

        Raises:
            DMLTeachError: says which there are.
        """
        check_options(f"the {name} {self.what}", self.options(name), given)

    def create(self, name: str, *facts: Any, **given: Any) -> T:
        """What is called so, made with its facts and options.

        Raises:
            DMLTeachError: an unknown name or option, an option that is missing, or a value out of range.
        """
        self.check(name, given)
        known = list(self.options(name).items())
        missing = [option for option, p in known if p.default is p.empty and option not in given]
        if missing:
            raise DMLTeachError(f"the {name} {self.what} needs {', '.join(missing)}, e.g. {missing[0]}=….")
        return self[name](*facts, **given)
