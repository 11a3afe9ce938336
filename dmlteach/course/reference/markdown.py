"""Entries of the reference as MyST: Sphinx's Python directives around a docstring's parts."""

import re
from collections.abc import Callable

from dmlteach.course.reference.definitions import Entry
from dmlteach.course.reference.docstrings import Block, Docstring
from dmlteach.course.reference.names import Names
from dmlteach.course.reference.package import Module

Link = Callable[[str], str | None]  # a text in code font → the whole name of what it means
_SPECIAL = re.compile(r"([\\*_\[\]<>${}|~&#^!])")
_AT_THE_START = re.compile(r"^([-+=%:(]|\d+(?=[.)]))")


def escaped(text: str) -> str:
    """Text as MyST that shows every character as it is.

    Args:
        text: one line.
    """
    text = _SPECIAL.sub(r"\\\1", text)
    return _AT_THE_START.sub(lambda m: rf"{m[1]}\ " if m[1].isdigit() else rf"\{m[1]}", text)


def prose(text: str, link: Link) -> str:
    """A docstring's text as MyST: names in code font are links where they are documented.

    Args:
        text: one line; names stand in backquotes.
        link: says what a name means.
    """
    pieces = text.split("`")
    for i, piece in enumerate(pieces):
        name = link(piece) if i % 2 else None
        if i % 2:
            pieces[i] = f"{{py:obj}}`{piece} <{name}>`" if name else f"`{piece}`"
        else:
            pieces[i] = escaped(piece) if i == 0 else _SPECIAL.sub(r"\\\1", piece)
    return "".join(pieces)


def blocks(parts: list[Block], link: Link) -> list[str]:
    """Paragraphs, points and code as lines of MyST.

    Args:
        parts: of a docstring.
        link: as for `prose`.
    """
    lines: list[str] = []
    for i, part in enumerate(parts):
        if part.kind == "code":
            language = "pycon" if part.text.startswith(">>>") else "text"
            lines += [f"```{language}", *part.text.splitlines(), "```", ""]
        elif part.kind == "point":
            follows = i + 1 < len(parts) and parts[i + 1].kind == "point"
            lines += [f"- {prose(part.text, link)}", *([] if follows else [""])]
        else:
            lines += [prose(part.text, link), ""]
    return lines


def docstring(doc: Docstring, link: Link) -> list[str]:
    """A docstring as lines of MyST: its text, and its sections as a list of fields.

    Args:
        doc: taken apart.
        link: as for `prose`.
    """
    lines = blocks(doc.body, link)
    for heading in ("Arguments", "Attributes", "Returns", "Yields", "Raises", "Warns"):
        points = []
        for written, text in doc.lists.get(heading, []):
            named = prose(f"`{written}`", link) if heading in ("Raises", "Warns") else _in_code(written)
            points.append(f"- {named}: {prose(text, link)}")
        inner = points or blocks(doc.texts.get(heading, []), link)
        if inner:
            lines += [f":{heading}:", *(f"  {line}" if line else "" for line in inner), ""]
    if doc.source:
        lines += [":Source:", f"  {prose(doc.source, link)}", ""]
    return lines


def declared(module: Module, names: Names) -> list[str]:
    """The directive that makes a module known, unless a function has its name: then that is meant.

    Args:
        module: the module.
        names: of everything.
    """
    return (
        []
        if isinstance(names.entries.get(module.name), Entry)
        else [f"```{{py:module}} {module.name}", "```", ""]
    )


def _in_code(names: str) -> str:
    return ", ".join(f"`{name.strip(' `')}`" for name in names.split(","))


def entry(one: Entry, names: Names, fence: int = 5, is_formula: bool = False) -> list[str]:
    """An entry with its members, as lines of MyST.

    Args:
        one: the entry.
        names: of everything, for links.
        fence: backquotes around it: more than around what is inside.
        is_formula: whether its first paragraph is an equation.
    """
    module, _, name = one.name.rpartition(".")
    is_member = one.kind in ("method", "property")
    options = [f":module: {module.rpartition('.')[0] if is_member else module}"]
    if not is_member and one.original != one.name:
        options.append(f":canonical: {one.original}")
    options += [f":{kind}:" for kind in one.kinds_of_method]
    signature = one.signature
    if one.kind in ("property", "data"):
        options += _value(one)
        signature = ""
    lines = [f"{'`' * fence}{{py:{one.kind}}} {name}{signature}", *options, ""]
    lines += ["```{rst-class} formula", "```", ""] if is_formula else []
    lines += docstring(one.doc, link_from(one, names))
    for member in one.members:
        lines += entry(_within(member, one), names, fence - 1)
    return [*lines, "`" * fence, ""]


def _value(one: Entry) -> list[str]:
    """Options that say the type of a property, or the value of a constant."""
    if one.kind == "property":
        return [f":type: {one.signature.partition(' -> ')[2]}"] if " -> " in one.signature else []
    return [f":value: {one.signature.removeprefix(' = ')}"] if one.signature else []


def _within(member: Entry, owner: Entry) -> Entry:
    """A member in whose docstring the arguments of its class are known, too."""
    member.arguments |= owner.arguments
    return member


def link_from(one: Entry | Module, names: Names) -> Link:
    """What a name in code font means inside a docstring: not one of the arguments, nor the thing itself.

    Args:
        one: whose docstring it is.
        names: of everything.
    """

    def link(text: str) -> str | None:
        if isinstance(one, Entry) and text in one.arguments:
            return None
        found = names.find(text, near=one.home if isinstance(one, Entry) else one.name)
        return None if found is None or found is one else found.name

    return link
