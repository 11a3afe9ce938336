"""Training: a run's folder, exact resume after a kill, and clear errors."""

import json
import math
import shutil
import signal
import subprocess
import sys
import threading

import pytest
import torch
from safetensors.torch import load_file

from dmlteach import data
from dmlteach.distributed import World
from dmlteach.errors import DMLTeachError
from dmlteach.files import Lock
from dmlteach.train import TrainConfig, fit, resolve
from dmlteach.train.folder import RunFolder
from dmlteach.train.meter import LossReader, Meter
from tests.train.runs import ENVIRONMENT, TINY, tiny, without_times

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_run_folder_holds_config_metrics_weights_and_checkpoint(tmp_path):
    result = fit(tiny(tmp_path, eval_every=1))
    names = {p.name for p in result.path.iterdir()}
    assert names == {
        "config.json", "data.json", "metrics.json", "metrics.jsonl", "model.safetensors", "checkpoint.pt",
    }  # fmt: skip
    metrics = json.loads((result.path / "metrics.json").read_text())
    assert metrics == result.metrics
    lines = (result.path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == metrics["epochs"]
    assert [row["epoch"] for row in metrics["epochs"]] == [0, 1]
    assert all(0 <= row["val"]["recall@1"] <= 1 for row in metrics["epochs"])
    assert {"recall@1", "map@r", "train_seconds"} <= metrics["final"].keys()
    config = json.loads((result.path / "config.json").read_text())
    assert config["config"]["method"] == "sst"
    assert config["recipe"]["sampler"] == "local"


def test_equal_seeds_give_equal_runs_and_others_do_not(tmp_path):
    first, again = (load_file(fit(tiny(tmp_path, n)).path / "model.safetensors") for n in "ab")
    other = load_file(fit(tiny(tmp_path, "c", seed=1)).path / "model.safetensors")
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not all(torch.equal(first[k], other[k]) for k in first)


def test_micro_batches_train_the_same_network(tmp_path):
    whole = load_file(fit(tiny(tmp_path, "a")).path / "model.safetensors")
    parts = load_file(fit(tiny(tmp_path, "b", micro_batch=17)).path / "model.safetensors")
    for key in whole:
        torch.testing.assert_close(parts[key], whole[key], rtol=0, atol=2e-3)


CHILD = """
import sys, json, time
import dmlteach.train as train
config = train.TrainConfig(**json.loads(sys.argv[1]))
kill_at = sys.argv[2]
original = train.Run.train_on
def train_on(self, batch, pixels):
    original(self, batch, pixels)
    if f"{self.epoch}.{self.step}" == kill_at:
        print("reached", flush=True)
        time.sleep(60)
train.Run.train_on = train_on
train.fit(config)
"""


def run_and_kill(config: dict, kill_at: str) -> None:
    """Train in a second process and kill -9 it after step `epoch.step`."""
    arguments = [sys.executable, "-c", CHILD, json.dumps(config), kill_at]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as child:
        assert child.stdout.readline().strip() == "reached"
        child.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("kill_at", ["0.2", "1.3"], ids=["before the first save", "after a mid-epoch save"])
def test_resume_after_kill_9_gives_bit_identical_weights(tmp_path, kill_at):
    config = {**TINY, "method": "sst", "output": str(tmp_path / "killed")}
    config["save_every"] = 0 if kill_at == "1.3" else 300
    run_and_kill(config, kill_at)
    assert (tmp_path / "killed" / "checkpoint.pt").exists() == (kill_at == "1.3")
    if kill_at == "1.3":
        saved = torch.load(tmp_path / "killed" / "checkpoint.pt", weights_only=True)
        assert saved["position"][1] > 0  # inside an epoch

    resumed = fit(TrainConfig(**{**config, "resume": True}))
    straight = fit(tiny(tmp_path, "straight"))

    ours, truth = (load_file(r.path / "model.safetensors") for r in (resumed, straight))
    assert all(torch.equal(ours[k], truth[k]) for k in truth)
    assert without_times(resumed.metrics) == without_times(straight.metrics)


def test_a_second_training_in_a_folder_gets_one_sentence_and_writes_nothing(tmp_path):
    lock = Lock(tmp_path / "run")
    assert lock.take()
    for resume in (False, True):
        with pytest.raises(DMLTeachError, match="another training is at work in .*run; wait .* --output"):
            fit(tiny(tmp_path, resume=resume))
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.lock"]
    lock.release()


def test_a_run_survives_the_removal_of_its_folder(tmp_path):
    folder = tmp_path / "run"

    def remove(run):
        if run.epoch in (0, 2):  # at the start, and after the last epoch
            shutil.rmtree(folder)

    survived = fit(tiny(tmp_path), remove)
    straight = fit(tiny(tmp_path, "straight"))
    assert {p.name for p in folder.iterdir()} == {p.name for p in straight.path.iterdir()}
    ours, truth = (json.loads((p / "metrics.json").read_text()) for p in (folder, straight.path))
    assert without_times(ours) == without_times(truth)
    ours, truth = (load_file(result.path / "model.safetensors") for result in (survived, straight))
    assert all(torch.equal(ours[k], truth[k]) for k in truth)
    assert fit(tiny(tmp_path, resume=True)).metrics["epochs"] == survived.metrics["epochs"]


def test_a_run_that_cannot_begin_leaves_no_folder(tmp_path):
    with pytest.raises(DMLTeachError, match="learning"):
        fit(tiny(tmp_path, "new/run", learning_rate=-1))
    assert not list(tmp_path.iterdir())


def test_an_event_set_elsewhere_ends_the_run_after_the_step_and_resume_continues(tmp_path):
    class Ending(threading.Event):
        asked = 0

        def is_set(self) -> bool:  # it is asked once a step, and after each epoch
            self.asked += 1
            return self.asked > 4

    with pytest.raises(KeyboardInterrupt):
        fit(tiny(tmp_path, batches_per_epoch=3), stop=Ending())
    saved = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert saved["position"][:2] == (1, 1)  # the fourth step was the first of the second epoch
    resumed = fit(tiny(tmp_path, batches_per_epoch=3, resume=True))
    whole = fit(tiny(tmp_path, "whole", batches_per_epoch=3))
    assert without_times(resumed.metrics) == without_times(whole.metrics)


def test_a_nan_stops_the_run_before_it_is_saved(tmp_path):
    with pytest.raises(DMLTeachError, match="the loss became"):
        fit(tiny(tmp_path, learning_rate=1e30, schedule="constant", save_every=0, sampler="random"))
    saved = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert all(torch.isfinite(torch.tensor(saved["meter"]["losses"])))
    assert len(json.loads((tmp_path / "run" / "nan_batches.json").read_text())[-1]["images"]) == 48


def test_the_step_is_named_whose_loss_is_not_finite(tmp_path):
    meter, folder = Meter(), RunFolder(tiny(tmp_path))
    folder.path.mkdir()
    losses = LossReader(folder, World())
    with pytest.raises(DMLTeachError, match="the loss became nan in epoch 3, step 2;"):
        for step, loss in enumerate((0.5, math.nan, 0.5)):
            losses.add(torch.tensor(loss), meter, 2, step, [step])
    last = json.loads((folder.path / "nan_batches.json").read_text())[-1]
    assert last == {"epoch": 3, "step": 2, "images": [1]}


def test_the_bar_tells_what_was_seen_a_look_before():
    """So that no device is waited for."""
    meter = Meter()
    meter.losses = [0.25]
    for active, told in ((0.5, None), (0.75, "50%"), (math.nan, "75%"), (0.5, None)):
        meter.look({"active_tuples": torch.tensor(active)})
        assert meter.brief().get("active") == told
    assert meter.mean_stats() == {"active_tuples": pytest.approx(0.5833333)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "sstt"}, "unknown method 'sstt'; did you mean 'sst'?"),
        ({"dataset": "omniglt"}, "did you mean 'omniglot'?"),
        ({"loss": "tripplet"}, "did you mean 'triplet'?"),
        ({"loss_options": {"num_target": 3}}, "did you mean 'num_targets'?"),
        ({"sampler_options": {"balanse": True}}, "did you mean 'balance'?"),
        ({"schedule": "cosin"}, "did you mean 'cosine'?"),
        ({"transform": "crops"}, "did you mean 'crop'?"),
        ({"precision": "fp16"}, "unknown precision 'fp16'"),
        ({"batch_size": 10_000}, "batch_size 10000 is larger than the data"),
        ({"batch_size": 0}, "batch_size must be positive, not 0"),
        ({"epochs": -1}, "epochs must be positive"),
        ({"backbone": "resnet51"}, "did you mean 'resnet50'?"),
        ({"backbone": "resnet18", "weights": "none"}, "choose another --backbone"),
        ({"checkpoint": "nowhere"}, "no checkpoint at nowhere"),
        ({"classes": 1, "dataset_options": {"rotations": False}}, "one class only"),
    ],
)
def test_a_mistake_is_one_clear_error_and_nothing_is_written(tmp_path, options, message):
    with pytest.raises(DMLTeachError) as error:
        fit(tiny(tmp_path, **options))
    assert message in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_second_run_into_the_same_folder_is_refused(tmp_path):
    fit(tiny(tmp_path))
    with pytest.raises(DMLTeachError, match="already holds a run"):
        fit(tiny(tmp_path))


def test_resuming_with_other_options_is_refused_before_an_image_is_looked_at(tmp_path, monkeypatch):
    fit(tiny(tmp_path))
    monkeypatch.setattr(data, "load", None)
    with pytest.raises(DMLTeachError, match="was made with seed=0, not 5"):
        fit(tiny(tmp_path, seed=5, resume=True))


def test_a_recipe_is_method_then_data_set_then_config():
    assert resolve(TrainConfig(dataset="cub200")).backbone == "resnet50"
    assert resolve(TrainConfig()).backbone == "omniglot_cnn"
    assert resolve(TrainConfig(backbone="resnet18")).backbone == "resnet18"
    other = resolve(TrainConfig(method="contrastive", sampler="random"))
    assert other.sampler_options == {}  # images_per_class belongs to the sampler that was replaced
