"""Which cells of a notebook an answer needs: that with its check, and those that bind what it uses."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from IPython.core.inputtransformer2 import TransformerManager

MAGIC = "get_ipython"  # what lines with % and ! become
LASTING = ("append", "extend", "update", "add", "insert", "setdefault", "clear", "pop", "remove", "sort")


@dataclass(frozen=True)
class Cell:
    """The code of a cell, and its names.

    Attributes:
        source: as it is in the notebook.
        uses: names that it reads before it has bound them itself.
        binds: names that are another thing after it, or that it changes.
        replaces: those that it binds whatever they were.
        checks: ids whose answers it checks.
    """

    source: str
    uses: frozenset[str] = frozenset()
    binds: frozenset[str] = frozenset()
    replaces: frozenset[str] = frozenset()
    checks: frozenset[str] = frozenset()


def read(source: str) -> Cell:
    """The names of a cell; one that is no Python has none.

    Args:
        source: of the cell, magics and all.
    """
    try:
        tree = ast.parse(TransformerManager().transform_cell(source))
    except (SyntaxError, ValueError, RecursionError):
        return Cell(source, checks=frozenset(_ids_in(source)))
    uses: set[str] = set()
    replaces: set[str] = set()
    binds: set[str] = set()
    for statement in tree.body:
        uses |= _loaded(statement) - replaces
        binds |= _bound(statement) | _changed(statement)
        if not isinstance(statement, ast.If | ast.For | ast.While | ast.Try | ast.With | ast.AugAssign):
            replaces |= _bound(statement)
    checks = frozenset(_checked(tree))
    return Cell(source, frozenset(uses), frozenset(binds), frozenset(replaces), checks)


def needed(cells: Sequence[Cell], id: str) -> list[Cell]:
    """The last cell that checks an exercise, after the cells that it needs; none where nothing checks it.

    Args:
        cells: of a notebook.
        id: of the exercise.
    """
    last = max((row for row, cell in enumerate(cells) if id in cell.checks), default=None)
    if last is None:
        return []
    found, open_names = [cells[last]], set(cells[last].uses)
    for cell in reversed(cells[:last]):
        if cell.binds & open_names or MAGIC in cell.uses:  # which may write a file that is read later
            found.insert(0, cell)
            open_names = (open_names - cell.replaces) | cell.uses
    return found


def _checked(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name == "check" and isinstance(node.args[0].value, str):
                yield node.args[0].value


def _ids_in(source: str) -> Iterator[str]:
    """Ids by their text alone, of a cell that cannot be parsed: its answer is wrong, and not missing."""
    for part in source.split("check(")[1:]:
        quote = part.lstrip()[:1]
        if quote in ('"', "'"):
            yield part.lstrip()[1:].split(quote)[0]


def _loaded(node: ast.AST) -> set[str]:
    """Names that are read anywhere in a statement, also inside functions; an augmented one is read, too."""
    named = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    added = [n.target for n in ast.walk(node) if isinstance(n, ast.AugAssign)]
    return named | {target.id for target in added if isinstance(target, ast.Name)}


def _bound(node: ast.AST) -> set[str]:
    """Names that a statement binds at the top level of its cell."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    bound = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    for inner in ast.walk(node):
        if isinstance(inner, ast.FunctionDef | ast.Import | ast.ImportFrom) and inner is not node:
            bound |= _bound(inner)
    return bound


def _changed(node: ast.AST) -> set[str]:
    """Names whose objects a statement changes: by index or attribute, a method that does, or `global`."""
    found = {name for inner in ast.walk(node) if isinstance(inner, ast.Global) for name in inner.names}
    for inner in ast.walk(node):
        if isinstance(inner, ast.Subscript | ast.Attribute) and isinstance(inner.ctx, ast.Store | ast.Del):
            found.add(_root(inner))
        elif (
            isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute) and _lasts(inner.func.attr)
        ):
            found.add(_root(inner.func))
    return found - {""}


def _lasts(method: str) -> bool:
    return method in LASTING or method.endswith("_")  # as torch names what works in place


def _root(node: ast.AST) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""
