"""The weight explorer's static picture: weights as an SVG image, for hosts without kernel and scripts."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dmlteach.course.widgets.weight_explorer.curves import EDGES, FAMILIES, Curve, Recording
from dmlteach.data.omniglot import CHARACTERS

EMBEDDINGS = {
    "uniform": "points uniform on the sphere",
    "untrained": "an untrained network",
    "trained": "a trained network",
}
WIDTH, TOP, GAP, BOTTOM, FOOT, LEFT = 560, 168, 34, 96, 40, 8  # pixels, as in widget.js


def draw(shown: dict[str, Any], curve: Curve, recording: Recording, hidden: bool) -> tuple[str, str]:
    """Weight of one negative above, all their push below, on one axis of distance.

    Args:
        shown: "family", "value" and "embedding".
        curve: of them.
        recording: for the numbers of pairs.
        hidden: whether the name of the loss is still to be guessed.

    Returns:
        An SVG document, and the text that says what it shows.
    """
    negatives = recording.negatives[shown["embedding"]]
    weights = np.nan_to_num(curve.negative)
    floor, height = TOP + GAP + BOTTOM, TOP + GAP + BOTTOM + FOOT
    ticks = "".join(
        f'<text x="{_along(d):.0f}" y="{floor + 18}" text-anchor="middle">{d:g}</text>' for d in (0.5, 1, 1.5)
    )
    parts = [
        _bars(negatives, TOP, TOP - 22, "#c8c8c8"),
        f'<path d="{_line(curve.negative)}" fill="none" stroke="#0072b2" stroke-width="3"/>',
        '<text x="8" y="13">line: weight of one negative; bars: how many there are</text>',
        _bars(weights * negatives, floor, BOTTOM - 20, "#d55e00"),
        f'<text x="8" y="{floor - BOTTOM + 12}">weight × number: where the push comes from</text>',
        f'<path d="M{LEFT} {TOP}H{WIDTH - LEFT}M{LEFT} {floor}H{WIDTH - LEFT}" stroke="#7f7f7f"/>',
        ticks,
        f'<text x="{WIDTH / 2}" y="{floor + 35}" text-anchor="middle">distance of the negative</text>',
    ]
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" font-family="sans-serif" font-size="13">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>'
    )
    return svg, describe(shown, curve, recording, hidden)


def describe(shown: dict[str, Any], curve: Curve, recording: Recording, hidden: bool) -> str:
    """What is drawn, in words and numbers.

    Args:
        shown, curve, recording, hidden: as for `draw`.
    """
    of = FAMILIES[shown["family"]]
    name = "a loss to be guessed" if hidden else f"{of.label}, {of.option} {shown['value']:g}"
    told = [
        f"Weights of negatives against their distance, of {name}, on {EMBEDDINGS[shown['embedding']]}. "
        f"{curve.active:.0%} of the negatives have any weight"
    ]
    told.append("." if np.isnan(curve.half) else f"; half of the push comes from within {curve.half:.2f}.")
    if shown["embedding"] != "uniform":
        own, untrained = (recording.recall[name] for name in (shown["embedding"], "untrained"))
        told.append(
            f" Its Recall@1 among {CHARACTERS['test']} test characters is {own:.1%}, that of the untrained "
            f"network {untrained:.1%}."
        )
    return "".join(told)


def _along(d: float) -> float:
    return LEFT + (WIDTH - 2 * LEFT) * d / EDGES[-1]


def _bars(heights: np.ndarray, floor: int, room: int, colour: str) -> str:
    largest, width = max(float(heights.max()), 1e-300), _along(EDGES[1]) - LEFT - 0.6
    return "".join(
        f'<rect x="{_along(low):.1f}" y="{floor - room * h / largest:.1f}" width="{width:.1f}" '
        f'height="{room * h / largest:.1f}" fill="{colour}"/>'
        for low, h in zip(EDGES, heights, strict=False)
        if h > 0
    )


def _line(weights: Sequence[float] | np.ndarray) -> str:
    largest = max(float(np.nanmax(weights)), 1e-300)
    points = [
        f"{_along((low + high) / 2):.1f} {TOP - (TOP - 22) * w / largest:.1f}"
        for low, high, w in zip(EDGES[:-1], EDGES[1:], weights, strict=True)
        if not np.isnan(w)
    ]
    return f"M{'L'.join(points)}" if points else ""
