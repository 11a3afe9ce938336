"""Random batches and what holds for every sampler."""

import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader

from dmlteach import samplers
from dmlteach.errors import DMLTeachError
from dmlteach.interfaces import Space

LABELS = torch.arange(103) % 13
GENERATOR = torch.Generator().manual_seed(0)
SPACE = Space(torch.randn(103, 4, generator=GENERATOR), LABELS)


def epoch(sampler, number: int = 0) -> list[list[int]]:
    sampler.plan(number, SPACE)
    return [list(batch) for batch in sampler]


def test_random_batches_are_full_and_no_image_comes_twice():
    sampler = samplers.create("random", LABELS, 10)
    report = sampler.plan(0)
    batches = list(sampler)
    seen = [i for batch in batches for i in batch]
    assert [len(b) for b in batches] == [10] * 10 and len(sampler) == 10
    assert len(set(seen)) == 100
    assert report == {"batches": 10, "coverage": pytest.approx(100 / 103)}


def test_each_epoch_leaves_out_other_images():
    sampler = samplers.create("random", LABELS, 10)
    left_out = [set(range(103)) - {i for batch in sampler for i in batch} for _ in range(3)]
    assert left_out[0] != left_out[1] != left_out[2]


@pytest.mark.parametrize("name", samplers.names())
def test_equal_seeds_and_epochs_give_equal_batches_and_others_differ(name):
    first = epoch(samplers.create(name, LABELS, 32, seed=1), 4)
    assert first == epoch(samplers.create(name, LABELS, 32, seed=1), 4)
    assert first != epoch(samplers.create(name, LABELS, 32, seed=2), 4)
    assert first != epoch(samplers.create(name, LABELS, 32, seed=1), 5)


@pytest.mark.parametrize("name", samplers.names())
def test_every_sampler_is_a_batch_sampler_of_a_plain_loader(name):
    sampler = samplers.create(name, LABELS, 32)
    sampler.plan(0, SPACE)
    loader = DataLoader(torch.arange(103), batch_sampler=sampler, num_workers=0)
    assert [batch.tolist() for batch in loader] == epoch(sampler)


@pytest.mark.parametrize("name", samplers.names())
def test_a_checkpoint_holds_the_planned_batches_their_targets_and_seeds(name):
    sampler, resumed = samplers.create(name, LABELS, 32), samplers.create(name, LABELS, 32, seed=99)
    sampler.plan(7, SPACE)
    resumed.load_state_dict(sampler.state_dict())
    assert resumed.epoch == 7
    for batch, again in zip(sampler, resumed, strict=True):
        assert list(batch) == list(again) and batch.step_seed == again.step_seed
        for chosen, kept in zip(batch.tuples or (), again.tuples or (), strict=True):
            assert chosen is kept is None or torch.equal(chosen, kept)


def test_a_mistyped_sampler_or_option_is_one_clear_error():
    with pytest.raises(DMLTeachError, match="unknown sampler 'lokal'; did you mean 'local'"):
        samplers.create("lokal", LABELS, 8)
    with pytest.raises(DMLTeachError, match="did you mean 'balance'"):
        samplers.create("local", LABELS, 8, balanced=True)
    with pytest.raises(DMLTeachError, match="random sampler has no options"):
        samplers.create("random", LABELS, 8, balance=True)


def test_a_batch_larger_than_the_data_is_one_clear_error():
    for name in samplers.names():
        with pytest.raises(DMLTeachError, match="larger than the data"):
            samplers.create(name, LABELS, 104)


AS_USERS_HAVE_THEM = {
    "a list": lambda y: y.tolist(),
    "NumPy": lambda y: y.numpy(),
    "a column of a table": lambda y: pd.Series(y.numpy(), index=range(7, 7 + len(y))),
    "uint8": lambda y: y.to(torch.uint8),
}


@pytest.mark.parametrize("labels_of", AS_USERS_HAVE_THEM.values(), ids=AS_USERS_HAVE_THEM)
@pytest.mark.parametrize("name", samplers.names())
def test_labels_of_any_kind_give_the_same_batches(name, labels_of):
    given, plain = (samplers.create(name, labels, 32) for labels in (labels_of(LABELS), LABELS))
    assert epoch(given) == epoch(plain)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["fern", "moss"] * 10, "words become numbers by numpy.unique"),
        ([0.5, 1] * 10, "whole numbers"),
        ([[0, 1]] * 10, "one integer for each image"),
    ],
)
@pytest.mark.parametrize("name", samplers.names())
def test_labels_that_are_no_numbers_are_one_sentence(name, labels, message):
    with pytest.raises(DMLTeachError, match=message):
        samplers.create(name, labels, 8)
