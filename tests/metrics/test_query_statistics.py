"""Intervals over classes and hubs, against enumeration, simulation and scipy."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import norm, skew

from dmlteach.errors import DMLTeachError
from dmlteach.metrics.query_statistics import hubness, mean_interval


def test_interval_holds_the_middle_of_the_means_of_all_possible_draws_of_classes():
    labels = torch.tensor([0] * 4 + [1] * 3 + [2] * 6 + [3] * 2 + [4] * 5)
    values = torch.rand(20, generator=torch.Generator().manual_seed(3))
    parts = [values[labels == c].numpy() for c in range(5)]
    means = [np.concatenate([parts[c] for c in drawn]).mean() for drawn in product(range(5), repeat=5)]
    for confidence in (0.95, 0.5):
        exact = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
        found = mean_interval(values, labels, confidence, resamples=60_000)
        assert found == pytest.approx(exact, abs=0.01)


def test_interval_of_many_classes_is_that_of_the_normal_approximation():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(800), rng.integers(2, 20, 800))
    values = rng.random(len(labels)) < rng.beta(2, 1, 800)[labels]
    sums, sizes = np.bincount(labels, values), np.bincount(labels)
    mean = sums.sum() / sizes.sum()
    error = np.sqrt(((sums - mean * sizes) ** 2).sum()) / sizes.sum()  # of a ratio of sums
    low, high = mean_interval(torch.from_numpy(values), torch.from_numpy(labels))
    assert (low, high) == pytest.approx(
        (mean - norm.ppf(0.975) * error, mean + norm.ppf(0.975) * error), abs=0.002
    )


def test_interval_holds_the_truth_about_as_often_as_it_says_and_one_over_queries_does_not():
    rng, held = np.random.default_rng(1), np.zeros(2)
    labels = torch.arange(60).repeat_interleave(10)
    for trial in range(300):
        chances = rng.beta(2, 2, 60)  # the mean over all classes there could be is 0.5
        values = torch.from_numpy(rng.random(600) < chances[labels])
        for i, groups in enumerate((labels, torch.arange(600))):
            low, high = mean_interval(values, groups, resamples=400, seed=trial)
            held[i] += low <= 0.5 <= high
    # 0.95 ± 5 standard errors of a share of 300; queries of one class are no independent trials
    assert held[0] / 300 > 0.95 - 5 * 0.0126
    assert held[1] / 300 < 0.85


def test_equal_classes_give_an_interval_without_width():
    assert mean_interval(torch.ones(6), torch.tensor([0, 0, 1, 1, 2, 2])) == (1.0, 1.0)


def test_names_of_classes_do_not_matter():
    values, labels = torch.rand(30), torch.arange(30) % 7
    assert mean_interval(values, labels) == mean_interval(values, 100 + 3 * labels)


@pytest.mark.parametrize("labels", [torch.zeros(2), torch.zeros(0)])
def test_values_without_labels_are_refused(labels):
    with pytest.raises(DMLTeachError, match="one label each"):
        mean_interval(torch.ones(len(labels) and 3), labels)


def test_hubness_is_the_skewness_of_the_counts():
    counts = torch.tensor([0, 0, 0, 1, 2, 2, 3, 4, 60])
    found = hubness(counts)
    assert found.skewness == pytest.approx(skew(counts.numpy()))
    assert found[:3] == (pytest.approx(3 / 9), 60, pytest.approx(8.0))
    assert hubness(torch.full((5,), 3)).skewness == 0
