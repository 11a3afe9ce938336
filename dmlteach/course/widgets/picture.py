"""The playground's static picture: its state as an SVG image, for hosts without kernel and scripts."""

import math

LIMITS = {"line": 2.5, "plane": 2.0}  # coordinates run from −limit to limit, as in playground/widget.js
STEP = 0.25  # an arrow is STEP × the negative gradient
UNIT = 84  # pixels per unit
ROLES = (("a", "anchor", "#0072b2"), ("p", "positive", "#009e73"), ("n", "negative", "#d55e00"))
NAMES = {"triplet": "triplet", "sst": "SST", "contrastive": "contrastive"}
DASHES = {"triplet": "none", "sst": "6 3", "contrastive": "1.5 2.5"}


def draw(state: dict, values: dict[str, dict]) -> tuple[str, str]:
    """The state of the playground as a picture.

    Args:
        state: `view`, and the points of that view under its name.
        values: of each loss shown, its "loss" and "gradient" (3, D).

    Returns:
        An SVG document, and the text that says what it shows.
    """
    points = [list(z) if isinstance(z, (list, tuple)) else [z] for z in state[state["view"]]]
    shapes = _line(points, values) if state["view"] == "line" else _plane(points, values)
    width, height = _size(state["view"], len(values))
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="sans-serif" font-size="13">'
        '<rect width="100%" height="100%" fill="white"/>'
        f"{''.join(shapes)}</svg>"
    )
    return svg, describe(points, values)


def describe(points: list[list[float]], values: dict[str, dict]) -> str:
    """Positions, losses and pushes in words and numbers."""
    where = ", ".join(f"{name} at {_vector(z)}" for (_, name, _), z in zip(ROLES, points, strict=True))
    told = [f"Three points {'on a line' if len(points[0]) == 1 else 'in the plane'}: {where}."]
    for loss, value in values.items():
        moves = (
            f"{key} by {_vector([-g for g in gradient])}"
            for (key, _, _), gradient in zip(ROLES, value["gradient"], strict=True)
        )
        told.append(f"{NAMES[loss]} loss {value['loss']:.2f}, negative gradients: {', '.join(moves)}.")
    return " ".join(told)


def _size(view: str, panels: int) -> tuple[int, int]:
    side = round(2 * LIMITS[view] * UNIT)
    return (side + 20, 66 + 64 * panels) if view == "line" else ((side + 12) * panels, side + 26)


def _vector(v: list[float]) -> str:
    shown = ", ".join(f"{x:.2f}" for x in (round(x, 2) + 0.0 for x in v))  # + 0.0: no "-0.00"
    return (shown if len(v) == 1 else f"({shown})").replace("-", "−")


def _line(points: list[list[float]], values: dict[str, dict]) -> list[str]:
    """The number line, and one row of three arrows per loss."""
    limit = LIMITS["line"]
    xs = [10 + (x + limit) * UNIT for (x,) in points]
    drawn = [f'<path d="M10 32H{10 + 2 * limit * UNIT}" stroke="#1a1a1a"/>']
    for tick in range(-2, 3):
        at = 10 + (tick + limit) * UNIT
        drawn.append(f'<path d="M{at} 32v6" stroke="#1a1a1a"/>')
        drawn.append(f'<text x="{at}" y="52" text-anchor="middle">{tick}</text>'.replace(">-", ">−"))
    drawn += [_point(i, x, 32) for i, x in enumerate(xs)]
    for row, (loss, value) in enumerate(values.items()):
        top = 72 + 64 * row
        drawn.append(f'<text x="4" y="{top + 8}">{NAMES[loss]}: loss {value["loss"]:.2f}</text>')
        for i, (x, (g,)) in enumerate(zip(xs, value["gradient"], strict=True)):
            drawn.append(_arrow(x, top + 18 + 13 * i, -STEP * UNIT * g, 0, ROLES[i][2], DASHES[loss]))
    return drawn


def _plane(points: list[list[float]], values: dict[str, dict]) -> list[str]:
    """One panel per loss: the three points and their arrows."""
    limit = LIMITS["plane"]
    side, drawn = 2 * limit * UNIT, []
    for panel, (loss, value) in enumerate(values.items()):
        left = panel * (side + 12)
        drawn.append(f'<text x="{left + 4}" y="16">{NAMES[loss]}: loss {value["loss"]:.2f}</text>')
        drawn.append(f'<rect x="{left}" y="24" width="{side}" height="{side}" fill="none" stroke="#7f7f7f"/>')
        for i, ((x, y), (gx, gy)) in enumerate(zip(points, value["gradient"], strict=True)):
            px, py = left + (x + limit) * UNIT, 24 + (limit - y) * UNIT
            drawn.append(_arrow(px, py, -STEP * UNIT * gx, STEP * UNIT * gy, ROLES[i][2], DASHES[loss]))
            drawn.append(_point(i, px, py))
    return drawn


def _point(i: int, x: float, y: float) -> str:
    """Circle, square or triangle with its letter above."""
    key, _, colour = ROLES[i]
    shape = (
        f'<circle r="8" fill="{colour}"/>',
        f'<path d="M-7 -7h14v14h-14Z" fill="{colour}"/>',
        f'<path d="M0 -9L9 7H-9Z" fill="{colour}"/>',
    )[i]
    return (
        f'<g transform="translate({x:.1f} {y:.1f})">{shape}'
        f'<text y="-13" text-anchor="middle" font-weight="bold">{key}</text></g>'
    )


def _arrow(x: float, y: float, dx: float, dy: float, colour: str, dash: str) -> str:
    """A dashed shaft with a solid head; a bar where nothing moves."""
    length = math.hypot(dx, dy)
    if length < 1:
        return f'<path d="M{x:.1f} {y - 4:.1f}v8" stroke="{colour}" stroke-width="2"/>'
    ux, uy, head = dx / length, dy / length, min(9.0, length)
    bx, by, w = x + dx - head * ux, y + dy - head * uy, 0.45 * head
    return (
        f'<path d="M{x:.1f} {y:.1f}L{bx:.1f} {by:.1f}" stroke="{colour}" stroke-width="2.5" '
        f'stroke-dasharray="{dash}"/>'
        f'<path d="M{x + dx:.1f} {y + dy:.1f}L{bx - w * uy:.1f} {by + w * ux:.1f}'
        f'L{bx + w * uy:.1f} {by - w * ux:.1f}Z" fill="{colour}"/>'
    )
