"""A character drawn by hand: strokes as Omniglot would hold them, and their embedding."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from dmlteach.data.augment import Augmentation
from dmlteach.data.cache import resize
from dmlteach.data.omniglot import SIDE
from dmlteach.errors import DMLTeachError
from dmlteach.models import Model

PEN = 5.5  # pixels: ink area per length of outline is then that of Omniglot's drawings
MAX_POINTS = 5000
_FINER = 4  # drawn so many times larger, then one bit a pixel, as Omniglot is

Strokes = list[list[list[float]]]


def checked_strokes(given: Any) -> Strokes:
    """Strokes as lists of numbers.

    Raises:
        DMLTeachError: not a list of strokes of points [x, y] from 0 to 104, or more than 5,000 points.
    """
    try:
        strokes = [[[float(v) for v in point] for point in stroke] for stroke in given]
    except (TypeError, ValueError):
        strokes = [[]]
    points = [point for stroke in strokes for point in stroke]
    inside = all(len(point) == 2 and all(0 <= v <= SIDE - 1 for v in point) for point in points)
    if not inside or not all(strokes) or len(points) > MAX_POINTS:
        raise DMLTeachError(
            f"strokes are {str(given)[:60]!r}; give [[[x, y], …], …], one list a stroke, each number from 0 "
            f"(left, top) to {SIDE - 1}, and at most {MAX_POINTS:,} points."
        )
    return strokes


def draw_strokes(strokes: Sequence[Sequence[Sequence[float]]]) -> Tensor:
    """Strokes as a drawing like those of Omniglot: one bit a pixel, with a pen of the same width.

    Args:
        strokes: each a list of points [x, y], in pixels from the middle of the top left one.

    Returns:
        (1, 105, 105) uint8, ink 255 on 0.
    """
    canvas = Image.new("L", (SIDE * _FINER, SIDE * _FINER))
    pen = ImageDraw.Draw(canvas)
    radius = PEN * _FINER / 2
    for stroke in strokes:
        points = [((x + 0.5) * _FINER, (y + 0.5) * _FINER) for x, y in stroke]
        if len(points) > 1:
            pen.line(points, fill=255, width=round(2 * radius))
        for x, y in points:  # round ends and joints
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    covered = np.asarray(canvas.resize((SIDE, SIDE), Image.Resampling.BOX))
    return torch.from_numpy(np.where(covered >= 128, 255, 0).astype(np.uint8))[None]


def embed_drawing(model: Model, drawing: Tensor) -> Tensor:
    """Embedding of one drawing, as `evaluate.embed` gives it for a drawing of a data set.

    Args:
        model: takes images of one channel.
        drawing: (1, H, W) uint8, ink 255 on 0.

    Returns:
        (1, D) fp32 on the CPU.
    """
    spec = model.spec
    center = Augmentation("none", spec.image_size, spec.mean, spec.std)
    device = next(model.parameters()).device
    pixels = center.apply(resize(drawing[None], spec.resize, "square").to(device), torch.empty(1, 0))
    was_training = model.training
    model.eval()
    with torch.no_grad():
        embedding = model(pixels).float().cpu()
    model.train(was_training)
    return embedding


def _arc(x: float, y: float, radius: float, start: float = 0, end: float = 360) -> list[list[float]]:
    """Points of an arc; degrees clockwise from the right."""
    steps = max(2, round(abs(end - start) / 12))
    angles = (math.radians(start + (end - start) * i / steps) for i in range(steps + 1))
    return [[round(x + radius * math.cos(a), 1), round(y + radius * math.sin(a), 1)] for a in angles]


# Characters to start from where nothing has been drawn yet: name → strokes.
EXAMPLES: dict[str, Strokes] = {
    "circle": [_arc(52, 52, 30)],
    "cross": [[[22, 22], [82, 84]], [[82, 22], [22, 84]]],
    "letter A": [[[52, 18], [38, 54], [24, 88]], [[52, 18], [67, 54], [82, 88]], [[34, 62], [72, 62]]],
    "letter h": [[[34, 16], [33, 52], [34, 88]], [*_arc(52, 66, 18, -180, 0), [71, 88]]],
    "hook": [[[44, 18], [46, 58], *_arc(62, 58, 16, 180, 20)]],
}
