"""What the page computes with, as a script loaded on the first stroke: network, gallery, thumbnails."""

import json
from functools import cache

import numpy as np
from torch import Tensor

from dmlteach.course.widgets.draw_character.rounding import Rounded, rounded_weights
from dmlteach.course.widgets.draw_character.search import Search, gallery_drawings
from dmlteach.course.widgets.thumbnails import sheet
from dmlteach.plots.inline import as_text

SCRIPT = "draw_character_network.js"  # its name among the site's own files


@cache
def script() -> str:
    """A classic script, which a page opened from a file may load: it sets `dmlteachDrawCharacter`."""
    return f"globalThis.dmlteachDrawCharacter = {json.dumps(packed(), separators=(',', ':'))};\n"


@cache
def packed() -> dict:
    """Rounded network, gallery and thumbnails; numbers as base64 of bytes, the smallest first."""
    search = Search()
    return {
        "network": packed_network(search),
        "gallery": _rounded(search.gallery_rows),
        "typical": search.typical,
        "sheet": sheet(list(gallery_drawings())),
    }


def packed_network(search: Search) -> dict:
    """The layers in the order in which they compute, at most 400 kB of bytes.

    Args:
        search: it has the network; only `omniglot_cnn` with a linear head is known to `network.js`.
    """
    weights, spec = rounded_weights(search.shipped), search.shipped.spec
    state = search.shipped.state_dict()
    return {
        "mean": spec.mean[0],
        "std": spec.std[0],
        "scale": spec.feature_scale,
        "tensors": {
            name: _rounded(weights[name]) if name in weights else _floats(tensor)
            for name, tensor in state.items()
        },
    }


def _rounded(table: Rounded) -> dict:
    return {"whole": as_text(table.whole.numpy().tobytes()), "scale": _floats(table.scale)}


def _floats(tensor: Tensor) -> str:
    return as_text(tensor.numpy().astype(np.dtype("<f4")).tobytes())
