"""What is public in the package, read from its source: nothing is imported for it."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import dmlteach
from dmlteach.course.reference.definitions import Definition, Entry, constant, definition
from dmlteach.course.reference.docstrings import Docstring, parse
from dmlteach.course.sources import PACKAGE
from dmlteach.errors import DMLTeachError


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


def docstring_of(module: str, package: Path = PACKAGE) -> Docstring:
    """The docstring of a module, taken apart.

    Args:
        module: its whole name.
        package: the folder of the package.

    Raises:
        DMLTeachError: it is missing or cannot be read.
    """
    file = file_of(module, package)
    text = ast.get_docstring(tree(file)) if file else None
    return parse(text or "", f"the module {module}")


def modules(package: Path = PACKAGE) -> list[Module]:
    """Every module that a reader may import, with its public functions, classes and constants.

    Of the course, that is what its `__init__` and those of its parts list; the rest of it serves the site.

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
    body, lines = tree(file).body, file.read_text(encoding="utf-8").splitlines()
    entries = [
        definition(node, name, f"{name}.{node.name}", lines)
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
            entry = _entry(modules, home, original) or _add_constant(modules, home, original, package)
            if entry is not None and not entry.is_public and f"{home}.".startswith(f"{name}."):
                _rename(entry, f"{name}.{public}")
            elif entry is not None:
                entry.aliases.add(f"{name}.{public}")
        own = file_of(f"dmlteach.{module.room}", package)
        if module.room in dmlteach.MODULES and own is not None and listed(own) is None:
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
        for node in _import_statements(file)
        if (node.module or "").startswith(f"{module}.")
        for alias in node.names
    ]


def _import_statements(file: Path) -> Iterator[ast.ImportFrom]:
    """Statements `from … import …` of a file, those for the type checker among them."""
    for node in tree(file).body:
        for inner in node.body if isinstance(node, ast.If) else [node]:
            if isinstance(inner, ast.ImportFrom):
                yield inner


def _home(module: str, name: str, package: Path) -> tuple[str, str]:
    """Module that defines what `module` calls `name`, and its name there; modules are their own home."""
    file = file_of(module, package)
    for node in _import_statements(file) if file else ():
        if (node.module or "").startswith("dmlteach"):
            for alias in node.names:
                is_module = file_of(f"{node.module}.{alias.name}", package) is not None
                if (alias.asname or alias.name) == name and not is_module:
                    return _home(str(node.module), alias.name, package)
    return module, name


def _entry(modules: dict[str, Module], home: str, name: str) -> Entry | None:
    entries = modules[home].entries if home in modules else []
    return next(
        (e for e in entries if e.original == f"{home}.{name}"),
        None,
    )


def _add_constant(modules: dict[str, Module], home: str, name: str, package: Path) -> Entry | None:
    """A listed value as a new entry; None where the name is that of a module."""
    file = file_of(home, package)
    if file is None or file_of(f"{home}.{name}", package):
        return None
    entry = constant(tree(file).body, file.read_text(encoding="utf-8"), home, name)
    if entry is not None:
        modules[home].entries.append(entry)
    return entry
