"""Docstrings as parts: what a thing does, its arguments, what it returns and raises, its source."""

import re
from dataclasses import dataclass, field

from dmlteach.errors import DMLTeachError

LISTS = {"Args": "Arguments", "Attributes": "Attributes", "Raises": "Raises", "Warns": "Warns"}
TEXTS = {"Returns": "Returns", "Yields": "Yields"}
CODE = ("Example", "Examples")
_HEADING = re.compile(r"([A-Z]\w+):")
_ITEM = re.compile(r"(\S[^:]*): +(\S.*)")
# A line that is meant as a heading but is none of ours.
_MISSPELT = re.compile(
    r"(Arg|Argument|Arguments|Param|Params|Parameters|Return|Raise|Attribute|Yield|Notes?):\s*"
)


@dataclass(frozen=True)
class Block:
    """A paragraph, the points of a list, or lines of code.

    Attributes:
        kind: "text", "point" or "code".
        text: of it; a paragraph or a point is one line.
    """

    kind: str
    text: str


@dataclass
class Docstring:
    """The parts of a docstring.

    Attributes:
        body: what stands before the sections, and examples.
        lists: by heading, (names, text) of arguments, attributes, errors.
        texts: by heading, paragraphs on what is returned.
        source: where it comes from, if that is said.
    """

    body: list[Block] = field(default_factory=list)
    lists: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    texts: dict[str, list[Block]] = field(default_factory=dict)
    source: str = ""

    @property
    def summary(self) -> str:
        """Its first sentence."""
        return re.split(r"(?<=[.;:]) (?=[A-Z])", self.body[0].text)[0] if self.body else ""


def parse(text: str, name: str, arguments: set[str] | None = None) -> Docstring:
    """Take a docstring apart.

    Args:
        text: the docstring, its margin removed.
        name: of what it documents, for errors.
        arguments: which there are; None where that is not to be compared.

    Raises:
        DMLTeachError: it cannot be read; says whose it is, which line and what to write.
    """
    if not text.strip():
        raise _broken(name, "is empty", "say in one sentence what it does")
    if text.count("`") % 2:
        raise _broken(name, "has a backquote without its second", "close the name in backquotes")
    found = Docstring()
    for heading, lines in _sections(text, name):
        if heading in LISTS:
            found.lists[LISTS[heading]] = _items(lines, heading, name)
        elif heading in TEXTS:
            found.texts[TEXTS[heading]] = _blocks(lines)
        elif heading in CODE:
            found.body.append(Block("code", "\n".join(_without_margin(lines)).strip()))
        elif heading == "Source":
            found.source = " ".join(" ".join(lines).split())
        else:
            found.body += _blocks(lines)
    unknown = {n for names, _ in found.lists.get("Arguments", []) for n in _names(names)} - (
        arguments or set()
    )
    if arguments is not None and unknown:
        raise _broken(
            name, f"describes {', '.join(sorted(unknown))}, which it does not take", "name its arguments"
        )
    return found


def _names(names: str) -> list[str]:
    return [one.strip(" *`") for one in names.split(",")]


def _broken(name: str, what: str, cure: str) -> DMLTeachError:
    return DMLTeachError(f"the docstring of {name} {what}; {cure}.")


def _sections(text: str, name: str) -> list[tuple[str, list[str]]]:
    """Heading ("" for the text before) and lines of each section."""
    sections: list[tuple[str, list[str]]] = [("", [])]
    for line in text.expandtabs().splitlines():
        if title := _HEADING.fullmatch(line.rstrip()):
            if title[1] not in {*LISTS, *TEXTS, *CODE}:
                known = ", ".join([*LISTS, *TEXTS, *CODE])
                raise _broken(name, f"has a section {title[1]!r}", f"sections are {known} and Source")
            sections.append((title[1], []))
        elif _MISSPELT.match(line):
            raise _broken(name, f"has the line {line.strip()!r}", "write what it tells on lines of their own")
        elif line.startswith("Source: "):
            sections.append(("Source", [line.removeprefix("Source: ")]))
        elif (
            line
            and not line.startswith(" ")
            and sections[-1][0]
            and not (sections[-1][0] == "Source" and sections[-1][1][-1])
        ):
            sections.append(("", [line]))
        else:
            sections[-1][1].append(line)
    for heading, lines in sections[1:]:
        if not any(line.strip() for line in lines):
            raise _broken(name, f"has nothing under {heading!r}", "fill the section or leave it out")
    return sections


def _without_margin(lines: list[str]) -> list[str]:
    margin = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return [line[margin:].rstrip() for line in lines]


def _items(lines: list[str], heading: str, name: str) -> list[tuple[str, str]]:
    """Names and text of each entry of a list; a deeper line goes on with the entry above."""
    items: list[tuple[str, str]] = []
    for line in _without_margin(lines):
        if not line:
            continue
        item = _ITEM.fullmatch(line)
        if line.startswith(" ") and items:
            items[-1] = (items[-1][0], f"{items[-1][1]} {line.strip()}")
        elif item and not line.startswith(" "):
            items.append((item[1], item[2]))
        else:
            raise _broken(name, f"has under {heading!r} the line {line.strip()!r}", "write NAME: what it is")
    return items


def _blocks(lines: list[str]) -> list[Block]:
    """Paragraphs, points of lists, and code: what is indented."""
    blocks: list[Block] = []
    open_block = False
    for line in _without_margin(lines):
        if not line:
            open_block = False
        elif line.startswith("    ") and blocks and (not open_block or blocks[-1].kind == "code"):
            if blocks[-1].kind == "code":
                blocks[-1] = Block("code", f"{blocks[-1].text}\n{line}")
            else:
                blocks[-1] = Block(blocks[-1].kind, re.sub(r"::$", ":", blocks[-1].text))
                blocks.append(Block("code", line))
            open_block = True
        elif line.startswith("- "):
            blocks.append(Block("point", line[2:]))
            open_block = True
        elif open_block:
            blocks[-1] = Block(blocks[-1].kind, f"{blocks[-1].text} {line.strip()}")
        else:
            blocks.append(Block("text", line.strip()))
            open_block = True
    return [
        Block(b.kind, "\n".join(_without_margin(b.text.splitlines()))) if b.kind == "code" else b
        for b in blocks
    ]
