"""The networks that come with the package: trained as the benchmark chose, with cards that are true."""

import json
from importlib import resources

import pytest
import torch

from dmlteach import data, models
from dmlteach.course import measured
from dmlteach.course.recordings import RECORDED, __main__, recordings
from dmlteach.embeddings import embed
from dmlteach.evaluation import evaluate
from dmlteach.models import SHIPPED

MOST_BYTES = 1_000_000


@pytest.mark.parametrize("name", RECORDED)
def test_a_shipped_network_has_the_rate_and_the_option_that_the_benchmark_chose(name):
    recipe, best = models.card(name)["recipe"], measured.tuned(name).best
    assert recipe["learning_rate"] == best.learning_rate
    options = {**recipe["loss_options"], **recipe["head_options"]}
    if best.option:
        assert options[best.option] == best.value
    assert recipe["sampler"] == __main__.SAMPLERS[name]


def test_all_have_the_same_steps_images_and_schedule_and_the_best_of_the_benchmark_is_among_them():
    recipes = [models.card(name)["recipe"] for name in RECORDED]
    for part in ("epochs", "batches_per_epoch", "batch_size", "schedule", "backbone", "embedding_dim"):
        assert len({str(recipe[part]) for recipe in recipes}) == 1, part
    assert measured.ranking()[0].method in SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_the_card_of_a_shipped_network_says_what_the_file_reaches(name):
    """The file has 16-bit weights: a few drawings of thirteen thousand may find another neighbour."""
    card, found = models.card(name), evaluate(models.pretrained(name), data.load("omniglot", "test"))
    assert card["recall@1"] == pytest.approx(found["recall@1"], abs=2e-3)
    assert (card["num_queries"], card["num_classes"]) == (found["num_queries"], found["num_classes"])
    file = resources.files("dmlteach.models") / "shipped" / f"{name}.safetensors"
    assert len(file.read_bytes()) <= MOST_BYTES


@pytest.mark.parametrize("name", RECORDED)
def test_a_card_has_the_untrained_network_the_seconds_and_three_seeds(name):
    card = models.card(name)
    assert set(card["recall@1_by_seed"]) == {"0", "1", "2"} and len({*card["recall@1_by_seed"].values()}) == 3
    assert card["recall@1_by_seed"]["0"] == card["recall@1"] > card["untrained"]
    assert card["train_seconds"] > 0 and card["made_with"]["threads"] == 1


def test_a_network_is_made_with_its_recording_and_other_seeds_are_noted_on_its_card(tmp_path, monkeypatch):
    monkeypatch.setattr(__main__, "COMMON", {**__main__.COMMON, "epochs": 1, "batches_per_epoch": 1})
    for seed in (0, 3):
        __main__.make("softmax", seed, tmp_path, tmp_path)
    card = json.loads((tmp_path / "softmax.json").read_text())
    assert list(card["recall@1_by_seed"]) == ["0", "3"]
    assert card["recall@1_by_seed"]["3"] != card["recall@1"] == card["recall@1_by_seed"]["0"]
    assert card["config"]["learning_rate"] == measured.tuned("softmax").best.learning_rate
    assert models.load(tmp_path / "softmax.safetensors").spec == models.pretrained("softmax").spec
    assert (tmp_path / "softmax.npz").stat().st_size < MOST_BYTES


@pytest.mark.parametrize("name", RECORDED)
def test_a_recording_ends_with_the_embedding_of_its_network(name):
    """Recall@1 among the recorded drawings is that of the shipped file, but for its 16 bits."""
    record, test = recordings(name), data.load("omniglot", "test")
    rows = evaluate(models.pretrained(name), test.subset_classes(sorted({*record.labels.tolist()})))
    assert record.recall[-1] == pytest.approx(rows["recall@1"], abs=0.006)


@pytest.mark.parametrize("name", RECORDED)
def test_distances_of_a_recordings_end_are_those_of_its_network(name):
    """All directions are kept, rounded to 255 steps; the file of the network has 16 bits."""
    record, test = recordings(name), data.load("omniglot", "test")
    z = embed(models.pretrained(name), test.subset_classes(sorted({*record.labels.tolist()})))
    kept, expected = torch.pdist(record.embeddings[-1]), torch.pdist(z)
    assert record.embeddings.shape[2] == z.shape[1]
    assert (kept - expected).abs().max() < 0.02 * expected.mean()
