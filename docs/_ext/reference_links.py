"""Sphinx extension: a public name in code font links to its entry in the reference.

In the chapters and documents that is the first time a page uses it; the pages of the reference bring their
own links. Below a chapter stands what its code takes from the package.
"""

from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.util.nodes import make_refnode

from dmlteach.course.reference.chapters import names_in_code
from dmlteach.course.reference.names import Names
from dmlteach.course.reference.package import modules

REFERENCE, CHAPTERS = "docs/api", "notebooks/"
NO_LINK = (nodes.reference, nodes.title, nodes.raw)  # what holds no link: another one, a heading


def names_of(app: Sphinx) -> Names:
    """All names of the package, read once a build."""
    if not hasattr(app, "dmlteach_names"):
        app.dmlteach_names = Names(modules())
    return app.dmlteach_names


def place_of(app: Sphinx, text: str) -> tuple[str, str, str] | None:
    """Page, anchor and whole name of the entry that a text means, or None."""
    found = names_of(app).find(text)
    entry = app.env.domains["py"].objects.get(found.name) if found else None
    return (entry.docname, entry.node_id, found.name) if entry else None


def link_first_uses(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Turn the first use of each name on a page into a link."""
    if page.startswith(REFERENCE):
        return
    linked: set[str] = set()
    for literal in list(doctree.findall(nodes.literal)):
        place = place_of(app, literal.astext())
        if place is None or place[2] in linked or _is_inside(literal, NO_LINK):
            continue
        linked.add(place[2])
        link = make_refnode(app.builder, page, place[0], place[1], literal.deepcopy(), place[2])
        literal.replace_self(link)
    if page.startswith(CHAPTERS):
        add_what_code_uses(app, doctree, page)


def add_what_code_uses(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Below a chapter, links to what its code takes from the package."""
    cells = [node for node in doctree.findall(nodes.container) if "cell_input" in node["classes"]]
    links: dict[str, nodes.reference] = {}
    for name in names_in_code([cell.astext() for cell in cells]):
        if place := place_of(app, name):
            shown = nodes.literal("", place[2].removeprefix("dmlteach."))
            links[place[2]] = make_refnode(app.builder, page, place[0], place[1], shown, place[2])
    if links:
        line = nodes.paragraph("", "The code of this chapter, in the reference: ", classes=["used"])
        for i, link in enumerate(links.values()):
            line += [nodes.Text(", "), link] if i else [link]
        last = next(iter(doctree.findall(nodes.section)), doctree)
        last += line


def _is_inside(node: nodes.Node, kinds: tuple[type, ...]) -> bool:
    while (node := node.parent) is not None:
        if isinstance(node, kinds):
            return True
    return False


def link_type(app: Sphinx, env: Any, node: pending_xref, content: nodes.Element) -> nodes.reference | None:
    """A type in a signature stands there by its last name only."""
    place = place_of(app, node.get("reftarget", "")) if node.get("refdomain") == "py" else None
    return make_refnode(app.builder, node["refdoc"], place[0], place[1], content, place[2]) if place else None


def setup(app: Sphinx) -> dict:
    app.connect("doctree-resolved", link_first_uses)
    app.connect("missing-reference", link_type)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
