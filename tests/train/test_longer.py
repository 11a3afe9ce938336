"""A run resumed with more epochs comes to the bits of one that had them from its start, or is refused."""

import json
from dataclasses import replace

import pytest
import torch

from dmlteach import methods
from dmlteach.errors import DMLTeachError
from dmlteach.train import TrainConfig, fit
from tests.train.runs import TINY, assert_equal_runs, saved_position, tiny, train_and_kill, weights

SHORT = {"method": "contrastive", "batches_per_epoch": 2, "epochs": 2}
SCHEDULES = {
    "constant": {},
    "step": {"factor": 0.1, "at": (1, 3)},
    "plateau": {"factor": 0.5, "patience": 0},
}


def epochs_told(folder):
    """By the description, by the checkpoint, and by the numbers."""
    described = json.loads((folder / "config.json").read_text())
    kept = torch.load(folder / "checkpoint.pt", weights_only=True)["config"]["epochs"]
    final = json.loads((folder / "metrics.json").read_text())["final"]["epochs"]
    return described["config"]["epochs"], described["recipe"]["epochs"], kept, final


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_finished_run_trains_on_to_the_bits_of_the_longer_one(tmp_path, schedule, monkeypatch):
    """At a small rate the loss of an epoch is that of its random batches, so that a plateau comes."""
    drawings = methods.ADAPTATIONS["omniglot"]
    changes = drawings.changes | {"schedule": schedule, "schedule_options": SCHEDULES[schedule]}
    monkeypatch.setitem(methods.ADAPTATIONS, "omniglot", replace(drawings, changes=changes))
    options = {**SHORT, "method": "proxy_nca", "learning_rate": 1e-6}
    fit(tiny(tmp_path, **options))
    longer = fit(tiny(tmp_path, **{**options, "epochs": 5}, resume=True))
    straight = fit(tiny(tmp_path, "straight", **{**options, "epochs": 5}))
    assert_equal_runs(longer.path, straight.path)
    assert epochs_told(longer.path) == (5, 5, 5, 5)
    assert longer.metrics["final"]["ended"] == "all 5 epochs are trained."
    rates = [row["lr"] for row in straight.metrics["epochs"]]
    assert (rates[-1] < rates[1]) == (schedule != "constant")


@pytest.mark.parametrize("again", ["1.1", "2.1"], ids=["as it was made", "with more epochs"])
def test_a_run_that_was_killed_can_be_given_more_epochs_and_be_killed_again(tmp_path, again):
    options = {**SHORT, "schedule": "constant", "save_every": 0}
    config = {**TINY, **options, "output": str(tmp_path / "killed")}
    train_and_kill(config, "0.1", moment="save_if_due")
    epochs = 4 if again == "2.1" else 2
    train_and_kill({**config, "resume": True, "epochs": epochs}, again, moment="save_if_due")
    assert saved_position(tmp_path / "killed") == (epochs // 2, 1)
    longer = fit(TrainConfig(**{**config, "resume": True, "epochs": 4}))
    assert_equal_runs(longer.path, fit(tiny(tmp_path, "straight", **{**options, "epochs": 4})).path)
    assert epochs_told(longer.path) == (4, 4, 4, 4)


def test_early_stopping_that_has_waited_long_enough_ends_the_longer_run_too(tmp_path):
    """At a rate of nearly nothing an epoch's loss is that of its one random batch: soon one is no better."""
    options = {"method": "contrastive", "early_stopping": 1, "learning_rate": 1e-12, "schedule": "constant"}
    options |= {"batches_per_epoch": 1}
    straight = fit(tiny(tmp_path, "straight", **options, epochs=50))
    ended = straight.metrics["final"]["epochs"]
    assert 1 < ended < 50
    at_its_end = fit(tiny(tmp_path, "at its end", **options, epochs=ended))  # both reasons hold
    assert at_its_end.metrics["final"]["ended"] == f"all {ended} epochs are trained."
    before = fit(tiny(tmp_path, "before", **options, epochs=ended - 1))
    for run in (at_its_end, before):
        longer = fit(tiny(tmp_path, run.path.name, **options, epochs=50, resume=True))
        assert_equal_runs(longer.path, straight.path)
        assert epochs_told(longer.path) == (50, 50, 50, ended)
    again = fit(tiny(tmp_path, "before", **options, epochs=60, resume=True))
    assert again.metrics["final"]["epochs"] == ended
    assert epochs_told(again.path) == (60, 60, 60, ended)


def test_the_number_that_the_recipe_has_can_be_said_or_left_out(tmp_path):
    options = {"method": "contrastive", "batches_per_epoch": 1}
    fit(tiny(tmp_path, **{**options, "epochs": None}))
    before = weights(tmp_path / "run")
    for epochs in (5, None):
        fit(tiny(tmp_path, **{**options, "epochs": epochs}, resume=True))
        assert all(before[key].equal(value) for key, value in weights(tmp_path / "run").items())


def test_where_the_rates_follow_from_the_length_a_sentence_says_what_helps(tmp_path):
    fit(tiny(tmp_path, **SHORT))  # cosine, as the recipe says for drawings
    before = (tmp_path / "run" / "metrics.json").read_bytes()
    with pytest.raises(
        DMLTeachError,
        match=r"made with epochs=2, not 4, and the rates of its cosine schedule follow from that number: "
        r"start a new run from its weights \(--checkpoint .*run, another --output\), or train with "
        r"--schedule constant or plateau or step, which can be resumed with more epochs\.",
    ):
        fit(tiny(tmp_path, **{**SHORT, "epochs": 4}, resume=True))
    assert (tmp_path / "run" / "metrics.json").read_bytes() == before


def test_fewer_epochs_than_are_begun_are_refused_and_as_many_end_the_run(tmp_path):
    options = {**SHORT, "schedule": "constant", "epochs": 3, "save_every": 0}
    config = {**TINY, **options, "output": str(tmp_path / "killed")}
    train_and_kill(config, "1.1", moment="save_if_due")
    with pytest.raises(
        DMLTeachError, match=r"has begun 2 epochs already, which epochs=1 would not have; give 2"
    ):
        fit(TrainConfig(**{**config, "epochs": 1, "resume": True}))
    shorter = fit(TrainConfig(**{**config, "epochs": 2, "resume": True}))
    assert_equal_runs(shorter.path, fit(tiny(tmp_path, "straight", **{**options, "epochs": 2})).path)


def test_without_a_number_a_longer_run_is_not_taken_for_a_shorter_one(tmp_path):
    fit(tiny(tmp_path, **{**SHORT, "epochs": 6, "schedule": "constant", "batches_per_epoch": 1}))
    with pytest.raises(
        DMLTeachError, match=r"was made with epochs=6, not None; resume it with the same options"
    ):
        fit(
            tiny(
                tmp_path,
                **{**SHORT, "epochs": None, "schedule": "constant", "batches_per_epoch": 1},
                resume=True,
            )
        )
