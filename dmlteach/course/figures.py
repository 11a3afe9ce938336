"""The figures of the project: which function draws each, from what, and whether that has changed."""

import ast
import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dmlteach import data, models
from dmlteach.course.plots import cheat_sheet, overview, search_by_drawing, ternary
from dmlteach.course.recordings import RECORDED, recordings
from dmlteach.course.sources import PACKAGE, code_of
from dmlteach.course.widgets.draw_character.search import Search
from dmlteach.course.widgets.draw_character.traced import traced
from dmlteach.course.widgets.tsne_grid import maps as tsne_maps
from dmlteach.embeddings import embed
from dmlteach.errors import DMLTeachError
from dmlteach.files import read_json, whole, write_text
from dmlteach.models import SHIPPED, Model
from dmlteach.options import one_of
from dmlteach.plots import curves, of_networks
from dmlteach.plots.style import Picture, save

FOLDER = "figures"
HASHES = ".hashes.json"  # of this checkout alone: what its figures were drawn from
VISIBLE = 24  # of 255 levels, between two drawings of a pixel
SEED = 0


@dataclass(frozen=True)
class Entry:
    """How one figure is made.

    Attributes:
        function: draws it.
        modules: of this package that it uses; what these import is followed. The first holds most of it.
        inputs: files it reads, as patterns below the package.
        svg: whether a vector version is worth having.
    """

    function: Callable[..., Picture]
    modules: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    svg: bool = True


# --- what is drawn


def draw_overview(for_phone: bool = False) -> Picture:
    """The idea of the method, with four drawings of Omniglot's training characters."""
    drawings = data.load("omniglot", "train")
    shown = torch.stack([drawings[row][0] for row in (0, 2411, 6020, 9130)])
    return overview.overview(shown, for_phone=for_phone)


def draw_search() -> Picture:
    """What the first page of the site does with a drawing, for the first drawings that it offers."""
    return search_by_drawing.search_by_drawing(traced()[:3], Search())


def draw_gradients(loss: str) -> Picture:
    """Negative gradients of a loss on the ternary maps."""
    return ternary.ternary_gradients(loss)


def draw_retrieval_omniglot() -> Picture:
    """Nearest four drawings among all of the unseen alphabets, under each shipped network."""
    test = data.load("omniglot", "test")
    return of_networks.retrieval({name: embed(_shipped(name), test) for name in SHIPPED}, test, seed=SEED)


def draw_tsne_omniglot() -> Picture:
    """Map of drawings of unseen characters under the shipped SST network, as it was recorded.

    t-SNE amplifies the last digits of its input: drawn anew, the map would be another one on each processor.
    """
    maps, shown = tsne_maps.load_maps(), tsne_maps.drawings()
    row = tsne_maps.settings().index(tsne_maps.Setting("sst", 30, SEED, tsne_maps.ITERATIONS[-1]))
    return of_networks.with_thumbnails(maps.points[row].astype(float), shown, float(maps.kept[row]))


def draw_training_curves() -> Picture:
    """Loss and Recall@1 of the recorded trainings."""
    runs = {}
    for name in RECORDED:
        try:
            runs[name] = recordings(name)
        except FileNotFoundError:
            raise DMLTeachError(_missing(name)) from None
    figure = curves.training_curves(runs, evaluated_on="25 unseen characters")
    figure.alt += f" Before training Recall@1 is {runs['sst'].recall[0]:.3f}: that of the untrained network."
    return figure


def draw_cheat_sheet() -> Picture:
    """Every loss and five signs of failure, on a page to print."""
    return cheat_sheet.cheat_sheet()


def _shipped(name: str) -> Model:
    try:
        return models.pretrained(name)
    except (FileNotFoundError, DMLTeachError):
        raise DMLTeachError(_missing(name)) from None


def _missing(name: str) -> str:
    return (
        f"the shipped state {name!r} is missing from {PACKAGE / 'models' / 'shipped'}. It is part of the "
        f"repository: restore it with git, or make it with: python -m dmlteach.course.recordings {name}"
    )


NETWORKS = ("data/omniglot.npz", "models/shipped/*.safetensors")
MAPS = ("data/omniglot.npz", "course/widgets/tsne_grid/maps.npz")
FIGURES: dict[str, Entry] = {
    "search_by_drawing": Entry(
        draw_search,
        ("course.plots.search_by_drawing",),
        (*NETWORKS, "course/widgets/draw_character/traced.json"),
    ),
    "overview": Entry(draw_overview, ("course.plots.overview",), ("data/omniglot.npz",)),
    "overview_on_a_phone": Entry(
        partial(draw_overview, True), ("course.plots.overview",), ("data/omniglot.npz",), svg=False
    ),
    "gradients_triplet": Entry(partial(draw_gradients, "triplet"), ("course.plots.ternary",)),
    "gradients_sst": Entry(partial(draw_gradients, "sst"), ("course.plots.ternary",)),
    "retrieval_omniglot": Entry(
        draw_retrieval_omniglot, ("plots.of_networks", "plots.retrieval", "embeddings"), NETWORKS
    ),
    "tsne_omniglot": Entry(
        draw_tsne_omniglot,
        ("plots.of_networks", "plots.tsne", "course.widgets.tsne_grid.maps"),
        MAPS,
        svg=False,
    ),
    "training_curves": Entry(
        draw_training_curves, ("plots.curves", "course.recordings"), ("course/recordings/*.npz",)
    ),
    "cheat_sheet": Entry(
        draw_cheat_sheet,
        ("course.plots.cheat_sheet", "course.plots.weights", "course.cards.numbers"),
        ("course/measured.csv",),
    ),
}


# --- drawing


def names() -> list[str]:
    """Every figure that `draw` knows."""
    return list(FIGURES)


def draw(name: str, folder: str | Path = FOLDER) -> list[Path]:
    """Draw one figure and write it, with its alt text.

    Args:
        name: one of `names()`.
        folder: where it goes.

    Returns:
        The files written.

    Raises:
        DMLTeachError: an unknown name, or an input that is missing.
    """
    one_of("figure", name, FIGURES)
    entry = FIGURES[name]
    written = save(entry.function(), Path(folder) / name, svg=entry.svg)
    _record(Path(folder), name)
    return written


def draw_all(
    folder: str | Path = FOLDER, only_changed: bool = True, say: Callable[[str], None] = print
) -> list[str]:
    """Draw every figure of the repository whose code or inputs have changed since it was drawn.

    Args:
        folder: where they are.
        only_changed: False draws all.
        say: receives a line for each figure drawn.

    Returns:
        Names of the figures drawn.

    Raises:
        DMLTeachError: something a figure needs is missing; the others are drawn first.
    """
    folder, drawn, problems = Path(folder), [], []
    for name in FIGURES:
        if only_changed and is_current(name, folder):
            continue
        try:
            kept = _redraw(name, folder, keep=only_changed)
        except DMLTeachError as error:
            problems.append(f"{name}: {error}")
        else:
            drawn.append(name)
            say(f"{folder / name} looks as it did" if kept else f"drew {folder / name}")
    if problems:
        raise DMLTeachError("not every figure could be drawn.\n" + "\n".join(problems))
    return drawn


def _redraw(name: str, folder: Path, keep: bool) -> bool:
    """Draw a figure anew; where it looks as before, `keep` leaves the files as they are. Whether it did.

    Processors differ in the last digits of what they compute. Nobody sees that; no file should change by it.
    """
    with tempfile.TemporaryDirectory() as place:
        new = draw(name, place)
        kept = keep and _look_alike(new, folder)
        for file in [] if kept else new:
            with whole(folder / file.name) as copy:
                copy.write(file.read_bytes())
    _record(folder, name)
    return kept


def _look_alike(new: list[Path], folder: Path) -> bool:
    """Whether the files are in the folder, say the same, and show the same but for one pixel in 10,000."""
    if not all((folder / file.name).is_file() for file in new):
        return False
    for file in new:
        old = folder / file.name
        if file.suffix == ".txt" and _text(file) != _text(old):
            return False
        if file.suffix == ".png":
            try:
                one, other = (np.asarray(Image.open(path).convert("RGB"), np.int16) for path in (file, old))
            except (OSError, SyntaxError):  # the old one is no whole picture
                return False
            if one.shape != other.shape or (abs(one - other) > VISIBLE).mean() > 1e-4:
                return False
    return True


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")


def is_current(name: str, folder: str | Path = FOLDER) -> bool:
    """Whether the figure in `folder` was drawn by the present code from the present inputs.

    Args:
        name: one of `names()`.
        folder: where it is.
    """
    folder = Path(folder)
    kinds = ["png", "alt.txt"] + ["svg"] * FIGURES[name].svg
    there = all((folder / f"{name}.{kind}").is_file() for kind in kinds)
    return there and _read_hashes(folder).get(name) == fingerprint(name)


# --- what has changed


def fingerprint(name: str) -> str:
    """Hash of everything a figure depends on: this package's code that it can reach, and its input files.

    Args:
        name: one of `names()`.
    """
    entry = FIGURES[name]
    sha = hashlib.sha256(f"{_arguments(entry.function)} svg={entry.svg}\n".encode())
    sha.update("\n".join(_own_code(_plain(entry.function).__name__)).encode())
    files = {file for module in entry.modules for file in code_of(module)}
    files |= {file for pattern in entry.inputs for file in PACKAGE.glob(pattern)}
    for file in sorted(files):
        sha.update(file.relative_to(PACKAGE).as_posix().encode() + b"\0")
        sha.update(hashlib.sha256(file.read_bytes()).digest())
    return sha.hexdigest()


def _plain(function: Callable) -> Callable:
    return function.func if isinstance(function, partial) else function


def _arguments(function: Callable) -> tuple:
    return function.args if isinstance(function, partial) else ()


def _own_code(name: str) -> list[str]:
    """Source of a function of this file, and of the functions and constants of this file it reaches."""
    text = Path(__file__).read_text(encoding="utf-8")
    parts: dict[str, ast.AST] = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            parts[node.name] = node
        elif isinstance(node, ast.Assign):
            parts |= {n.id: node for n in ast.walk(node) if isinstance(n, ast.Name)}
    reached, waiting = set(), [name]
    while waiting:
        one = waiting.pop()
        if one in parts and one not in reached:
            reached.add(one)
            waiting += [n.id for n in ast.walk(parts[one]) if isinstance(n, ast.Name)]
    return [f"{one}: {ast.get_source_segment(text, parts[one])}" for one in sorted(reached)]


# --- what is kept beside the figures


def _read_hashes(folder: Path) -> dict[str, str]:
    """What the figures were drawn from; nothing where the file is damaged, so that all are drawn again."""
    try:
        hashes = read_json(folder / HASHES, "")
    except DMLTeachError:
        return {}
    return hashes if isinstance(hashes, dict) else {}


def _record(folder: Path, name: str) -> None:
    """Remember what the figure was drawn from, and list it in README.md."""
    hashes = _read_hashes(folder) | {name: fingerprint(name)}
    write_text(folder / HASHES, json.dumps(hashes, indent=1, sort_keys=True) + "\n")
    write_text(folder / "README.md", _index(folder))


def _index(folder: Path) -> str:
    """README.md of the folder: each figure with its alt text and the function that draws it."""
    lines = [
        "---\norphan: true\n---\n",
        "# Figures\n",
        "Drawn by `dmlteach figures` (or `make figures`), which redraws those whose code or inputs changed. "
        "Text and figures: CC BY 4.0. Each text below is the figure's alt text.",
    ]
    for name, entry in FIGURES.items():
        file = folder / f"{name}.alt.txt"
        if not file.is_file():
            continue
        alt = file.read_text(encoding="utf-8").strip()
        vector = f", also as [SVG]({name}.svg)" if entry.svg else ""
        lines += [
            f"\n## {name}\n\n![{name}, described below]({name}.png)\n\n{alt}\n",
            f"Drawn by `{_plain(entry.function).__name__}` in `dmlteach/course/figures.py`, "
            f"with `dmlteach/{entry.modules[0].replace('.', '/')}.py`{vector}.",
        ]
    return "\n".join(lines) + "\n"
