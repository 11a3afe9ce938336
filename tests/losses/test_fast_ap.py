"""FastAP: average precision of distances in bins."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlteach.errors import DMLTeachError
from dmlteach.losses.fast_ap import FastAP, fast_ap_loss, fast_average_precision
from tests.losses.brute_force import d2, mean
from tests.losses.test_circle import random_batch, unit
from tests.losses.test_definitions import assert_same, batches


def brute_force(z, labels, bins):
    x = [unit(row) for row in z]
    step = 4 / bins
    terms = []
    for q in range(len(z)):
        others = [j for j in range(len(z)) if j != q]
        positives = [j for j in others if labels[j] == labels[q]]
        if not positives:
            continue
        pulse = {
            j: [torch.clamp(1 - abs(d2(x[q], x[j]) - r * step) / step, min=0) for r in range(bins + 1)]
            for j in others
        }
        total = z.sum() * 0
        for r in range(bins + 1):
            of_node = sum(pulse[j][r] for j in positives)
            found = sum(pulse[j][k] for j in positives for k in range(r + 1))
            seen = sum(pulse[j][k] for j in others for k in range(r + 1))
            if seen > 0:
                total = total + of_node * found / seen
        terms.append(1 - total / len(positives))
    return mean(terms, z)


@settings(max_examples=25, deadline=None)
@given(batches(), st.sampled_from([1, 10, 25]))
def test_fast_ap_is_its_definition(batch, bins):
    z, y = batch
    assert_same(lambda z: fast_ap_loss(z, y, bins), lambda z: brute_force(z, y.tolist(), bins), z)


def at_squared_distances(*d2):
    """A query and others at given squared distances of it, on the unit circle."""
    cosine = 1 - torch.tensor([0.0, *d2], dtype=torch.float64) / 2
    return torch.stack([cosine, (1 - cosine.square()).clamp_min(0).sqrt()], 1)


def test_where_every_distance_lies_on_a_node_it_is_1_minus_average_precision():
    """The positives of the first query have the ranks 1 and 3: AP = (1/1 + 2/3) / 2."""
    z, y = at_squared_distances(0.4, 0.8, 1.6, 2.0), torch.tensor([0, 0, 1, 0, 2])
    precision, exists = fast_average_precision(z, y, 10)
    assert precision[0].item() == pytest.approx((1 + 2 / 3) / 2, abs=1e-9)
    assert exists.tolist() == [True, True, False, True, False]


def test_examples_of_one_node_share_their_precision():
    """Two positives and two negatives at one distance: each finds half of what is there."""
    z = torch.eye(5, dtype=torch.float64)  # all at d² = 2, the middle node
    y = torch.tensor([0, 0, 0, 1, 2])
    assert fast_ap_loss(z, y).item() == pytest.approx(0.5)


def test_a_perfect_ranking_costs_nothing():
    z, y = at_squared_distances(0.0, 3.9, 4.0), torch.tensor([0, 0, 1, 1])
    assert fast_ap_loss(z, y).item() == pytest.approx(0, abs=1e-9)
    assert FastAP().active_tuples(z, y).item() == 0


def test_between_nodes_an_example_is_found_in_two_steps():
    """A negative on a node, then a positive, half of which stands at either node beside it."""
    z, y = at_squared_distances(0.4, 1.0), torch.tensor([0, 1, 0])
    precision, _ = fast_average_precision(z, y, 10)
    assert precision[0].item() == pytest.approx(0.5 * 0.5 / 1.5 + 0.5 * 1 / 2, abs=1e-9)


def test_active_queries_are_those_whose_ranking_is_not_perfect():
    z, y = at_squared_distances(0.0, 4.0, 4.0, 4.0), torch.tensor([0, 0, 1, 1, 2])
    # rows 2, 3 and 4 coincide: those of class 1 find the one of class 2 as near as each other
    assert FastAP().active_tuples(z, y).item() == pytest.approx(2 / 4)


@pytest.mark.parametrize("make", [lambda n: FastAP(n), lambda n: fast_ap_loss(*random_batch(), n)])
def test_there_is_a_bin_at_least(make):
    with pytest.raises(DMLTeachError, match="num_bins must be at least 1, not 0"):
        make(0)
