"""A figure as a page shows it: drawn for a column of text, and once more for a phone.

Letters keep their size and what is drawn around them shrinks. Panels that would become too narrow to be read
stand below each other. On a dark page dark and light change places, and colors keep their hue.
"""

import html
import io
import pickle
from itertools import pairwise
from typing import Any, TypeVar

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.text import Text
from matplotlib.transforms import IdentityTransform
from PIL import Image

from dmlteach.plots.inline import address
from dmlteach.plots.letters import folded, width_of

F = TypeVar("F", bound=Figure)

PER_INCH = 96  # pixels of a page: a font of 9 points is 12 of them high
SHARPER = 2  # pixels of an image for one of the page, along each side
COLUMN, PHONE = 736 / PER_INCH, 354 / PER_INCH  # inches: the site's column of text, and a phone of 390 pixels
NARROW = "(max-width: 700px)"  # windows in which letters of the wide drawing would shrink too much
# Hosts say in many ways that they are dark. Where none of them holds, or a host takes the rules away, ink
# stays dark on the image's own white, which can be read everywhere. These classes are those of figures alone:
# explorables stand on the same page, and their rules would hold here too.
_LIGHT_ON_DARK = "filter:invert(1) hue-rotate(180deg);mix-blend-mode:screen"
_DARK_HOSTS = "[data-theme=dark],[theme=dark],[data-jp-theme-light=false],[data-vscode-theme-kind*=dark]"
STYLE = (
    "<style>.dml-figure{max-width:100%;height:auto}"
    f"@media screen{{:is({_DARK_HOSTS}) .dml-figure-ink{{{_LIGHT_ON_DARK}}}}}"
    "@media screen and (prefers-color-scheme:dark)"
    f"{{[data-theme=auto] .dml-figure-ink{{{_LIGHT_ON_DARK}}}}}</style>"
)
PANEL, BARE = 2.3, 1.6  # inches a panel needs: with numbers beside it, and without
SMALLER = 0.5  # a panel is not drawn at less than this share of its width beside others
LOW = 2.4  # inches inside a panel that now stands above others: it is no higher
BESIDE_NUMBERS = 0.8  # share of a panel's width inside its axes
PAD = 0.1  # inches between rows
SPARE = 1.0  # inches a row may need more, for titles of several lines; what is left over is taken away


def as_html(wide: Figure, narrow: Figure, alt: str, photographs: bool) -> str:
    """One image in two drawings, of which a page shows the one that its window has room for.

    Args:
        wide: for a column of text.
        narrow: for a phone.
        alt: what the image shows.
        photographs: whether it holds pictures whose colors must stay on a dark page; it is then on white.
    """
    source, image = _attributes(narrow, "srcset"), _attributes(wide, "src")
    kind = "dml-figure" if photographs else "dml-figure dml-figure-ink"
    small = "" if wide is narrow else f'<source media="{NARROW}" {source}>'
    return f'{STYLE}<picture>{small}<img alt="{html.escape(alt)}" class="{kind}" {image}></picture>'


def _attributes(figure: Figure, name: str) -> str:
    width, height = (round(PER_INCH * inches) for inches in figure.get_size_inches())
    return f'width="{width}" height="{height}" {name}="{address(_png(figure))}"'


def _png(figure: Figure) -> bytes:
    """The figure in 256 colors, which takes a third of the bytes; a drawing has hardly more."""
    drawn, written = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=SHARPER * PER_INCH)
    image = Image.open(drawn).convert("RGB")
    if image.getcolors(256) is None:
        image = image.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    image.save(written, "png", optimize=True)
    return written.getvalue()


def fitted(figure: F, width: float) -> F:
    """The figure, or a copy of it laid out anew for a narrower page.

    Args:
        figure: it stays as it is.
        width: of the page, in inches.

    Returns:
        A figure no wider than the page; the figure itself where it fits, or cannot be copied, as with a
        function of a notebook's cell for its numbers.
    """
    if figure.get_figwidth() <= width:
        return figure
    try:
        copy = pickle.loads(pickle.dumps(figure))
    except (pickle.PicklingError, AttributeError, TypeError):
        return figure
    panels: list[Any] = [axes for axes in copy.axes if axes.get_subplotspec() is not None]
    if panels:
        copy.draw_without_rendering()
        heights = {axes: _inner_height(axes) for axes in panels}
        beside = panels[0].get_gridspec().ncols
        _place(copy, panels, width)
        if panels[0].get_gridspec().ncols < beside:
            heights = {axes: min(height, LOW) for axes, height in heights.items()}
        _fold(copy, panels)
        _stretch(copy, heights)
    else:
        copy.set_size_inches(copy.get_size_inches() * width / copy.get_figwidth())
    return copy


def _place(figure: Figure, panels: list[Any], width: float) -> None:
    """As many panels a row as have the room they need, in the order in which they are read."""
    grid = panels[0].get_gridspec()
    old_width, old_height = figure.get_size_inches() / (grid.ncols, grid.nrows)
    needed = max(PANEL if any(map(_has_numbers_beside, panels)) else BARE, SMALLER * old_width)
    columns = max(1, min(grid.ncols, int(width / needed)))
    height = old_height * max(1, width / columns / old_width) + SPARE
    if columns < grid.ncols:
        cells = {axes: divmod(int(axes.get_subplotspec().num1), grid.ncols) for axes in panels}
        labels = {cells[axes][0]: axes.get_ylabel() for axes in reversed(panels)}  # of the first in each row
        places = sorted(set(cells.values()))
        grid = GridSpec(-(-len(places) // columns), columns, figure)
        for axes, cell in cells.items():
            row, column = divmod(places.index(cell), columns)
            axes.set_subplotspec(grid[row, column])
            if column == 0 and _has_numbers_beside(axes):
                axes.set_ylabel(axes.get_ylabel() or labels[cell[0]])
                if len(axes.get_shared_y_axes().get_siblings(axes)) > 1:
                    axes.tick_params(labelleft=True)  # they stood beside another panel's
    figure.set_size_inches(width, height * grid.nrows)


def _has_numbers_beside(axes: Axes) -> bool:
    return axes.axison and len(axes.get_yticks()) > 0


def _fold(figure: Figure, panels: list[Any]) -> None:
    """Break or turn texts, and legends, that reach into each other, the next panel or the margin."""
    width = figure.get_figwidth()
    for legend in [*figure.legends]:
        _in_fewer_columns(figure, legend)
    cell = width / panels[0].get_gridspec().ncols
    has_scale = len(figure.axes) > len(panels)
    reach = 1.05 if has_scale and panels[0].get_gridspec().ncols == 1 else 1.4  # not over a scale of colors
    for axes in panels:  # first the legends, which take their room from the axes
        legend = axes.get_legend()
        if legend and legend.get_window_extent().width > BESIDE_NUMBERS * cell * figure.dpi:
            _narrow(axes, legend, BESIDE_NUMBERS * cell)
    figure.draw_without_rendering()
    for axes in panels:
        spans = sorted(
            tuple(label.get_window_extent().intervalx) for label in axes.get_xticklabels() if label.get_text()
        )
        if any(right > left for (_, right), (left, _) in pairwise(spans)):
            axes.tick_params(axis="x", rotation=90)
        left, right = (x * width for x in axes.get_position(original=True).intervalx)
        middle = (left + right) / 2
        around = 2 * min(middle % cell, cell - middle % cell)  # of a text in the middle
        for text in (axes.title, axes.xaxis.label):
            _break(text, min(around, reach * (right - left)))
        for text in (axes._left_title, axes._right_title):  # type: ignore[attr-defined]
            _break(text, right - left)
    if figure._suptitle:  # type: ignore[attr-defined]
        _break(figure._suptitle, width)  # type: ignore[attr-defined]


def _break(text: Text, width: float) -> None:
    size, weight = float(text.get_fontsize()), str(text.get_fontweight())
    text.set_text(folded(text.get_text(), width, size, weight))


def _narrow(axes: Axes, legend: Any, width: float) -> None:
    """One name below the other, each in as many lines as it needs."""
    size, title = legend.get_texts()[0].get_fontsize(), legend.get_title()
    sample = 3 * size / 72  # inches before a name
    names = [folded(text.get_text(), width - sample, size) for text in legend.get_texts()]
    axes.legend(
        legend.legend_handles, names, title=title.get_text() or None, fontsize=size,
        title_fontsize=title.get_fontsize(), frameon=legend.get_frame_on(),
        loc=legend._loc, bbox_to_anchor=legend._bbox_to_anchor,
        bbox_transform=IdentityTransform(),
    )  # fmt: skip


def _in_fewer_columns(figure: Figure, legend: Any) -> None:
    """A legend outside the panels, in as many columns as the page has room for."""
    names = [text.get_text() for text in legend.get_texts()]
    size = legend.get_texts()[0].get_fontsize()
    sample = 5 * size / 72  # inches before a name, and after it
    columns = int(figure.get_figwidth() / (sample + max(width_of(name, size) for name in names)))
    if columns < legend._ncols:
        drawn = dict(zip(names, legend.legend_handles, strict=True))
        for axes in figure.axes:  # what a sample stands for, with its marker and bars
            handles, labels = axes.get_legend_handles_labels()
            drawn |= {label: one for label, one in zip(labels, handles, strict=True) if label in drawn}
        legend.remove()
        place: Any = f"outside {legend._outside_loc} center"
        figure.legend(list(drawn.values()), names, fontsize=size, ncols=max(1, columns), loc=place)


def _inner_height(axes: Any) -> float:
    """Height inside the axes, in inches, as laid out last."""
    return axes.get_position().height * axes.figure.get_figheight()


def _stretch(figure: Figure, wanted: dict[Any, float]) -> None:
    """Give every row of panels the height that it had before inside the axes, or what a fixed shape takes."""
    figure.draw_without_rendering()
    width, height = figure.get_size_inches()
    title = figure._suptitle  # type: ignore[attr-defined]
    around = [title] * bool(title) + figure.legends
    above = sum(one.get_window_extent().height for one in around) / figure.dpi
    rows = next(iter(wanted)).get_gridspec().nrows
    lacking = []
    for axes, before in wanted.items():
        if axes.get_aspect() == "auto":
            lacking.append(before - _inner_height(axes))
        else:
            lacking.append(axes.get_tightbbox().height / figure.dpi - (height - above) / rows)
    figure.set_size_inches(width, height + rows * (max(lacking) + PAD))
    figure.draw_without_rendering()  # a layout of fixed shapes is right the second time
