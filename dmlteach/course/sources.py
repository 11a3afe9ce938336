"""What a chapter is made from: the files of this package that it reaches tell whether it has changed."""

import ast
import re
from collections.abc import Iterable
from pathlib import Path

from dmlteach import ALIASES

PACKAGE = Path(__file__).parent.parent
CURE = "Get it anew from the repository."  # for a chapter that cannot be read
# What a cell says to its slide: {"question": …, "takeaway": …}; the title says the question alone.
SLIDE = "slide"
_NAMED = re.compile(r"\bdmlteach((?:\.\w+)+)")
_IMPORTED = re.compile(r"\bfrom dmlteach((?:\.\w+)*) import (\([^)]*\)|[^\n]*)")
_COMMAND = re.compile(r"\"[!%][^\"\n]*\bdmlteach\b")  # a cell's line for the shell


def code_of(module: str) -> list[Path]:
    """Source files of a module of this package and of every module of it that it imports, in turn.

    Args:
        module: its name below the package, e.g. "plots.ternary".

    Returns:
        Files, sorted.
    """
    return _followed([file_of(module)])


def code_of_notebook(notebook: Path) -> list[Path]:
    """Source files of every module of this package that a notebook names, and of what these import.

    Whatever looks like a name counts, in strings and magics too: rather one file too many than one too few.

    Args:
        notebook: the file.

    Returns:
        Files, sorted.
    """
    text = notebook.read_text(encoding="utf-8", errors="replace")
    names = {match[1] for match in _NAMED.finditer(text)}
    for match in _IMPORTED.finditer(text):
        names |= {f"{match[1]}.{name}" for name in re.findall(r"\w+", match[2])}
    if _COMMAND.search(text):
        names.add(".cli")
    modules = {name[1:].rsplit(".", cut)[0] for name in names for cut in range(name.count("."))}
    return _followed([PACKAGE / "__init__.py", *map(file_of, sorted(modules))])


def file_of(module: str) -> Path | None:
    """File of a module below the package, or None where there is none (a name inside a module).

    Args:
        module: its name below the package.
    """
    first, *rest = module.split(".")
    path = PACKAGE.joinpath(*ALIASES.get(first, first).split("."), *rest)
    candidates = (path.with_suffix(".py"), path / "__init__.py") if module else ()
    return next((file for file in candidates if file.is_file()), None)


def _followed(files: Iterable[Path | None]) -> list[Path]:
    found: set[Path] = set()
    waiting = list(files)
    while waiting:
        file = waiting.pop()
        if file is not None and file not in found:
            found.add(file)
            waiting += [file_of(imported) for imported in _imports(file)]
    return sorted(found)


def _imports(file: Path) -> set[str]:
    """Modules of this package that a file imports, below the package: `plots.style`, `losses` …"""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("dmlteach.") for name in names if name.startswith("dmlteach.")}
