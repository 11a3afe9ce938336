"""Figures, one kind a module: curves, comparisons, distances, retrieval, search, tsne; they share a style.

Every function takes arrays and returns a `Picture`, which shows itself in a notebook and knows its alt
text. Importing this package imports no plotting library; nothing here changes Matplotlib's settings.
"""

from dmlteach.errors import need

need("matplotlib", "plots")
need("seaborn", "plots")
