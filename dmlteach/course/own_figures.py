"""Figures of a reader's own networks: how they are kept, and the page of the site that shows them.

A figure that shows images which may not be passed on comes into the site only where that is asked for.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from dmlteach import data, files, foreign
from dmlteach.data import ImageDataset
from dmlteach.plots.style import save

FOLDER = "build/figures"
PAGE = "docs/own_figures"
INCLUDE = "dmlteach course --include-restricted"
_SHOWS = ".shows.json"  # beside each figure: whose images are in it
HOW = """# Figures of your own networks

What `dmlteach figures --checkpoint RUN --dataset NAME` has drawn into `build/figures/`: the images nearest to
some queries, and a map of an embedding, for any network and any data set.
"""
NONE = "\nNothing has been drawn there yet. Try `dmlteach figures --checkpoint sst`.\n"


class Own(NamedTuple):
    """A figure of a reader's own.

    Attributes:
        image: its file.
        alt: what it shows.
        dataset: whose images are in it.
        shareable: whether these may be passed on.
        terms: on which terms.
    """

    image: Path
    alt: str
    dataset: str
    shareable: bool
    terms: str


def write(
    figure: Figure, folder: Path, kind: str, dataset: str, images: ImageDataset, network: str = ""
) -> list[Path]:
    """Keep a figure, with a note of whose images it shows.

    Args:
        figure: of a network.
        folder: for it.
        kind: "retrieval" or "tsne".
        dataset: name of the data set.
        images: of it.
        network: the only one that is shown; "" where there are several.

    Returns:
        The files to look at.

    Raises:
        DMLTeachError: they cannot be written.
    """
    path = folder / "_".join(filter(None, [kind, foreign.called(dataset), network]))
    written = save(figure, path, svg=False)
    about = {"dataset": dataset, "shareable": images.shareable, "terms": data.terms(dataset)}
    files.write_json(path.with_name(path.name + _SHOWS), about)
    return written


def found(folder: Path) -> list[Own]:
    """The figures of a folder that have a note of whose images they show.

    Args:
        folder: may be missing.

    Raises:
        DMLTeachError: a note is damaged.
    """
    cure = "Remove it, and draw the figure again: dmlteach figures --checkpoint …"
    figures = []
    for note in sorted(folder.glob(f"*{_SHOWS}")):
        base = note.name.removesuffix(_SHOWS)
        image, alt = note.with_name(f"{base}.png"), note.with_name(f"{base}.alt.txt")
        if image.exists() and alt.exists():
            about = files.read_json(note, cure)
            try:
                figures.append(Own(image, alt.read_text(encoding="utf-8").strip(), **about))
            except TypeError as error:
                raise files.damaged(note, "it does not say whose images are shown", cure) from error
    return figures


def pages(folder: Path, restricted: bool) -> dict[str, Path | bytes]:
    """Files of the site, by their place in it: the page, and the figures that it shows.

    Args:
        folder: of the figures.
        restricted: show also images that may not be passed on.
    """
    figures = found(folder)
    shown = [figure for figure in figures if restricted or figure.shareable]
    text = "".join([HOW, *_shown(shown), *_left_out(len(figures) - len(shown))]) if figures else HOW + NONE
    return {f"{PAGE}.md": text.encode(), **{f"figures/own/{one.image.name}": one.image for one in shown}}


def say_terms(folder: Path, say: Callable[[str], None]) -> None:
    """Say on which terms the images of figures that may not be passed on are used.

    Args:
        folder: of the figures.
        say: receives a line for each data set.
    """
    terms = {one.dataset: one.terms for one in found(folder) if not one.shareable}
    for dataset, words in terms.items():
        say(f"the site shows images of {dataset}: {words}")
    if terms:
        say("Keep this site to yourself, unless these terms or their owners allow more.")
    else:
        say(f"{folder} holds no figure with images that may not be passed on.")


def _shown(figures: list[Own]) -> Iterator[str]:
    for one in figures:
        kind = "Nearest images" if one.image.name.startswith("retrieval") else "A map"
        yield f"\n## {kind}: {one.image.stem.partition('_')[2].replace('_', ', ')}\n\n"
        yield f"```{{image}} ../figures/own/{one.image.name}\n:alt: {' '.join(one.alt.split())}\n```\n\n"
        yield f"{one.alt}\n\nImages of {one.dataset}: {one.terms}.\n"


def _left_out(number: int) -> Iterator[str]:
    if number:
        figures = "One figure is" if number == 1 else f"{number} figures are"
        yield (
            f"\n{figures} left out: the images in it may not be passed on. For yourself, `{INCLUDE}` takes "
            "them in, and prints the terms.\n"
        )
