"""Which cells an answer needs: that with its check, and those that bind what it uses, or may change it."""

import ast
import builtins
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

from IPython.core.inputtransformer2 import TransformerManager

MAGIC = "get_ipython"  # what lines with % and ! become
LASTING = ("append", "extend", "update", "add", "insert", "setdefault", "clear", "pop", "remove", "sort")
TRAINS = ("fit", "train")  # which change a network, or write a run, also where their value is kept
ANSWERS = ("check", "hint", "solution")
SHOWS = (*ANSWERS, "print", "display")
DRAWN_ON = ("plt", "figure", "fig", "axes", "ax")


@dataclass(frozen=True)
class Cell:
    """The code of a cell, and its names.

    Attributes:
        source: as it is in the notebook.
        uses: names that it reads before it has bound them itself.
        binds: names that are another thing after it, or that it changes.
        replaces: those that it binds whatever they were.
        defines: those that it imports, or binds to a function or a class.
        effects: names in each of the calls that it makes for what they change, and not for their value.
        checks: ids whose answers it checks.
    """

    source: str
    uses: frozenset[str] = frozenset()
    binds: frozenset[str] = frozenset()
    replaces: frozenset[str] = frozenset()
    defines: frozenset[str] = frozenset()
    effects: tuple[frozenset[str], ...] = ()
    checks: frozenset[str] = frozenset()

    def changes(self, fixed: Set[str]) -> Set[str]:
        """Names that are, or may be, another thing after it.

        Args:
            fixed: modules, functions and classes of the notebook, which no call changes.
        """
        return self.binds | (self.uses - fixed) if self.effects else self.binds

    def has_nameless_effect(self, fixed: Set[str]) -> bool:
        """Whether it may change what no name tells, by a magic or a call such as `torch.manual_seed(0)`.

        Such a call in a cell that answers an exercise is taken for a part of that answer alone.

        Args:
            fixed: as that of `changes`.
        """
        return MAGIC in self.uses or (not self.checks and any(names <= fixed for names in self.effects))


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
    return Cell(
        source,
        frozenset(uses),
        frozenset(binds),
        frozenset(replaces),
        defines=frozenset(name for statement in tree.body for name in _defined(statement)),
        effects=tuple(frozenset(_loaded(call)) for call in _made_for_effect(tree)),
        checks=frozenset(_checked(tree)),
    )


def needed(cells: Sequence[Cell], id: str) -> list[Cell]:
    """The last cell that checks an exercise, after the cells that it needs; none where nothing checks it.

    Args:
        cells: of a notebook.
        id: of the exercise.
    """
    last = max((row for row, cell in enumerate(cells) if id in cell.checks), default=None)
    if last is None:
        return []
    fixed = frozenset(dir(builtins)).union(*(cell.defines for cell in cells))
    found, open_names = [cells[last]], set(cells[last].uses)
    for cell in reversed(cells[:last]):
        if cell.changes(fixed) & open_names or cell.has_nameless_effect(fixed):
            found.insert(0, cell)
            open_names = (open_names - cell.replaces) | cell.uses
    return found


def _checked(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node) == "check" and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value


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
    if defined := _defined(node):
        return defined
    bound = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    for inner in ast.walk(node):
        if isinstance(inner, ast.FunctionDef | ast.Import | ast.ImportFrom) and inner is not node:
            bound |= _bound(inner)
    return bound


def _defined(node: ast.AST) -> set[str]:
    """The name of a function or a class, or those that an import binds."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    return set()


def _made_for_effect(node: ast.AST) -> Iterator[ast.Call]:
    """Calls whose value nobody takes, and those that train.

    Those that only show something are none, nor are methods of which it is known that they change their own
    object alone. What stands inside a function is not called where the function is defined.
    """
    for inner in ast.iter_child_nodes(node):
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        value = inner.value if isinstance(inner, ast.Expr) else None
        if isinstance(value, ast.Call) and not _is_harmless(value):
            yield value
        elif isinstance(inner, ast.Call) and _called(inner) in TRAINS:
            yield inner
        elif not (isinstance(inner, ast.Call) and _called(inner) in ANSWERS):
            yield from _made_for_effect(inner)


def _is_harmless(call: ast.Call) -> bool:
    changes_its_own = isinstance(call.func, ast.Attribute) and call.func.attr in LASTING
    return changes_its_own or _called(call) in SHOWS or _root(call.func) in DRAWN_ON


def _called(call: ast.Call) -> str:
    return getattr(call.func, "id", getattr(call.func, "attr", ""))


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
