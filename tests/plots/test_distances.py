"""The two distributions of distances, read back from what is drawn."""

import numpy as np
import torch

from dmlteach.metrics import PairDistances
from dmlteach.plots.distances import distance_histogram


def test_a_panel_a_network_with_two_distributions_of_area_one():
    found = {
        "untrained": PairDistances(torch.linspace(1, 3, 500), torch.linspace(1, 3, 100)),
        "sst": PairDistances(torch.linspace(0, 1, 501), torch.linspace(2, 4, 501)),
    }
    figure = distance_histogram(found)
    assert [axes.get_title() for axes in figure.axes] == ["untrained", "sst"]
    first, second = figure.axes
    assert [text.get_text() for text in first.get_legend().get_texts()] == ["same class", "other classes"]
    assert second.get_legend() is None
    for axes in figure.axes:
        for polygon in axes.collections:
            x, y = polygon.get_paths()[0].vertices.T
            area = abs(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2
            assert abs(area - 1) < 1e-6
    assert "sst: median 0.5 within a class, 3 between classes" in figure.alt


def test_a_collapsed_network_is_drawn_too():
    figure = distance_histogram({"network": PairDistances(torch.zeros(50), torch.zeros(50))})
    assert len(figure.png()) > 1000
    assert "median 0 within a class, 0 between classes" in figure.alt
