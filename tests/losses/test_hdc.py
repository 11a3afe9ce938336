"""HDC against its definition, pair by pair; its hard sets; what it leaves alone."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlteach.errors import DMLTeachError
from dmlteach.losses.hdc import HDC, hard_sets, hdc_loss, pair_terms
from tests.losses.brute_force import d2

TIGHT = {"rtol": 0, "atol": 1e-9}
RATIOS = (1.0, 0.5, 0.2)


def definition(z, labels, dims, ratios, mode="nested", rank_by="previous", margin=1.0, neg_weight=1.0):
    """The loss by plain loops, and the pairs (i, j) that every depth keeps."""
    pairs = [(i, j) for i in range(len(z)) for j in range(i + 1, len(z))]
    losses = []
    for k, size in enumerate(dims):
        unit = [row / (row.square().sum() + 1e-12).sqrt() for row in z[:, sum(dims[:k]) :][:, :size]]
        losses.append({})
        for i, j in pairs:
            d = d2(unit[i], unit[j])
            pull = labels[i] == labels[j]
            losses[k][i, j] = d if pull else neg_weight * torch.clamp(margin - d, min=0)
    kinds = [[p for p in pairs if (labels[p[0]] == labels[p[1]]) == same] for same in (True, False)]
    kept = []
    for k, ratio in enumerate(ratios):
        kept.append([])
        for kind in kinds:
            number = math.floor(ratio * len(kind) + 1e-9)
            among, ranking = kind, losses[k]
            if mode == "nested":
                number = max(1, number)
                among = [p for p in kind if k == 0 or p in kept[k - 1]]
                ranking = losses[k - 1] if rank_by == "previous" and k else losses[k]
            hardest = sorted(among, key=lambda p: -ranking[p].item())
            kept[k] += hardest[:number]
    total = z.sum() * 0
    for k in range(len(dims)):
        terms = [losses[k][p] for p in kept[k]]
        total = total + sum(terms) / max(1, sum(t.item() > 1e-6 for t in terms))
    return total, kept


@st.composite
def batches(draw):
    """Small batches of three parts of two numbers or more, with repeated rows, singletons, one class."""
    n, classes = draw(st.integers(1, 10)), draw(st.integers(1, 4))
    dims = draw(st.sampled_from([(2, 2, 2), (2, 3, 4)]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    z = torch.randn(n, sum(dims), generator=generator, dtype=torch.float64)
    if draw(st.booleans()):
        z[n // 2] = z[0]
    return z, torch.randint(classes, (n,), generator=generator), dims


@settings(max_examples=25, deadline=None)
@given(
    batches(),
    st.sampled_from([("nested", "previous"), ("nested", "own"), ("independent", "own")]),
    st.sampled_from([RATIOS, (1.0, 0.3, 0.3), (1.0, 1.0, 0.05)]),
    st.sampled_from([(1.0, 1.0), (0.5, 10.0)]),
)
def test_hdc_is_its_definition(batch, choice, ratios, weights):
    z, y, dims = batch
    z.requires_grad_()
    ours = hdc_loss(z, y, dims, ratios, *choice, *weights)
    truth, _ = definition(z, y.tolist(), dims, ratios, *choice, *weights)
    torch.testing.assert_close(ours, truth, **TIGHT)
    if len(torch.unique(z, dim=0)) == len(z):  # which of two equal pairs is kept, rounding decides
        gradients = (torch.autograd.grad(value, z)[0] for value in (ours, truth))
        torch.testing.assert_close(*gradients, **TIGHT)


def batch(n=24, classes=4, dims=(3, 4, 5), seed=0):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(n, sum(dims), generator=generator, dtype=torch.float64)
    return z, torch.arange(n) % classes, dims


@pytest.mark.parametrize("rank_by", ["previous", "own"])
def test_hard_sets_are_nested_of_the_right_size_and_hold_the_hardest(rank_by):
    z, y, dims = batch()
    terms, is_positive = pair_terms(z, y, dims)
    kept = hard_sets(terms, is_positive, RATIOS, "nested", rank_by)
    assert kept[0].all()
    for kind in (is_positive, ~is_positive):
        for k in (1, 2):
            chosen, before = kept[k] & kind, kept[k - 1] & kind
            assert not (chosen & ~before).any()
            assert chosen.sum() == math.floor(RATIOS[k] * kind.sum())
            losses = terms[k - 1 if rank_by == "previous" else k]
            assert losses[chosen].min() >= losses[before & ~chosen].max()


def test_independent_sets_are_each_depths_own_hardest_of_all_pairs():
    z, y, dims = batch()
    terms, is_positive = pair_terms(z, y, dims)
    kept = hard_sets(terms, is_positive, (0.4, 0.5, 0.2), "independent")
    for k, ratio in enumerate((0.4, 0.5, 0.2)):
        for kind in (is_positive, ~is_positive):
            chosen = kept[k] & kind
            assert chosen.sum() == math.floor(ratio * kind.sum())
            assert terms[k][chosen].min() >= terms[k][kind & ~chosen].max()
    assert (kept[2] & ~kept[1]).any()  # not nested


def test_a_share_of_pairs_is_exact_where_floating_point_is_not():
    assert math.floor(0.29 * 100) == 28
    is_positive = torch.arange(200) < 100
    kept = hard_sets(torch.rand(2, 200), is_positive, (1.0, 0.29))
    assert (kept[1] & is_positive).sum() == 29


def test_one_depth_is_the_contrastive_loss_of_all_pairs():
    z, y, _ = batch()
    unit = z / z.norm(dim=1, keepdim=True)
    d = torch.pdist(unit).square()
    first, second = torch.triu_indices(len(z), len(z), 1)
    losses = torch.where(y[first] == y[second], d, (1 - d).clamp_min(0))
    truth = losses.sum() / (losses > 0).sum()
    torch.testing.assert_close(hdc_loss(z, y, (12,), (1.0,)), truth, rtol=0, atol=1e-6)


def test_pairs_outside_the_hard_set_give_their_depth_no_gradient():
    z, y, dims = batch(n=6, classes=3)
    z.requires_grad_()
    _, kept = definition(z, y.tolist(), dims, RATIOS)
    used = {i for pair in kept[2] for i in pair}
    assert used != set(range(6))
    gradient = torch.autograd.grad(hdc_loss(z, y, dims), z)[0]
    deepest = gradient[:, 7:].abs().sum(1)
    assert all(deepest[i] == 0 for i in range(6) if i not in used)
    assert gradient[:, :3].abs().sum(1).gt(0).all()  # the first depth learns from all


def test_a_batch_without_loss_gives_zero_and_not_nan():
    corners = torch.eye(2, 6, dtype=torch.float64).repeat_interleave(3, 0)[:, [0, 1, 0, 1, 0, 1]]
    z = corners.clone().requires_grad_()
    loss = hdc_loss(z, torch.tensor([0, 0, 0, 1, 1, 1]), (2, 2, 2))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-9)
    torch.testing.assert_close(z.grad, torch.zeros_like(z), **TIGHT)


def test_the_released_weight_of_negatives_multiplies_them():
    z, _, dims = batch(n=8)
    y = torch.arange(8)  # negatives only
    torch.testing.assert_close(hdc_loss(z, y, dims, neg_weight=10.0), 10 * hdc_loss(z, y, dims))


def test_active_pairs_are_those_that_are_kept_and_not_satisfied():
    z, y, dims = batch()
    _, kept = definition(z, y.tolist(), dims, RATIOS)
    terms, _ = pair_terms(z, y, dims)
    first, second = torch.triu_indices(len(z), len(z), 1)
    position = {pair: p for p, pair in enumerate(zip(first.tolist(), second.tolist(), strict=True))}
    number = sum(terms[k, position[pair]].item() > 0 for k in range(3) for pair in kept[k])
    share = HDC(dims).stats(z, y)["active_tuples"].item()
    assert share == pytest.approx(number / terms.numel())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: HDC(()), "dims must be positive sizes"),
        (lambda: HDC((512,)), "3 ratios (1.0, 0.5, 0.2) meet 1 parts (512,); choose the cascade head"),
        (lambda: HDC((4, 4, 4), mode="nest"), "did you mean 'nested'?"),
        (lambda: HDC((4, 4, 4), rank_by="first"), "unknown rank_by of the hdc loss 'first'"),
        (lambda: HDC((4, 4), (1.0, 1.5)), "hard_ratios must be above 0 and at most 1"),
        (lambda: HDC((4, 4), (0.5, 0.2)), "must start at 1 and never grow"),
        (lambda: HDC((4, 4, 4), margin=0), "margin must be positive, not 0"),
        (
            lambda: HDC((4, 4, 4))(torch.zeros(2, 8), torch.zeros(2).long()),
            "embeddings have 8 numbers, but parts of sizes (4, 4, 4) have 12",
        ),
    ],
)
def test_a_mistake_is_one_clear_error(call, message):
    with pytest.raises(DMLTeachError) as error:
        call()
    assert message in str(error.value)
