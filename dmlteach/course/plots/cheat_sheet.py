"""The field on one page to print: losses by their weights, their batches, what to tune, signs of failure."""

import textwrap
from typing import Any, NamedTuple

from matplotlib.axes import Axes

from dmlteach import losses, methods
from dmlteach.course import measured
from dmlteach.course.cards import numbers
from dmlteach.course.plots.weights import FARTHEST, FIXED, Weights, has_weight_curve, weight_curve
from dmlteach.plots.style import BLACK, GREY, PALE, Picture, styled

A4 = (11.69, 8.27)  # inches, landscape
COLUMNS = 7
PULL: dict[str, Any] = {"color": GREY, "linewidth": 1.6}
PUSH: dict[str, Any] = {"color": BLACK, "linewidth": 1.3, "linestyle": (0, (4, 1.6))}
SHORT = {"class_balanced": "P×K", "local_classes": "local classes"}


class Sign(NamedTuple):
    """Something seen in a training that goes wrong, and what to do about it."""

    seen: str
    cure: str


SIGNS = (
    Sign(
        "The loss rests at its margin, and the distances of negatives go to 0: collapse.",
        "Compare more than the hardest: all, semi-hard or weighted negatives. Neither another margin nor a "
        "smaller rate cures it.",
    ),
    Sign(
        "The loss falls, and Recall@1 on classes held back does not rise.",
        "Choose by Recall@1 there, not by the loss: look for wrong labels, augment more, stop earlier.",
    ),
    Sign(
        "Hardly any tuple is active, or hardly any anchor has a positive.",
        "Choose the batches: several images of each class (P×K), or neighbourhoods; then the margin.",
    ),
    Sign(
        "Nearly every query finds its class, or many more than is published.",
        "Look for a leak: the query in its own gallery, classes that were trained on, copies, few classes.",
    ),
    Sign(
        "Method A beats method B by a point or two.",
        "Tune both alike, repeat with seeds, pair them, and put an interval on the difference.",
    ),
)


@styled
def cheat_sheet() -> Picture:
    """Draw the page: a panel for each loss with default options, and five signs of failure below.

    Returns:
        The figure, in greys; its alt text says what a panel holds, and the signs.
    """
    names = [name for name in losses.LOSSES if has_weight_curve(name)]
    rows = -(-(len(names) + 1) // COLUMNS)
    figure = Picture(*A4)
    figure.set_layout_engine("none")
    figure.text(0.03, 0.965, "Deep metric learning on a page", size=15, weight="bold", va="center")
    figure.text(0.97, 0.965, "dmlteach", size=10, color=GREY, ha="right", va="center")
    grid = figure.add_gridspec(
        rows, COLUMNS, left=0.03, right=0.975, top=0.9, bottom=0.235, hspace=0.95, wspace=0.22
    )
    for place, name in enumerate(names):
        _panel(figure.add_subplot(grid[place // COLUMNS, place % COLUMNS]), name)
    left = len(names) % COLUMNS
    _key(figure.add_subplot(grid[rows - 1, left:]))
    _signs(figure)
    figure.alt = _in_words(names)
    return figure


def _panel(axes: Axes, name: str) -> None:
    """Pull and push of one loss, each curve as high as the panel; below, its batches and what to tune."""
    curve = weight_curve(name)
    highest = max(abs(curve.positive).max(), abs(curve.negative).max())
    lowest = 1.1 * min(curve.positive.min(), curve.negative.min()) / highest
    axes.axhline(0, color=PALE, linewidth=0.7)
    axes.plot(curve.distance, curve.positive / highest, **PULL)
    axes.plot(curve.distance, curve.negative / highest, **PUSH)
    axes.set(xlim=(0, FARTHEST), ylim=(min(-0.08, lowest), 1.12), xticks=[0, 1, 2], yticks=[])
    axes.tick_params(labelsize=6, length=2, pad=1)
    axes.spines["left"].set_visible(False)
    axes.set_title(name, size=8, loc="left", pad=11)
    axes.text(0, 1.03, _about(name, curve), size=6, color="#4d4d4d", transform=axes.transAxes, va="bottom")


def _about(name: str, curve: Weights) -> str:
    """Where it compares, in which batches its recipe trains it, and which option to tune beside the rate."""
    where = "sphere" if curve.on_sphere else "plane"
    recipe = next((m for m in methods.names() if methods.get(m).loss == name), None)
    if recipe is None:
        return where
    sampler = methods.adapt(methods.get(recipe), "omniglot").sampler
    tuned = measured.tuned(recipe)
    option = f" · {tuned.option}" if tuned and tuned.option else ""
    return f"{where} · {SHORT.get(sampler, sampler)}{option}"


def _key(axes: Axes) -> None:
    axes.axis("off")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    for y, words, curve in ((0.98, "pull of a positive (or of the own class vector)", PULL),
                            (0.78, "push of a negative (or another class vector)", PUSH)):  # fmt: skip
        axes.plot([0, 0.11], [y, y], **curve)
        axes.text(0.14, y, words, size=7, va="center")
    more = (
        f"Across: the distance of the one that moves; the other stays at {FIXED:g}. Each panel has its own "
        "height; below the line a positive is pushed, a negative pulled. Above it: where it compares, its "
        "batches, and the option to tune after the learning rate (which moved Recall@1 on val classes more "
        f"than the option did in {rate_first()} methods here). HDC and BIER weigh each part of an ensemble."
    )
    axes.text(0, 0.6, textwrap.fill(more, 92), size=7, va="top", linespacing=1.35)


def rate_first() -> str:
    """In how many tuned methods the learning rate moved Recall@1 on val classes more than the option."""
    moved = [found for name in methods.names() if len(found := numbers.moved(name)) > 1]
    first = sum(found[numbers.RATE] == max(found.values()) for found in moved)
    return f"{first} of {len(moved)}"


def _signs(figure: Picture) -> None:
    """Five columns: what is seen, and what to do."""
    figure.text(0.03, 0.178, "Five signs, and what to do", size=10.5, weight="bold", va="center")
    for place, sign in enumerate(SIGNS):
        x = 0.03 + place * 0.191
        seen, cure = textwrap.fill(f"{place + 1}. {sign.seen}", 34), textwrap.fill(sign.cure, 38)
        figure.text(x, 0.155, seen, size=7.5, weight="bold", va="top", linespacing=1.3)
        lines = seen.count("\n") + 1
        figure.text(x, 0.15 - lines * 0.0175, cure, size=7.5, va="top", linespacing=1.3)


def _in_words(names: list[str]) -> str:
    signs = " ".join(f"{sign.seen} {sign.cure}" for sign in SIGNS)
    return (
        f"A page to print. {len(names)} panels, one for each loss: pull of a positive and push of a negative "
        "against distance, with where it compares, its batches, and the option to tune after the learning "
        f"rate. Below, five signs of failure and what to do. {signs}"
    )
