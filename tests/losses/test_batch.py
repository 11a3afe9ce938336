"""What every loss does with labels of any kind and with a batch without rows; what it refuses."""

import numpy as np
import pandas as pd
import pytest
import torch

from dmlteach import losses
from dmlteach.errors import DMLTeachError
from dmlteach.interfaces import STATS, Tuples
from dmlteach.objective.das import DAS
from tests.losses.cases import DIM, NUM_CLASSES, create, generator
from tests.losses.test_every_loss import FORMS, form_id

NAMES = losses.names()
PER_CLASS = ["hierarchical_triplet", "margin", *(n for n in NAMES if "vectors" in losses.LOSSES[n].compares)]
INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.uint16, torch.uint32)

AS_USERS_HAVE_THEM = {
    "a list": lambda y: y.tolist(),
    "NumPy": lambda y: y.numpy(),
    "a column of a table": lambda y: pd.Series(y.numpy(), index=range(3, 3 + len(y))),
    **{str(kind).removeprefix("torch."): lambda y, kind=kind: y.to(kind) for kind in INTEGERS},
}


def batch(n=18, classes=6):
    return torch.randn(n, DIM, generator=generator()), torch.arange(n) % classes


def value_and_gradient(loss, z, y):
    z = z.clone().requires_grad_()
    value = loss(z, y, generator=generator())
    return value, torch.autograd.grad(value, z)[0]


@pytest.mark.parametrize("labels_of", AS_USERS_HAVE_THEM.values(), ids=AS_USERS_HAVE_THEM)
@pytest.mark.parametrize(("name", "options"), FORMS, ids=form_id)
def test_labels_of_any_kind_give_the_same_value_and_gradient(name, options, labels_of):
    loss, (z, y) = create(name, **options), batch()
    for ours, truth in zip(
        value_and_gradient(loss, z, labels_of(y)), value_and_gradient(loss, z, y), strict=True
    ):
        assert torch.equal(ours, truth)
    ours, truth = loss.stats(z, labels_of(y)), loss.stats(z, y)
    assert ours == truth


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(("name", "options"), FORMS, ids=form_id)
def test_a_batch_without_rows_has_the_loss_0_that_can_be_differentiated(name, options, dtype):
    loss = create(name, **options)
    z = torch.zeros(0, DIM, dtype=dtype, requires_grad=True)
    value = loss(z, torch.zeros(0, dtype=torch.int64), generator=generator())
    value.backward()
    assert value.shape == () and value.item() == 0
    assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert z.grad.shape == (0, DIM)


@pytest.mark.parametrize("name", NAMES)
def test_statistics_of_a_batch_without_rows_are_nan(name):
    stats = create(name).stats(torch.zeros(0, DIM), [])
    assert stats.keys() == create(name).stats(*batch()).keys() == set(STATS)
    assert all(value.isnan() for value in stats.values())


@pytest.mark.parametrize("name", PER_CLASS)
@pytest.mark.parametrize("wrong", [-1, NUM_CLASSES, 101])
def test_a_label_that_is_no_class_is_one_sentence(name, wrong):
    options = {"num_classes": NUM_CLASSES} if name == "margin" else {}
    loss, (z, y) = create(name, **options), batch()
    y[4] = wrong
    with pytest.raises(DMLTeachError, match=f"{wrong}.* for 12 classes: labels must be 0 … 11"):
        loss(z, y)


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(PER_CLASS)))
def test_where_nothing_is_kept_per_class_any_integers_will_do(name):
    loss, (z, y) = create(name), batch()
    for moved in (y + 101, y - 3, y * 2**40):
        for ours, truth in zip(
            value_and_gradient(loss, z, moved), value_and_gradient(loss, z, y), strict=True
        ):
            assert torch.equal(ours, truth)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("embeddings", "labels", "message"),
    [
        (torch.zeros(4, DIM), ["a", "b", "a", "b"], "words become numbers"),
        (torch.zeros(4, DIM), torch.zeros(4), "integers"),
        (torch.zeros(4, DIM), np.array([0.5, 1, 2, 3]), "not 0.5"),
        (torch.zeros(4, DIM), torch.zeros(3, dtype=torch.int64), "4 integers, one per embedding"),
        (torch.zeros(4, DIM), [0, 1, 0], "4 integers, one per embedding"),
        (torch.zeros(4, DIM), torch.zeros(4, device="meta", dtype=torch.int64), "labels are on meta"),
        (np.zeros((4, DIM)), [0, 1, 0, 1], "must be a tensor"),
        (torch.zeros(4), [0, 1, 0, 1], "of shape"),
        (torch.zeros(4, DIM, dtype=torch.int64), [0, 1, 0, 1], "must be floats"),
    ],
)
def test_what_is_no_batch_is_one_sentence(name, embeddings, labels, message):
    with pytest.raises(DMLTeachError, match=message):
        create(name)(embeddings, labels)


@pytest.mark.parametrize("name", [n for n in NAMES if "reference" in losses.LOSSES[n].uses])
def test_the_rows_of_a_memory_are_checked_like_a_batch(name):
    loss, (z, y) = create(name), batch()
    with pytest.raises(DMLTeachError, match="no rows"):
        loss(z, y, reference=(z[:0], y[:0]))
    with pytest.raises(DMLTeachError, match="words"):
        loss(z, y, reference=(z[:2], ["a", "b"]))
    expected = loss(z, y, reference=(z[:4] + 1, y[:4]))
    assert loss(z, y, reference=(z[:4] + 1, y[:4].to(torch.uint8))) == expected


def test_pure_functions_are_checked_like_the_modules():
    z, y = batch()
    proxies = torch.randn(6, DIM, generator=generator())
    with pytest.raises(DMLTeachError, match="labels must be 0 … 5"):
        losses.proxy_anchor_loss(z, y + 1, proxies)
    assert losses.proxy_anchor_loss(z, y.tolist(), proxies) == losses.proxy_anchor_loss(z, y, proxies)
    for function in (losses.sst_loss, losses.circle_loss, losses.n_pair_loss, losses.margin_loss):
        assert function(torch.zeros(0, 4), []) == 0


def test_densely_anchored_sampling_refuses_labels_that_are_no_class():
    z, y = batch()
    assert torch.equal(DAS(6, DIM)(z, y.tolist())[1], y.repeat(4))
    for wrong in (y - 1, y + 1):
        with pytest.raises(DMLTeachError, match="labels must be 0 … 5"):
            DAS(6, DIM)(z, wrong)


def test_targets_of_a_sampler_go_with_labels_of_any_kind():
    z, y = batch()
    tuples = Tuples(targets=torch.tensor([[6], [-1]]).repeat(9, 1))
    assert create("sst")(z, y.to(torch.uint8), tuples=tuples) == create("sst")(z, y, tuples=tuples)
