"""Semi-hard triplet loss: negatives beyond the positive and inside the margin, on the unit sphere."""

import json

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from dmlteach.errors import DMLTeachError
from dmlteach.losses.triplet_semihard import TripletSemihard, triplet_semihard_loss
from tests.losses.brute_force import d2, mean
from tests.losses.test_contrastive import batches_and_memories, compared, unit
from tests.losses.test_definitions import assert_same, value_and_gradient


def distances_by_anchor(z, y, memory):
    """d²(a, p) of the positives and d²(a, n) of the negatives, of each anchor."""
    for a, positives, negatives in compared(z, y, memory):
        yield (
            [d2(unit(a), unit(p)) for p in positives],
            [d2(unit(a), unit(n)) for n in negatives],
        )


def all_by_definition(z, y, memory, margin):
    terms = [
        margin + ap - an
        for d_ap, d_an in distances_by_anchor(z, y, memory)
        for ap in d_ap
        for an in d_an
        if ap < an < ap + margin
    ]
    return mean(terms, z)


def nearest_by_definition(z, y, memory, margin):
    terms = []
    for d_ap, d_an in distances_by_anchor(z, y, memory):
        for ap in d_ap if d_an else []:
            beyond = [an for an in d_an if an > ap]
            chosen = min(beyond, key=Tensor.item) if beyond else max(d_an, key=Tensor.item)
            terms.append(torch.clamp(margin + ap - chosen, min=0))
    return mean(terms, z)


def is_decided(z, y, memory, margin):
    """No negative is as far as a positive or just at its margin, where rounding decides."""
    return all(
        abs(ap - an) > 1e-9 and abs(ap + margin - an) > 1e-9
        for d_ap, d_an in distances_by_anchor(z, y, memory)
        for ap in d_ap
        for an in d_an
    )


@settings(max_examples=25, deadline=None)
@given(batches_and_memories(), st.sampled_from([0.2, 0.5, 2.0]))
def test_it_is_its_definition_also_with_a_memory(given_, margin):
    z, y, memory = given_
    assume(is_decided(z, y, memory, margin))
    assert_same(
        lambda z: triplet_semihard_loss(z, y, margin, reference=memory),
        lambda z: all_by_definition(z, y, memory, margin),
        z,
    )


@settings(max_examples=25, deadline=None)
@given(batches_and_memories(distinct=True), st.sampled_from([0.2, 0.5, 2.0]))
def test_nearest_is_its_definition_also_with_a_memory(given_, margin):
    z, y, memory = given_
    assume(is_decided(z, y, memory, margin))
    assert_same(
        lambda z: triplet_semihard_loss(z, y, margin, "nearest", memory),
        lambda z: nearest_by_definition(z, y, memory, margin),
        z,
    )


@pytest.mark.parametrize("which", ["A", "B"])
@pytest.mark.parametrize("kind", ["raw", "normalised"])
def test_it_equals_the_gold_values_whatever_the_norms(shared, which, kind):
    inputs = json.loads((shared / "gold" / "losses.json").read_text())[which]
    z, y = torch.tensor(inputs[kind], dtype=torch.float64), torch.tensor(inputs["labels"])
    gold = inputs["triplet_semihard_all_sq_m0.2"]

    assert triplet_semihard_loss(z, y, 0.2).item() == pytest.approx(gold["mean"], abs=1e-9)
    num_triplets = inputs["triplet_batch_all_m0.2"]["n_all"]
    active = TripletSemihard(0.2).active_tuples(z, y).item()
    assert active == pytest.approx(gold["count"] / num_triplets)
    for margin in (0.2, 1):
        ours = triplet_semihard_loss(z, y, margin, "nearest").item()
        assert ours == pytest.approx(inputs[f"triplet_semihard_tf_sq_m{margin}"], abs=1e-9)


def test_a_negative_as_far_as_the_positive_or_at_the_margin_is_not_semi_hard():
    z = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    y = torch.tensor([0, 0, 1, 1])  # each anchor: positive at 2, negatives at 2 and 4
    assert triplet_semihard_loss(z, y, margin=2.0).item() == 0
    assert TripletSemihard(2.0).active_tuples(z, y).item() == 0
    assert triplet_semihard_loss(z, y, margin=2.5).item() == 0.5
    assert TripletSemihard(2.5).active_tuples(z, y).item() == 0.5
    assert triplet_semihard_loss(z, y, 2.5, "nearest").item() == 0.5  # the negative at 4


@pytest.mark.parametrize("variant", ["all", "nearest"])
def test_a_batch_whose_negatives_are_all_far_gives_a_zero_that_can_be_differentiated(variant):
    z = torch.tensor([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0], [-1.0, 0.1]], requires_grad=True)
    value = triplet_semihard_loss(z, torch.tensor([0, 0, 1, 1]), 0.2, variant)
    (gradient,) = torch.autograd.grad(value, z)
    assert value.item() == 0
    assert gradient.eq(0).all()


def test_negatives_nearer_than_the_positive_are_left_to_nearest_alone():
    z = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.1]], dtype=torch.float64)
    y = torch.tensor([0, 0, 1])
    # from row 0 the negative is nearer than the positive, from row 1 too: no triplet is semi-hard
    assert triplet_semihard_loss(z, y, 0.2).item() == 0
    near = d2(unit(z[0]), unit(z[2])).item()
    far = d2(unit(z[1]), unit(z[2])).item()
    expected = (0.2 + 4 - near + 0.2 + 4 - far) / 2
    assert triplet_semihard_loss(z, y, 0.2, "nearest").item() == pytest.approx(expected)
    assert TripletSemihard(0.2, "nearest").active_tuples(z, y).item() == 1


@pytest.mark.parametrize("num_classes", [2, 24])
def test_a_whole_batch_in_fp32_is_as_enumerated_in_float64(num_classes):
    z = torch.randn(96, 16, generator=torch.Generator().manual_seed(0))
    y = torch.arange(96) % num_classes

    def enumerated(z):
        unit = z / z.norm(dim=1, keepdim=True)
        d2 = (unit[:, None] - unit[None]).square().sum(-1)
        same = y[:, None] == y[None]
        exists = (same & ~torch.eye(96, dtype=torch.bool))[:, :, None] & ~same[:, None, :]
        gap = d2[:, None, :] - d2[:, :, None]
        semihard = exists & (gap > 0) & (gap < 0.2)
        return ((0.2 - gap) * semihard).sum() / semihard.sum()

    ours = value_and_gradient(lambda z: triplet_semihard_loss(z, y, 0.2), z)
    truth = value_and_gradient(enumerated, z.double())

    torch.testing.assert_close(ours[0].double(), truth[0], rtol=1e-4, atol=0)
    torch.testing.assert_close(ours[1].double(), truth[1], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: TripletSemihard(0.0),
            "margin must be positive, not 0.0: without it no negative",
        ),
        (lambda: TripletSemihard(variant="nearst"), "did you mean 'nearest'?"),
    ],
)
def test_a_mistake_is_one_clear_error(call, message):
    with pytest.raises(DMLTeachError) as error:
        call()
    assert message in str(error.value)
