"""Many small pictures as one sheet, for the data of an explorable."""

import io
from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from dmlteach.data.cache import resize
from dmlteach.plots.inline import address

SIDE, COLUMNS = 56, 20  # pixels of a thumbnail, thumbnails in a row
GREYS = 4  # of a drawing: two bits a pixel


def sheet(images: Sequence[Tensor]) -> dict:
    """Thumbnails row by row in one picture: dark ink on white for one channel, else as they are.

    Args:
        images: each (C, H, W) uint8, of any size.

    Returns:
        "picture", the address of a PNG or JPEG that holds its own data; "side" of a thumbnail in pixels;
        "columns" of the sheet.
    """
    small = [resize(image[None], SIDE, "square") for image in images]
    channels = small[0].shape[1]
    rows = -(-len(small) // COLUMNS)
    blank = torch.zeros(rows * COLUMNS - len(small), channels, SIDE, SIDE, dtype=torch.uint8)
    tiles = torch.cat([*small, blank]).view(rows, COLUMNS, channels, SIDE, SIDE)
    pixels = tiles.permute(0, 3, 1, 4, 2).reshape(rows * SIDE, COLUMNS * SIDE, channels).numpy()
    buffer = io.BytesIO()
    if channels == 1:
        grey = ((255 - pixels[..., 0]) / 255 * (GREYS - 1)).round().astype("uint8")
        picture = Image.frombytes("P", (grey.shape[1], grey.shape[0]), grey.tobytes())
        picture.putpalette([level * 255 // (GREYS - 1) for level in range(GREYS) for _ in range(3)])
        picture.save(buffer, "PNG", optimize=True, bits=2)
    else:
        Image.fromarray(pixels).save(buffer, "JPEG", quality=80)
    kind = "png" if channels == 1 else "jpeg"
    return {"picture": address(buffer.getvalue(), kind), "side": SIDE, "columns": COLUMNS}
