"""The t-SNE grid's static picture: its two maps as an SVG image, for hosts without kernel and scripts."""

import numpy as np

from dmlteach.course.widgets.tsne_grid.maps import LEVELS

# Mid-tones that stand out on light and on dark, one for each highlighted character.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#b05a94", "#a87400")
SHAPES = (  # circle, square, triangle, diamond, triangle on its tip; as in widget.js
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0Z",
    "M-3.6-3.6h7.2v7.2h-7.2Z",
    "M0-4.8L4.6 3.6H-4.6Z",
    "M0-5.2L5.2 0L0 5.2L-5.2 0Z",
    "M0 4.8L4.6-3.6H-4.6Z",
)
NETWORKS = {"sst": "SST", "triplet": "triplet"}
SIDE, GAP, HEAD, FOOT = 360, 20, 24, 64  # pixels


def draw(state: dict, points: dict[str, np.ndarray], measured: dict[str, dict]) -> tuple[str, str]:
    """The two panels as a picture.

    Args:
        state: settings "a" and "b", "guess", and "recording" with its "highlights".
        points: of each panel, (M, 2) whole numbers 0 … LEVELS − 1.
        measured: of each panel, "kept", "recall" and "embedding_recall".

    Returns:
        An SVG document, and the text that says what it shows.
    """
    width, height = 2 * SIDE + GAP, HEAD + SIDE + FOOT
    shapes = []
    for column, panel in enumerate(("a", "b")):
        inner = _panel(state, panel, points[panel], measured[panel])
        shapes.append(f'<g transform="translate({column * (SIDE + GAP)} 0)">{inner}</g>')
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="sans-serif" font-size="13">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(shapes)}</svg>'
    )
    return svg, describe(state, measured)


def describe(state: dict, measured: dict[str, dict]) -> str:
    """Settings and numbers of both panels in words."""
    count, untrained = state["recording"]["count"], state["recording"]["embedding"]["untrained"]
    told = [
        f"Two t-SNE maps of {count:,} drawings of {count // 20} characters; the embedding of the untrained "
        f"network has a Recall@1 of {untrained:.3f}."
    ]
    for panel in ("a", "b"):
        numbers = measured[panel]
        said = (
            f"{panel.upper()}, {_settings(state[panel])}: keeps {numbers['kept']:.0%} of the neighbours, "
            f"Recall@1 on the map {numbers['recall']:.3f}"
        )
        told.append(f"{said}{_embedding(state, panel, numbers)}.")
    return " ".join(told)


def _settings(setting: dict) -> str:
    return f"perplexity {setting['perplexity']}, seed {setting['seed']}, {setting['iterations']} iterations"


def _embedding(state: dict, panel: str, numbers: dict) -> str:
    """What the reader sees only after an answer."""
    if not state["guess"]:
        return ""
    network = NETWORKS[state[panel]["network"]]
    return f", in the embedding {numbers['embedding_recall']:.3f} ({network} network)"


def _panel(state: dict, panel: str, points: np.ndarray, numbers: dict) -> str:
    """One map under its settings, its numbers below."""
    at = np.round(points / (LEVELS - 1) * (SIDE - 12) + 6).astype(int)
    at[:, 1] = HEAD + SIDE - at[:, 1]  # y points up on a map
    highlights = state["recording"]["highlights"]
    pale = np.setdiff1d(np.arange(len(at)), np.concatenate([h["rows"] for h in highlights]))
    steps = np.diff(np.unique(at[pale], axis=0), axis=0, prepend=np.zeros((1, 2), int)).tolist()
    dots = "".join(f"m{dx} {dy}h0" for dx, dy in steps)  # each relative to the last: short
    marks = "".join(
        f'<path transform="translate({x} {y})" d="{shape}" fill="{h["colour"]}"/>'
        for h, shape in zip(highlights, SHAPES, strict=True)
        for x, y in at[h["rows"]].tolist()
    )
    foot = HEAD + SIDE + 18
    third = "Recall@1 in the embedding: answer first"
    if state["guess"]:
        network = NETWORKS[state[panel]["network"]]
        third = f"Recall@1 in the embedding: {numbers['embedding_recall']:.3f} ({network} network)"
    return (
        f'<text x="2" y="16"><tspan font-weight="bold">{panel.upper()}</tspan>: '
        f"{_settings(state[panel])}</text>"
        f'<rect x=".5" y="{HEAD}" width="{SIDE - 1}" height="{SIDE}" fill="none" stroke="#7f7f7f"/>'
        f'<path d="{dots}" stroke="#a6a6a6" stroke-width="2.4" stroke-linecap="round"/>'
        f'<g stroke="white" stroke-width=".8">{marks}</g>'
        f'<text x="2" y="{foot}">neighbours kept on the map: {numbers["kept"]:.0%}</text>'
        f'<text x="2" y="{foot + 19}">Recall@1 on the map: {numbers["recall"]:.3f}</text>'
        f'<text x="2" y="{foot + 38}">{third}</text>'
    )
