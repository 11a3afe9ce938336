"""Slides for a lecture: of each chapter one HTML file that opens by double-click and loads nothing."""

from collections.abc import Callable, Sequence
from pathlib import Path

from dmlteach.course import execute, material
from dmlteach.course.execute import notebooks
from dmlteach.course.material import CHECKOUT
from dmlteach.course.slides import page
from dmlteach.course.slides.deck import read, title_of
from dmlteach.course.sources import CURE
from dmlteach.errors import need, unknown_name
from dmlteach.files import check_place, read_json, write_text

INDEX = "index.html"


def write(
    chapters: Sequence[str], folder: Path, checkout: Path = CHECKOUT, say: Callable[[str], None] = print
) -> Path:
    """Execute the chapters that changed, and write their slides.

    Args:
        chapters: numbers or names, e.g. "01" or "pairs_and_triplets"; none: all of them.
        folder: where `NAME.html` of each chapter goes, and a page that lists those that lie there.
        checkout: the folder with `notebooks/`; executed notebooks are in its `build/`.
        say: receives each line of progress.

    Returns:
        That page.

    Raises:
        DMLTeachError: a chapter is unknown or has no slides, a notebook fails, or the folder cannot be
            written.
    """
    if checkout == CHECKOUT:
        material.need_checkout("slides are made")
    need("markdown_it", "course")
    chosen = _chosen(chapters, checkout)
    index = folder / INDEX
    check_place(index)
    tasks = [task for task in execute.plan(checkout, "fast") if task["source"] in chosen.values()]
    execute.execute_all(tasks, execute.default_jobs(), False, say)
    decks = [read(number, source, _executed(source, tasks)) for number, source in chosen.items()]
    for deck in decks:
        write_text(folder / f"{deck.name}.html", page.of_deck(deck))
        say(f"{deck.number} {deck.title}: {len(deck.slides) + 2} slides")
    write_text(index, page.of_index(_there(folder, checkout)))
    return index


def _chosen(chapters: Sequence[str], checkout: Path) -> dict[str, Path]:
    """Notebooks of these chapters by number, in reading order."""
    every = notebooks(checkout)
    known = {name: number for number, path in every.items() for name in (number, path.stem)}
    for name in chapters:
        if name not in known:
            raise unknown_name("chapter", name, known)
    asked = {known[name] for name in chapters} or set(every)
    return {number: path for number, path in every.items() if number in asked}


def _there(folder: Path, checkout: Path) -> list[tuple[str, str, str]]:
    """Number, title and name of the chapters whose slides lie in a folder, of this call or an earlier one."""
    return [
        (number, title_of(read_json(path, CURE)["cells"]), path.stem)
        for number, path in notebooks(checkout).items()
        if (folder / f"{path.stem}.html").exists()
    ]


def _executed(source: Path, tasks: list[dict]) -> Path:
    return next(task["target"] for task in tasks if task["source"] == source)
