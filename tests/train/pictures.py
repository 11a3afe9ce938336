"""Folders of small pictures of flat colors, a class a color: what a user's own folder may look like."""

import colorsys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

# For `fit`: a network for photographs that is as small as it can be.
ON_PICTURES: dict[str, Any] = {
    "dataset": "folder", "backbone": "resnet18", "weights": "none", "image_size": 16, "classes": None,
}  # fmt: skip


def flat_colors(folder: Path, classes: int, images: int) -> Path:
    """Write `classes` folders of `images` pictures each, nearly of one color."""
    for number in range(classes):
        color = [round(250 * x) for x in colorsys.hsv_to_rgb(number / classes, 1, 1)]
        (folder / f"class{number:02}").mkdir(parents=True)
        for i in range(images):
            shade = np.full((16, 16, 3), color, np.uint8) + np.uint8(i % 3)
            Image.fromarray(shade).save(folder / f"class{number:02}" / f"{i}.png")
    return folder
