"""Figures, one kind a module: style, ternary, retrieval, tsne, curves, overview.

Every function takes arrays and returns a `Picture`, which shows itself in a notebook and knows its alt
text. Importing this package imports no plotting library; nothing here changes Matplotlib's settings.
"""
