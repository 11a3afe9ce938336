"""How far images of one class are apart, and how far those of two: the two distributions, per network."""

from collections.abc import Mapping

import seaborn

from dmlteach.metrics.pair_distances import PairDistances
from dmlteach.plots.style import NEGATIVE, POSITIVE, Picture, styled


@styled
def distance_histogram(found: Mapping[str, PairDistances]) -> Picture:
    """Distributions of distances within classes and between them; a panel a network, each with its own unit.

    Where they overlap, an image of another class can be nearer than one of the own.

    Args:
        found: distances of `pair_distances`, by the name of the network.

    Returns:
        The figure.
    """
    figure = Picture(4.2 * len(found), 3.0)
    parts = []
    panels = figure.subplots(1, len(found), squeeze=False)[0]
    for axes, (name, distances) in zip(panels, found.items(), strict=True):
        kinds = {"same class": distances.same, "other classes": distances.other}
        data = {
            "distance": [value for values in kinds.values() for value in values.tolist()],
            "to an image of": [kind for kind, values in kinds.items() for _ in range(len(values))],
        }
        seaborn.histplot(
            data, x="distance", hue="to an image of", palette=[POSITIVE, NEGATIVE], element="step", bins=50,
            stat="density", common_norm=False, alpha=0.3, linewidth=1.4, legend=axes is panels[0], ax=axes,
        )  # fmt: skip
        axes.set(title=name, ylabel="", yticks=[])
        axes.set_xlim(left=0)
        axes.spines["left"].set_visible(False)
        same, other = (values.median().item() for values in distances)
        parts.append(f"{name}: median {same:.3g} within a class, {other:.3g} between classes")
    figure.alt = f"Distributions of distances of random pairs. {'; '.join(parts)}."
    return figure
