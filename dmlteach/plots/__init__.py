"""Figures: every function takes arrays and returns a `Picture`, which shows itself and knows its alt text.

Importing this package imports no plotting library; nothing here changes Matplotlib's global settings.
"""

import importlib

_HOMES = {
    "Picture": "style",
    "save": "style",
    "ternary_gradients": "ternary",
    "difference_plane": "ternary",
    "triplet_gradients": "ternary",
    "retrieval_grid": "retrieval",
    "pick_queries": "retrieval",
    "top_neighbours": "retrieval",
    "tsne": "tsne",
    "tsne_map": "tsne",
    "tsne_panels": "tsne",
    "kept_neighbours": "tsne",
    "training_curves": "curves",
    "comparison": "curves",
    "overview": "overview",
}


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"dmlteach.plots has no {name!r}. It has: {', '.join(sorted(_HOMES))}")
    return getattr(importlib.import_module(f"dmlteach.plots.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
