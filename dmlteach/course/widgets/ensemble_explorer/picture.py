"""The ensemble explorer's static picture: three learners one below the other, for hosts without scripts."""

from collections.abc import Sequence

from torch import Tensor

WIDTH, LEFT, RIGHT, ROW = 460, 96, 18, 84  # pixels, as in widget.js
WIDEST = 12.0  # of the band between two learners, where all is handed on
COLOURS = {"same": "#009e73", "other": "#d55e00"}


def draw(kind: str, cosines: Sequence[float], others: Tensor, kept: Tensor, weights: Tensor) -> str:
    """The state as an SVG document.

    Args:
        kind: of the pair.
        cosines: of the pair, learner by learner.
        others: (3, P) cosines of the other pairs of its kind.
        kept: (3, P) weights of these.
        weights: (3,) of the pair.
    """
    parts = []
    for m in range(1, len(cosines)):
        (x, y), (u, v) = place(cosines[m - 1], m - 1), place(cosines[m], m)
        width, dash = band(float(weights[m]))
        parts.append(
            f'<path d="M{x:.1f} {y:.1f}L{u:.1f} {v:.1f}" stroke="#0072b2" stroke-width="{width:.1f}" '
            f'stroke-dasharray="{dash}" opacity=".6"/>'
        )
    for m, cosine in enumerate(cosines):
        (left, y), (right, _), (x, _) = place(-1, m), place(1, m), place(cosine, m)
        parts.append(f'<path d="M{left} {y}H{right}" stroke="#7f7f7f"/>')
        parts.append(f'<text x="0" y="{y - 4}" font-weight="bold">learner {m + 1}</text>')
        parts.append(f'<text x="0" y="{y + 14}">weight {float(weights[m]):.2f}</text>')
        for other, weight in zip(others[m].tolist(), kept[m].tolist(), strict=True):
            parts.append(mark(kind, place(other, m)[0], y, 5, weight))
        parts.append(
            f'<path d="M{x} {y - 11}l11 11l-11 11l-11 -11Z" fill="#0072b2" stroke="white" '
            'stroke-width="1.5"/>'
        )
    height = ROW * len(cosines) - 12
    for tick in (-1, 0, 1):
        x, y = place(tick, len(cosines) - 1)
        shown = str(tick).replace("-", "−")
        parts.append(f'<text x="{x}" y="{y + 34}" text-anchor="middle" font-size="12">{shown}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-4 0 {WIDTH + 4} {height}" width="{WIDTH}" '
        f'height="{height}" font-family="sans-serif" font-size="14">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>'
    )


def place(cosine: float, learner: int) -> tuple[float, float]:
    """Where a similarity lies in the picture.

    Args:
        cosine: of a pair.
        learner: 0 to 2.
    """
    return round(LEFT + (cosine + 1) / 2 * (WIDTH - LEFT - RIGHT), 2), learner * ROW + 30


def band(weight: float) -> tuple[float, str]:
    """Width and dashes of what is handed on.

    Args:
        weight: from 0 to 1; below 0.01 nothing is.
    """
    return (max(WIDEST * weight, 1.5), "none") if weight >= 0.01 else (1.5, "2 5")


def mark(kind: str, x: float, y: float, r: float, weight: float) -> str:
    """A disc, or a square for two classes: filled as far as it has weight.

    Args:
        kind: of the pair.
        x, y: where.
        r: how large.
        weight: from 0 to 1.
    """
    colour = COLOURS[kind]
    about = f'fill="{colour}" fill-opacity="{weight:.2f}" stroke="{colour}"'
    if kind == "same":
        return f'<circle cx="{x}" cy="{y}" r="{r}" {about}/>'
    return f'<rect x="{x - r}" y="{y - r}" width="{2 * r}" height="{2 * r}" {about}/>'
