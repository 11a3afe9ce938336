"""The embedding lab's static picture: its characters, for hosts without scripts."""

import base64
import io

import numpy as np
from PIL import Image

from dmlteach.plots.inline import address

CELL = 40  # pixels of a drawing
COLUMNS = 10


def draw(characters: dict) -> tuple[str, str]:
    """One drawing of each character: those to learn from, and those that are never shown.

    Args:
        characters: what `characters.characters` gives.

    Returns:
        An SVG document, and the text that says what it shows.
    """
    drawings = unpack(characters)[:: characters["drawings"]]
    parts = (
        ("to learn from", drawings[: characters["seen"]]),
        ("never shown", drawings[characters["seen"] :]),
    )
    shapes, top = [], 0
    for title, part in parts:
        shapes.append(f'<text x="4" y="{top + 16}">{len(part)} characters {title}</text>')
        top += 24
        for i, drawing in enumerate(part):
            x, y = i % COLUMNS * (CELL + 4) + 4, top + i // COLUMNS * (CELL + 4)
            shapes.append(f'<image x="{x}" y="{y}" width="{CELL}" height="{CELL}" href="{_png(drawing)}"/>')
        top += -(-len(part) // COLUMNS) * (CELL + 4) + 8
    width = COLUMNS * (CELL + 4) + 4
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}" width="{width}" height="{top}" '
        f'font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="white"/>'
        f"{''.join(shapes)}</svg>"
    )
    told = "; ".join(f"{len(part)} characters {title}" for title, part in parts)
    return svg, (
        f"Handwritten characters of Omniglot, one drawing of each: {told}. Where scripts run, a small "
        "network is trained on the first and tested on the others in this page."
    )


def unpack(characters: dict) -> np.ndarray:
    """(count, side, side) levels 0 … 3 of the packed drawings."""
    packed = np.frombuffer(base64.b64decode(characters["packed"]), dtype=np.uint8)
    levels = (packed[:, None] >> np.array([6, 4, 2, 0], dtype=np.uint8)) & 3
    return levels.reshape(characters["count"], characters["side"], characters["side"])


def _png(levels: np.ndarray) -> str:
    """The address of dark ink on white."""
    buffer = io.BytesIO()
    Image.fromarray((255 - 85 * levels).astype(np.uint8)).save(buffer, "PNG", optimize=True)
    return address(buffer.getvalue())
