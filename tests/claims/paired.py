"""A sentence on two methods, beside what a paired t-test finds in the committed runs."""

import re

import numpy as np
from scipy import stats

from dmlteach.course import measured


def check(line: str) -> None:
    """The sentence claims a difference of its two methods just where the test finds one, in its direction."""
    one, other = re.findall(r"`(\w+)`", line)
    a, b = measured.of(one).recalls(), measured.of(other).recalls()
    seeds = sorted(a.keys() & b.keys())
    x, y = [a[i] for i in seeds], [b[i] for i in seeds]
    told = stats.ttest_rel(x, y).pvalue < 0.05
    assert told == ("cannot be told apart" not in line), line
    if told:
        assert ("above" in line) == (np.mean(x) > np.mean(y)), line
