"""The contrastive loss: the benchmark's cosine variant, and pairs of a batch with a memory."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlteach.errors import DMLTeachError
from dmlteach.losses.contrastive import Contrastive, contrastive_loss
from tests.losses.brute_force import d2, mean
from tests.losses.test_definitions import TIGHT, assert_same


@st.composite
def batches(draw, distinct=False):
    """Small batches in 2 to 4 dimensions, with singletons, one class, repeated rows unless `distinct`."""
    n, dim, classes = draw(st.integers(1, 9)), draw(st.integers(2, 4)), draw(st.integers(1, 4))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    z = torch.randn(n, dim, generator=generator, dtype=torch.float64) * draw(st.sampled_from([0.1, 1.0, 5.0]))
    if not distinct and draw(st.booleans()):
        z[n // 2] = z[0]
    return z, torch.randint(classes, (n,), generator=generator)


@st.composite
def batches_and_memories(draw, distinct=False):
    """A batch, and a memory of 1 to 6 rows with empty ones among them, or None."""
    z, y = draw(batches(distinct=distinct))
    if draw(st.booleans()):
        return z, y, None
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    rows = draw(st.integers(1, 6))
    others = torch.randn(rows, z.shape[1], generator=generator, dtype=torch.float64)
    return z, y, (others, torch.randint(-1, 4, (rows,), generator=generator))


def compared(z, y, memory=None):
    """Each anchor with its positives and its negatives: rows of the batch, or of the memory."""
    y = y.tolist()
    others, labels = (z, y) if memory is None else (memory[0], memory[1].tolist())
    for i in range(len(z)):
        allowed = [j for j in range(len(others)) if labels[j] >= 0 and not (memory is None and i == j)]
        positives = [others[j] for j in allowed if labels[j] == y[i]]
        negatives = [others[j] for j in allowed if labels[j] != y[i]]
        yield z[i], positives, negatives


def distance(x, y):
    """The library's convention: never below 1e-6, where the gradient is 0."""
    return d2(x, y).clamp_min(1e-12).sqrt()


def unit(x):
    """The library's convention: the 1e-12 keeps the gradient finite at 0."""
    return x / (x.square().sum() + 1e-12).sqrt()


def cosine(x, y):
    return (unit(x) * unit(y)).sum()


def euclidean_by_definition(z, y, memory, margin):
    terms = []
    for a, positives, negatives in compared(z, y, memory):
        terms += [d2(a, p) / 2 for p in positives]
        terms += [torch.clamp(margin - distance(a, n), min=0) ** 2 / 2 for n in negatives]
    return mean(terms, z)


def cosine_by_definition(z, y, memory, margin):
    total = z.sum() * 0
    for a, positives, negatives in compared(z, y, memory):
        for p in positives:
            total = total + 1 - cosine(a, p)
        for n in negatives:
            if cosine(a, n) > margin:
                total = total + cosine(a, n)
    return total / len(z)


@settings(max_examples=25, deadline=None)
@given(batches_and_memories(), st.sampled_from([0.5, 1.0, 4.0]))
def test_euclidean_is_its_definition_also_with_a_memory(given_, margin):
    z, y, memory = given_
    assert_same(
        lambda z: contrastive_loss(z, y, margin, reference=memory),
        lambda z: euclidean_by_definition(z, y, memory, margin),
        z,
    )


@settings(max_examples=25, deadline=None)
@given(batches_and_memories(), st.sampled_from([0.0, 0.3, 0.5]))
def test_cosine_is_its_definition_also_with_a_memory(given_, margin):
    z, y, memory = given_
    assert_same(
        lambda z: contrastive_loss(z, y, margin, "cosine", memory),
        lambda z: cosine_by_definition(z, y, memory, margin),
        z,
    )


@pytest.mark.parametrize("which", ["A", "B"])
@pytest.mark.parametrize("kind", ["raw", "normalised"])
def test_cosine_equals_the_gold_value_whatever_the_norms(shared, which, kind):
    inputs = json.loads((shared / "gold" / "losses.json").read_text())[which]
    z, y = torch.tensor(inputs[kind], dtype=torch.float64), torch.tensor(inputs["labels"])
    ours = contrastive_loss(z, y, 0.5, "cosine").item()
    assert ours == pytest.approx(inputs["contrastive_wangxun_m0.5"], abs=1e-9)


def test_cosine_counts_an_anchor_without_any_term_in_the_mean():
    z = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    y = torch.tensor([0, 0, 1, 2])
    # two positive terms of 1, two negative ones of 1, nothing for the last of four anchors
    torch.testing.assert_close(contrastive_loss(z, y, 0.5, "cosine"), torch.tensor(1.0).double(), **TIGHT)


def test_a_negative_pulls_by_its_cosine_only_above_the_margin():
    z = torch.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=torch.float64)
    y = torch.tensor([0, 1])
    assert contrastive_loss(z, y, 0.5, "cosine").item() == pytest.approx(0.6)
    assert contrastive_loss(z, y, 0.7, "cosine").item() == 0


def test_rows_of_the_memory_replace_those_of_the_batch():
    z, y = torch.tensor([[0.0, 0.0], [9.0, 0.0]]), torch.tensor([0, 1])
    memory = torch.tensor([[2.0, 0.0], [0.0, 0.5], [1.0, 0.0]]), torch.tensor([0, 1, -1])
    # pairs: (0, 2) together, (0, 0.5) apart, (9, 2) apart and beyond, (9, 0.5) together; the last is empty
    expected = (2**2 / 2 + 0.5**2 / 2 + 0 + (81 + 0.25) / 2) / 4
    assert contrastive_loss(z, y, reference=memory).item() == pytest.approx(expected)


def test_an_empty_memory_gives_a_zero_that_can_be_differentiated():
    z = torch.randn(4, 3, requires_grad=True)
    empty = torch.zeros(5, 3), torch.full((5,), -1)
    for variant, margin in (("euclidean", 1.0), ("cosine", 0.5)):
        value = Contrastive(margin, variant)(z, torch.tensor([0, 0, 1, 1]), reference=empty)
        (gradient,) = torch.autograd.grad(value, z)
        assert value.item() == 0
        assert gradient.eq(0).all()


def test_active_tuples_are_the_negative_pairs_inside_the_margin():
    z = torch.tensor([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0], [0.0, 1.0]])
    y = torch.tensor([0, 1, 2, 3])  # of six pairs one is nearer than 1, and it alone has a cosine above 0.5
    assert Contrastive(1.0).active_tuples(z, y).item() == pytest.approx(1 / 6)
    assert Contrastive(0.5, "cosine").active_tuples(z, y).item() == pytest.approx(1 / 6)


def test_the_cosine_variant_reports_distances_on_the_sphere():
    z = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    loss, y = Contrastive(0.5, "cosine"), torch.arange(8) % 2
    torch.testing.assert_close(
        loss.stats(10 * z, y)["positive_distance"],
        loss.stats(z, y)["positive_distance"],
        rtol=1e-4,
        atol=0,
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Contrastive(variant="cosin"), "did you mean 'cosine'?"),
        (lambda: contrastive_loss(torch.zeros(2, 2), torch.zeros(2).long(), 1.0, "l2"), "unknown variant"),
        (lambda: Contrastive(variant="cosine"), "no cosine exceeds a margin of 1.0; choose one below 1"),
        (lambda: Contrastive(-0.5), "margin must be at least 0, not -0.5"),
        (
            lambda: contrastive_loss(
                torch.zeros(2, 3), torch.zeros(2).long(), reference=(torch.zeros(5, 2), torch.zeros(5).long())
            ),
            "the memory has 2 dimensions, the batch 3",
        ),
        (
            lambda: contrastive_loss(
                torch.zeros(2, 3), torch.zeros(2).long(), reference=(torch.zeros(5, 3), torch.zeros(4).long())
            ),
            "labels must be 5 integers",
        ),
    ],
)
def test_a_mistake_is_one_clear_error(call, message):
    with pytest.raises(DMLTeachError) as error:
        call()
    assert message in str(error.value)
