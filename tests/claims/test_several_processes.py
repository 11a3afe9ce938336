"""What the lab on processes claims: two train as one by the library, not by the naive way."""

import importlib
import os
import subprocess
import sys

import pytest
import torch

from dmlteach import course, losses

SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, cell):
    """Where the chapter on training has written its program, from which it can be imported."""
    folder = tmp_path_factory.mktemp("runs")
    magic, _, program = cell("training_a_benchmark", "two-program").partition("\n")
    assert magic == "%%writefile {runs}/two_ways.py"
    (folder / "two_ways.py").write_text(program, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(course.CHECKOUT), str(folder)]))
        yield folder
    sys.modules.pop("two_ways")


@pytest.fixture(scope="module")
def launched(folder, run_cells) -> dict:
    """Names of the chapter on training after one and two real processes have run its program."""
    names = run_cells("training_a_benchmark", "imports") | {"runs": folder}
    return run_cells("training_a_benchmark", "two-run", "two-said", "two-more", **names)


def test_two_processes_train_as_one_in_the_library_and_not_in_the_naive_way(launched):
    one, two = launched["one"], launched["two"]
    torch.testing.assert_close(two["library"]["losses"], one["library"]["losses"], rtol=0, atol=1e-9)
    torch.testing.assert_close(two["library"]["gradient"], one["library"]["gradient"], rtol=0, atol=1e-9)
    assert one["naive"]["losses"] == one["library"]["losses"]  # alone, both ways are the same
    assert launched["apart"]("library") < 1e-9 < 1e-3 < launched["apart"]("naive")
    assert two["naive"]["losses"][-1] < two["naive"]["losses"][0]  # and it looks like a training


DISTRIBUTED_DATA_PARALLEL = """
import sys, torch
from torch.nn.parallel import DistributedDataParallel
from dmlteach import distributed, losses, models
from two_ways import load
with distributed.join(torch.device("cpu")) as world:
    images, labels, batches = load("omniglot", 0)
    mine = batches[0][world.rank :: world.size]
    network = models.create("omniglot_cnn", 64, seed=0).double()
    wrapped = DistributedDataParallel(network)
    losses.sst_loss(wrapped(images[mine]), labels[mine]).backward()
    if world.is_main:
        torch.save(torch.cat([p.grad.flatten() for p in network.parameters()]), sys.argv[1])
"""


def test_the_naive_way_is_what_distributed_data_parallel_does(launched, folder):
    (folder / "ddp.py").write_text(DISTRIBUTED_DATA_PARALLEL, encoding="utf-8")
    command = [*launched["starter"], str(folder / "ddp.py"), str(folder / "ddp.pt")]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    gradient = torch.load(folder / "ddp.pt")
    torch.testing.assert_close(gradient, launched["two"]["naive"]["gradient"], rtol=0, atol=1e-9)


def test_averaging_shares_in_one_process_is_what_two_processes_did(launched):
    real = torch.cosine_similarity(launched["g"], launched["h"], 0).item()
    assert launched["cosines"][2][0] == pytest.approx(real, abs=1e-9)
    torch.testing.assert_close(launched["whole"], launched["one"]["naive"]["gradient"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_shares_lose_the_direction_and_then_the_gradient(folder, seed, run_cells):
    names = run_cells("training_a_benchmark", "imports", seed=seed) | {
        "two_ways": importlib.import_module("two_ways")
    }
    cosines = run_cells("training_a_benchmark", "two-more", **names)["cosines"]
    dealt, blocks = zip(*cosines.values(), strict=True)
    assert list(cosines) == [2, 4, 8, 16]
    assert dealt[0] < 0.95 < blocks[0] < 1  # two processes: in blocks the direction is nearly right
    assert dealt[1:] == (None, None, None)  # one drawing of a character in each: no positive
    assert blocks[0] > blocks[1] > blocks[2] > 0
    assert blocks[3] is None  # one character in each: no negative


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("name", "exact"), [("softmax", True), ("contrastive", False), ("proxy_nca", True), ("sst", False)]
)
def test_averaging_halves_is_exact_for_means_over_pictures_only(name, exact, seed):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(24, 4, generator=generator, dtype=torch.float64).requires_grad_()
    labels = torch.arange(24) % 6
    options = {"num_classes": 6, "embedding_dim": 4} if name in ("softmax", "proxy_nca") else {}
    loss = losses.create(name, **options).double()
    followed = [z, *loss.parameters()]
    whole = torch.autograd.grad(loss(z, labels), followed)
    halves = sum(loss(z[half], labels[half]) for half in torch.arange(24).split(12)) / 2
    difference = max(
        (a - b).abs().max() for a, b in zip(whole, torch.autograd.grad(halves, followed), strict=True)
    )
    assert difference < 1e-12 if exact else difference > 1e-3
