"""What is public in the package, read from its source: nothing is imported for it."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import dmlteach
from dmlteach.course.reference.docstrings import Docstring, parse
from dmlteach.course.sources import PACKAGE
from dmlteach.errors import DMLTeachError

Definition = ast.FunctionDef | ast.ClassDef


@dataclass
class Entry:
    """A function, a class, a method, a property or a constant.

    Attributes:
        name: to import it by, e.g. "dmlteach.losses.triplet_loss"; of a method with its class.
        home: module that defines it.
        kind: "function", "class", "method", "property" or "data".
        signature: its arguments, in brackets, and what it returns; of a constant " = " and its value.
        doc: its docstring, taken apart.
        arguments: names that mean an argument in its docstring.
        members: documented methods and properties of a class.
        is_public: whether the package or one of its rooms lists it.
        aliases: further names that it answers to.
        kinds_of_method: "staticmethod" and "classmethod", where it is one.
    """

    name: str
    home: str
    kind: str
    signature: str
    doc: Docstring
    arguments: set[str] = field(default_factory=set)
    members: list["Entry"] = field(default_factory=list)
    is_public: bool = False
    aliases: set[str] = field(default_factory=set)
    kinds_of_method: tuple[str, ...] = ()


@dataclass
class Module:
    """A file of the package and what it defines.

    Attributes:
        name: e.g. "dmlteach.losses.triplet".
        doc: its docstring, taken apart.
        entries: in the order of the file.
    """

    name: str
    doc: Docstring
    entries: list[Entry]

    @property
    def room(self) -> str:
        """Its first part below the package."""
        return self.name.split(".")[1]


@cache
def tree(file: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(file.read_text(encoding="utf-8"))


def file_of(module: str, package: Path = PACKAGE) -> Path | None:
    """The file of a module, or None where there is none.

    Args:
        module: its whole name.
        package: the folder of the package.
    """
    path = package.joinpath(*module.split(".")[1:])
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in candidates if file.is_file()), None)


def modules(package: Path = PACKAGE) -> list[Module]:
    """Every module that a reader may import, with its public functions, classes and constants.

    Of the course, that is what its own `__init__` and those of its parts list; the rest of it serves the site.

    Args:
        package: the folder of the package.

    Raises:
        DMLTeachError: a docstring is missing or cannot be read.
    """
    found = []
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package).with_suffix("").parts
        name = ".".join(("dmlteach", *(parts[:-1] if parts[-1] == "__init__" else parts)))
        if name != "dmlteach" and parts[0] not in COMMANDS:
            found.append(_read(name, file))
    by_name = {module.name: module for module in found}
    shown = set(_shown_of_the_course(package))
    _publish(by_name, package)
    for module in found:
        if module.room == "course":
            if module.name in shown:
                for entry in module.entries:
                    entry.is_public = True
            module.entries = [entry for entry in module.entries if entry.is_public]
    return [module for module in found if module.entries or module.room != "course"]


COMMANDS = ("cli", "cli.py", "__main__", "doctor")  # what the terminal answers, see `dmlteach --help`


def _shown_of_the_course(package: Path) -> Iterator[str]:
    """Modules of the course whose every definition is public: its parts that list none."""
    named = {f"dmlteach.{home}" for home in dmlteach.IN_THE_COURSE.values()}
    for file in sorted((package / "course").glob("*")):
        module = f"dmlteach.course.{file.stem}"
        inside = file_of(module, package)
        if inside is None or listed(inside) is not None:
            continue
        if file.is_dir() and file.name != "reference":
            yield from (f"{module}.{one.stem}" for one in sorted(file.glob("*.py")))
        elif module in named:
            yield module


def listed(file: Path) -> list[str] | None:
    """What a file's `__all__` lists; None where it has none.

    Args:
        file: of the module.
    """
    for node in tree(file).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return None


def _read(name: str, file: Path) -> Module:
    body = tree(file).body
    entries = [
        _definition(node, name, f"{name}.{node.name}")
        for node in body
        if isinstance(node, Definition) and not node.name.startswith("_")
    ]
    return Module(name, parse(ast.get_docstring(tree(file)) or "", f"the module {name}"), entries)


def _publish(modules: dict[str, Module], package: Path) -> None:
    """Tell each entry the shortest name it is listed by, and every other that it answers to."""
    for name, module in modules.items():
        file = file_of(name, package)
        names = listed(file) if file else None
        for public in names or []:
            home, original = _home(name, public, package)
            entry = _entry(modules, home, original) or _constant(modules, home, original, package)
            if entry is not None and not entry.is_public and f"{home}.".startswith(f"{name}."):
                _rename(entry, f"{name}.{public}")
            elif entry is not None:
                entry.aliases.add(f"{name}.{public}")
        room = file_of(f"dmlteach.{module.room}", package)
        if module.room in dmlteach.MODULES and room is not None and listed(room) is None:
            for entry in module.entries:
                entry.is_public = True
        for public, original in _imported(name, package):
            entry = _entry(modules, *_home(name, public, package)) if original else None
            if entry is not None:
                entry.aliases.add(f"{name}.{public}")
    for public, (room, original) in dmlteach.FUNCTIONS.items():
        entry = _entry(modules, *_home(f"dmlteach.{room}", original, package))
        if entry is None:
            raise DMLTeachError(f"dmlteach.{public} is listed in dmlteach.FUNCTIONS but defined nowhere.")
        _rename(entry, f"dmlteach.{public}")


def _rename(entry: Entry, name: str) -> None:
    old = entry.name
    entry.aliases.add(old)
    entry.name, entry.is_public = name, True
    for member in entry.members:
        member.aliases.add(member.name)
        member.name = name + member.name.removeprefix(old)


def _imported(module: str, package: Path) -> list[tuple[str, str]]:
    """Names that a package's `__init__` imports from its own files."""
    file = file_of(module, package)
    if file is None or file.name != "__init__.py":
        return []
    return [
        (alias.asname or alias.name, alias.name)
        for node in tree(file).body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{module}.")
        for alias in node.names
    ]


def _home(module: str, name: str, package: Path) -> tuple[str, str]:
    """Module that defines what `module` calls `name`, and its name there; modules are their own home."""
    file = file_of(module, package)
    for node in tree(file).body if file else []:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dmlteach"):
            for alias in node.names:
                is_module = file_of(f"{node.module}.{alias.name}", package) is not None
                if (alias.asname or alias.name) == name and not is_module:
                    return _home(str(node.module), alias.name, package)
    return module, name


def _entry(modules: dict[str, Module], home: str, name: str) -> Entry | None:
    entries = modules[home].entries if home in modules else []
    return next((e for e in entries if e.home == home and (e.name.split(".")[-1] == name or f"{home}.{name}" in e.aliases)), None)


def _constant(modules: dict[str, Module], home: str, name: str, package: Path) -> Entry | None:
    """A value that is listed: documented by the comment beside or above it."""
    file = file_of(home, package)
    if file is None or file_of(f"{home}.{name}", package):
        return None
    lines = file.read_text(encoding="utf-8").splitlines()
    for node in tree(file).body:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        if name in map(ast.unparse, targets) and node.value is not None:
            value = ast.unparse(node.value)
            if isinstance(node.value, ast.Dict):
                value = "{" + ", ".join(f"{ast.unparse(key)}: …" for key in node.value.keys if key) + "}"
            doc = parse(_comment(lines, node) or f"A constant of `{home}`.", f"{home}.{name}")
            shown = f" = {value}" if len(value) < 90 else ""
            modules[home].entries.append(entry := Entry(f"{home}.{name}", home, "data", shown, doc))
            return entry
    return None


def _comment(lines: list[str], node: ast.stmt) -> str:
    """The comment behind a statement, or the lines of comment right above it."""
    if behind := re.search(r"  # (.*)$", lines[node.lineno - 1]):
        return behind[1][0].upper() + behind[1][1:]
    above: list[str] = []
    for line in reversed(lines[: node.lineno - 1]):
        if not line.startswith("# "):
            break
        above.insert(0, line[2:])
    return " ".join(above)


def _definition(node: Definition, home: str, name: str) -> Entry:
    """A function or class with its documented members."""
    text = ast.get_docstring(node) or ""
    if isinstance(node, ast.FunctionDef):
        arguments, shown = _arguments(node.args)
        returns = f" -> {_annotation(node.returns)}" if node.returns else ""
        decorators = [ast.unparse(one) for one in node.decorator_list]
        is_property = any(one.endswith("property") for one in decorators)
        kind = "property" if is_property else "function"
        entry = Entry(name, home, kind, f"({shown}){returns}", parse(text, name, arguments), arguments)
        entry.kinds_of_method = tuple(one for one in decorators if one in ("staticmethod", "classmethod"))
        return entry
    constructor = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
    fields = [n for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
    arguments, shown = _arguments(constructor.args) if constructor else _fields(fields)
    entry = Entry(name, home, "class", f"({shown})", parse(text, name, arguments), arguments)
    for inner in node.body:
        if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_") and ast.get_docstring(inner):
            member = _definition(inner, home, f"{name}.{inner.name}")
            member.kind = "property" if member.kind == "property" else "method"
            entry.members.append(member)
    return entry


def _annotation(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ast.unparse(node)


def _arguments(given: ast.arguments) -> tuple[set[str], str]:
    """Names of the arguments, and all of them as they are written, without self."""
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, (given.vararg, given.kwarg))]
    shown = ast.arguments(
        posonlyargs=given.posonlyargs,
        args=[one for one in given.args if one.arg not in ("self", "cls")],
        vararg=given.vararg, kwonlyargs=given.kwonlyargs, kw_defaults=given.kw_defaults,
        kwarg=given.kwarg, defaults=given.defaults,
    )  # fmt: skip
    return {one.arg for one in every} - {"self", "cls"}, ast.unparse(shown)


def _fields(fields: list[ast.AnnAssign]) -> tuple[set[str], str]:
    """The same of a dataclass or a named tuple."""
    parts = []
    for one in fields:
        made = isinstance(one.value, ast.Call) and ast.unparse(one.value.func) == "field"
        default = "" if one.value is None else " = ..." if made else f" = {ast.unparse(one.value)}"
        parts.append(f"{ast.unparse(one.target)}: {_annotation(one.annotation)}{default}")
    return {ast.unparse(one.target) for one in fields}, ", ".join(parts)


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
        is_listed = any(isinstance(one, Entry) and one.is_public and one.name.count(".") <= 2 for one in found)
        return word not in self.words and (is_listed or not re.fullmatch("[a-z]+", word))


def _place(thing: Entry | Module) -> str:
    return thing.home if isinstance(thing, Entry) else thing.name
