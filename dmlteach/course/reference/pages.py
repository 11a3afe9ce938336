"""The pages of the reference, by the flow of data: one a room of the package, one a loss, one a method."""

from pathlib import Path

from dmlteach import methods
from dmlteach.course.reference.definitions import Entry
from dmlteach.course.reference.losses import loss_page, loss_pages, loss_table
from dmlteach.course.reference.markdown import blocks, declared, entry, link_from, prose
from dmlteach.course.reference.methods import method_page, method_table
from dmlteach.course.reference.names import Names
from dmlteach.course.reference.package import Module, docstring_of, modules

FLOW = {
    "From images to a trained network": (
        "data", "samplers", "models", "losses", "objective", "methods", "train",
    ),
    "What it is worth": ("embeddings", "evaluation", "metrics", "sweep"),
    "A trained network at work": ("search", "export", "plots"),
}  # fmt: skip
GROUND = "What all of it stands on"
COURSE = "The course"
INTRODUCTION = """# Reference

Everything public in the package, from the docstrings of the code this site was built with, in the order in
which data flow through it. Shapes stand in brackets: N images in a batch, M in a data set, D numbers in an
embedding, C classes. What has one dot in its name, e.g. {py:obj}`dmlteach.fit`, is there after
`import dmlteach`.
"""


def pages(checkout: Path) -> dict[str, bytes]:
    """Every page of the reference and its pictures, by its path below the site's sources.

    Args:
        checkout: the folder whose chapters the pages of the losses name.

    Returns:
        Contents; equal code and chapters give equal bytes.

    Raises:
        DMLTeachError: a docstring is missing or cannot be read; says which.
    """
    everything = modules()
    names = Names(everything)
    rooms: dict[str, list[Module]] = {}
    for module in everything:
        rooms.setdefault(module.room, []).append(module)
    of_losses = loss_pages(everything)
    texts = {"docs/api.md": _first_page(rooms, names)}
    files: dict[str, bytes] = {}
    for room, inside in rooms.items():
        rest = [module for module in inside if module.name not in of_losses]
        table = {"losses": loss_table(of_losses), "methods": method_table()}.get(room, [])
        texts[f"docs/api/{room}.md"] = room_page(room, rest, names, table)
    for module in of_losses.values():
        loss, lines, curves = loss_page(module, names, checkout)
        texts[f"docs/api/losses/{loss}.md"] = lines
        files |= {f"docs/api/losses/{name}": picture for name, picture in curves.items()}
    texts |= {f"docs/api/methods/{name}.md": method_page(name) for name in methods.names()}
    return files | {path: "\n".join(lines).encode() for path, lines in texts.items()}


def groups(rooms: dict[str, list[Module]]) -> dict[str, list[str]]:
    """Rooms by the part of the flow they belong to; the ground is what no part names.

    Args:
        rooms: of the package.
    """
    named = {room for part in FLOW.values() for room in part} | {"course"}
    found = {caption: [room for room in part if room in rooms] for caption, part in FLOW.items()}
    found[GROUND] = sorted(set(rooms) - named)
    found[COURSE] = ["course"]
    return found


def _first_page(rooms: dict[str, list[Module]], names: Names) -> list[str]:
    lines = [*INTRODUCTION.splitlines(), ""]
    for caption, inside in groups(rooms).items():
        lines += [f"## {caption}", "", "| module | what it holds |", "|---|---|"]
        for room in inside:
            holds = prose(docstring_of(f"dmlteach.{room}").body[0].text, lambda _: None)
            lines.append(f"| [`dmlteach.{room}`](api/{room}.md) | {holds} |")
        lines.append("")
    order = [room for inside in groups(rooms).values() for room in inside]
    return [
        *lines,
        "```{toctree}",
        ":hidden:",
        ":maxdepth: 2",
        "",
        *(f"api/{room}" for room in order),
        "```",
        "",
    ]


def room_page(room: str, inside: list[Module], names: Names, table: list[str]) -> list[str]:
    """The page of a room: what it is, what it lists in one table, and every entry file by file.

    Args:
        room: its name below the package.
        inside: its modules.
        names: of everything, for links.
        table: lines that stand before the entries.
    """
    lines = [f"# dmlteach.{room}", ""]
    listed = [one for module in inside for one in module.entries if one.is_public]
    for i, module in enumerate(inside):
        if module.name == f"dmlteach.{room}":
            lines += [*declared(module, names), *blocks(module.doc.body, link_from(module, names)), *table]
        if i == 0:
            lines += _short(listed, names)
        if module.name != f"dmlteach.{room}":
            lines += [f"## {module.name.removeprefix('dmlteach.')}", "", *declared(module, names)]
            lines += blocks(module.doc.body, link_from(module, names))
        for one in module.entries:
            lines += entry(one, names)
    return lines


def _short(listed: list[Entry], names: Names) -> list[str]:
    """A table of entries with their first sentence."""
    if len(listed) < 2:
        return []
    rows = []
    for one in listed:
        name = f"{{py:obj}}`{one.name.removeprefix('dmlteach.')} <{one.name}>`"
        rows.append(f"| {name} | {prose(one.doc.summary, link_from(one, names))} |")
    return ["| name | in short |", "|---|---|", *rows, ""]
