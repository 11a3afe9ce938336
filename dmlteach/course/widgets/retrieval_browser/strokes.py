"""A character drawn by hand: its embedding, and examples to start from."""

import math

import torch
from torch import Tensor

from dmlteach.course.widgets.strokes import Strokes
from dmlteach.data.augment import Augmentation
from dmlteach.data.cache import resize
from dmlteach.models import Model


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
