"""Hierarchical triplet loss: margins from the class tree, all triplets without making any."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlteach.errors import DMLTeachError
from dmlteach.interfaces import Space
from dmlteach.losses.hierarchical_triplet import HierarchicalTriplet, hierarchical_triplet_loss, margins
from dmlteach.samplers.class_tree import ClassTree, class_tree
from tests.losses import brute_force
from tests.losses.test_definitions import TIGHT, assert_same, batches
from tests.losses.test_proxy_nca import of_length


def tree_of(num_classes, seed=0):
    """Some levels, thresholds and spreads; the loss does not ask whether they fit together."""
    generator = torch.Generator().manual_seed(seed)
    levels = torch.randint(0, 5, (num_classes, num_classes), generator=generator)
    levels = torch.maximum(levels, levels.T).to(torch.uint8)
    thresholds = torch.tensor([0.3, 1.2, 2.1, 3.0, 4.0], dtype=torch.float64)
    return ClassTree(levels, thresholds, torch.rand(num_classes, generator=generator, dtype=torch.float64))


def triplets_of(labels):
    rows = range(len(labels))
    return [
        (a, p, n)
        for a in rows
        for p in rows
        for n in rows
        if p != a and labels[p] == labels[a] and labels[n] != labels[a]
    ]


def definition(z, labels, tree, beta):
    x = [of_length(row, 1) for row in z]
    terms = []
    for a, p, n in triplets_of(labels):
        alpha = beta
        if tree is not None:
            merged_at = tree.thresholds[int(tree.levels[labels[a], labels[n]])]
            alpha = beta + merged_at - tree.spreads[labels[a]]
        hinge = brute_force.d2(x[a], x[p]) - brute_force.d2(x[a], x[n]) + alpha
        terms.append(hinge if hinge > 0 else hinge * 0)
    return brute_force.mean(terms, z) / 2


@settings(max_examples=25, deadline=None)
@given(batches(), st.sampled_from([0.0123, 0.1, 1.0]), st.booleans())
def test_the_loss_is_its_definition(batch, beta, with_tree):
    z, y = batch
    tree = tree_of(4) if with_tree else None
    assert_same(
        lambda z: hierarchical_triplet_loss(z, y, tree, beta),
        lambda z: definition(z, y.tolist(), tree, beta),
        z,
    )


def space_of(num_classes=6, per_class=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(num_classes * per_class) % num_classes
    centers = torch.randn(num_classes, 4, generator=generator)
    return Space(centers[y] + 0.5 * torch.randn(len(y), 4, generator=generator), y)


def test_with_the_tree_of_a_space_it_is_the_definition_too():
    space = space_of()
    loss = HierarchicalTriplet(num_classes=6).double()
    loss.plan(1, space)
    tree = class_tree(space)
    assert torch.equal(loss.tree.levels, tree.levels)
    z = space.embeddings.double()
    torch.testing.assert_close(loss(z, space.labels), definition(z, space.labels.tolist(), loss.tree, 0.1))
    plain = hierarchical_triplet_loss(z, space.labels)
    assert abs(loss(z, space.labels) - plain) > 0.1


def test_the_first_epochs_and_a_loss_without_plan_are_the_plain_triplet_loss():
    space = space_of()
    plain = hierarchical_triplet_loss(space.embeddings, space.labels)
    loss = HierarchicalTriplet(num_classes=6, plain_epochs=2)
    assert loss(space.embeddings, space.labels) == plain
    for epoch, is_plain in ((0, True), (1, True), (2, False)):
        loss.plan(epoch, space)
        assert (loss(space.embeddings, space.labels) == plain) == is_plain


def test_where_merging_distance_and_spread_agree_the_margin_is_beta():
    space = space_of()
    tree = ClassTree(torch.zeros(6, 6, dtype=torch.uint8), torch.full((17,), 1.3), torch.full((6,), 1.3))
    value = hierarchical_triplet_loss(space.embeddings, space.labels, tree, 0.2)
    torch.testing.assert_close(value, hierarchical_triplet_loss(space.embeddings, space.labels, None, 0.2))


def test_the_margin_grows_with_the_distance_of_the_classes():
    tree = class_tree(space_of(seed=3))
    y = torch.arange(6)
    alpha = margins(y, tree, 0.1)
    for a in range(6):
        order = tree.levels[a].int().argsort(stable=True)
        order = order[order != a]
        assert (alpha[a, order].diff() >= 0).all()
        assert alpha[a, order[-1]] > alpha[a, order[0]] or tree.levels[a, order].unique().numel() == 1
    assert alpha[0, 1].item() == pytest.approx(
        (0.1 + tree.thresholds[int(tree.levels[0, 1])] - tree.spreads[0]).item()
    )


def test_full_batches_have_the_papers_number_of_triplets():
    classes, t = 6, 5
    z = torch.zeros(classes * t, 4)
    y = torch.arange(classes * t) % classes
    z_m = classes * (classes - 1) * t * (t - 1) * t
    assert len(triplets_of(y.tolist())) == z_m
    # All distances are 0: every triplet adds β, and half the mean is left.
    assert hierarchical_triplet_loss(z, y, None, 0.3).item() == pytest.approx(0.15)


def test_active_tuples_are_the_triplets_inside_their_margin():
    space = space_of(seed=1)
    loss = HierarchicalTriplet(num_classes=6)
    loss.plan(1, space)
    x = torch.nn.functional.normalize(space.embeddings.double())
    d2, alpha = torch.cdist(x, x).square(), margins(space.labels, loss.tree, 0.1)
    triplets = triplets_of(space.labels.tolist())
    active = [d2[a, p] - d2[a, n] + alpha[a, n] > 0 for a, p, n in triplets]
    assert 0 < sum(active) < len(active)
    share = loss.active_tuples(space.embeddings, space.labels).item()
    assert share == pytest.approx(sum(active).item() / len(active), abs=1e-6)


def test_the_tree_is_part_of_the_checkpoint():
    space = space_of()
    loss = HierarchicalTriplet(num_classes=6)
    loss.plan(1, space)
    resumed = HierarchicalTriplet(num_classes=6)
    resumed.load_state_dict(loss.state_dict())
    assert resumed(space.embeddings, space.labels) == loss(space.embeddings, space.labels)


def test_a_batch_without_triplets_gives_a_zero_that_can_be_differentiated():
    for labels in (torch.zeros(4).long(), torch.arange(4)):
        z = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
        value = hierarchical_triplet_loss(z, labels)
        value.backward()
        torch.testing.assert_close(value, torch.tensor(0.0), **TIGHT)
        assert z.grad.eq(0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_levels": 0}, "num_levels must be from 1 to 255, not 0"),
        ({"num_levels": 256}, "num_levels must be from 1 to 255, not 256"),
        ({"plain_epochs": -1}, "plain_epochs must be at least 0, not -1"),
    ],
)
def test_a_mistake_is_one_clear_error(options, message):
    with pytest.raises(DMLTeachError) as error:
        HierarchicalTriplet(4, **options)
    assert message in str(error.value)
