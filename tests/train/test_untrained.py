"""A run keeps what its network reached before the first step, on the very images it is tested on."""

import json
import shutil

import pytest
import torch
from typer.testing import CliRunner

from dmlteach import data, evaluate, models
from dmlteach.cli import app
from dmlteach.evaluation.before_training import untrained
from dmlteach.train import fit
from dmlteach.train.held_out import HeldOut
from tests.train.runs import tiny


def test_it_is_what_evaluate_says_of_the_network_that_is_created(tmp_path):
    result = fit(tiny(tmp_path, epochs=1, recall_at=(1, 5), seed=3))
    network = models.create("omniglot_cnn", 16, seed=3)
    expected = evaluate(network, data.load("omniglot", "test", classes=24), ks=(1, 5), device="cpu")
    assert result.metrics["untrained"] == expected
    assert expected["num_classes"] == 24
    assert set(expected) <= set(result.metrics["final"])
    assert json.loads((result.path / "metrics.json").read_text()) == result.metrics
    assert list(result.metrics) == ["untrained", "epochs", "final"]


def test_learners_of_an_ensemble_are_independent_already(tmp_path):
    seen = []

    def watch(run):
        if run.epoch == 0:
            images = data.load("omniglot", "test", classes=24)
            seen.append(evaluate(run.model, images, device="cpu"))

    result = fit(tiny(tmp_path, method="bier", epochs=1), watch)
    assert [result.metrics["untrained"]] == seen
    random = evaluate(
        models.create("omniglot_cnn", 16, head="bier"), data.load("omniglot", "test", classes=24)
    )
    assert random["map@r"] != seen[0]["map@r"]


def test_a_resumed_run_knows_it_without_measuring_anew(tmp_path, monkeypatch):
    def unplug(run):
        if run.epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(tiny(tmp_path, method="contrastive"), unplug)
    written = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert list(written) == ["untrained", "epochs"]
    measured = []
    original = HeldOut.measure
    monkeypatch.setattr(HeldOut, "measure", lambda self, *a: measured.append(1) or original(self, *a))
    resumed = fit(tiny(tmp_path, method="contrastive", resume=True))
    assert resumed.metrics["untrained"] == written["untrained"] != resumed.metrics["final"]
    assert len(measured) == 1  # the trained network
    state = torch.load(resumed.path / "checkpoint.pt", weights_only=True)
    del state["untrained"]  # as in a run made before
    torch.save(state, resumed.path / "checkpoint.pt")
    assert "untrained" not in fit(tiny(tmp_path, method="contrastive", resume=True)).metrics


def test_measuring_it_draws_nothing_at_random(tmp_path):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    states = []
    original = HeldOut.measure

    def watched(self, *arguments):
        states.append(torch.get_rng_state())
        numbers = original(self, *arguments)
        states.append(torch.get_rng_state())
        return numbers

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HeldOut, "measure", watched)
        fit(tiny(tmp_path, method="contrastive", epochs=1))
    assert len(states) == 4
    assert all(torch.equal(before, state) for state in states)


# ── beside the trained network's ──────────────────────────────────────────────────────────────────────


def say(*words: str) -> list[list[str]]:
    done = CliRunner().invoke(app, [*words, "--device", "cpu"])
    assert done.exit_code == 0, done.output
    return [line.split() for line in done.output.splitlines()]


def test_train_and_evaluate_print_both_side_by_side(tmp_path):
    run = str(tmp_path / "run")
    options = ["--classes", "12", "--batch-size", "40", "--method", "contrastive", "--epochs", "1"]
    trained = say("train", "--output", run, "--eval-every", "0", "--no-progress", *options)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    pair = [f"{metrics[when]['recall@1']:.4f}" for when in ("untrained", "final")]
    assert ["untrained", "trained"] in trained
    assert ["recall@1", *pair] in trained
    assert ["num_classes", "12"] in trained
    numbers = tmp_path / "numbers.json"
    evaluated = say("evaluate", "--checkpoint", run, "--classes", "12", "--output", str(numbers))
    assert ["recall@1", *pair] in evaluated
    assert json.loads(numbers.read_text())["untrained"] == metrics["untrained"]
    for path, classes in ((run, "11"), (f"{run}/model.safetensors", "12")):
        other = say("evaluate", "--checkpoint", path, "--classes", classes)
        (line,) = [line for line in other if line[:3] == ["untrained", "not", "known:"]]
        assert ("(give --classes 12, as the training had)." in " ".join(line)) == (path == run)
        assert ["untrained", "trained"] not in other


def test_it_stands_only_beside_numbers_of_the_same_images(tmp_path):
    result = fit(tiny(tmp_path, epochs=1, method="contrastive"))
    numbers = result.metrics["final"]
    same = {"dataset": "omniglot", "split": "test", "options": {}}
    assert untrained(result.path, numbers, **same) == (result.metrics["untrained"], "")
    for other, why in (
        ({"split": "val"}, "not on these images"),
        ({"dataset": "folder"}, "24 test classes of omniglot"),
        ({"options": {"seed": 1}}, "not on these images"),
        ({"measured": numbers | {"num_classes": 23}}, "not on these images"),
        (
            {"measured": {k: v for k, v in numbers.items() if "recall" not in k} | {"recall@3": 1.0}},
            "other K",
        ),
    ):
        found, said = untrained(result.path, **{"measured": numbers, **same, **other})
        assert found is None
        assert why in said
    assert untrained(result.path / "model.safetensors", numbers, **same)[0] is None
    moved = shutil.copytree(result.path, tmp_path / "moved")
    (moved / "metrics.json").write_text(json.dumps({"epochs": []}))
    assert "was made before" in untrained(moved, numbers, **same)[1]
    for damaged in ("[]", "{", '{"config": 3}'):
        (moved / "config.json").write_text(damaged)
        assert "can be read" in untrained(moved, numbers, **same)[1]
