"""The figure of a search: each query, and what was found for it, with names."""

from pathlib import Path

import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from torch import Tensor

from dmlteach import files
from dmlteach.data import ImageDataset
from dmlteach.data.files import FileSource
from dmlteach.data.pictures import files_of
from dmlteach.errors import DMLTeachError, printable
from dmlteach.plots.letters import shortened
from dmlteach.plots.retrieval import DASHED
from dmlteach.plots.style import BLACK, CORRECT, GREY, INCORRECT, PALE, Picture, mark, page, place, styled
from dmlteach.search import Found

PER_LINE = 8  # neighbours; more go on in a further line
MOST_LINES = 100
SIDE, COLUMN, LINE = 1.45, 1.62, 1.98  # inches: a thumbnail, and what it takes with its captions
LEFT, GAP, HEAD, BETWEEN = 0.16, 0.3, 0.42, 0.16  # inches: margin, beside the query, above all, below a query
PIXELS = 320  # of a thumbnail
NAME_SIZE, FILE_SIZE = 7.6, 6.8  # points


@styled
def search_picture(found: Found) -> Picture:
    """A row for each query: the query, then its neighbours, nearest first, with score, class and file.

    Where the query's class is known, a neighbour of it has a solid green frame with a tick, another a dashed
    vermillion frame with a cross. Images are shown whole.

    Args:
        found: by `dmlteach.search.find`.

    Returns:
        The figure; its alt text names the queries and the nearest neighbour of each.

    Raises:
        DMLTeachError: more lines than a figure can have.
    """
    columns = min(PER_LINE, max(len(rows) for rows in found.rows))
    lines = [-(-len(rows) // columns) for rows in found.rows]
    if sum(lines) > MOST_LINES:
        raise DMLTeachError(
            f"a figure of {sum(lines)} lines is too tall (at most {MOST_LINES}, with {PER_LINE} neighbours "
            "in each); search for fewer images at a time, or choose a smaller k."
        )
    height = HEAD + LINE * sum(lines) + BETWEEN * (len(lines) - 1)
    width = LEFT + COLUMN * (max(columns, 2) + 1) + GAP  # there is room for the heading
    figure, axes = page(width, height, _alt(found))
    start = LEFT + COLUMN + GAP
    for x, text in ((LEFT, "query"), (start, f"nearest first, by {found.measure}")):
        axes.text(x, height - 0.3, text, va="bottom", fontsize=10, weight="bold")
    top = height - HEAD
    for query, count in enumerate(lines):
        _query(axes, found, query, LEFT, top)
        for rank in range(len(found.rows[query])):
            line, column = divmod(rank, columns)
            _neighbour(axes, found, query, rank, start + COLUMN * column, top - LINE * line)
        top -= LINE * count + BETWEEN
        if query + 1 < len(lines):  # a rule between two queries
            y = top + BETWEEN
            axes.plot([LEFT, width - LEFT], [y, y], color=PALE, linewidth=0.8)
    return figure


def save(figure: Picture, path: str | Path) -> None:
    """Write the figure as PNG, with its alt text as the file's description, whole or not at all.

    Args:
        figure: of `search_picture`.
        path: of the file; its folder is made.

    Raises:
        DMLTeachError: the file cannot be written.
    """
    with files.whole(path) as file:
        figure.savefig(file, format="png", dpi=160, metadata={"Software": None, "Description": figure.alt})


def check(path: str | Path) -> None:
    """Refuse, before the work, a file that `save` would not write.

    Args:
        path: of the file.

    Raises:
        DMLTeachError: its ending is not .png, or there can be no file in its place.
    """
    if Path(path).suffix.lower() != ".png":
        raise DMLTeachError(f"the figure is written as PNG, to a file *.png, not {str(path)!r}.")
    files.check_place(path)


def _query(axes: Axes, found: Found, query: int, x: float, top: float) -> None:
    place(axes, _thumbnail(found.queries, query), x, top - SIDE, SIDE, BLACK)
    _caption(axes, x, top, found.class_name(found.classes[query]), _path(found.queries, query))


def _neighbour(axes: Axes, found: Found, query: int, rank: int, x: float, top: float) -> None:
    row, score = int(found.rows[query][rank]), float(found.scores[query][rank])
    right = found.is_right(query, row)
    frame = {True: (CORRECT, "-"), False: (INCORRECT, DASHED), None: (GREY, "-")}[right]
    place(axes, _thumbnail(found.gallery, row), x, top - SIDE, SIDE, *frame)
    if right is not None:
        mark(axes, right, x + 0.93 * SIDE, top - 0.07 * SIDE, 0.24)
    name = found.class_name(int(found.gallery.labels[row]))
    _caption(axes, x, top, name, _path(found.gallery, row), f"{rank + 1}.  {score:.3f}")


def _caption(axes: Axes, x: float, top: float, name: str, path: str, score: str = "") -> None:
    """Up to three lines below a thumbnail; what is not there takes no room."""
    y = top - SIDE - 0.05
    lines = [(score, NAME_SIZE, BLACK, "normal"), (printable(name), NAME_SIZE, BLACK, "bold")]
    for text, size, colour, weight in [*lines, (path.rpartition("/")[2], FILE_SIZE, GREY, "normal")]:
        if text:
            # a dollar in a name is no formula
            axes.text(x, y, shortened(text, SIDE, size, weight), va="top", fontsize=size, color=colour,
                      weight=weight, parse_math=False)  # fmt: skip
            y -= 1.25 * size / 72


def _thumbnail(images: ImageDataset, row: int) -> Tensor:
    """The whole image on a white square, (3, PIXELS, PIXELS) uint8; drawings as they are in their file."""
    (block,) = FileSource(files_of(images)).read(torch.tensor([row]), _on_square)
    return block[0]


def _on_square(pictures: Tensor) -> Tensor:
    """(1, 3, H, W) → (1, 3, PIXELS, PIXELS), scaled to fit."""
    height, width = pictures.shape[2:]
    scale = PIXELS / max(height, width)
    h, w = max(1, round(height * scale)), max(1, round(width * scale))
    fitted = F.interpolate(pictures, size=(h, w), mode="bilinear", antialias=True)
    left, top = (PIXELS - w) // 2, (PIXELS - h) // 2
    return F.pad(fitted, (left, PIXELS - w - left, top, PIXELS - h - top), value=255)


def _path(images: ImageDataset, row: int) -> str:
    return printable((images.paths or [])[row])


def _alt(found: Found) -> str:
    nearest = "; ".join(
        f"of {_path(found.queries, query)}: {_path(found.gallery, int(rows[0]))}"
        for query, rows in enumerate(found.rows)
    )
    marked = any(found.is_right(q, int(row)) is not None for q, rows in enumerate(found.rows) for row in rows)
    marks = (
        " A tick and a solid green frame mark an image of the query's class, a cross and a dashed "
        "vermillion frame one of another class."
    )
    return (
        f"{len(found.rows)} query images, one a row, each followed by the images nearest to it, nearest "
        f"first.{marks * marked} Nearest: {nearest}."
    )
