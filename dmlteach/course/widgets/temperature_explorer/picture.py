"""The temperature explorer's static picture: shares as an SVG image, for hosts without kernel and scripts."""

from typing import Any

import torch

from dmlteach.course.widgets.temperature_explorer.shares import (
    MEMBERS,
    effective_number,
    row_of,
    shares_of,
    weights_of,
)

NAMES = {"untrained": "an untrained network", "trained": "a trained network"}
WIDTH, HEIGHT, TOP, FLOOR, LEFT, BAR, GAP = 560, 262, 40, 186, 8, 7.6, 26  # pixels


def draw(shown: dict[str, Any]) -> tuple[str, str]:
    """Pull on the positives at the left, push on the negatives by rank beside it.

    Args:
        shown: "member", "temperature", "embedding" and "anchor".

    Returns:
        An SVG document, and the text that says what it shows.
    """
    row = row_of(shown["embedding"], shown["anchor"])
    weights = weights_of(shown["member"], shown["temperature"], row)
    shares = shares_of(weights, row)
    on_positives = weights[row.is_positive]
    on_positives = on_positives / on_positives.abs().sum().clamp_min(1e-300)
    start = LEFT + 3 * 3 * BAR + GAP
    parts = [
        _bar(LEFT + 3 * BAR * i, 2.6 * BAR, float(w) * 60, "#009e73" if w < 0 else "#d55e00")
        for i, w in enumerate(on_positives)
    ]
    parts += [
        _bar(start + BAR * i, BAR - 1, float(w / shares.max()) * (FLOOR - TOP), "#d55e00")
        for i, w in enumerate(shares)
    ]
    parts += [
        f'<path d="M{LEFT} {FLOOR}H{start - GAP + 4:.0f}M{start:.0f} {FLOOR}H{WIDTH - LEFT}" '
        'stroke="#7f7f7f"/>',
        f'<text x="{LEFT}" y="14">positives</text>',
        f'<text x="{start:.0f}" y="14">60 negatives, the nearest first</text>',
        f'<text x="{start:.0f}" y="30">share of the push, at most {float(shares.max()):.1%}</text>',
    ]
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" font-family="sans-serif" font-size="13">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>'
    )
    return svg, describe(shown, shares, weights[row.is_positive])


def describe(shown: dict[str, Any], shares: torch.Tensor, on_positives: torch.Tensor) -> str:
    """What is drawn, in words and numbers.

    Args:
        shown: as for `draw`.
        shares: of the push, by negative.
        on_positives: weights of the positives; above 0 they are pushed.
    """
    pushed = int((on_positives > 0).sum())
    return (
        f"Shares of the gradient of {MEMBERS[shown['member']].label}, at the temperature "
        f"{shown['temperature']:g}, on {NAMES[shown['embedding']]}: as if {effective_number(shares):.0f} of "
        f"{len(shares)} negatives shared the push; the nearest has {float(shares.max()):.1%} of it. Of the "
        f"three positives {pushed or 'none'} {'are' if pushed > 1 else 'is'} pushed away."
    )


def _bar(x: float, width: float, height: float, colour: str) -> str:
    """Upwards from the floor, downwards where the height is below 0."""
    return (
        f'<rect x="{x:.1f}" y="{FLOOR - max(height, 0):.1f}" width="{width:.1f}" '
        f'height="{abs(height):.1f}" fill="{colour}"/>'
    )
