"""Multi-similarity loss, and the reconstructed "Weight" loss, which is twice its form."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlteach.errors import DMLTeachError
from dmlteach.losses.multi_similarity import MultiSimilarity, multi_similarity_loss
from dmlteach.losses.weight import Weight, weight_loss
from tests.losses.test_definitions import TIGHT, assert_same, batches, value_and_gradient


def unit(x):
    return x / (x.square().sum() + 1e-12).sqrt()


def kept_cosines(z, labels, epsilon):
    """Cosines of the mined positives and negatives of every anchor, as indices and values."""
    x = [unit(row) for row in z]
    for i in range(len(z)):
        others = [(j, (x[i] * x[j]).sum()) for j in range(len(z)) if j != i]
        positives = [(j, s) for j, s in others if labels[j] == labels[i]]
        negatives = [(j, s) for j, s in others if labels[j] != labels[i]]
        if not positives or not negatives:
            yield [], []
            continue
        lowest, highest = min(s.item() for _, s in positives), max(s.item() for _, s in negatives)
        yield (
            [(j, s) for j, s in positives if s.item() < highest + epsilon],
            [(j, s) for j, s in negatives if s.item() > lowest - epsilon],
        )


def brute_force(z, labels, alpha, beta, base, epsilon):
    total = z.sum() * 0
    for positives, negatives in kept_cosines(z, labels, epsilon):
        pull = sum(torch.exp(-alpha * (s - base)) for _, s in positives)
        push = sum(torch.exp(beta * (s - base)) for _, s in negatives)
        if positives:
            total = total + torch.log(1 + pull) / alpha
        if negatives:
            total = total + torch.log(1 + push) / beta
    return total / len(z)


def three_clusters():
    """Twelve points in three tight clusters, and one stray of the first class: most anchors mine nothing."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.eye(3, 4, dtype=torch.float64)
    z = centres.repeat_interleave(4, 0) + 0.05 * torch.randn(12, 4, generator=generator, dtype=torch.float64)
    stray = torch.tensor([[0.1, 1.0, 0.0, 0.1]], dtype=torch.float64)
    return torch.cat([z, stray]), torch.tensor([0] * 4 + [1] * 4 + [2] * 4 + [0])


@settings(max_examples=25, deadline=None)
@given(batches(), st.sampled_from([(2.0, 50.0, 1.0), (2.0, 40.0, 0.5)]), st.sampled_from([0.0, 0.1, 0.5]))
def test_multi_similarity_is_its_definition(batch, constants, epsilon):
    z, y = batch
    alpha, beta, base = constants
    epsilon += 1e-3  # exactly at the threshold, rounding would decide which pair is kept
    assert_same(
        lambda z: multi_similarity_loss(z, y, alpha, beta, base, epsilon),
        lambda z: brute_force(z, y.tolist(), alpha, beta, base, epsilon),
        z,
    )


def test_anchors_that_mine_nothing_add_zero_and_stay_in_the_mean():
    z, y = three_clusters()
    kept = list(kept_cosines(z, y.tolist(), 0.1))
    mining = sum(bool(p) for p, _ in kept)
    assert 0 < mining < len(z)
    assert_same(
        lambda z: multi_similarity_loss(z, y), lambda z: brute_force(z, y.tolist(), 2, 50, 1.0, 0.1), z
    )
    share = sum(len(p) + len(n) for p, n in kept) / (len(z) * (len(z) - 1))
    assert MultiSimilarity().active_tuples(z, y).item() == pytest.approx(share)
    assert Weight().active_tuples(z, y).item() == pytest.approx(share)


@pytest.mark.parametrize("which", ["A", "B"])
@pytest.mark.parametrize(
    ("key", "options"),
    [
        ("ms_paper_a2_b50_l1_e0.1", {}),
        ("ms_repo_a2_b40_l0.5_e0.1", {"beta": 40, "base": 0.5}),
        ("ms_a2_b50_l0.5_e0.1", {"base": 0.5}),
        ("ms_nomining_a2_b40_l0.5", {"beta": 40, "base": 0.5, "epsilon": 3.0}),
        ("ms_nomining_a2_b50_l0.5", {"base": 0.5, "epsilon": 3.0}),
    ],
)
def test_multi_similarity_equals_the_gold_values(shared, which, key, options):
    gold = json.loads((shared / "gold" / "losses.json").read_text())[which]
    z, y = torch.tensor(gold["normalised"], dtype=torch.float64), torch.tensor(gold["labels"])
    loss = MultiSimilarity(**options)
    assert loss(z, y).item() == pytest.approx(gold[key]["loss"], abs=1e-9)
    kept = gold[key]["kept_pos"] + gold[key]["kept_neg"]
    assert loss.active_tuples(z, y).item() == pytest.approx(kept / (len(z) * (len(z) - 1)))


def test_pairs_are_weighted_as_the_paper_says():
    """Its gradient is that of Σ w S with the paper's w⁺ and w⁻ of the kept pairs held fixed."""
    z, y = three_clusters()
    alpha, beta, base = 2.0, 50.0, 0.5

    def weighted(z):
        x = [unit(row) for row in z]
        total = z.sum() * 0
        for i, (positives, negatives) in enumerate(kept_cosines(z.detach(), y.tolist(), 0.1)):
            for j, s in positives:
                others = sum(math.exp(-alpha * (t - s)) for _, t in positives)
                total = total - (x[i] * x[j]).sum() / (math.exp(-alpha * (base - s)) + others)
            for j, s in negatives:
                others = sum(math.exp(beta * (t - s)) for _, t in negatives)
                total = total + (x[i] * x[j]).sum() / (math.exp(beta * (base - s)) + others)
        return total / len(z)

    _, ours = value_and_gradient(lambda z: multi_similarity_loss(z, y, alpha, beta, base), z)
    torch.testing.assert_close(ours, value_and_gradient(weighted, z)[1], **TIGHT)


@settings(max_examples=25, deadline=None)
@given(batches())
def test_weight_is_its_formula(batch):
    z, y = batch

    def formula(z):
        total = z.sum() * 0
        for positives, negatives in kept_cosines(z, y.tolist(), 0.1):
            if positives:
                total = total + 2 / 2 * torch.log(1 + sum(torch.exp(-2 * (s - 0.5)) for _, s in positives))
            if negatives:
                total = total + 2 / 40 * torch.log(1 + sum(torch.exp(40 * (s - 0.5)) for _, s in negatives))
        return total / len(z)

    assert_same(lambda z: weight_loss(z, y), formula, z)


@pytest.mark.parametrize("which", ["A", "B"])
def test_weight_is_twice_the_value_of_the_multi_similarity_authors_code(shared, which):
    gold = json.loads((shared / "gold" / "losses.json").read_text())[which]
    z, y = torch.tensor(gold["normalised"], dtype=torch.float64), torch.tensor(gold["labels"])
    expected = 2 * gold["ms_repo_a2_b40_l0.5_e0.1"]["loss"]
    assert Weight()(z, y).item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("loss", [MultiSimilarity(), Weight()], ids=["multi_similarity", "weight"])
def test_a_memory_takes_the_place_of_the_batch(loss):
    """Anchors of the batch against a memory weigh as they would in one batch, whose others are no anchors."""
    z, y = three_clusters()
    memory, slots = torch.cat([z[4:], torch.ones(2, 4)]), torch.cat([y[4:], torch.tensor([-1, -1])])
    ours = loss(z[:4], y[:4], reference=(memory, slots))

    total = 0
    for i in range(4):
        alone = torch.cat([z[i : i + 1], z[4:]]), torch.cat([y[i : i + 1], y[4:]])
        anchor, *_ = kept_cosines(alone[0], alone[1].tolist(), 0.1)
        positives, negatives = ([s for _, s in side] for side in anchor)
        a, b, base, factor = (2, 50, 1.0, 1) if isinstance(loss, MultiSimilarity) else (2, 40, 0.5, 2)
        total += factor / a * math.log(1 + sum(math.exp(-a * (s - base)) for s in positives))
        total += factor / b * math.log(1 + sum(math.exp(b * (s - base)) for s in negatives))
    assert ours.item() == pytest.approx(total / 4, abs=1e-9)


def test_nan_is_not_mined_away():
    z, y = three_clusters()
    z[2, 1] = torch.nan
    assert multi_similarity_loss(z, y).isnan()
    assert weight_loss(z, y).isnan()


@pytest.mark.parametrize("module", [MultiSimilarity, Weight])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0}, "alpha must be positive, not 0"),
        ({"beta": -1.0}, "beta must be positive, not -1.0"),
        ({"epsilon": -0.1}, "epsilon must be at least 0, not -0.1"),
    ],
)
def test_a_wrong_option_is_one_clear_error(module, options, message):
    with pytest.raises(DMLTeachError) as error:
        module(**options)
    assert message in str(error.value)
