"""Small trainings, in this process and in others that can be killed, and how two of them are compared."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from dmlteach.train import TrainConfig

TINY: dict[str, Any] = {
    "classes": 24,
    "batch_size": 48,
    "epochs": 2,
    "embedding_dim": 16,
    "progress": False,
    "eval_every": 0,
}
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
TIMED = (
    "seconds", "elapsed", "plan_seconds", "images_per_second", "train_seconds", "kmeans_seconds",
)  # fmt: skip

# Kill -9 comes from the process itself, so it falls where it is meant to. Under torchrun the processes
# meet once, for all trainings: a second meeting would find the addresses of the first and never end.
CHILD = """
import json, os, signal, sys
import torch
import dmlteach.train as train
torch.set_num_threads(1)
if "WORLD_SIZE" in os.environ:
    torch.distributed.init_process_group("gloo")
configs, moment, position = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
original = getattr(train.Run, moment)
def killed(run, *arguments):
    original(run, *arguments)
    if run.world.is_main and run.config.output.endswith("killed") and f"{run.epoch}.{run.step}" == position:
        os.kill(os.getpid(), signal.SIGKILL)
setattr(train.Run, moment, killed)
for config in configs:
    train.fit(train.TrainConfig(**config))
if "WORLD_SIZE" in os.environ:
    torch.distributed.destroy_process_group()
"""


def tiny(tmp_path: Path, name: str = "run", **options: Any) -> TrainConfig:
    return TrainConfig(**{**TINY, "output": str(tmp_path / name), **options})


def train_and_kill(config: dict[str, Any], position: str, moment: str = "train_on") -> None:
    """Train in a second process that kills itself after `moment`, a method of Run, at epoch.step."""
    arguments = [sys.executable, "-c", CHILD, json.dumps([config]), moment, position]
    done = subprocess.run(arguments, env=ENVIRONMENT, capture_output=True, text=True, timeout=600)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]


def torchrun(tmp_path: Path, configs: list[dict[str, Any]], position: str = "", moment: str = "train_on"):
    """The same in two processes, one configuration after the other; `position` kills the main process."""
    script = tmp_path / "train.py"
    script.write_text(CHILD)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    arguments = [*launch, str(script), json.dumps(configs), moment, position]
    return subprocess.run(arguments, env=ENVIRONMENT, capture_output=True, text=True, timeout=600)


def saved_position(folder: Path) -> tuple[int, int]:
    """Epoch and step at which the folder's checkpoint stands."""
    epoch, step, *_ = torch.load(folder / "checkpoint.pt", weights_only=True)["position"]
    return epoch, step


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def assert_equal_runs(ours: Path, truth: Path) -> None:
    """The same weights bit for bit, and the same numbers, whatever the clock said."""
    mine, theirs = weights(ours), weights(truth)
    assert mine.keys() == theirs.keys()
    assert [key for key in theirs if not torch.equal(mine[key], theirs[key])] == []
    numbers = (json.loads((folder / "metrics.json").read_text()) for folder in (ours, truth))
    first, second = map(without_times, numbers)
    assert first == second


def without_times(metrics: Any) -> Any:
    if isinstance(metrics, dict):
        return {k: without_times(v) for k, v in metrics.items() if k not in TIMED}
    return [without_times(v) for v in metrics] if isinstance(metrics, list) else metrics
