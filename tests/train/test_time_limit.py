"""--max-minutes: of this start; the position inside the epoch is kept; no plan that leaves no time for steps.

No test asks how fast a machine is: a limit is either over after the first step on any machine, or never.
"""

import json

import pytest
from typer.testing import CliRunner

from dmlteach.cli import app
from dmlteach.distributed import World
from dmlteach.errors import DMLTeachError
from dmlteach.train import fit, time_limit
from dmlteach.train.time_limit import Clock
from tests.train.runs import assert_equal_runs, saved_position, tiny

OVER_AT_ONCE, NEVER = 1e-9, 1e9
PLANLESS = {"method": "contrastive", "batches_per_epoch": 3}  # nothing is embedded before an epoch


def ended(result) -> str:
    return result.metrics["final"]["ended"]


def test_a_limit_keeps_the_position_inside_the_epoch_and_steps_sum_up_to_the_uninterrupted_run(tmp_path):
    options = {**PLANLESS, "method": "multi_similarity", "memory": 60, "max_minutes": OVER_AT_ONCE}
    positions, said = [], []
    for start in range(6):
        result = fit(tiny(tmp_path, **options, resume=start > 0))
        positions.append(saved_position(result.path))
        said.append((result.metrics["final"]["epochs"], result.metrics["final"]["steps"]))
        assert len(result.metrics["epochs"]) == result.metrics["final"]["epochs"]  # whole epochs only
        if start == 1:
            assert ended(result) == (
                "--max-minutes 1e-09 ended it after 2 steps (0 epochs and 2 of the 3 of the next); "
                "--resume goes on from there."
            )
    assert positions == [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0)]
    assert said == [(0, 1), (0, 2), (1, 3), (1, 4), (1, 5), (2, 6)]
    assert ended(result) == "all 2 epochs are trained."
    straight = fit(tiny(tmp_path, "straight", **options | {"max_minutes": None}))
    assert_equal_runs(result.path, straight.path)


def test_under_local_sampling_a_run_that_is_stopped_inside_an_epoch_does_not_plan_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(Clock, "is_over", _after(steps=2))
    first = fit(tiny(tmp_path, max_minutes=NEVER))
    assert saved_position(first.path) == (0, 2)
    monkeypatch.undo()
    resumed = fit(tiny(tmp_path, max_minutes=NEVER, resume=True))
    straight = fit(tiny(tmp_path, "straight"))
    assert_equal_runs(resumed.path, straight.path)


def _after(steps: int):
    """`Clock.is_over` as if the time were over after so many steps: it is asked after each."""
    asked = iter(range(1, 1000))
    return lambda clock, needed=0.0: next(asked) >= steps


def test_a_first_plan_that_would_take_most_of_the_limit_is_refused(tmp_path):
    with pytest.raises(DMLTeachError) as error:
        fit(tiny(tmp_path, max_minutes=OVER_AT_ONCE))
    message = str(error.value)
    assert message.startswith("the local sampler needs the embeddings of 480 images before the first step")
    assert "more than half of --max-minutes 1e-09" in message
    assert "--sampler class_balanced" in message
    assert not (tmp_path / "run").exists()
    with pytest.raises(DMLTeachError, match=r"the hierarchical_triplet loss .* multi_similarity"):
        fit(tiny(tmp_path, method="htl", max_minutes=OVER_AT_ONCE))
    assert fit(tiny(tmp_path, max_minutes=NEVER, epochs=1)).metrics["final"]["epochs"] == 1


def test_a_resumed_run_that_begins_with_a_plan_is_refused_alike_and_stays_as_it_is(tmp_path):
    def unplug(run):
        if run.epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(tiny(tmp_path), unplug)
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(DMLTeachError, match="before the first step"):
        fit(tiny(tmp_path, max_minutes=OVER_AT_ONCE, resume=True))
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_what_is_refused_is_told_from_the_speed_of_one_batch():
    check = {"count": 60_000, "who": "the local sampler", "cure": "…"}
    time_limit.check_first_plan(minutes=1, seconds=30, **check)
    with pytest.raises(DMLTeachError, match=r"60,000 images .* about 31 s .* Give --max-minutes 3, or"):
        time_limit.check_first_plan(minutes=1, seconds=31, **check)


def test_a_later_plan_that_would_leave_no_time_for_steps_is_not_begun(tmp_path, monkeypatch):
    asked = []
    original = Clock.is_over

    def is_over(clock, needed=0.0):
        asked.append(needed > 0)
        return original(clock, needed=10 * 60 * NEVER if needed else 0.0)  # as if plans took that long

    monkeypatch.setattr(Clock, "is_over", is_over)
    result = fit(tiny(tmp_path, max_minutes=NEVER, batches_per_epoch=2))
    assert asked == [False, False, True]  # after each step, and after the epoch
    assert ended(result).startswith("--max-minutes 1e+09 ended it after 2 steps (1 epoch);")
    monkeypatch.undo()
    resumed = fit(tiny(tmp_path, max_minutes=NEVER, batches_per_epoch=2, resume=True))
    straight = fit(tiny(tmp_path, "straight", batches_per_epoch=2))
    assert_equal_runs(resumed.path, straight.path)


def test_a_limit_costs_no_message_between_the_processes(tmp_path, monkeypatch):
    """All processes agree on the step by what they say each step anyway."""
    said: dict[float | None, list] = {None: [], NEVER: []}
    for minutes, messages in said.items():
        monkeypatch.setattr(World, "share", lambda world, value, to=messages: to.append(value) or value)
        fit(tiny(tmp_path, f"{minutes}", **PLANLESS, max_minutes=minutes))
    assert len(said[None]) == len(said[NEVER])


def test_resuming_a_finished_run_adds_no_training_time(tmp_path):
    first = fit(tiny(tmp_path, **PLANLESS, epochs=1))
    for _ in range(2):
        again = fit(tiny(tmp_path, **PLANLESS, epochs=1, resume=True))
        assert again.metrics == first.metrics
    assert json.loads((first.path / "metrics.json").read_text()) == first.metrics
    assert first.metrics["final"]["train_seconds"] >= first.metrics["epochs"][0]["seconds"]


def test_the_time_of_all_starts_counts_as_training_time(tmp_path):
    """Each start stops after one step; the sum grows by at least what the steps took."""
    seconds = [
        fit(tiny(tmp_path, **PLANLESS, max_minutes=OVER_AT_ONCE, resume=start > 0)).metrics["final"][
            "train_seconds"
        ]
        for start in range(3)
    ]
    assert 0 < seconds[0] < seconds[1] < seconds[2]


def test_the_command_says_how_many_steps_were_made_where_no_epoch_is_whole(tmp_path):
    words = ["--method", "contrastive", "--classes", "12", "--batch-size", "40", "--eval-every", "0"]
    limit = ["--max-minutes", "1e-9", "--no-progress", "--output", str(tmp_path / "run"), "--device", "cpu"]
    done = CliRunner().invoke(app, ["train", *words, *limit])
    assert done.exit_code == 0, done.output
    assert "ended it after 1 step (0 epochs and 1 of the " in done.output
    assert not list((tmp_path / "run").glob("curve*"))
