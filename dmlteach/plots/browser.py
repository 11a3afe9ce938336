"""A retrieval browser that needs neither kernel nor script: radio buttons and style sheets only.

It works in a notebook and on a static page, by mouse and by arrow keys.
"""

import base64
import hashlib
import html
import io
from collections.abc import Mapping

import numpy as np
from PIL import Image
from torch import Tensor

from dmlteach.plots.retrieval import Rows
from dmlteach.plots.style import CORRECT, INCORRECT

_STYLE = """
#ID fieldset { border: 1px solid #aaa; border-radius: 6px; display: inline-block; margin: 0 0 .5em 0; }
#ID label { display: inline-block; margin-right: .9em; cursor: pointer; }
#ID label img { width: 40px; vertical-align: middle; background: white; border: 1px solid #aaa; }
#ID .row { display: none; }
#ID figure { display: inline-block; margin: .3em .6em .3em 0; text-align: center; }
#ID figure img { width: 84px; background: white; image-rendering: auto; display: block; }
#ID .query img { border: 3px solid #1a1a1a; }
#ID .right img { border: 3px solid RIGHT; }
#ID .wrong img { border: 3px dashed WRONG; }
#ID input:focus-visible { outline: 3px solid #0072b2; }
"""


class RetrievalBrowser:
    """Choose a network and a query, see its neighbours; right and wrong differ by frame and by mark.

    Args:
        images: (M, C, H, W) or (M, H, W) uint8, or anything that yields one image for a row.
        labels: (M,) class of each.
        queries: (Q,) rows to choose from.
        neighbours: (Q, k) rows that each network found, by its name.
    """

    def __init__(self, images: Rows, labels: Tensor, queries: Tensor, neighbours: Mapping[str, Tensor]):
        self.images, self.labels, self.queries = images, labels, queries
        self.neighbours = dict(neighbours)

    def _repr_html_(self) -> str:
        rows = self._rows()
        name = "browser-" + hashlib.sha256(rows.encode()).hexdigest()[:10]
        models = "".join(
            _radio(name, "network", i, html.escape(model)) for i, model in enumerate(self.neighbours)
        )
        pictures = [_image(self.images[q], f"query {i + 1}") for i, q in enumerate(self.queries.tolist())]
        queries = "".join(_radio(name, "query", i, picture) for i, picture in enumerate(pictures))
        style = _STYLE.replace("RIGHT", CORRECT).replace("WRONG", INCORRECT) + "".join(
            f"#ID:has(.network-{m}:checked):has(.query-{q}:checked) .row-{m}-{q} {{ display: block; }}\n"
            for m in range(len(self.neighbours))
            for q in range(len(self.queries))
        )
        return (
            f'<div id="{name}"><style>{style.replace("ID", name)}</style>'
            f"<fieldset><legend>network</legend>{models}</fieldset><br>"
            f"<fieldset><legend>query</legend>{queries}</fieldset>{rows}</div>"
        )

    def __repr__(self) -> str:
        return f"RetrievalBrowser({len(self.queries)} queries, {', '.join(self.neighbours)})"

    def _rows(self) -> str:
        """Query and neighbours, for every network and query; the style sheet shows one of them."""
        parts = []
        for m, found in enumerate(self.neighbours.values()):
            for q, (query, row) in enumerate(zip(self.queries.tolist(), found.tolist(), strict=True)):
                figures = [_figure(self.images[query], "query", "the query", "query")]
                for rank, image in enumerate(row, 1):
                    right = bool(self.labels[image] == self.labels[query])
                    word = "right" if right else "wrong"
                    mark = "✓ right" if right else "✗ wrong"
                    figures.append(_figure(self.images[image], word, f"neighbour {rank}, {word}", mark))
                parts.append(f'<div class="row row-{m}-{q}">{"".join(figures)}</div>')
        return "".join(parts)


def _radio(name: str, group: str, i: int, content: str) -> str:
    checked = " checked" if i == 0 else ""
    button = f'<input type="radio" name="{name}-{group}" class="{group}-{i}"{checked}>'
    return f"<label>{button} {content}</label>"


def _figure(image: Tensor, kind: str, alt: str, caption: str) -> str:
    return f'<figure class="{kind}">{_image(image, alt)}<figcaption>{caption}</figcaption></figure>'


def _image(image: Tensor, alt: str) -> str:
    """An <img> that holds its pixels; a single channel is ink on white."""
    pixels = np.asarray(image)
    pixels = pixels.transpose(1, 2, 0).squeeze() if pixels.ndim == 3 else pixels
    if pixels.ndim == 2:
        pixels = 255 - pixels
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return f'<img alt="{alt}" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'
