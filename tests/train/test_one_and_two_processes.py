"""Two processes train what one does, by every method: in float64 to nine digits, in fp32 but for rounding.

Two real processes share every batch. What they and one process have after each of ten steps is compared: the
images and tuples of the batch, which no rounding may choose anew, every gradient, and in the end all weights,
those of the loss, DAS's bank and the memory, and the losses of the epochs. A share of a batch that is
forgotten or counted twice changes a gradient by a part of itself, in float64 as in fp32. Rounding differs by
1e-16 of it in float64.

Adam makes rounding visible. Moving all embeddings together changes no distance, so under a loss of distances
the bias of the last layer has the gradient 0, but for rounding. Adam divides a gradient by its own size plus
1e-8: in fp32, where rounding may be as large, it moves the bias by up to its rate, in a direction that
rounding has chosen. So two trainings in fp32 are up to 2e-3 apart in this bias, and 1e-5 in all else (but a
memory keeps embeddings, with the bias). In float64 a rounding of 1e-16 becomes the rate times 1e-8.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from dmlteach import losses, methods
from dmlteach.train import Run, TrainConfig, fit
from dmlteach.train.folder import RunFolder
from dmlteach.train.held_out import HeldOut

SMALL: dict[str, Any] = {
    "classes": 16, "batch_size": 32, "epochs": 2, "batches_per_epoch": 5, "embedding_dim": 12,
    "eval_every": 0, "backbone": f"{Path(__file__).with_name('small_network.py')}:Small", "device": "cpu",
    "progress": False,
}  # fmt: skip
BIAS = "head.linear.bias"  # of the last layer
RATE = 1e-3  # the highest rate of the network, of every method on Omniglot


def ways() -> dict[str, dict[str, Any]]:
    """Every method, and with DAS (attached, and detached) and a memory where that can be."""
    found: dict[str, dict[str, Any]] = {name: {"method": name} for name in methods.names()}
    for name in methods.names():
        recipe = methods.get(name)
        kind = losses.kind(recipe.loss)
        if kind.compares == "examples" and recipe.sampler != "smart":
            das = {"method": name, "das": True}
            found[f"{name} with DAS"] = {**das, "das_options": {"detach": False}}
            found[f"{name} with DAS, detached"] = {**das, "das_options": {"detach": True}}
        if "reference" in kind.uses:
            found[f"{name} with a memory"] = {"method": name, "memory": 64}
    return found | {
        "sst in random classes": {"method": "sst", "sampler": "class_balanced"},
        "sst in local classes": {"method": "sst", "sampler": "local_classes"},
        "sst in even neighborhoods": {"method": "sst", "sampler_options": {"balance": True}},
        "triplet in parts": {"method": "triplet", "micro_batch": 5},
        "triplet on crops": {"method": "triplet", "transform": "resized_crop"},
        "abier by activation": {"method": "abier", "head_options": {"diversity": "activation"}},
    }


# Their batches follow from the seed alone, so that no rounding can change them. Of each, whether all that it
# compares an embedding with moves with it: what a memory has kept does not.
IN_FP32 = {
    "sst in random classes": True,
    "contrastive": True,
    "lifted with DAS": True,
    "contrastive with a memory": False,
}
TRAININGS = [(name, "fp64") for name in ways()] + [(name, "fp32") for name in IN_FP32]


def trained(folder: Path, name: str, precision: str) -> dict[str, Any]:
    """What a training has in each of its ten steps, and in the end; nothing is measured, nothing saved."""
    steps, runs = [], []
    train_on = Run.train_on

    def watched(run, batch, pixels):
        train_on(run, batch, pixels)
        learned = {**dict(run.model.named_parameters()), **dict(run.parts.objective.named_parameters())}
        gradients = {key: p.grad.clone() for key, p in learned.items() if p.grad is not None}
        chosen = tuple(batch.tuples or ())[:2]
        steps.append({"images": list(batch), "tuples": chosen, "gradients": gradients})

    output = str(folder / f"{name}, {precision}")
    config = TrainConfig(**SMALL, **ways()[name], precision=precision, output=output)
    with (
        mock.patch.object(Run, "train_on", watched),
        mock.patch.object(HeldOut, "measure", lambda *arguments: {}),
        mock.patch.object(RunFolder, "write_checkpoint"),
    ):
        fit(config, after_epoch=runs.append)
    state = {**runs[-1].model.state_dict(), **runs[-1].parts.objective.state_dict()}
    return {
        "steps": steps,
        "losses": [row["loss"] for row in runs[-1].history],  # as metrics.json tells them
        "state": {key: value for key, value in state.items() if torch.is_tensor(value)},
    }


def train_all(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    torch.set_num_threads(1)
    return {(name, precision): trained(folder, name, precision) for name, precision in TRAININGS}


IN_A_PROCESS = """
import sys, warnings
from pathlib import Path
import torch
from tests.train.test_one_and_two_processes import train_all
warnings.simplefilter("ignore")
torch.distributed.init_process_group("gloo")  # once: a second meeting would find the addresses of the first
found = train_all(Path(sys.argv[1]))
torch.save(found, Path(sys.argv[1]) / f"{torch.distributed.get_rank()}.pt")
torch.distributed.destroy_process_group()
"""


@pytest.fixture(scope="module")
def both(tmp_path_factory, checkout) -> tuple[dict, dict, dict]:
    """What one process has, and each of two: one start of them goes through all trainings."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "PYTHONPATH": str(checkout)}
    shared |= {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", IN_A_PROCESS, str(folder)]
    processes = [subprocess.Popen(command, env={**os.environ, **shared, "RANK": rank}) for rank in "01"]
    threads = torch.get_num_threads()
    try:
        one = train_all(tmp_path_factory.mktemp("one"))
        assert [process.wait(timeout=1200) for process in processes] == [0, 0]
    finally:
        torch.set_num_threads(threads)
        for process in processes:
            process.kill()
    first, second = (torch.load(folder / f"{rank}.pt", weights_only=True) for rank in "01")
    return one, first, second


def largest(tensors: dict[str, torch.Tensor]) -> float:
    return max(float(t.abs().max()) for t in tensors.values())


def apart(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> dict[str, float]:
    """The largest difference in each tensor of numbers; in whole numbers there is none."""
    assert one.keys() == other.keys()
    assert all(torch.equal(t, other[key]) for key, t in one.items() if not t.is_floating_point())
    return {key: float((t - other[key]).abs().max()) for key, t in one.items() if t.is_floating_point()}


def gradients_apart(one: dict[str, Any], other: dict[str, Any]) -> float:
    """The largest difference in a step's gradients, as a share of the largest entry."""
    found = max(apart(one["gradients"], other["gradients"]).values())
    return found / largest(one["gradients"])


def same_choices(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether a step has the same images and the same targets or triplets."""
    pairs = zip(one["tuples"], other["tuples"], strict=True)
    equal = all((a is None and b is None) or torch.equal(a, b) for a, b in pairs)
    return one["images"] == other["images"] and equal


@pytest.mark.slow
def test_every_method_trains_alike_in_one_process_and_in_two(both):
    one, two, _ = both
    unlike = {}
    for name in ways():
        mine, theirs = one[name, "fp64"], two[name, "fp64"]
        assert len(mine["steps"]) == len(theirs["steps"]) == 10
        steps = list(zip(mine["steps"], theirs["steps"], strict=True))
        assert all(largest(step["gradients"]) > 1e-3 for step in mine["steps"]), name  # something is learned
        assert {t.dtype for t in mine["state"].values() if t.is_floating_point()} == {torch.float64}
        if not all(same_choices(*step) for step in steps):
            unlike[name] = "other images or tuples"
        elif max(gradients_apart(*step) for step in steps) > 1e-9:
            unlike[name] = [gradients_apart(*step) for step in steps]
        elif theirs["losses"] != pytest.approx(mine["losses"], rel=1e-9, abs=1e-9):
            unlike[name] = (mine["losses"], theirs["losses"])
        weights = apart(mine["state"], theirs["state"])
        far = {key: found for key, found in weights.items() if found > (1e-8 if key == BIAS else 1e-9)}
        if far:
            unlike[name] = far
    assert unlike == {}


@pytest.mark.slow
def test_both_processes_hold_the_same_bits(both):
    _, first, second = both
    for training, found in first.items():
        state = second[training]["state"]
        assert [key for key, t in found["state"].items() if not torch.equal(t, state[key])] == [], training


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_FP32)
def test_in_fp32_both_differ_by_rounding_which_adam_makes_visible_in_one_bias(both, name):
    one, two, _ = both
    begins, weights = {}, {}
    for precision in ("fp32", "fp64"):
        mine, theirs = one[name, precision], two[name, precision]
        steps = zip(mine["steps"], theirs["steps"], strict=True)
        assert all(same_choices(*step) for step in steps)
        begins[precision] = gradients_apart(mine["steps"][0], theirs["steps"][0])
        weights[precision] = apart(mine["state"], theirs["state"])
    # As long as nothing has been made larger, the differences are as fine as the numbers: 6e-8 and 1e-16.
    assert begins["fp64"] < 1e-13 and 1e-9 < begins["fp32"] < 1e-5
    in_fp32 = weights["fp32"].pop(BIAS)
    # DAS counts which numbers of an embedding are largest; of two that are nearly equal, rounding decides.
    counts = [weights["fp32"].pop(key) for key in list(weights["fp32"]) if key.endswith("frequency")]
    assert max(counts, default=0) <= 10
    assert weights["fp64"][BIAS] < 1e-8 < 1e-6 < in_fp32 < 10 * RATE
    if IN_FP32[name]:
        assert max(weights["fp32"].values()) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sst", "sst in random classes", "triplet", "contrastive", "lifted", "nca"])
def test_under_a_loss_of_distances_one_bias_has_the_gradient_0_but_for_rounding(both, name):
    one, _, _ = both
    for step in one[name, "fp64"]["steps"]:
        assert float(step["gradients"][BIAS].abs().max()) < 1e-12 * largest(step["gradients"])
    for step in one["softmax", "fp64"]["steps"]:  # to a loss of products the place matters
        assert float(step["gradients"][BIAS].abs().max()) > 1e-3 * largest(step["gradients"])
