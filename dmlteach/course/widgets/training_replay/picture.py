"""The training replay's static picture: its state as an SVG image, for hosts without kernel and scripts."""

import math
from typing import Any

from dmlteach.plots.style import CYCLE

WIDTH, CHART, SIDE, LEFT = (
    300,
    120,
    260,
    44,
)  # pixels: of a column, height of the curve, side of the points, axis
FRAME = "#7f7f7f"
CHARACTERS = 25  # among whose 500 drawings Recall@1 was measured
SMALLEST = 1e-7  # shown on a logarithmic axis


def draw(state: dict, curves: dict[str, dict], runs: Any) -> tuple[str, str]:
    """The state of the replay as a picture.

    Args:
        state: `left`, `right`, `epoch`, `revealed` and `magnify`.
        curves: of each run, what `training_replay.curves` gives.
        runs: of each run, its recording, or what is recorded so far.

    Returns:
        An SVG document, and the text that says what it shows.
    """
    names = (state["left"], state["right"])
    last = max(len(curves[name]["loss"]) for name in names) - 1
    low, high = span([value for name in names for value in [*curves[name]["loss"][1:], curves[name]["line"]]])
    reach = max(float(runs[name].points.abs().max()) for name in names) * 1.08  # one frame for all epochs
    height = 40 + CHART + 30 + (SIDE + 10 if state["revealed"] else 0)
    shapes = []
    for column, name in enumerate(names):
        curve, x = curves[name], column * (WIDTH + 10)
        title = called(curve) + (f": {curve['about']}" if state["revealed"] else "")
        inner = [
            f'<text x="4" y="14" font-size="11">{title}</text>',
            *_loss(curve, state["epoch"], last, low, high),
        ]
        if state["revealed"]:
            epoch = newest(curve, state["epoch"])
            own = 1.08 * float(runs[name].points[epoch].abs().max())
            inner += _points(runs[name], epoch, own if state["magnify"] else reach)
        shapes.append(f'<g transform="translate({x} 0)">{"".join(inner)}</g>')
    width = 2 * WIDTH + 10
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(shapes)}</svg>'
    )
    return svg, describe(state, curves)


def called(curve: dict) -> str:
    """A recorded run has a letter, the live one does not."""
    return f"run {curve['letter']}" if curve["letter"] else "live run"


def newest(curve: dict, epoch: int) -> int:
    """The epoch shown of a run, which may not be that far."""
    return min(epoch, len(curve["loss"]) - 1)


def log(value: float) -> float:
    """Logarithm for an axis; a loss can be 0."""
    return math.log10(max(value, SMALLEST))


def span(values: list[float]) -> tuple[float, float]:
    """Logarithms between which a curve is drawn, a little beyond its values."""
    return log(min(values)) - 0.1, log(max(values)) + 0.1


def describe(state: dict, curves: dict[str, dict]) -> str:
    """Both runs in words and numbers; where the points are hidden, the loss alone."""
    told = [f"Loss curves of two training runs, the marker at epoch {state['epoch']}."]
    for name in (state["left"], state["right"]):
        curve, epoch = curves[name], newest(curves[name], state["epoch"])
        title = called(curve)[0].upper() + called(curve)[1:]
        first, last = curve["loss"][1:2], curve["loss"][-1]
        loss = "no loss yet"
        if first:
            loss = f"loss from {first[0]:.2f} in the first epoch to {last:.2f} in the last"
        told.append(f"{title}: {loss}; all drawings in one place would give {curve['line']:.2f}.")
        if state["revealed"]:
            told.append(
                f"It is the {curve['about']}; at this epoch Recall@1 among {CHARACTERS} characters is "
                f"{curve['recall'][epoch]:.2f} (untrained {curve['recall'][0]:.2f}) and "
                f"different characters are {curve['distance'][epoch]:.3f} apart on average: "
                f"{'collapsed' if curve['collapsed'][epoch] else 'not collapsed'}."
            )
    return " ".join(told)


def _loss(curve: dict, epoch: int, last: int, low: float, high: float) -> list[str]:
    """The loss over the epochs on a logarithmic axis, dashed the loss of a collapsed network."""
    top, right = 24, WIDTH - 8

    def to_x(e: float) -> float:
        return LEFT + (right - LEFT) * e / last

    def to_y(loss: float) -> float:
        return top + CHART * (high - log(loss)) / (high - low)

    path = " ".join(f"{to_x(e):.1f},{to_y(v):.1f}" for e, v in enumerate(curve["loss"]) if v is not None)
    stuck, label = to_y(curve["line"]), f"{curve['line']:.2f}: all in one place"
    frame = f'x="{LEFT}" y="{top}" width="{right - LEFT}" height="{CHART}"'
    return [
        f'<rect {frame} fill="none" stroke="{FRAME}"/>',
        f'<path d="M{LEFT} {stuck:.1f}H{right}" stroke="#1a1a1a" stroke-dasharray="5 4"/>',
        f'<text x="{right - 2}" y="{stuck - 5:.1f}" text-anchor="end">{label}</text>',
        f'<polyline points="{path}" fill="none" stroke="{CYCLE[0]}" stroke-width="2"/>',
        f'<path d="M{to_x(epoch):.1f} {top}v{CHART}" stroke="#1a1a1a"/>',
        f'<text x="2" y="{top + CHART / 2}">loss</text>',
        f'<text x="{LEFT}" y="{top + CHART + 16}">epoch 0</text>',
        f'<text x="{right}" y="{top + CHART + 16}" text-anchor="end">{last}</text>',
    ]


def _points(run: Any, epoch: int, reach: float) -> list[str]:
    """The embedding at an epoch, one letter of the alphabet per character."""
    top, left = 24 + CHART + 26, 20
    drawn = [f'<rect x="{left}" y="{top}" width="{SIDE}" height="{SIDE}" fill="none" stroke="{FRAME}"/>']
    for (x, y), label in zip(run.points[epoch].tolist(), run.labels.tolist(), strict=True):
        u, v = (SIDE / 2 * (1 + z / reach) for z in (x, -y))
        drawn.append(
            f'<text x="{left + u:.1f}" y="{top + v + 3:.1f}" text-anchor="middle" font-size="9" '
            f'font-weight="bold" fill="{CYCLE[label]}">{"abcdefgh"[label]}</text>'
        )
    return drawn
