"""Barnes-Hut t-SNE maps, what they keep of the embedding, and thumbnails that do not overlap.

Source: van der Maaten, "Accelerating t-SNE using tree-based algorithms", JMLR 2014; computed by openTSNE
(Poličar, Stražar, Zupan, JSS 2024).
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from torch import Tensor

from dmlteach.errors import DMLTeachError
from dmlteach.inputs import as_embeddings, check_finite, is_collapsed
from dmlteach.neighbors import nearest
from dmlteach.plots.style import CYCLE, GREY, MARKERS, PALE, Picture, place, styled

PERPLEXITY = 30  # where there are points enough
FEWEST = 5  # points of a map: of fewer, no perplexity from 1 fits
EXACT = 10_000  # up to here neighbours are searched exactly: equal on every machine, and fast enough
KEY_BELOW = 1.8  # inches of the key below a map
BEHIND = "#b0b0b0"  # points that are not highlighted; seen on a dark page, too, where it is turned over
MAX_HIGHLIGHTS = len(CYCLE)  # more colours could not be told apart


def tsne(
    embeddings: Tensor,
    perplexity: float | None = None,
    seed: int = 0,
    initialization: str = "pca",
    iterations: int = 500,
) -> np.ndarray:
    """A map of the embedding in two dimensions by Barnes-Hut t-SNE; equal arguments give equal maps.

    Args:
        embeddings: (M, D), five points or more.
        perplexity: about how many neighbours each point tries to keep; less than (M − 1) / 3. By default
            30, or what fits where there are fewer than 92 points.
        seed: of the starting positions.
        initialization: "pca" starts from the two widest directions, "random" from noise.
        iterations: of gradient descent, after 250 with exaggerated attraction.

    Returns:
        (M, 2) positions; one place for all, and a warning, where all embeddings are equal.

    Raises:
        DMLTeachError: fewer than five points, a perplexity that does not fit their number, or an embedding
            that is not finite.

    Source: van der Maaten, JMLR 2014.
    """
    from openTSNE import TSNE

    embeddings = as_embeddings(embeddings)
    check_finite(embeddings)
    z = np.ascontiguousarray(embeddings.float().cpu().numpy())
    if len(z) < FEWEST:
        raise DMLTeachError(f"a t-SNE map needs {FEWEST} points or more, not {len(z)}.")
    if perplexity is None:
        perplexity = min(PERPLEXITY, fitting_perplexity(len(z)))
    if not 1 <= perplexity < (len(z) - 1) / 3:
        raise DMLTeachError(
            f"perplexity {perplexity} does not fit {len(z)} points: choose from 1 to "
            f"{fitting_perplexity(len(z))}, or more points."
        )
    if is_collapsed(embeddings):
        warnings.warn(
            f"all {len(z)} embeddings are equal: the network has collapsed, and so does the map.",
            stacklevel=2,
        )
        return np.zeros((len(z), 2))
    if z.shape[1] == 1:  # the map starts from two directions
        z = np.pad(z, ((0, 0), (0, 1)))
    mapping = TSNE(
        perplexity=perplexity,
        initialization=initialization,
        neighbors="exact" if len(z) <= EXACT else "approx",
        negative_gradient_method="bh",
        n_iter=iterations,
        n_jobs=1,  # sums in one order: the same map every time
        random_state=seed,
    )
    return np.asarray(mapping.fit(z))


def fitting_perplexity(points: int) -> int:
    """The largest whole perplexity that fits so many points: less than a third of the others.

    Args:
        points: M, five or more.
    """
    return math.ceil((points - 1) / 3) - 1


def kept_neighbours(embeddings: Tensor, points: np.ndarray, k: int = 10) -> float:
    """Share of each point's k nearest neighbours in the embedding that are among its k nearest on the map.

    Args:
        embeddings: (M, D).
        points: (M, 2).
        k: neighbours looked at, itself left out.

    Returns:
        Mean share, 0 to 1; a map drawn at random keeps about k / M.
    """
    before, after = (_neighbours(torch.as_tensor(x), k) for x in (embeddings, np.asarray(points)))
    return (before[:, :, None] == after[:, None, :]).any(2).float().mean().item()


def _neighbours(x: Tensor, k: int) -> Tensor:
    """(M, D) → (M, k) rows of the nearest others."""
    _, rows = nearest(x, x, k + 1)
    itself = rows == torch.arange(len(x))[:, None]
    itself[~itself.any(1), -1] = True  # pushed out by duplicates: drop the last instead
    return rows[~itself].reshape(len(x), k)


@styled
def tsne_map(
    points: np.ndarray,
    labels: Tensor,
    images: Tensor | None = None,
    highlight: Sequence[int] = (),
    title: str = "",
    cells: int = 34,
    size: float = 7.5,
    names: Sequence[str] | None = None,
) -> Picture:
    """Points of a map, some classes highlighted by colour and shape, with thumbnails where there is room.

    The map is cut into a grid; a cell shows the image of the point nearest to its centre, so that
    thumbnails never overlap.

    Args:
        points: (M, 2) positions.
        labels: (M,) class of each.
        images: (M, C, H, W) or (M, H, W) uint8; None draws points only.
        highlight: classes drawn in colours and shapes of their own, at most eight.
        title: of the figure.
        cells: thumbnails along each side at most.
        size: of the figure, in inches.
        names: of the classes, for the key where no images are shown.

    Returns:
        The figure.

    Raises:
        DMLTeachError: more highlights than can be told apart.
    """
    drawing = _Map(_square(points), np.asarray(labels), images, highlight, title, names)
    figure = drawing.draw(size, cells)
    figure.again = partial(drawing.fitted, density=cells / size)
    return figure


class _Map(NamedTuple):
    """What a map shows, to be drawn in any size."""

    points: np.ndarray  # in the unit square
    labels: np.ndarray
    images: Tensor | None
    highlight: Sequence[int]
    title: str
    names: Sequence[str] | None

    @property
    def extent(self) -> np.ndarray:
        """Width and height of the map: there is no empty border on the longer side."""
        return np.minimum(np.ptp(self.points, axis=0) + 0.07, 1)

    @property
    def key_width(self) -> float:
        """Inches of the key beside the map."""
        return (2.0 if self.names and self.images is None else 1.1) * bool(len(self.highlight))

    def fitted(self, width: float, density: float) -> Picture:
        """As large as the page is wide, with thumbnails of the same size; on a phone the key stands below."""
        below = width < 5 and bool(len(self.highlight))
        size = (width if below else width - self.key_width) / self.extent[0]
        return self.draw(size, max(1, round(density * size)), below)

    def draw(self, size: float, cells: int, below: bool = False) -> Picture:
        """The unit square is `size` inches wide and has `cells` thumbnails along each side at most."""
        width, height = size * self.extent
        if below:
            figure = Picture(width, height + KEY_BELOW)
            panels = figure.subplots(2, 1, height_ratios=[height, KEY_BELOW])
        elif self.key_width:
            figure = Picture(width + self.key_width, height)
            panels = figure.subplots(1, 2, width_ratios=[width, self.key_width])
        else:
            figure = Picture(width, height)
            panels = [figure.subplots()]
        shown = self._draw_map(panels[0], cells)
        if len(panels) > 1:
            columns = 2 if below else 1
            _draw_key(panels[1], self.labels, self.images, self.highlight, self.names, columns)
        figure.photographs = self._in_color
        figure.alt = (
            f"Two-dimensional t-SNE map of {len(self.points)} images of {len(np.unique(self.labels))} classes"
            + f", with {shown} thumbnails where there is room" * bool(shown)
            + f"; {len(self.highlight)} classes are highlighted by colour and shape"
            * bool(len(self.highlight))
            + ". Neither axis has a unit; distances between far groups say little."
        )
        return figure

    @property
    def _in_color(self) -> bool:
        return self.images is not None and self.images.ndim == 4 and self.images.shape[1] > 1

    def _draw_map(self, axes: Axes, cells: int) -> int:
        """Points, and thumbnails, of which it returns the number."""
        dot = 14 if self.images is not None else 26 if len(self.points) > 200 else 60
        above = 5 if self._in_color else 3  # photographs hide what is below
        _scatter(axes, self.points, self.labels, self.highlight, size=dot, above=above)
        chosen = {}
        if self.images is not None:
            chosen = place_thumbnails(self.points, cells)
            canvas = _compose(np.asarray(self.images), self.labels, self.highlight, chosen, cells)
            axes.imshow(canvas, extent=(0, 1, 0, 1), interpolation="antialiased", zorder=4)
        _bare(axes, self.title)
        width, height = self.extent / 2
        axes.set(xlim=(0.5 - width, 0.5 + width), ylim=(0.5 - height, 0.5 + height))
        return len(chosen)


@styled
def tsne_panels(
    maps: Mapping[str, np.ndarray], labels: Tensor, highlight: Sequence[int] = (), columns: int = 4
) -> Picture:
    """Several maps side by side under their titles, to be compared.

    Args:
        maps: (M, 2) positions by title; a title may have two lines.
        labels: (M,) class of each point.
        highlight: classes drawn in colours and shapes of their own, at most eight.
        columns: panels a row.

    Returns:
        The figure.

    Raises:
        DMLTeachError: more highlights than can be told apart.
    """
    columns = min(columns, len(maps))
    rows = -(-len(maps) // columns)
    figure = Picture(3.1 * columns, 3.5 * rows)
    panels = np.ravel(figure.subplots(rows, columns, squeeze=False))
    for axes, (title, points) in zip(panels, maps.items(), strict=False):
        _scatter(axes, _square(points), np.asarray(labels), highlight, size=18)
        _bare(axes, title)
    for axes in panels[len(maps) :]:
        axes.axis("off")
    titles = "; ".join(title.replace("\n", ", ") for title in maps)
    figure.alt = f"{len(maps)} two-dimensional maps of the same {len(labels)} images: {titles}."
    return figure


def _square(points: np.ndarray) -> np.ndarray:
    """(M, 2) positions moved and scaled into the unit square, with a small border; shape is kept."""
    points = np.asarray(points, float)
    middle, width = (points.max(0) + points.min(0)) / 2, np.ptp(points, axis=0).max() or 1.0
    return 0.5 + 0.95 * (points - middle) / width


def place_thumbnails(points: np.ndarray, cells: int) -> dict[tuple[int, int], int]:
    """The point each grid cell shows: the one nearest to its centre.

    Args:
        points: (M, 2) positions in the unit square.
        cells: along each side.

    Returns:
        Row of the point, by (column, row) of the cell, counted from the bottom left.
    """
    column_row = np.clip((points * cells).astype(int), 0, cells - 1)
    off_centre = np.abs(points * cells - column_row - 0.5).max(1)
    chosen: dict[tuple[int, int], int] = {}
    for point in np.argsort(-off_centre, kind="stable"):  # the nearest comes last and stays
        column, row = column_row[point]
        chosen[int(column), int(row)] = int(point)
    return chosen


def _compose(
    images: np.ndarray, labels: np.ndarray, highlight: Sequence[int], chosen, cells: int
) -> np.ndarray:
    """All thumbnails on one transparent RGBA canvas, drawings in the colour of their class."""
    if images.ndim == 3:
        images = images[:, None]
    side = images.shape[-1]
    canvas = np.zeros((cells * side, cells * side, 4), np.float32)
    colours = dict(zip(highlight, CYCLE, strict=False))
    for (column, row), point in chosen.items():
        pixels = images[point].transpose(1, 2, 0) / np.float32(255)  # (S, S, C)
        tile = canvas[(cells - 1 - row) * side :, column * side :][:side, :side]
        if pixels.shape[2] == 1:  # ink: colour is the class, opacity the ink
            tile[..., :3] = to_rgb(colours.get(labels[point], "#333333"))
            tile[..., 3:] = pixels
        else:
            tile[..., :3], tile[..., 3] = pixels, 1
    return canvas


def _draw_key(
    axes: Axes,
    labels: np.ndarray,
    images: Tensor | None,
    highlight: Sequence[int],
    names: Sequence[str] | None,
    columns: int,
) -> None:
    """Colour and shape of each highlighted class, beside its first image (or its name or number)."""
    rows = MAX_HIGHLIGHTS // columns
    step = 4 if names and images is None else 2
    for i, (label, colour, marker) in enumerate(zip(highlight, CYCLE, MARKERS, strict=False)):
        column, row = divmod(i, rows)
        x = step * column
        axes.scatter(x + 0.3, -row, s=70, color=colour, marker=marker)
        if images is None:
            name = names[label] if names else f"class {label}"
            axes.text(x + 0.7, -row, name if len(name) < 18 else f"{name[:16]}…", va="center", fontsize=9)
        else:
            place(axes, images[int(np.flatnonzero(labels == label)[0])], x + 0.75, -row - 0.4, 0.8)
    axes.set(
        xlim=(0, step * columns),
        ylim=(-rows + 0.5, 0.5),
        aspect="equal",
        anchor="NW",
    )
    axes.axis("off")


def _scatter(
    axes: Axes, points: np.ndarray, labels: np.ndarray, highlight: Sequence[int], size: float, above: int = 3
) -> None:
    """Every point; highlighted classes in a colour and a shape."""
    if len(highlight) > MAX_HIGHLIGHTS:
        raise DMLTeachError(
            f"{len(highlight)} classes cannot be told apart by colour: highlight {MAX_HIGHLIGHTS} at most."
        )
    others = ~np.isin(labels, list(highlight))
    x, y = points.T
    pale = BEHIND if len(highlight) else GREY
    axes.scatter(x[others], y[others], s=size / 4, color=pale, linewidths=0)
    for label, colour, marker in zip(highlight, CYCLE, MARKERS, strict=False):
        look: dict[str, Any] = {"color": colour, "marker": marker, "edgecolors": "white", "linewidths": 0.4}
        axes.scatter(x[labels == label], y[labels == label], s=size, zorder=above, **look)


def _bare(axes: Axes, title: str) -> None:
    """No ticks: the axes of a map have no unit."""
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xticks=[], yticks=[])
    axes.set_title(title, fontsize=10.5)
    for spine in axes.spines.values():
        spine.set(visible=True, color=PALE)
