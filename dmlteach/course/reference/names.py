"""What a name in code font means: the end of a whole name, where that is clear."""

import re

import dmlteach
from dmlteach.course.reference.definitions import Entry
from dmlteach.course.reference.package import Module


class Names:
    """Finds the entry or module that a text in code font means.

    Args:
        modules: all of them.
    """

    def __init__(self, modules: list[Module]):
        self.entries: dict[str, Entry | Module] = {}
        self.by_end: dict[str, dict[int, Entry | Module]] = {}
        self.words = {"fit"}  # that mean something else, too: a part of a data set, or arguments
        for module in modules:
            if module.name not in {entry.name for entry in module.entries}:  # else the function is meant
                self._add(module, {module.name}, least=1 if "_" in module.name else 2)
            for entry in module.entries:
                self._add(entry, {entry.name, *entry.aliases}, least=1)
                self.words |= entry.arguments
                for member in entry.members:
                    self._add(member, {member.name, *member.aliases}, least=2)
                    self.words |= member.arguments

    def _add(self, thing: Entry | Module, names: set[str], least: int) -> None:
        for name in names:
            self.entries[name] = thing
            parts = name.split(".")
            for length in range(least, len(parts) + 1):
                self.by_end.setdefault(".".join(parts[-length:]), {})[id(thing)] = thing

    def find(self, text: str, near: str = "") -> Entry | Module | None:
        """What a text means: a whole name or the end of one, with or without a call's brackets.

        Args:
            text: e.g. "dmlteach.losses.create", "losses.create", "kmeans" or "kmeans(…)".
            near: module whose names, then those of whose room, are preferred.

        Returns:
            None where nothing is called so, or several things are, or a word may well mean something else.
        """
        match = re.fullmatch(r"([A-Za-z_][\w.]*?)(\(.*\))?", text)
        if match is None:
            return None
        name, is_called = match[1], match[2] is not None
        for alias, home in dmlteach.ALIASES.items():
            name = re.sub(rf"^(dmlteach\.)?{alias}\.", rf"\1{home}.", name)
        found = list(self.by_end.get(name, {}).values())
        for place in filter(None, (near, ".".join(near.split(".")[:2]))):
            here = [one for one in found if f"{_place(one)}.".startswith(f"{place}.")]
            if len(here) == 1 and (is_called or "." in name or place == near or name not in self.words):
                return here[0]
        if "." not in name and not is_called and not self._is_clear(name, found):
            return None
        return self.entries.get(name) or (found[0] if len(found) == 1 else None)

    def _is_clear(self, word: str, found: list[Entry | Module]) -> bool:
        """Whether a bare word is a name: no argument is called so, and it is listed, or no plain word."""
        is_listed = any(
            isinstance(one, Entry) and one.is_public and one.name.count(".") <= 2 for one in found
        )
        return word not in self.words and (is_listed or not re.fullmatch("[a-z]+", word))


def _place(thing: Entry | Module) -> str:
    return thing.home if isinstance(thing, Entry) else thing.name
