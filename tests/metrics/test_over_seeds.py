"""Mean over seeds and its interval."""

import numpy as np
import pytest
from scipy import stats

from dmlteach.metrics import difference_by_seed, mean_and_interval
from dmlteach.metrics.over_seeds import interval


def test_interval_is_students():
    values = [0.71, 0.75, 0.73]
    mean, half = mean_and_interval(values)
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert (mean - half, mean + half) == pytest.approx((low, high))
    assert interval(values) == pytest.approx((low, high))


def test_one_seed_gives_no_interval():
    assert mean_and_interval([0.5]) == (0.5, float("inf"))
    assert np.isnan(interval([0.5])).all()


def test_a_difference_is_paired_by_the_seeds_that_both_have():
    one, other = {0: 0.6, 1: 0.7, 2: 0.75, 5: 0.1}, {2: 0.7, 0: 0.5, 1: 0.65, 7: 0.9}
    mean, half, seeds = difference_by_seed(one, other)
    paired = stats.ttest_rel([0.6, 0.7, 0.75], [0.5, 0.65, 0.7])
    low, high = paired.confidence_interval(0.95)
    np.testing.assert_allclose([mean - half, mean + half], [low, high], rtol=1e-12)
    assert seeds == 3
    assert difference_by_seed(one, {5: 0.0})[1:] == (float("inf"), 1)
    assert np.isnan(difference_by_seed(one, {9: 0.5})[0]) and difference_by_seed(one, {9: 0.5})[1:] == (
        float("inf"),
        0,
    )
