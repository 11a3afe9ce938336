"""How a run ends: the model and the numbers are there, and one sentence says why it ended."""

import json

import torch

from dmlteach import models
from dmlteach.distributed import World
from dmlteach.samplers import Local
from dmlteach.train import Run, fit
from tests.train.pictures import ON_PICTURES, flat_colors
from tests.train.runs import assert_equal_runs, tiny, weights


def final(folder):
    return json.loads((folder / "metrics.json").read_text())["final"]


def test_every_run_says_why_it_ended_and_after_how_many_steps(tmp_path):
    whole = fit(tiny(tmp_path, "whole", method="contrastive", batches_per_epoch=3)).metrics["final"]
    assert (whole["epochs"], whole["steps"], whole["ended"]) == (2, 6, "all 2 epochs are trained.")
    # At a rate of nearly nothing the loss of an epoch is that of its one random batch: soon one is no better.
    options = {"method": "contrastive", "early_stopping": 1, "epochs": 50, "learning_rate": 1e-12}
    early = fit(tiny(tmp_path, "early", schedule="constant", batches_per_epoch=1, **options))
    assert early.metrics["final"]["epochs"] < 50
    assert early.metrics["final"]["ended"].startswith("early stopping: no better training loss in the last 1")
    again = fit(tiny(tmp_path, "early", schedule="constant", batches_per_epoch=1, **options, resume=True))
    assert again.metrics["final"]["ended"] == early.metrics["final"]["ended"]


def test_a_sampler_that_finds_no_triplet_ends_the_training_in_good_order(tmp_path, capsys):
    """Any network tells flat colors apart, and a class has more of them than a batch."""
    root = str(flat_colors(tmp_path / "colors", classes=6, images=12))
    options = {**ON_PICTURES, "root": root, "batch_size": 6, "progress": True}
    result = fit(tiny(tmp_path, **options))
    said = final(result.path)["ended"]
    assert said in capsys.readouterr().out
    assert said.startswith("before the first step no batch of the local sampler held a triplet")
    assert "--batch-size above 6 or --sampler local_classes or class_balanced" in said
    assert (final(result.path)["steps"], final(result.path)["epochs"]) == (0, 0)
    assert models.load(result.path).spec.backbone == "resnet18"
    before = weights(result.path)
    resumed = fit(tiny(tmp_path, **options, resume=True))
    assert final(resumed.path) == final(result.path) | {"train_seconds": final(resumed.path)["train_seconds"]}
    assert all(before[key].equal(value) for key, value in weights(result.path).items())
    helped = fit(tiny(tmp_path, "helped", **options | {"batch_size": 12, "sampler": "local_classes"},
                      sampler_options={"images_per_class": 4, "neighbourhoods": 1}))  # fmt: skip
    assert final(helped.path)["epochs"] == 2


def test_where_the_triplets_run_out_later_the_epochs_before_count(tmp_path, monkeypatch):
    whole = fit(tiny(tmp_path, "whole", schedule="constant"))
    compose = Local._compose

    def apart_after_two_epochs(sampler, rng, space, last_loss):
        return ([], [], {"batches": 0}) if sampler.epoch == 1 else compose(sampler, rng, space, last_loss)

    monkeypatch.setattr(Local, "_compose", apart_after_two_epochs)
    ended = fit(tiny(tmp_path, "ended", schedule="constant", epochs=9))
    assert final(ended.path)["ended"].startswith(
        "after 2 epochs no batch of the local sampler held a triplet"
    )
    ours, theirs = weights(ended.path), weights(whole.path)
    assert all(ours[key].equal(theirs[key]) for key in theirs)
    monkeypatch.undo()  # whatever a plan would find now: the run has ended
    before = weights(ended.path)
    resumed = fit(tiny(tmp_path, "ended", schedule="constant", epochs=9, resume=True))
    assert resumed.metrics["epochs"] == ended.metrics["epochs"]
    assert all(before[key].equal(value) for key, value in weights(resumed.path).items())


def test_a_checkpoint_of_before_says_whether_early_stopping_had_ended_the_run(tmp_path):
    """Such a checkpoint holds a fourth number in its position and no reason."""
    options = {"method": "contrastive", "batches_per_epoch": 1}
    whole = fit(tiny(tmp_path, "whole", **options))
    straight = tmp_path / "before"
    fit(tiny(tmp_path, "before", **options))
    state = torch.load(straight / "checkpoint.pt", weights_only=True)
    del state["ended"]
    state["position"] = (*state["position"], True)
    torch.save(state, straight / "checkpoint.pt")
    resumed = fit(tiny(tmp_path, "before", **options, resume=True))
    assert_equal_runs(resumed.path, whole.path)


def test_a_run_of_before_keeps_the_sampling_it_was_made_with(tmp_path):
    """Off the sphere, made embeddings carried no gradient by default then."""
    options = {"method": "triplet", "sampler": "class_balanced", "das": True, "batches_per_epoch": 1}
    fit(tiny(tmp_path, **options))
    resumed = tiny(tmp_path, **options, resume=True)

    def detach() -> bool:
        run = Run(resumed, torch.device("cpu"), World())
        run.start()
        return run.parts.objective.das.detach

    assert not detach()
    state = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    del state["ended"]
    torch.save(state, tmp_path / "run" / "checkpoint.pt")
    assert detach()
