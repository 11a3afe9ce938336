"""Retrieval grids: a query, its nearest images, and whether each is of the query's class."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import LogFormatter
from torch import Tensor

from dmlteach.errors import DMLTeachError
from dmlteach.neighbors import nearest
from dmlteach.plots.letters import folded, width_of
from dmlteach.plots.style import (
    BLACK,
    CORRECT,
    INCORRECT,
    MARKERS,
    Picture,
    colour_of,
    mark,
    page,
    place,
    styled,
)

DASHED: Any = (0, (2, 1.2))
STEP = 1.18  # from one thumbnail to the next, in thumbnails
SMALLEST = 0.29  # inches of a thumbnail on a narrow page
HEAD = 0.62  # inches above the thumbnails
HEAD_SIZE, NAME_SIZE = 10.0, 8.5  # points


class Rows(Protocol):
    """Images by row: a tensor (M, C, H, W) or (M, H, W), or anything that yields (C, H, W) for a row."""

    def __getitem__(self, row: int, /) -> Tensor: ...


def pick_queries(labels: Tensor, count: int, seed: int = 0) -> Tensor:
    """Rows of `count` random images of different classes, the same for the same seed.

    Args:
        labels: (M,) class of each image.
        count: how many; at most the number of classes that hold two images or more.
        seed: of the choice.

    Returns:
        (count,) rows, ascending.

    Raises:
        DMLTeachError: fewer classes could be asked for.
    """
    rng = np.random.default_rng(seed)
    known = np.asarray(labels)
    classes, sizes = np.unique(known, return_counts=True)
    classes = classes[sizes > 1]  # a class with one image has nothing to find
    if not 1 <= count <= len(classes):
        raise DMLTeachError(f"{count} queries of different classes: choose 1 to {len(classes)}.")
    chosen = rng.choice(classes, count, replace=False)
    return torch.tensor(sorted(int(rng.choice(np.flatnonzero(known == c))) for c in chosen))


def top_neighbours(embeddings: Tensor, queries: Tensor, k: int = 4) -> Tensor:
    """The k nearest other images of each query: itself is left out by its row, not by its distance.

    Args:
        embeddings: (M, D) of all images.
        queries: (Q,) rows.
        k: neighbours of each.

    Returns:
        (Q, k) rows, nearest first.
    """
    _, rows = nearest(embeddings[queries], embeddings, k + 1)  # (Q, k + 1)
    is_other = rows != queries[:, None]
    # Where duplicates push the query out of its own list, its last entry goes instead.
    is_other[is_other.all(1), -1] = False
    return rows[is_other].reshape(len(queries), k)


def occurrences(neighbours: Tensor, size: int) -> Tensor:
    """How often each image is among the neighbours of others: large for hubs, 0 for those never found.

    Args:
        neighbours: (Q, k) rows.
        size: M, number of images.

    Returns:
        (M,) counts; their mean is Q · k / M.

    Source: Radovanović, Nanopoulos, Ivanović, "Hubs in space", JMLR 2010.
    """
    return torch.bincount(neighbours.flatten(), minlength=size)


@styled
def occurrence_histogram(counts: Mapping[str, Tensor]) -> Picture:
    """How many images are found how often, on a logarithmic scale, for one or several networks.

    Args:
        counts: (M,) of `occurrences`, by the name of the network.

    Returns:
        The figure.
    """
    figure = Picture(7.2, 3.4)
    axes = figure.subplots()
    for i, (name, count) in enumerate(counts.items()):
        images = torch.bincount(count).numpy()
        times = np.flatnonzero(images)
        look: Any = {"marker": MARKERS[i], "color": colour_of(name, i)}
        axes.plot(times, images[times], label=name, markersize=4.5, linewidth=1.2, **look)
    axes.set(yscale="log", xlabel="how often an image is among the neighbours of others", ylabel="images")
    for set_formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        set_formatter(LogFormatter())  # exponents would be too small to read
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.legend()
    parts = [
        f"{name}: {int((c == 0).sum())} of {len(c)} images are never found, one is found {int(c.max())} times"
        for name, c in counts.items()
    ]
    figure.alt = f"Number of images by how often they are among the neighbours of others. {'; '.join(parts)}."
    return figure


@styled
def retrieval_grid(
    images: Rows,
    labels: Tensor,
    queries: Tensor,
    neighbours: Tensor | Mapping[str, Tensor],
    names: Sequence[str] | None = None,
    thumbnail: float = 0.62,
    heading: str = "query",
) -> Picture:
    """One row per query: the query, then its neighbours, each framed and marked as right or wrong.

    Right is a solid green frame with a tick, wrong a dashed vermillion frame with a cross.

    Args:
        images: (M, C, H, W) or (M, H, W), uint8 or floats in 0 … 1, or anything that yields one image for a
            row; one channel is ink, drawn on white.
        labels: (M,) class of each image.
        queries: (Q,) rows.
        neighbours: (Q, k) rows; or several, by the name of the model that found them, drawn side by side.
        names: (Q,) what to write beside each query, e.g. its alphabet.
        thumbnail: side of an image on the page, in inches.
        heading: what the first column shows.

    Returns:
        The figure; its alt text counts the right neighbours under each name.
    """
    blocks = dict(neighbours) if isinstance(neighbours, Mapping) else {"": neighbours}
    right = {name: labels[rows] == labels[queries][:, None] for name, rows in blocks.items()}  # (Q, k) each
    grid = _Grid(images, queries, blocks, right, names, heading)
    figure = grid.draw([list(blocks)], thumbnail)
    figure.again = grid.fitted
    return figure


class _Grid(NamedTuple):
    """What a retrieval grid shows, to be drawn in thumbnails of any size."""

    images: Rows
    queries: Tensor
    blocks: Mapping[str, Tensor]
    right: Mapping[str, Tensor]
    names: Sequence[str] | None
    heading: str

    @property
    def left(self) -> float:
        """Inches before the queries, where their names stand."""
        lines = [line for name in self.names or () for line in name.split("\n")]
        return max(1.0, 0.15 + max(width_of(line, NAME_SIZE) for line in lines)) if lines else 0.12

    def fitted(self, width: float) -> Picture:
        """As many lists beside each other as leave the thumbnails large enough, the others below."""
        names = list(self.blocks)
        for each in range(len(names), 0, -1):
            lines = [names[i : i + each] for i in range(0, len(names), each)]
            columns = max(1 + sum(self.blocks[name].shape[1] for name in line) for line in lines)
            thumbnail = (width - self.left) / (STEP * columns + 0.5 * each)
            if thumbnail >= SMALLEST:
                break
        return self.draw(lines, thumbnail)

    def draw(self, lines: list[list[str]], thumbnail: float) -> Picture:
        """One line of lists below the other, each with the queries before it."""
        step, gap = STEP * thumbnail, min(0.5 * thumbnail, 0.31)
        columns = max(1 + sum(self.blocks[name].shape[1] for name in line) for line in lines)
        width = self.left + step * columns + gap * max(map(len, lines))
        titles = {
            name: self._title(name, step * self.blocks[name].shape[1] + 0.5 * gap) for name in self.blocks
        }
        head = max(HEAD, 0.14 + 0.2 * (1 + max(title.count("\n") for title in titles.values())))
        height = head + step * len(self.queries)
        figure, axes = page(width, height * len(lines), _alt(len(self.queries), self.right))
        for i, line in enumerate(lines):
            self._line(
                axes, {name: titles[name] for name in line}, height * (len(lines) - i) - head, thumbnail
            )
        return figure

    def _title(self, name: str, width: float) -> str:
        right = self.right[name]
        said = f"{int(right.sum())} of {right.numel()} right"
        return folded(f"{name}\n{said}" if name else said, width, HEAD_SIZE, "bold")

    def _line(self, axes: Axes, titles: dict[str, str], top: float, thumbnail: float) -> None:
        """The queries and what was found under some of the names, below `top`."""
        step, gap, left = STEP * thumbnail, min(0.5 * thumbnail, 0.31), self.left
        ys = [top - step * row - thumbnail for row in range(len(self.queries))]
        for i, (query, y) in enumerate(zip(self.queries.tolist(), ys, strict=True)):
            place(axes, self.images[query], left, y, thumbnail, BLACK)
            if self.names is not None:
                look: Any = {"ha": "right", "va": "center", "fontsize": NAME_SIZE}
                axes.text(left - 0.1, y + thumbnail / 2, self.names[i], **look)
        _head(axes, left + thumbnail / 2, top, self.heading)
        x = left + step + gap
        for name, title in titles.items():
            rows = self.blocks[name]
            _block(axes, self.images, rows, self.right[name], x, ys, thumbnail)
            _head(axes, x + (step * rows.shape[1] - 0.18 * thumbnail) / 2, top, title)
            x += step * rows.shape[1] + gap


def _block(
    axes: Axes, images: Rows, rows: Tensor, right: Tensor, x: float, ys: list[float], thumbnail: float
) -> None:
    """The neighbours one model found, a query a row."""
    for found, hits, y in zip(rows.tolist(), right.tolist(), ys, strict=True):
        for rank, (image, hit) in enumerate(zip(found, hits, strict=True)):
            at = x + STEP * thumbnail * rank
            place(axes, images[image], at, y, thumbnail, *((CORRECT, "-") if hit else (INCORRECT, DASHED)))
            mark(axes, hit, at + 0.93 * thumbnail, y + 0.93 * thumbnail, min(0.34 * thumbnail, 0.24))


def _head(axes: Axes, x: float, top: float, text: str) -> None:
    axes.text(
        x, top + 0.12, text, ha="center", va="bottom", fontsize=HEAD_SIZE, weight="bold", linespacing=1.25
    )


def _alt(queries: int, right: Mapping[str, Tensor]) -> str:
    counts = ", ".join(
        f"{int(hits.sum())} of {hits.numel()}" + f" under {name}" * bool(name) for name, hits in right.items()
    )
    return (
        f"Retrieval grid: {queries} query images, one a row, each followed by its nearest other images, "
        "nearest first. A tick and a solid green frame mark an image of the query's class, a cross and a "
        f"dashed vermillion frame one of another class. Right: {counts}."
    )
