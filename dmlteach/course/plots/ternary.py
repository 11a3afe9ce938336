"""Negative gradients of a loss on a line: maps over the triangle of differences.

Source: Nguyen & De Baets, "Improved deep embedding learning based on stochastic symmetric triplet loss and
local sampling", Neurocomputing 2020, Figure 2. The values come from autograd of the library's losses.
"""

from functools import partial
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.patches import Polygon
from torch import Tensor

from dmlteach import losses
from dmlteach.errors import DMLTeachError
from dmlteach.interfaces import Tuples
from dmlteach.options import one_of
from dmlteach.plots.style import ANCHOR, DIVERGING, NEGATIVE, POSITIVE, Picture, styled

LOW, HIGH = -2, 4  # each difference runs from LOW to HIGH inside the triangle
CLIP = 4.0  # colours run from -CLIP to CLIP, beyond they stay the same
# Where φa−φp, φp−φn and φn−φa reach HIGH: bottom right, top, bottom left. Side 6, centre 0: a step of 1 in
# one difference is a step of √3/2 on the page, in each of the three directions.
CORNERS = np.array([[3, -np.sqrt(3)], [0, 2 * np.sqrt(3)], [-3, -np.sqrt(3)]])  # (3, 2)
TICKS = [-4, -2, 0, 2, 4]  # of the colour scale
POINTS = {"a": ("anchor", ANCHOR), "p": ("positive", POSITIVE), "n": ("negative", NEGATIVE)}
NOTE = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
DIFFERENCES = (r"$\varphi_a-\varphi_p$", r"$\varphi_p-\varphi_n$", r"$\varphi_n-\varphi_a$")


def triplet_gradients(loss: str, triplets: Tensor, **options: Any) -> Tensor:
    """Negative gradient of `loss` at many single triplets: where each point would move.

    Args:
        loss: a name of `dmlteach.losses.names()`.
        triplets: (T, 3, D) embeddings of anchor, positive and negative.
        options: of the loss, e.g. `margin=0.2`.

    Returns:
        (T, 3, D) negative gradients of each triplet's own loss, by autograd.
    """
    one_loss = losses.create(loss, **options)
    labels = torch.tensor([0, 0, 1])
    only_this = Tuples(targets=torch.tensor([[1], [-1], [-1]]))  # the anchor is row 0, its target row 1
    leaf = triplets.detach().clone().requires_grad_()
    values = torch.vmap(lambda z: one_loss(z, labels, tuples=only_this))(leaf)  # (T,)
    (gradients,) = torch.autograd.grad(values.sum(), leaf)
    return -gradients


def to_triangle(triplets: np.ndarray) -> np.ndarray:
    """Page position of triplets on a line, (…, 3) as (φa, φp, φn) → (…, 2); translation changes nothing."""
    a, p, n = np.moveaxis(np.asarray(triplets, float), -1, 0)
    return np.stack([a - p, p - n, n - a], -1) @ CORNERS / (HIGH - LOW)


def from_triangle(positions: np.ndarray) -> np.ndarray:
    """Triplets at page positions, (…, 2) → (…, 3) as (φa, φp, φn), with the anchor at 0."""
    # (p − a, n − a) ↦ position is linear: invert it.
    p, n = np.moveaxis(np.asarray(positions, float) @ np.linalg.inv(_plane_to_triangle()).T, -1, 0)
    return np.stack([np.zeros_like(p), p, n], -1)


def _plane_to_triangle() -> np.ndarray:
    """(2, 2) matrix that takes (φp − φa, φn − φa) to the page."""
    return to_triangle(np.array([[0, 1, 0], [0, 0, 1]])).T


def ternary_values(loss: str, resolution: int = 401, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Negative gradients over the triangle, on a grid of page positions.

    Args:
        loss: a name of `dmlteach.losses.names()`.
        resolution: grid points along the triangle's base.
        options: of the loss.

    Returns:
        triplets (H, W, 3) on the line, and their negative gradients (H, W, 3) for a, p and n;
        NaN outside the triangle.
    """
    low, high = CORNERS.min(0), CORNERS.max(0)
    xs = np.linspace(low[0], high[0], resolution)
    ys = np.linspace(low[1], high[1], round(resolution * (high[1] - low[1]) / (high[0] - low[0])))
    triplets = from_triangle(np.stack(np.meshgrid(xs, ys), -1))  # (H, W, 3)
    a, p, n = np.moveaxis(triplets, -1, 0)
    # A little beyond the edge, so that no white seam shows where the picture is clipped.
    inside = np.minimum(np.minimum(a - p, p - n), n - a) >= LOW - 12 / resolution
    values = np.full(triplets.shape, np.nan)
    on_line = torch.tensor(triplets[inside])[:, :, None]  # (T, 3, 1)
    values[inside] = triplet_gradients(loss, on_line, **options)[:, :, 0].numpy()
    return triplets, values


@styled
def ternary_gradients(loss: str, resolution: int = 401, **options: Any) -> Picture:
    """Three maps: where anchor, positive and negative of a triplet on a line are moved by a loss.

    Args:
        loss: a name of `dmlteach.losses.names()`.
        resolution: grid points along a triangle's base.
        options: of the loss, e.g. `margin=0.2`.

    Returns:
        A figure with one panel per point and one colour scale, clipped at ±4.

    Source: Nguyen & De Baets, Neurocomputing 2020, Figure 2.
    """
    one_of("loss", loss, losses.names())
    _, values = ternary_values(loss, resolution, **options)
    idle = (values == 0).all(-1)  # exactly no gradient on any of the three
    name = loss.upper() if loss == "sst" else loss.replace("_", " ").capitalize()
    heading = f"{name} loss" + "".join(f", {k} = {v}" for k, v in options.items())
    figure = _three_maps(values, idle, heading)
    figure.alt = _alt(loss, values)
    figure.again = partial(_maps_on_page, values, idle, heading)
    return figure


def _three_maps(values: np.ndarray, idle: np.ndarray, heading: str) -> Picture:
    """The maps side by side, the colour scale at the right."""
    figure = Picture(12.2, 4.4)
    figure.suptitle(heading, fontsize=13)
    panels = figure.subplots(1, 3)
    for axes, point, value in zip(panels, POINTS, np.moveaxis(values, -1, 0), strict=True):
        image = _draw_map(axes, value, idle)
        axes.set_title(_title(point, ": "), pad=16)
    bar = figure.colorbar(image, ax=panels, extend="both", shrink=0.72, pad=0.02, aspect=16)
    bar.set_ticks(TICKS)
    bar.set_label("negative gradient\n(− moves down the line, + up)")
    bar.ax.set_xlabel(_below_scale(values, idle), fontsize=9.5, labelpad=14)
    return figure


def _maps_on_page(values: np.ndarray, idle: np.ndarray, heading: str, width: float) -> Picture:
    """The maps in two columns, or one below the other, and the colour scale in the place of a fourth."""
    columns = 2 if width > 5 else 1
    side = min(width / columns, 3.3)
    scale = side if columns == 2 else 1.1
    rows = 2 if columns == 2 else 4
    figure = Picture(width, side * (3 // columns) + scale + 0.5)
    figure.suptitle(heading, fontsize=13)
    ratios = [side] * (rows - 1) + [scale]
    *panels, last = np.ravel(figure.subplots(rows, columns, height_ratios=ratios))
    for axes, point, value in zip(panels, POINTS, np.moveaxis(values, -1, 0), strict=True):
        image = _draw_map(axes, value, idle)
        axes.set_title(_title(point, "\n"), pad=8)
    last.axis("off")
    bar = figure.colorbar(image, cax=last.inset_axes((0.08, 0.55, 0.84, 0.09 if columns == 2 else 0.3)),
                          extend="both", orientation="horizontal")  # fmt: skip
    bar.set_ticks(TICKS)
    bar.set_label(
        "negative gradient\n(− moves down the line, + up)\n" + _below_scale(values, idle), fontsize=9.5
    )
    return figure


def _title(point: str, between: str) -> str:
    return rf"$-\,\partial\ell/\partial\varphi_{point}${between}how the {POINTS[point][0]} moves"


def _below_scale(values: np.ndarray, idle: np.ndarray) -> str:
    return f"values reach ±{np.nanmax(np.abs(values)):.1f}" + "\ndotted: no gradient" * bool(idle.any())


def _draw_map(axes: Axes, value: np.ndarray, idle: np.ndarray):
    """One panel: the values, clipped to the triangle, dotted where nothing moves; ticks on the sides."""
    triangle = Polygon(CORNERS, closed=True, facecolor="none", edgecolor="#333333", linewidth=1.2, zorder=4)
    axes.add_patch(triangle)
    low, high = CORNERS.min(0), CORNERS.max(0)
    image = axes.imshow(
        np.ma.masked_invalid(value),
        extent=(low[0], high[0], low[1], high[1]),
        origin="lower",
        cmap=DIVERGING,
        norm=Normalize(-CLIP, CLIP),
        interpolation="nearest",
        clip_path=triangle,
    )
    xs, ys = (np.linspace(low[i], high[i], value.shape[1 - i]) for i in (0, 1))
    moving = np.ma.masked_where(idle | np.isnan(value), value)
    zero = axes.contour(xs, ys, moving, levels=[0.0], colors="#333333", linewidths=1.0)
    zero.set_clip_path(triangle)
    if idle.any():
        dots = axes.contourf(xs, ys, idle, levels=[0.5, 1.5], colors="none", hatches=["..."])
        dots.set(clip_path=triangle, edgecolor="#b0b0b0", linewidth=0)
    _draw_sides(axes)
    axes.set_xlim(low[0] - 1.2, high[0] + 1.2)
    axes.set_ylim(low[1] - 1.1, high[1] + 0.75)
    axes.set_aspect("equal")
    axes.axis("off")
    return image


def _draw_sides(axes: Axes) -> None:
    """Ticks LOW … HIGH in steps of 2 and a name on each side, and what the corners mean."""
    right, top, left = CORNERS
    # On each side one difference rises from LOW to HIGH, and the far corner's stays at LOW.
    sides = [(left, right), (right, top), (top, left)]
    for (start, end), name, turn in zip(sides, DIFFERENCES, (0, -60, 60), strict=True):
        along = (end - start) / np.linalg.norm(end - start)
        out = np.array([along[1], -along[0]])
        for tick in range(LOW, HIGH + 1, 2):
            foot = start + (end - start) * (tick - LOW) / (HIGH - LOW)
            axes.plot(*zip(foot, foot + 0.12 * out, strict=True), color="#333333", linewidth=0.9, zorder=4)
            _label(axes, foot + 0.34 * out, f"{tick}".replace("-", "−"), fontsize=9)
        _label(axes, (start + end) / 2 + 0.86 * out, name, rotation=turn, fontsize=11)
    orders = ((right, "p n a", (0, -0.82)), (top, "n a p", (0, 0.62)), (left, "a p n", (0, -0.82)))
    for corner, order, shift in orders:
        _label(axes, corner + shift, order, fontsize=9, style="italic", color="#555555")


def _label(axes: Axes, position: np.ndarray, text: str, **options: Any) -> None:
    axes.text(float(position[0]), float(position[1]), text, ha="center", va="center", **options)


def _alt(loss: str, values: np.ndarray) -> str:
    """What the three maps show, in numbers that the maps hold."""
    with np.errstate(invalid="ignore"):
        idle = np.mean(np.abs(values[np.isfinite(values).all(-1)]) < 0.01, axis=0)
    shares = ", ".join(f"{role} {share:.0%}" for (role, _), share in zip(POINTS.values(), idle, strict=True))
    return (
        f"Three triangular maps of the negative gradient of the {loss} loss for an anchor, a positive and a "
        "negative on a line. Positions inside the triangle are the differences a minus p (4 in the bottom "
        "right corner), p minus n (4 at the top) and n minus a (4 at the bottom left); in the centre all "
        "three points coincide. Blue moves a point down the line, red up, white not at all; colours are "
        "clipped at "
        f"plus and minus 4, the values reach plus and minus {np.nanmax(np.abs(values)):.1f}. Share of the "
        f"triangle where the gradient is below 0.01: {shares}."
    )


@styled
def difference_plane(
    loss: str, point: str = "a", limit: float = 5.0, resolution: int = 241, **options: Any
) -> Picture:
    """From ordinary axes to the ternary map, in three steps: plot, shear, turn.

    Put the anchor at 0; then p − a and n − a say everything about a triplet on a line. Shearing that plot
    until the three differences are at equal angles, and turning it, gives the triangle.

    Args:
        loss: a name of `dmlteach.losses.names()`.
        point: whose negative gradient is shown: "a", "p" or "n".
        limit: each panel is a window from −limit to limit.
        resolution: grid points along one axis.
        options: of the loss.

    Returns:
        A figure with three panels: ordinary axes, sheared, turned.

    Raises:
        DMLTeachError: unknown loss or point.
    """
    one_of("loss", loss, losses.names())
    if point not in POINTS:
        raise DMLTeachError(f"point is {point!r}; choose one of a (anchor), p (positive), n (negative).")
    steps = np.linspace(-2 * limit, 2 * limit, resolution)  # beyond the window, which the shear would leave
    plane = np.stack(np.meshgrid(steps, steps), -1)  # (R, R, 2): p − a, n − a
    triplets = torch.tensor(np.concatenate([np.zeros((*plane.shape[:2], 1)), plane], -1)).reshape(-1, 3, 1)
    value = triplet_gradients(loss, triplets, **options)[:, "apn".index(point), 0]
    left, scale, right = np.linalg.svd(_plane_to_triangle())  # polar decomposition: turn @ shear
    shear, turn = right.T @ np.diag(scale) @ right, left @ right

    figure = Picture(12.2, 4.2)
    figure.alt = (
        f"The negative gradient of the {loss} loss for the {POINTS[point][0]}, drawn three times: over "
        "p minus a and n minus a on ordinary axes; sheared, so that the three differences point in "
        "directions 120 degrees apart; turned into the position of the ternary map. Its triangle is "
        "outlined in each."
    )
    panels = figure.subplots(1, 3)
    titles = ("1  ordinary axes", "2  sheared: three equal directions", "3  turned: the ternary map")
    for axes, title, matrix in zip(panels, titles, (np.eye(2), shear, turn @ shear), strict=True):
        image = _draw_plane(axes, plane, value.reshape(resolution, resolution).numpy(), matrix, limit)
        axes.set_title(title)
    bar = figure.colorbar(image, ax=panels, extend="both", shrink=0.8, pad=0.02, aspect=16)
    bar.set_label(rf"$-\,\partial\ell/\partial\varphi_{point}$", fontsize=11)
    return figure


def _draw_plane(axes: Axes, plane: np.ndarray, value: np.ndarray, matrix: np.ndarray, limit: float):
    """The values over the plane after a linear map, with the triangle and the two axes."""
    x, y = np.moveaxis(plane @ matrix.T, -1, 0)
    image = axes.pcolormesh(
        x, y, value, cmap=DIVERGING, norm=Normalize(-CLIP, CLIP), shading="gouraud", rasterized=True
    )
    corners = CORNERS @ np.linalg.inv(_plane_to_triangle()).T  # in (p − a, n − a)
    outline = {"facecolor": "none", "edgecolor": "black", "linewidth": 1.4}
    axes.add_patch(Polygon(corners @ matrix.T, closed=True, **outline))
    for direction, name in zip(matrix.T, (r"$\varphi_p-\varphi_a$", r"$\varphi_n-\varphi_a$"), strict=True):
        axes.axline((0, 0), tuple(direction), color="#333333", linewidth=0.7, linestyle=(0, (4, 3)))
        end = 0.88 * limit * direction / np.abs(direction).max()
        axes.annotate("", end, 0.86 * end, arrowprops={"arrowstyle": "-|>", "color": "#333333"})
        _label(axes, 0.74 * end, name, bbox=NOTE, fontsize=11)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    if not np.allclose(matrix, np.eye(2)):
        axes.set(xticks=[], yticks=[])
    return image
