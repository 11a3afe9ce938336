"""Mean over seeds and its interval."""

import numpy as np
import pytest
from scipy import stats

from dmlteach.metrics import mean_and_interval
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
