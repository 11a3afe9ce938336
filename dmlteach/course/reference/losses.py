"""The page of a loss: its equation, its weight against distance, its methods, and where it is explained."""

import re
from pathlib import Path

from dmlteach import losses
from dmlteach.course.cards.contents import GEOMETRY
from dmlteach.course.execute import notebooks
from dmlteach.course.plots.weights import has_weight_curve, weights_against_distance
from dmlteach.course.reference.markdown import blocks, declared, entry, escaped, link_from, prose
from dmlteach.course.reference.methods import methods_with
from dmlteach.course.reference.names import Names
from dmlteach.course.reference.package import Module
from dmlteach.files import read_json
from dmlteach.plots.reading import PHONE
from dmlteach.plots.style import context

NO_CURVE = (
    "This loss compares each part of an ensemble's embedding by itself, and what comes before a part decides "
    "how much a pair weighs there; so a pair has no single weight, and no curve is drawn."
)


def loss_pages(modules: list[Module]) -> dict[str, Module]:
    """Modules that define a registered loss and have a page of their own, by module name.

    Args:
        modules: all of the package.
    """
    homes = {kind.__module__ for kind in losses.LOSSES.values()}
    return {module.name: module for module in modules if module.name in homes}


def name_of(module: Module) -> str:
    """What a loss is registered as.

    Args:
        module: that defines it.
    """
    return next(name for name, kind in losses.LOSSES.items() if kind.__module__ == module.name)


def title_of(module: Module) -> str:
    """What a loss is called: its file's docstring up to the colon.

    Args:
        module: that defines it.
    """
    return module.doc.body[0].text.partition(": ")[0].rstrip(".")


def loss_table(of_losses: dict[str, Module]) -> list[str]:
    """A table of all losses, each a link to its page, and the pages for the navigation.

    Args:
        of_losses: of `loss_pages`.
    """
    titles = {name_of(module): escaped(title_of(module)) for module in of_losses.values()}
    rows = [
        f"| [`{name}`](losses/{name}.md) | {titles[name]} | {losses.LOSSES[name].compares} |"
        for name in sorted(titles)
    ]
    tree = ["```{toctree}", ":hidden:", "", *(f"losses/{name}" for name in sorted(titles)), "```", ""]
    return ["| loss | what it is called | compares |", "|---|---|---|", *rows, "", *tree]


def loss_page(module: Module, names: Names, checkout: Path) -> tuple[str, list[str], dict[str, bytes]]:
    """Name of a loss, the lines of its page, and its curve by the names of its files; none without a curve.

    Args:
        module: that defines the loss.
        names: of everything, for links.
        checkout: the folder with the chapters.

    Returns:
        The three.
    """
    name = name_of(module)
    first, *rest = module.doc.body
    paper = first.text.partition(": ")[2]
    link = link_from(module, names)
    lines = [f"# {escaped(title_of(module))}", "", *declared(module, names)]
    lines += [prose(paper[0].upper() + paper[1:], link), ""] if paper else []
    lines += [*blocks(rest, link), *_facts(name, checkout)]
    kind = losses.LOSSES[name].__name__
    function = next(one for one in module.entries if one.name.split(".")[-1] in (f"{name}_loss", name))
    its_module = next(one for one in module.entries if one.name.split(".")[-1] == kind)
    lines += entry(function, names, is_formula=True)
    drawn, pictures = _curve(name)
    lines += ["## Weight against distance", "", *drawn, "## Methods", "", *methods_with(name)]
    lines += ["## As a module", "", *entry(its_module, names)]
    parts = [one for one in module.entries if one not in (function, its_module)]
    if parts:
        lines += ["## What it is made of", "", *(line for one in parts for line in entry(one, names))]
    return name, lines, pictures


def _facts(name: str, checkout: Path) -> list[str]:
    """How to make it, what it compares, what it can be given, and the chapters that use it."""
    kind = losses.LOSSES[name]
    sentences = [
        f'`losses.create("{name}")` makes it',
        f"it compares {kind.compares}, {GEOMETRY[kind.geometry]}",
    ]
    given = {"targets": "targets", "triplets": "triplets", "reference": "embeddings of earlier batches"}
    if kind.uses:
        sentences.append(f"a training can give it {' and '.join(given[one] for one in sorted(kind.uses))}")
    lines = ["; ".join(sentences) + ".", ""]
    if explained := chapters(name, checkout):
        links = [f"[{escaped(title)}](../../../notebooks/{path.name})" for path, title in explained]
        lines += [f"In the course: {', '.join(links)}.", ""]
    return lines


def chapters(name: str, checkout: Path) -> list[tuple[Path, str]]:
    """Chapters whose text or code uses a loss by its name, and their titles.

    Args:
        name: of the loss.
        checkout: the folder with `notebooks/`.
    """
    kind = losses.LOSSES[name].__name__
    used = re.compile(
        rf"\b{name}_loss\b|\blosses\.{kind}\b|\bloss(es\.create\(|=|: |_name=)[\"']{name}[\"']|`{name}`"
    )
    found = []
    for path in notebooks(checkout).values():
        cells = ["".join(cell["source"]) for cell in read_json(path, "Restore the chapter from git")["cells"]]
        if used.search("\n".join(cells)):
            title = next((cell.splitlines()[0] for cell in cells if cell.startswith("# ")), f"# {path.stem}")
            found.append((path, title.removeprefix("# ")))
    return found


def _curve(name: str) -> tuple[list[str], dict[str, bytes]]:
    if not has_weight_curve(name):
        return [NO_CURVE, ""], {}
    picture = weights_against_distance(name)
    text = (
        "How hard a positive pulls its anchor and a negative pushes it, at each distance, while the other "
        "one stays at distance 1: the part of the anchor's gradient along the way to it, by autograd, with "
        "the default options (see {py:obj}`weight_curve <dmlteach.course.plots.weights.weight_curve>`)."
    )
    if losses.LOSSES[name].compares == "learned class vectors":
        text += " The own class's vector stands for the positive, another class's for the negative."
    with context():
        small = picture.for_page(PHONE).png(dpi=160)
    files = {f"{name}.png": picture.png(dpi=130), f"{name}_on_a_phone.png": small}
    return [text, "", f"![{escaped(picture.alt)}]({name}.png)", ""], files
