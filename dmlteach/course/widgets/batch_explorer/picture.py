"""The batch explorer's static picture: one batch as an SVG image, for hosts without kernel and scripts."""

import html

import numpy as np

from dmlteach.course.recordings import Recording
from dmlteach.course.widgets.batch_explorer.batches import COLUMNS, SIDE, Contents, Look, on_page, png, sheet
from dmlteach.plots.inline import address

MAP, GAP = 400, 20  # side of the map, space beside it, in pixels
ACROSS = 8  # drawings in a row
NAMES = {"random": "random", "class_balanced": "P×K", "local": "local", "local_classes": "local classes"}
POSITIVE, NEGATIVE, INK, DUST = "#009e73", "#d55e00", "#1a1a1a", "#b3b3b3"


def describe(sampler: str, epoch: int, held: Contents) -> str:
    """What a batch holds, in words and numbers."""
    return (
        f"A {NAMES[sampler]} batch at epoch {epoch}: {held.anchors} drawings of "
        f"{held.characters} characters; {held.alone} anchors without a positive; "
        f"{held.confusable} confusable pairs, {2 * held.confusable / held.anchors:.2f} drawings per anchor; "
        f"{held.active:.1%} of {held.triplets:,} triplets are active."
    )


def draw(recording: str, record: Recording, epoch: int, look: Look, anchor: int | None, title: str) -> str:
    """Map and drawings of a batch: solid lines join an anchor to its nearest positive, dashed: confusable.

    Args:
        recording: name of the recording.
        record: the recording itself.
        epoch: which of its epochs.
        look: the batch.
        anchor: place in it of the only drawing whose lines are drawn; None draws those of all.
        title: what the picture shows.

    Returns:
        An SVG document.
    """
    places = (10 + (MAP - 20) * on_page(record.embeddings[epoch][None])[0]).tolist()
    lines = -(-len(look.rows) // ACROSS)
    width, height = MAP + GAP + ACROSS * (SIDE + 6), max(MAP, lines * (SIDE + 22))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="sans-serif" font-size="12">',
        f'<title>{html.escape(title)}</title><rect width="100%" height="100%" fill="white"/>',
        f'<rect x=".5" y=".5" width="{MAP - 1}" height="{MAP - 1}" fill="none" stroke="#7f7f7f"/>',
        _map(places, look, anchor),
        _drawings(recording, look, record.labels[look.rows].tolist()),
    ]
    return "".join(parts) + "</svg>"


def _map(places: list[list[float]], look: Look, anchor: int | None) -> str:
    rows = look.rows.tolist()
    dust = "".join(f"M{x:.0f} {y:.0f}h0" for x, y in places)

    def joined(pairs: list[tuple[int, int]]) -> str:
        ends = ("M{:.0f} {:.0f}L{:.0f} {:.0f}".format(*places[rows[i]], *places[rows[j]]) for i, j in pairs)
        return "".join(ends)

    targets = look.targets if anchor is not None else look.targets[:, :1]
    positive = [(i, j) for i, js in enumerate(targets.tolist()) for j in js if j >= 0 and anchor in (None, i)]
    confusable = [(i, j) for i, j in look.confusable.nonzero().tolist() if anchor in (None, i)]
    alone = (look.targets < 0).all(1).tolist()
    marks = "".join(
        f'<path d="M{x:.0f} {y - 6:.0f}l6 6l-6 6l-6 -6Z" fill="white" stroke="{INK}" stroke-width="1.5"/>'
        if no_positive
        else f'<circle cx="{x:.0f}" cy="{y:.0f}" r="4.5" fill="{INK}" stroke="white"/>'
        for (x, y), no_positive in zip((places[row] for row in rows), alone, strict=True)
    )
    return (
        f'<path d="{dust}" stroke="{DUST}" stroke-width="3" stroke-linecap="round"/>'
        f'<path d="{joined(positive)}" stroke="{POSITIVE}" stroke-width="1.8"/>{marks}'
        f'<path d="{joined(confusable)}" stroke="{NEGATIVE}" stroke-width="2.5" stroke-dasharray="5 3"/>'
    )


def _drawings(recording: str, look: Look, characters: list[int]) -> str:
    """The drawings in reading order; "alone" below those without a positive, a bar along each character."""
    whole, parts = sheet(recording), []
    for i, row in enumerate(look.rows.tolist()):
        top, left = SIDE * (row // COLUMNS), SIDE * (row % COLUMNS)
        drawn = png(np.ascontiguousarray(whole[top : top + SIDE, left : left + SIDE]))
        x, y = MAP + GAP + (i % ACROSS) * (SIDE + 6), (i // ACROSS) * (SIDE + 22)
        parts.append(f'<image x="{x}" y="{y}" width="{SIDE}" height="{SIDE}" href="{address(drawn)}"/>')
        if (look.targets[i] < 0).all():
            parts.append(f'<text x="{x + SIDE / 2}" y="{y + SIDE + 13}" text-anchor="middle">alone</text>')
        else:
            follows = i + 1 < len(characters) and characters[i + 1] == characters[i] and (i + 1) % ACROSS
            along = SIDE + 6 if follows else SIDE - 4
            parts.append(f'<path d="M{x + 2} {y + SIDE + 4}h{along}" stroke="{INK}"/>')
    return "".join(parts)
