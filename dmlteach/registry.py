"""Things by name, e.g. losses: which there are, which options each takes, and one made with options.

Where a registry says how, a name can also be the source of one that is not ours, see `dmlteach.foreign`.
"""

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any, Generic, TypeVar

from dmlteach import foreign
from dmlteach.errors import DMLTeachError
from dmlteach.options import check_options, one_of, options_of, takes_any

T = TypeVar("T")


class Registry(Generic[T]):
    """A table of things of one kind.

    Args:
        what: one of them is called, e.g. "loss".
        kinds: what makes each, by name: a class or a function.
        facts: names of arguments that are no options: they follow from data and network.
        adapt: given what was found by a source, and its name, what makes one, or one where that is an object;
            it refuses what is none. None: all are ours.
    """

    def __init__(
        self,
        what: str,
        kinds: Mapping[str, Callable[..., T]],
        facts: Collection[str] = (),
        adapt: Callable[[Any, str], Any] | None = None,
    ):
        self.what, self.kinds, self.facts, self.adapt = what, kinds, facts, adapt

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self.kinds)

    def __getitem__(self, name: str) -> Any:
        if self.adapt is not None and foreign.is_foreign(name):
            return self.adapt(foreign.find(name, self.what), name)
        one_of(self.what, name, self.kinds)
        return self.kinds[name]

    def options(self, name: str) -> dict[str, inspect.Parameter]:
        """Options of what is called so, by name.

        Raises:
            DMLTeachError: nothing is called so.
        """
        found = self[name]
        return {} if foreign.is_object(name) else options_of(found, self.facts)

    def check(self, name: str, given: Mapping[str, Any]) -> None:
        """Refuse options that are unknown, or of another kind than they are annotated with.

        Raises:
            DMLTeachError: says which there are.
        """
        known = self.options(name)
        if foreign.is_foreign(name) and not foreign.is_object(name) and takes_any(self[name]):
            given = {option: value for option, value in given.items() if option in known}
        check_options(f"the {name} {self.what}", known, given)

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
        found = self[name]
        if foreign.is_object(name):
            return found
        return (
            foreign.made(name, found, *facts, **given) if foreign.is_foreign(name) else found(*facts, **given)
        )
