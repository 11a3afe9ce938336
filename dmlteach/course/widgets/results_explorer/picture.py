"""The results explorer's static picture: its ranking as an SVG image, for hosts without scripts."""

import html
from collections.abc import Mapping, Sequence

from dmlteach.course.widgets.results_explorer.rows import Entry

NAMES, STRIP, VALUES, LINE, HEAD = 280, 300, 110, 20, 30  # pixels
COLOURS = {0: "#0072b2", 1: "#d55e00"}  # of A and B
INK, PALE = "#1a1a1a", "#d9d9d9"
MOST = 40  # lines
TOLD = 5  # of them in words


def describe(
    view: str,
    filters: Mapping[str, str],
    ranking: Sequence[Entry],
    classes: int | None,
    untrained: float | None,
) -> str:
    """The best of a ranking in words and numbers.

    Args:
        view: "final", "tuning" or "published".
        filters: settled.
        ranking: what passes them.
        classes: that were searched, where that is known.
        untrained: Recall@1 of the network before its first step, where it was measured.
    """
    given = ", ".join(f"{name} {value}" for name, value in filters.items())
    what = {"final": "our runs on test classes", "tuning": "tuning runs on val classes"}.get(
        view, "published numbers"
    )
    among = f"among {classes} classes" if classes else "among as many classes as each source has"
    before = "was not measured" if untrained is None else f"has {untrained:.0%}"
    first = "; ".join(f"{entry.name} {_said(entry)}" for entry in ranking[:TOLD])
    return (
        f"A ranking of {len(ranking)} by Recall@1, {what} ({given}), {among}; the untrained network "
        f"{before}. "
        f"The first: {first}."
    )


def draw(ranking: Sequence[Entry], chosen: Sequence[str], title: str) -> str:
    """A line for each: its name, its seeds as dots, mean and interval.

    Args:
        ranking: in order.
        chosen: names of A and B.
        title: what the picture shows.

    Returns:
        An SVG document.
    """
    shown = ranking[:MOST]
    ends = [end for entry in shown for end in _ends(entry)]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    width, height = NAMES + STRIP + VALUES, HEAD + LINE * len(shown)

    def along(value: float) -> float:
        return NAMES + 6 + (STRIP - 12) * (value - low) / max(high - low, 1e-9)

    lines = [_line(entry, i, along, chosen) for i, entry in enumerate(shown)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="sans-serif" font-size="13">'
        f'<title>{html.escape(title)}</title><rect width="100%" height="100%" fill="white"/>'
        f'<text x="{NAMES}" y="16" font-weight="bold">Recall@1: {low:.0%} to {high:.0%}</text>'
        f"{''.join(lines)}</svg>"
    )


def _line(entry: Entry, place: int, along, chosen: Sequence[str]) -> str:
    y = HEAD + LINE * place + LINE / 2
    mean, half = entry.mean()
    colour = COLOURS[chosen.index(entry.name)] if entry.name in chosen else INK
    name = entry.name if len(entry.name) <= 44 else f"{entry.name[:43]}…"
    parts = [
        f'<path d="M{NAMES} {y}h{STRIP}" stroke="{PALE}"/>',
        f'<text x="{NAMES - 8}" y="{y + 4}" text-anchor="end">{html.escape(name)}</text>',
        f'<text x="{NAMES + STRIP + 8}" y="{y + 4}">{_said(entry)}</text>',
    ]
    if half < 1:
        parts.append(f'<path d="M{along(mean - half):.1f} {y}H{along(mean + half):.1f}" stroke="{colour}"/>')
    parts += [
        f'<circle cx="{along(v):.1f}" cy="{y}" r="2.6" fill="none" stroke="{INK}"/>'
        for v in entry.values.values()
    ]
    return "".join([*parts, f'<circle cx="{along(mean):.1f}" cy="{y}" r="4" fill="{colour}"/>'])


def _ends(entry: Entry) -> list[float]:
    mean, half = entry.mean()
    return [*entry.values.values(), *([mean - half, mean + half] if half < 1 else [])]


def _said(entry: Entry) -> str:
    mean, half = entry.mean()
    return f"{100 * mean:.1f}" + (f" ± {100 * half:.1f} %" if half < 1 else " %")
