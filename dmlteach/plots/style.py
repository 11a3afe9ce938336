"""One look for every figure: colours, sizes, marks that need no colour, and how a figure is saved."""

import io
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from dmlteach import files
from dmlteach.plots.reading import COLUMN, PHONE, as_html, fitted

P = ParamSpec("P")
R = TypeVar("R")

# Okabe & Ito's palette, told apart with every common colour vision deficiency; brown for its yellow,
# which is lost on white.
BLACK, GREY, PALE = "#1a1a1a", "#7f7f7f", "#d9d9d9"
ORANGE, SKY, GREEN, BROWN = "#e69f00", "#56b4e9", "#009e73", "#6b4c2a"
BLUE, VERMILLION, PURPLE = "#0072b2", "#d55e00", "#cc79a7"
CYCLE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK, BROWN)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

# A role keeps its colour in every figure.
ANCHOR, POSITIVE, NEGATIVE = BLUE, GREEN, VERMILLION
CORRECT, INCORRECT = GREEN, VERMILLION
LOSS_COLOURS = {
    "untrained": GREY,
    "softmax": ORANGE,
    "triplet": VERMILLION,
    "sst": BLUE,
    "contrastive": PURPLE,
}
DIVERGING = "RdBu_r"  # blue below zero, red above, told apart by all; white at zero

_RC = {
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",  # comes with Matplotlib: the same text on every machine
    "font.size": 10.5,
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.labelsize": 10.5,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "legend.fontsize": 9.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#4d4d4d",
    "axes.linewidth": 0.8,
    "axes.prop_cycle": cycler(color=CYCLE),
    "lines.linewidth": 1.8,
    "svg.hashsalt": "dmlteach",  # element ids that do not change from one drawing to the next
    "svg.fonttype": "path",
    "savefig.dpi": 160,
}


def colour_of(name: str, place: int) -> str:
    """Colour of a method: its own in every figure, or that of its place among the others.

    Args:
        name: of the method or network.
        place: which one it is, from 0.
    """
    return LOSS_COLOURS.get(name, CYCLE[place % len(CYCLE)])


def palette(names: Iterable[str]) -> dict[str, str]:
    """Colour of each of several methods.

    Args:
        names: of the methods, in the order in which they are drawn.
    """
    return {name: colour_of(name, place) for place, name in enumerate(names)}


def context() -> AbstractContextManager[None]:
    """`with context():` draws in the style of this package; Matplotlib's settings return afterwards."""
    return matplotlib.rc_context(_RC)  # type: ignore[arg-type]


def styled(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: run a drawing function inside `context()`."""

    @wraps(function)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        with context():
            return function(*args, **kwargs)

    return drawn


class Picture(Figure):
    """A Matplotlib figure with a text that says what it shows; it appears in a notebook by itself.

    Args:
        width: of the figure, in inches.
        height: of the figure, in inches.
        alt: what the figure shows, for readers who do not see it; may be set later.

    Attributes:
        again: draws the figure anew for a page of so many inches, where moving its panels would not do.
        photographs: whether it holds images in colour, which a dark page must not change.
    """

    def __init__(self, width: float = 6.4, height: float = 4.8, alt: str = ""):
        with context():  # also where a reader draws outside one: the layout that leaves room for labels
            super().__init__(figsize=(width, height))
        self.alt = alt
        self.again: Callable[[float], Picture] | None = None
        self.photographs = False

    def __getstate__(self) -> dict[str, Any]:
        state: Any = super().__getstate__()
        return {**state, "again": None}  # a copy is drawn anew by its panels alone

    def png(self, dpi: int = 110) -> bytes:
        """The figure as PNG bytes.

        Args:
            dpi: dots per inch.
        """
        with context():
            buffer = io.BytesIO()
            self.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
        return buffer.getvalue()

    def for_page(self, width: float) -> "Picture":
        """The figure as a page of this width shows it, with letters of the same size.

        Args:
            width: of the page, in inches.
        """
        if self.again is not None and self.get_figwidth() > width:
            return self.again(width)
        return fitted(self, width)

    def _ipython_display_(self) -> None:
        # As HTML, because a bare PNG output cannot carry its alt text into the rendered course.
        from IPython.display import display

        with context():
            shown = as_html(self.for_page(COLUMN), self.for_page(PHONE), self.alt, self.photographs)
        display({"text/html": shown, "text/plain": f"[figure: {self.alt}]"}, raw=True)


def save(figure: Figure, path: str | Path, alt: str | None = None, svg: bool = True) -> list[Path]:
    """Write PATH.png (160 dpi), PATH.svg and PATH.alt.txt; the same figure gives the same bytes.

    Args:
        figure: what to save.
        path: file name without extension; its folder is created.
        alt: what the figure shows; the figure's own text where it is a `Picture`.
        svg: whether a vector version is worth having (not for thousands of thumbnails).

    Returns:
        The files written, each whole or not at all.

    Raises:
        DMLTeachError: one of them cannot be written.
    """
    path = Path(path)
    text = alt if alt is not None else getattr(figure, "alt", "")
    kinds: dict[str, dict[str, Any]] = {"png": {"Software": None}}
    if svg:
        kinds["svg"] = {"Date": None, "Creator": None, "Description": text}
    written = []
    with context():
        for kind, metadata in kinds.items():
            written.append(path.with_name(f"{path.name}.{kind}"))
            with files.whole(written[-1]) as file:
                figure.savefig(file, format=kind, metadata=metadata)
    written.append(path.with_name(f"{path.name}.alt.txt"))
    files.write_text(written[-1], text + "\n")
    return written


def mark(axes: Axes, correct: bool, x: float, y: float, size: float) -> None:
    """Draw a tick or a cross in a disc: strokes, not characters, so it needs neither font nor colour.

    Args:
        axes: where to draw; its aspect should be equal.
        correct: a tick if true, else a cross.
        x: centre of the disc.
        y: centre of the disc.
        size: diameter of the disc.
    """
    r = size / 2
    colour = CORRECT if correct else INCORRECT
    axes.add_patch(Circle((x, y), r, facecolor=colour, edgecolor="white", linewidth=0.8, zorder=5))
    tick = [[(-0.5, 0.02), (-0.12, -0.4), (0.52, 0.42)]]
    cross = [[(-0.4, -0.4), (0.4, 0.4)], [(-0.4, 0.4), (0.4, -0.4)]]
    for stroke in tick if correct else cross:
        xs, ys = zip(*((x + r * dx, y + r * dy) for dx, dy in stroke), strict=True)
        axes.plot(xs, ys, color="white", linewidth=1.6, solid_capstyle="round", zorder=6)


def page(width: float, height: float, alt: str = "") -> tuple[Picture, Axes]:
    """A figure whose one pair of axes is the page itself, measured in inches from the bottom left.

    Args:
        width: in inches.
        height: in inches.
        alt: what the figure shows.
    """
    figure = Picture(width, height, alt)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    axes.axis("off")
    return figure, axes


def place(axes: Axes, image: Any, x: float, y: float, side: float, frame: str = "", line: Any = "-") -> None:
    """Put a thumbnail, its central square, on axes of equal aspect; a single channel is ink on white.

    Args:
        axes: where to draw.
        image: (C, H, W) or (H, W), uint8, or floats in 0 … 1.
        x: left edge.
        y: bottom edge.
        side: of the thumbnail.
        frame: colour of the frame; none where empty.
        line: style of the frame.
    """
    pixels = np.asarray(image)
    if pixels.ndim == 3:
        pixels = pixels.transpose(1, 2, 0).squeeze()
    if pixels.ndim == 3 and isinstance(axes.figure, Picture):
        axes.figure.photographs = True
    height, width = pixels.shape[:2]
    crop = min(height, width)
    top, left = (height - crop) // 2, (width - crop) // 2
    pixels = pixels[top : top + crop, left : left + crop]
    white = 255 if pixels.dtype == np.uint8 else 1.0
    extent = (x, x + side, y, y + side)
    axes.imshow(
        pixels, cmap="gray_r", vmin=0, vmax=white, extent=extent, interpolation="antialiased", zorder=2
    )
    axes.add_patch(
        Rectangle((x, y), side, side, fill=False, edgecolor=frame or PALE, linestyle=line,
                  linewidth=2.0 if frame else 0.4, zorder=3)
    )  # fmt: skip
