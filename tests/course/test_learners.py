"""The recording of ensembles: what it holds, and that its program still makes it."""

import pytest
import torch

from dmlteach import data
from dmlteach.course.recordings.learners import learners, searched
from dmlteach.course.recordings.record_learners import NETWORKS, hits, pack, record, untrained


def test_a_hit_is_a_nearest_other_row_of_the_same_class():
    z = torch.tensor([[0.0], [0.1], [5.0], [5.2], [0.25]])
    assert hits(z, torch.tensor([0, 0, 1, 0, 1])).tolist() == [True, True, False, False, False]


def test_the_characters_searched_are_whole_and_of_the_test_part():
    rows, labels = searched()
    everyone = data.load("omniglot", "test").labels
    assert everyone[rows].equal(labels) and labels.unique().numel() == 200
    assert (torch.bincount(labels)[labels.unique()] == torch.bincount(everyone)[labels.unique()]).all()


@pytest.mark.anew
@pytest.mark.parametrize("name", ["hdc", "one_contrastive", "abier"])
def test_a_network_is_recorded_all_together_and_each_learner_alone(name):
    found = record(name, 0, steps=1)["hits"]
    assert found.dtype == torch.bool and found.shape == (
        1 if name.startswith("one") else 4,
        len(searched()[0]),
    )
    assert 0.1 < float(found[0].double().mean()) < 0.9


def test_what_is_packed_is_what_is_read(tmp_path, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    size, kept = len(searched()[0]), {}
    for name in ("untrained", *NETWORKS):
        for seed in range(2):
            kept[name, seed] = torch.rand(1 if "one" in name else 4, size, generator=generator) < 0.5
            torch.save({"hits": kept[name, seed]}, tmp_path / f"{name}-{seed}.pt")
    pack(tmp_path, tmp_path / "learners.npz")
    monkeypatch.setattr("dmlteach.course.recordings.learners.resources.files", lambda package: tmp_path)
    read = learners()
    assert read.seeds["hdc"] == read.seeds["untrained"] == [0, 1]
    for (name, seed), expected in kept.items():
        assert read.hits[name][seed].equal(expected)
    assert read.recall("hdc", 2)[1] == pytest.approx(float(kept["hdc", 1][2].double().mean()))


def test_the_recorded_untrained_network_is_that_of_its_seed():
    assert learners().hits["untrained"][0].equal(untrained(0))
