"""Figures, one kind a module: curves, retrieval, search, tsne; style is what they share.

Every function takes arrays and returns a `Picture`, which shows itself in a notebook and knows its alt
text. Importing this package imports no plotting library; nothing here changes Matplotlib's settings.
"""

from dmlteach.errors import need

need("matplotlib", "plots")
