"""Functions, classes and constants as entries of the reference, read from their syntax."""

import ast
import re
from dataclasses import dataclass, field

from dmlteach.course.reference.docstrings import Docstring, parse

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
        original: its first name, where it is defined.
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
    original: str = field(init=False)

    def __post_init__(self) -> None:
        self.original = self.name


def constant(body: list[ast.stmt], source: str, home: str, name: str) -> Entry | None:
    """A value that a file assigns: documented by the comment beside or above it.

    Args:
        body: statements of the file.
        source: its text.
        home: name of its module.
        name: of the constant.

    Returns:
        None where the file assigns no such name.
    """
    for node in body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if name in map(ast.unparse, targets):
            value = ast.unparse(node.value)
            if isinstance(node.value, ast.Dict):
                value = "{" + ", ".join(f"{ast.unparse(key)}: …" for key in node.value.keys if key) + "}"
            text = _comment(source.splitlines(), node) or f"A constant of `{home}`."
            shown = f" = {value}" if len(value) < 90 else ""
            return Entry(f"{home}.{name}", home, "data", shown, parse(text, f"{home}.{name}"))
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


def definition(node: Definition, home: str, name: str, lines: list[str]) -> Entry:
    """A function or class with its documented members.

    Args:
        node: its definition.
        home: module that has it.
        name: its whole name.
        lines: of the file, whose comments say what a field is where no docstring does.

    Raises:
        DMLTeachError: it has no docstring, or one that cannot be read.
    """
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
    constructor = next(
        (n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None
    )
    fields = [n for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
    arguments, shown = _arguments(constructor.args) if constructor else _fields(fields)
    entry = Entry(name, home, "class", f"({shown})", parse(text, name, arguments), arguments)
    about = [(ast.unparse(one.target), _help(one) or _comment(lines, one)) for one in fields]
    if "Attributes" not in entry.doc.lists and any(text for _, text in about):
        entry.doc.lists["Attributes"] = [(named, text) for named, text in about if text]
    for inner in node.body:
        if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_") and ast.get_docstring(inner):
            member = definition(inner, home, f"{name}.{inner.name}", lines)
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
        default = "" if one.value is None else f" = {_default(one.value)}"
        parts.append(f"{ast.unparse(one.target)}: {_annotation(one.annotation)}{default}")
    return {ast.unparse(one.target) for one in fields}, ", ".join(parts)


def _default(value: ast.expr) -> str:
    """The value that a field has where nobody gives one; "..." for one that is made anew."""
    if not isinstance(value, ast.Call):
        return ast.unparse(value)
    if ast.unparse(value.func) != "option":
        return "..." if ast.unparse(value.func) == "field" else ast.unparse(value)
    named = {keyword.arg: keyword.value for keyword in value.keywords}
    found = named.get("default", value.args[2] if len(value.args) > 2 else ast.Constant(None))
    return "..." if ast.unparse(found) == "dict" else ast.unparse(found)


def _help(field: ast.AnnAssign) -> str:
    """What a field says of itself that `dmlteach.train.option.option` makes; "" of others."""
    value = field.value
    if not (isinstance(value, ast.Call) and ast.unparse(value.func) == "option"):
        return ""
    named = {keyword.arg: keyword.value for keyword in value.keywords}
    unset = ast.literal_eval(named["unset"]) if "unset" in named else "the recipe's"
    words = f" Default: {unset}." if _default(value) == "None" else ""
    return f"{ast.literal_eval(value.args[0])}{words}"
