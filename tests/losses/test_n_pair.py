"""N-pair loss."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.distances import DotProductSimilarity
from pytorch_metric_learning.losses import NPairsLoss

from dmlteach.errors import DMLTeachError
from dmlteach.losses.n_pair import NPair, n_pair_loss, pair_up
from tests.losses.brute_force import mean
from tests.losses.test_definitions import assert_same, batches, value_and_gradient


def pairs_of(labels):
    """Anchor and positive rows: each class cut in twos, in the order of the batch."""
    pairs = []
    for c in set(labels):
        rows = [i for i, label in enumerate(labels) if label == c]
        pairs += [(rows[k], rows[k + 1]) for k in range(0, len(rows) - 1, 2)]
    return pairs


def brute_force(z, labels, l2=0.0):
    terms = []
    for a, p in pairs_of(labels):
        others = [q for _, q in pairs_of(labels) if labels[q] != labels[a]]
        total = sum((torch.exp((z[a] * z[n]).sum() - (z[a] * z[p]).sum()) for n in others), z.sum() * 0)
        norms = (z[a].square().sum() + z[p].square().sum()) / 2
        terms.append(torch.log1p(total) + l2 / 2 * norms)
    return mean(terms, z)


def random_batch(n, labels):
    z = torch.randn(n, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return z, torch.tensor(labels)


@settings(max_examples=25, deadline=None)
@given(batches(), st.sampled_from([0.0, 0.02]))
def test_n_pair_is_its_definition(batch, l2):
    z, y = batch
    assert_same(lambda z: n_pair_loss(z, y, l2), lambda z: brute_force(z, y.tolist(), l2), z)


@pytest.mark.parametrize(
    "labels",
    [[0, 0, 1, 1, 2, 2], [2, 0, 1, 0, 2, 1], [0, 0, 0, 1, 1, 2, 2, 2, 3]],
    ids=["pairs", "mixed order", "three of a class, and one"],
)
def test_n_pair_equals_pytorch_metric_learning_where_classes_have_at_most_three_images(labels):
    z, y = random_batch(len(labels), labels)
    theirs = NPairsLoss(distance=DotProductSimilarity(normalize_embeddings=False))
    assert_same(lambda z: n_pair_loss(z, y), lambda z: theirs(z, y), z)


def test_more_than_two_images_of_a_class_are_further_pairs():
    labels = [5, 1, 5, 5, 1, 5, 5, 3]
    anchors, positives, exists = pair_up(torch.tensor(labels))
    found = {
        (a, p) for a, p, e in zip(anchors.tolist(), positives.tolist(), exists.tolist(), strict=True) if e
    }
    assert found == {(0, 2), (3, 5), (1, 4)}
    assert len(anchors) == 4  # at most half of the rows, whatever the labels


def test_an_image_without_a_partner_gets_no_gradient():
    z, y = random_batch(6, [0, 0, 0, 1, 1, 2])
    _, gradient = value_and_gradient(lambda z: n_pair_loss(z, y, 0.1), z)
    assert gradient[[2, 5]].eq(0).all()
    assert gradient[[0, 1, 3, 4]].ne(0).all()


def test_collapsed_embeddings_give_the_logarithm_of_the_number_of_classes():
    value = n_pair_loss(torch.ones(8, 3), torch.arange(8) // 2)
    assert value.item() == pytest.approx(torch.tensor(4.0).log().item())


def test_active_pairs_are_those_that_are_moved():
    z = torch.tensor([[9.0, 0.0], [9.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    y = torch.tensor([0, 0, 1, 1])
    assert NPair().active_tuples(z, y).item() == pytest.approx(1 / 2)


def test_l2_must_not_be_negative():
    with pytest.raises(DMLTeachError, match="l2 must be at least 0, not -1"):
        NPair(l2=-1)
