"""A run continues from its checkpoint, wherever that stands, to the bits of an uninterrupted run."""

from pathlib import Path

import pytest

from dmlteach.train import TrainConfig, fit
from tests.train.runs import TINY, assert_equal_runs, saved_position, tiny, torchrun, train_and_kill

ONE_BATCH = {"method": "contrastive", "batches_per_epoch": 1, "epochs": 3, "save_every": 0}


@pytest.mark.parametrize(
    ("batches", "killed_at", "checkpoint_at"),
    [(1, "1.1", (1, 1)), (2, "0.2", (0, 2)), (2, "2.2", (2, 2))],
    ids=["one batch an epoch", "the first epoch's last step", "the last epoch's last step"],
)
def test_a_checkpoint_after_an_epochs_last_step_resumes_to_the_same_bits(
    tmp_path, batches, killed_at, checkpoint_at
):
    options = {**ONE_BATCH, "batches_per_epoch": batches}
    config = {**TINY, **options, "output": str(tmp_path / "killed")}
    train_and_kill(config, killed_at, moment="save_if_due")
    assert saved_position(tmp_path / "killed") == checkpoint_at
    resumed = fit(TrainConfig(**{**config, "resume": True}))
    straight = fit(tiny(tmp_path, "straight", **options))
    assert_equal_runs(resumed.path, straight.path)


@pytest.mark.slow
def test_so_it_does_under_torchrun_and_so_does_a_time_limit_inside_an_epoch(tmp_path):
    """Under torchrun a checkpoint may stand after an epoch's last step as well."""
    base = {**TINY, **ONE_BATCH, "epochs": 2, "device": "cpu"}
    straight, killed = ({**base, "output": str(tmp_path / name)} for name in ("straight", "killed"))
    long = {**base, "batches_per_epoch": 2, "output": str(tmp_path / "long")}
    limited = {**long, "max_minutes": 1e-9, "output": str(tmp_path / "limited")}
    ended = torchrun(tmp_path, [straight, long, limited, killed], "0.1", moment="save_if_due")
    assert ended.returncode != 0
    assert saved_position(tmp_path / "killed") == saved_position(tmp_path / "limited") == (0, 1)
    resumed = torchrun(tmp_path, [{**one, "max_minutes": None, "resume": True} for one in (killed, limited)])
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    for ours, truth in ((killed, straight), (limited, long)):
        assert_equal_runs(Path(ours["output"]), Path(truth["output"]))
