"""Batch-all triplet loss, computed without enumerating triplets: the same as when they are enumerated."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlteach.errors import DMLTeachError
from dmlteach.losses.triplet_all import TripletAll, triplet_all_loss
from tests.losses.brute_force import d2, mean
from tests.losses.test_contrastive import batches_and_memories, compared, distance
from tests.losses.test_definitions import TIGHT, assert_same, value_and_gradient


def by_definition(z, y, memory, margin, reduction, squared):
    between = d2 if squared else distance
    hinges = [
        margin + between(a, p) - between(a, n)
        for a, positives, negatives in compared(z, y, memory)
        for p in positives
        for n in negatives
    ]
    if reduction == "nonzero":
        return mean([h for h in hinges if h > 0], z)
    return mean([h if h > 0 else h * 0 for h in hinges], z)


@settings(max_examples=25, deadline=None)
@given(
    batches_and_memories(),
    st.sampled_from([0.1, 0.2, 1.0]),
    st.sampled_from(["nonzero", "all"]),
    st.booleans(),
)
def test_it_is_its_definition_also_with_a_memory(given_, margin, reduction, squared):
    z, y, memory = given_
    assert_same(
        lambda z: triplet_all_loss(z, y, margin, reduction, squared, memory),
        lambda z: by_definition(z, y, memory, margin, reduction, squared),
        z,
    )


@pytest.mark.parametrize("which", ["A", "B"])
@pytest.mark.parametrize("squared", [False, True])
def test_it_equals_the_gold_values(shared, which, squared):
    inputs = json.loads((shared / "gold" / "losses.json").read_text())[which]
    z, y = torch.tensor(inputs["normalised"], dtype=torch.float64), torch.tensor(inputs["labels"])
    gold = inputs["triplet_batch_all_sq_m0.2" if squared else "triplet_batch_all_m0.2"]

    nonzero = triplet_all_loss(z, y, 0.2, "nonzero", squared).item()

    assert nonzero == pytest.approx(gold["mean_nonzero"], abs=1e-9)
    assert triplet_all_loss(z, y, 0.2, "all", squared).item() == pytest.approx(gold["mean_all"], abs=1e-9)
    active = TripletAll(0.2, squared=squared).active_tuples(z, y).item()
    assert active == pytest.approx(gold["n_nonzero"] / gold["n_all"])


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("num_classes", [2, 24])
def test_a_whole_batch_in_fp32_is_as_enumerated_in_float64(squared, num_classes):
    z = torch.randn(96, 32, generator=torch.Generator().manual_seed(0))
    y = torch.arange(96) % num_classes

    def enumerated(z):
        d2 = (z[:, None] - z[None]).square().sum(-1)
        d = d2 if squared else (d2 + torch.eye(96)).sqrt()
        same = y[:, None] == y[None]
        exists = (same & ~torch.eye(96, dtype=torch.bool))[:, :, None] & ~same[:, None, :]
        hinges = (0.2 + d[:, :, None] - d[:, None, :]).relu() * exists
        return hinges.sum() / (hinges > 0).sum()

    ours = value_and_gradient(lambda z: triplet_all_loss(z, y, 0.2, squared=squared), z)
    truth = value_and_gradient(enumerated, z.double())

    torch.testing.assert_close(ours[0].double(), truth[0], rtol=1e-5, atol=0)
    torch.testing.assert_close(ours[1].double(), truth[1], rtol=1e-3, atol=1e-6)


def test_a_triplet_exactly_at_the_margin_is_not_active():
    z = torch.tensor([[0.0], [1.0], [3.0], [1000.0]], dtype=torch.float64)
    y = torch.tensor([0, 0, 1, 2])
    # from 0: 2 + 1 − 3 = 0; from 1: 2 + 1 − 2 = 1, the only active one of four triplets
    assert triplet_all_loss(z, y, margin=2.0).item() == 1
    assert triplet_all_loss(z, y, margin=2.0, reduction="all").item() == 0.25
    assert TripletAll(2.0).active_tuples(z, y).item() == 0.25


@pytest.mark.parametrize("reduction", ["nonzero", "all"])
def test_collapsed_embeddings_give_the_margin(reduction):
    loss = TripletAll(0.3, reduction)
    assert loss(torch.zeros(6, 3), torch.arange(6) % 2).item() == pytest.approx(0.3)
    assert loss.active_tuples(torch.zeros(6, 3), torch.arange(6) % 2).item() == 1


def test_satisfied_triplets_give_a_zero_that_can_be_differentiated():
    z = torch.tensor([[0.0], [0.1], [50.0], [50.1]], requires_grad=True)
    value = triplet_all_loss(z, torch.tensor([0, 0, 1, 1]))
    (gradient,) = torch.autograd.grad(value, z)
    assert value.item() == 0
    assert gradient.eq(0).all()


def test_exchanging_rows_changes_nothing():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(12, 3, generator=generator, dtype=torch.float64)
    y, rows = torch.arange(12) % 3, torch.randperm(12, generator=generator)
    torch.testing.assert_close(triplet_all_loss(z[rows], y[rows]), triplet_all_loss(z, y), **TIGHT)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TripletAll(-1.0), "margin must be at least 0, not -1.0"),
        (lambda: TripletAll(reduction="non_zero"), "did you mean 'nonzero'?"),
        (
            lambda: triplet_all_loss(torch.zeros(2, 2), torch.zeros(2).long(), reduction="sum"),
            "unknown reduction of the triplet_all loss 'sum'",
        ),
    ],
)
def test_a_mistake_is_one_clear_error(call, message):
    with pytest.raises(DMLTeachError) as error:
        call()
    assert message in str(error.value)
