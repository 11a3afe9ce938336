"""The method in one figure: embed, group into neighbourhoods, compare triplets, pull and push, again.

Everything shown is computed by the library on points of the plane: k-means, targets, SST's gradients.
"""

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch
from torch import Tensor

from dmlteach.distances import pairwise_squared_distances
from dmlteach.losses import nearest_targets, sst_loss
from dmlteach.neighbors import kmeans, nearest
from dmlteach.plots.letters import folded
from dmlteach.plots.style import (
    ANCHOR,
    CYCLE,
    GREY,
    MARKERS,
    NEGATIVE,
    PALE,
    POSITIVE,
    Picture,
    page,
    place,
    styled,
)

CLASSES, EACH, NEIGHBOURHOODS, TARGETS, EPOCHS = 7, 9, 4, 3, 40
PANEL, GAP, BOTTOM, INCOMING = 1.17, 0.24, 1.42, 0.72  # inches, where the steps stand beside each other
PHONE_PANEL, PHONE_GAP, PHONE_WORDS = 1.55, 0.3, 1.85  # where they stand below each other
AGAIN, NOTE = "next epoch: embed again", "#4d4d4d"
STEPS = (
    ("1  Embed", "The network places every image (colour and shape: its class)."),
    ("2  Group", "k-means finds neighbourhoods; each becomes one batch."),
    ("3  Choose", "An anchor's targets (solid) share its class, impostors (dashed) do not."),
    ("4  Pull, push", "SST pulls anchor and target together and pushes the impostor away."),
    ("5  Move", "After some epochs, neighbours share their class."),
)


@styled
def overview(images: Tensor | None = None, seed: int = 2, for_phone: bool = False) -> Picture:
    """Draw one epoch of local sampling with the SST loss in five steps.

    Args:
        images: (M, C, H, W), a few of which are shown on their way into the network; None shows none.
        seed: of the points' first positions.
        for_phone: the steps stand below each other, each with its words beside it.

    Returns:
        The figure; its alt text tells how many nearest neighbours share their class before and after.

    Source: Nguyen & De Baets, Neurocomputing 2020.
    """
    z, labels = _points(seed)
    centres, batch_of = kmeans(z, NEIGHBOURHOODS, seed)
    batch = int(np.argmax([len(labels[batch_of == b].unique()) for b in range(NEIGHBOURHOODS)]))
    rows = (batch_of == batch).nonzero()[:, 0]
    after = train(z, labels, epochs=EPOCHS)

    figure, panels = (_below_each_other if for_phone else _beside_each_other)(images)
    _dots(panels[0], z, labels)
    _group(panels[1], z, labels, centres, batch_of, batch)
    _choose(panels[2], z[rows], labels[rows])
    _pull(panels[3], z[rows], labels[rows])
    _dots(panels[4], after, labels)
    for axes, shown in zip(panels, (z, z, z[rows], z[rows], after), strict=True):
        _fit(axes, shown)
    figure.alt = (
        "Local sampling with the SST loss, one epoch in five steps, with an arrow back to the first. 1: the "
        "network places every image as a point. 2: k-means divides the points into "
        f"{NEIGHBOURHOODS} neighbourhoods, each a batch. 3: inside one, an anchor is joined by solid lines "
        "to its targets, the nearest points of its class, and by dashed lines to impostors of other "
        "classes. 4: arrows show where the loss moves each point: classes together, others apart. 5: the "
        f"points after {EPOCHS} epochs. Nearest neighbours that share their class: "
        f"{_recall(z, labels):.0%} before, {_recall(after, labels):.0%} after."
    )
    return figure


def _points(seed: int) -> tuple[Tensor, Tensor]:
    """Classes that overlap in the plane, (M, 2) and (M,)."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(CLASSES).repeat_interleave(EACH)
    angle = 2 * torch.pi * torch.arange(CLASSES) / CLASSES
    centres = 0.9 * torch.stack([angle.cos(), angle.sin()], 1)
    return centres[labels] + 0.5 * torch.randn(len(labels), 2, generator=generator), labels


def train(z: Tensor, labels: Tensor, epochs: int, rate: float = 0.5) -> Tensor:
    """Local sampling and SST on free points: every epoch groups them anew and takes a step in each group.

    Args:
        z: (M, 2) first positions.
        labels: (M,) classes.
        epochs: how often to group and step.
        rate: step size, times the number of points in the group.

    Returns:
        (M, 2) positions afterwards.
    """
    z = z.clone()
    for epoch in range(epochs):
        _, batch_of = kmeans(z, NEIGHBOURHOODS, epoch)
        for batch in range(NEIGHBOURHOODS):
            rows = (batch_of == batch).nonzero()[:, 0]
            if len(rows):
                z[rows] += rate * negative_gradient(z[rows], labels[rows]) * len(rows) / 10
    return z


def negative_gradient(z: Tensor, labels: Tensor) -> Tensor:
    """(N, 2) direction in which the SST loss of this batch moves each point."""
    leaf = z.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(sst_loss(leaf, labels, TARGETS), leaf)
    return -gradient


def _recall(z: Tensor, labels: Tensor) -> float:
    """Share of points whose nearest other point has their class."""
    _, rows = nearest(z, z, 2)
    return (labels[rows[:, 1]] == labels).float().mean().item()


# --- drawing


def _beside_each_other(images: Tensor | None) -> tuple[Picture, list[Axes]]:
    """A row of panels, each with a title above and a sentence below, and arrows between them."""
    left = INCOMING if images is not None else 0.1
    figure, paper = page(left + 5 * PANEL + 4 * GAP + 0.1, BOTTOM + PANEL + 0.35)
    panels = [_panel(figure, left + i * (PANEL + GAP), BOTTOM, PANEL) for i in range(5)]
    middle = BOTTOM + PANEL / 2
    for axes, (title, caption) in zip(panels, STEPS, strict=True):
        axes.set_title(title, fontsize=11)
        told = folded(caption, PANEL + 0.16, 9)
        axes.text(0, -0.06, told, transform=axes.transAxes, va="top", fontsize=9, linespacing=1.3)
    if images is not None:
        side, step = 0.26, 0.3
        for i in range(4):
            place(paper, images[i], 0.06, middle + (1 - i) * step + (step - side) / 2, side)
        _arrow(paper, (0.36, middle), (left - 0.04, middle))
        paper.text(0.04, middle - 2 * step - 0.06, "network", va="top", fontsize=9)
    for i in range(4):
        x = left + (i + 1) * (PANEL + GAP) - GAP
        _arrow(paper, (x + 0.02, middle), (x + GAP - 0.02, middle))
    first, last = left + 0.5 * PANEL, left + 4.5 * PANEL + 4 * GAP
    high, low = 0.4, 0.1
    paper.plot([last, last, first], [high, low, low], color=GREY, linewidth=1.6, solid_capstyle="butt")
    _arrow(paper, (first, low - 0.01), (first, high))
    paper.text((first + last) / 2, low + 0.05, AGAIN, ha="center", va="bottom", fontsize=9, color=NOTE)
    return figure, panels


def _below_each_other(images: Tensor | None) -> tuple[Picture, list[Axes]]:
    """A column of panels, each with its title and sentence at the right, and arrows between them."""
    edge, step = 0.28, PHONE_PANEL + PHONE_GAP
    above = 0.95 if images is not None else 0.1
    figure, paper = page(edge + PHONE_PANEL + PHONE_WORDS, 5 * step + above)
    bottoms = [(4 - i) * step + PHONE_GAP / 2 for i in range(5)]
    panels = [_panel(figure, edge, bottom, PHONE_PANEL) for bottom in bottoms]
    middle, words = edge + PHONE_PANEL / 2, edge + PHONE_PANEL + 0.12
    for bottom, (title, caption) in zip(bottoms, STEPS, strict=True):
        top = bottom + PHONE_PANEL - 0.1
        paper.text(words, top, title, va="top", fontsize=12, fontweight="bold")
        told = folded(caption, PHONE_WORDS - 0.2, 9.5)
        paper.text(words, top - 0.32, told, va="top", fontsize=9.5, linespacing=1.35)
    for bottom in bottoms[:-1]:
        _arrow(paper, (middle, bottom - 0.02), (middle, bottom - PHONE_GAP + 0.02))
    first, last = (bottoms[i] + PHONE_PANEL / 2 for i in (0, -1))
    paper.plot([edge, 0.1, 0.1], [last, last, first], color=GREY, linewidth=1.6, solid_capstyle="butt")
    _arrow(paper, (0.09, first), (edge, first))
    paper.text(words, bottoms[-1] + 0.1, AGAIN.replace(": ", ":\n"), va="bottom", fontsize=9.5, color=NOTE)
    if images is not None:
        top = bottoms[0] + PHONE_PANEL
        for i in range(4):
            place(paper, images[i], edge + i * PHONE_PANEL / 4, top + 0.45, 0.36)
        _arrow(paper, (middle, top + 0.41), (middle, top + 0.04))
        paper.text(middle + 0.12, top + 0.22, "network", va="center", fontsize=9.5)
    return figure, panels


def _panel(figure: Picture, x: float, y: float, side: float) -> Axes:
    """Axes of so many inches, at a place in inches."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((x / width, y / height, side / width, side / height))
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, color=PALE)
    return axes


def _fit(axes: Axes, z: Tensor) -> None:
    """A square window around the points."""
    low, high = z.amin(0), z.amax(0)
    half = 0.64 * (high - low).max().item()
    (x, y) = ((low + high) / 2).tolist()
    axes.set(xlim=(x - half, x + half), ylim=(y - half, y + half))


def _scaled(axes: Axes, size: float) -> float:
    """Area of a mark: `size` where a panel is 2.25 inches wide, less in a smaller one."""
    return size * axes.get_window_extent().width / axes.figure.dpi / 2.25


def _dots(axes: Axes, z: Tensor, labels: Tensor, size: float = 24, alpha: float = 1.0) -> None:
    for label in range(CLASSES):
        x, y = z[labels == label].T.numpy()
        axes.scatter(
            x,
            y,
            s=_scaled(axes, size),
            color=CYCLE[label],
            marker=MARKERS[label],
            alpha=alpha,
            linewidths=0,
            zorder=3,
        )


def _group(axes: Axes, z: Tensor, labels: Tensor, centres: Tensor, batch_of: Tensor, batch: int) -> None:
    """Neighbourhoods as regions of the plane, the one that is looked at shaded."""
    low, high = (z.amin(0) - 1).tolist(), (z.amax(0) + 1).tolist()
    xs, ys = np.linspace(low[0], high[0], 300), np.linspace(low[1], high[1], 300)
    grid = torch.tensor(np.stack(np.meshgrid(xs, ys), -1), dtype=torch.float32)
    region = (grid[:, :, None] - centres).square().sum(-1).argmin(-1).numpy()  # (300, 300)
    axes.contourf(xs, ys, region == batch, levels=[0.5, 1.5], colors=["#e8eef5"])
    for b in range(NEIGHBOURHOODS):
        axes.contour(xs, ys, region == b, levels=[0.5], colors=GREY, linewidths=0.9)
    for b in range(NEIGHBOURHOODS):
        mine = batch_of == b
        _dots(axes, z[mine], labels[mine], alpha=1.0 if b == batch else 0.55)


def _choose(axes: Axes, z: Tensor, labels: Tensor) -> None:
    """One anchor with its targets and nearest impostors."""
    all_d2 = pairwise_squared_distances(z)
    targets = nearest_targets(all_d2, labels, TARGETS)
    full = (targets >= 0).all(1).nonzero()[:, 0]
    crowding = all_d2.gather(1, targets.clamp_min(0)).amin(1) / (1 + (z - z.mean(0)).square().sum(1))
    anchor = int(full[crowding[full].argmax()])  # central, and apart from its targets: to be seen well
    d2 = all_d2[anchor].masked_fill(labels == labels[anchor], torch.inf)
    for row in d2.argsort(stable=True)[:5].tolist():
        axes.plot(*z[[anchor, row]].T.numpy(), color=NEGATIVE, linewidth=1.2, linestyle=(0, (3, 2)), zorder=1)
    for row in targets[anchor].tolist():
        axes.plot(*z[[anchor, row]].T.numpy(), color=POSITIVE, linewidth=2.4, zorder=2)
    x, y = z[anchor].tolist()
    axes.scatter(x, y, s=_scaled(axes, 190), facecolor="white", edgecolor=ANCHOR, linewidths=2, zorder=2.5)
    _dots(axes, z, labels, size=34)


def _pull(axes: Axes, z: Tensor, labels: Tensor) -> None:
    """Where the loss moves every point of the neighbourhood."""
    moves = negative_gradient(z, labels)
    # The square root of the length keeps weak moves visible; directions are the loss's own.
    moves = moves / moves.norm(dim=1, keepdim=True).sqrt().clamp_min(1e-9)
    moves = moves * (0.17 * (z.amax(0) - z.amin(0)).max() / moves.norm(dim=1).max())
    _dots(axes, z, labels, size=34)
    x, y = z.T.numpy()
    dx, dy = moves.T.numpy()
    axes.quiver(x, y, dx, dy, angles="xy", scale_units="xy", scale=1, width=0.011, headwidth=4.2,
                headlength=4.5, headaxislength=4.2, color="#333333", zorder=4)  # fmt: skip


def _arrow(paper: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    paper.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=11, color=GREY, linewidth=1.6, shrinkA=0, shrinkB=0
        )
    )
