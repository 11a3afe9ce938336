"""The training step: micro-batches and several processes give the gradient of the whole batch."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import nn

from dmlteach.distributed import World
from dmlteach.losses import sst_loss, triplet_loss
from dmlteach.losses.bier import bier_loss
from dmlteach.models import create
from dmlteach.train.step import gradient_step


def small_batch(n: int = 20):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(n, 1, 28, 28, generator=generator, dtype=torch.float64)
    return images, torch.arange(n) % 5


def gradients(micro_batch, loss):
    model = create("omniglot_cnn", 8).double()
    images, labels = small_batch()
    value, embeddings = gradient_step(
        model, lambda rows: images[rows], len(images), lambda z: loss(z, labels), micro_batch=micro_batch
    )
    return value, embeddings, [p.grad for p in model.parameters()]


@pytest.mark.parametrize("loss", [sst_loss, triplet_loss])
@pytest.mark.parametrize("micro_batch", [1, 7, 19])
def test_micro_batches_give_the_gradient_of_the_whole_batch(micro_batch, loss):
    value, embeddings, grads = gradients(None, loss)
    in_parts = gradients(micro_batch, loss)
    torch.testing.assert_close(in_parts[0], value, rtol=0, atol=1e-9)
    torch.testing.assert_close(in_parts[1], embeddings, rtol=0, atol=1e-9)
    assert max(g.abs().max() for g in grads) > 1e-4  # there is something to compare
    torch.testing.assert_close(in_parts[2], grads, rtol=0, atol=1e-9)


def test_gradient_accumulation_would_be_another_loss():
    """What `micro_batch` is not: the mean over small batches, whose triplets are fewer."""
    model = create("omniglot_cnn", 8).double()
    images, labels = small_batch()
    for part in torch.arange(20).split(10):
        (sst_loss(model(images[part]), labels[part]) / 2).backward()
    _, _, whole = gradients(None, sst_loss)
    difference = max((p.grad - g).abs().max() for p, g in zip(model.parameters(), whole, strict=True))
    assert difference > 1e-4


def test_a_batch_without_triplets_leaves_a_zero_gradient():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    images = torch.randn(3, 1, 2, 2)
    value, _ = gradient_step(
        model, lambda rows: images[rows], 3, lambda z: sst_loss(z, torch.zeros(3).long()), micro_batch=2
    )
    assert value == 0
    assert all(p.grad.eq(0).all() for p in model.parameters())


def test_bf16_runs_the_network_but_not_the_objective():
    model = create("omniglot_cnn", 8)
    seen = []

    def objective(z):
        seen.append(z.dtype)
        return z.square().sum()

    images = torch.randn(4, 1, 28, 28)
    _, z = gradient_step(model, lambda rows: images[rows], 4, objective, bf16=True)
    assert seen == [torch.float32]
    assert not torch.equal(z, model(images).detach())  # the network did run in bf16
    torch.testing.assert_close(z, model(images).detach(), rtol=0.1, atol=0.1)


# ── a head's penalty ──────────────────────────────────────────────────────────────────────────────


def penalized_model(diversity):
    options = {"diversity": diversity, "diversity_weight": 0.1, "norm_weight": 2.0, "hidden": 8}
    return create("omniglot_cnn", 16, head="bier", head_options=options).double()


def penalized_step(model, micro_batch=None, world=None):
    images, labels = small_batch()
    objective = lambda z: bier_loss(z, labels, model.head.dims)  # noqa: E731
    return gradient_step(model, lambda rows: images[rows], len(images), objective, world, micro_batch)


@pytest.mark.parametrize("diversity", ["activation", "adversarial"])
def test_a_step_differentiates_loss_plus_penalty(diversity):
    ours, truth = penalized_model(diversity), penalized_model(diversity)
    images, labels = small_batch()
    features = truth.features(images)
    penalty = truth.head.penalty(features)
    total = bier_loss(truth.head(features), labels, truth.head.dims) + penalty
    total.backward()
    value, _ = penalized_step(ours)
    assert penalty.abs() > 1e-3
    torch.testing.assert_close(value, total.detach(), rtol=0, atol=1e-9)
    for mine, parameter in zip(ours.parameters(), truth.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, parameter.grad, rtol=0, atol=1e-9)


@pytest.mark.parametrize("diversity", ["activation", "adversarial"])
@pytest.mark.parametrize("micro_batch", [7, 19])
def test_micro_batches_add_their_shares_of_the_penalty(micro_batch, diversity):
    whole, parts = penalized_model(diversity), penalized_model(diversity)
    value, embeddings = penalized_step(whole)
    in_parts = penalized_step(parts, micro_batch)
    torch.testing.assert_close(in_parts, (value, embeddings), rtol=0, atol=1e-9)
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, rtol=0, atol=1e-9)


# ── several processes ─────────────────────────────────────────────────────────────────────────────


class InThreads(World):
    """One of several processes, each of which is a thread here."""

    def __init__(self, rank: int, size: int, said: list, barrier: threading.Barrier):
        super().__init__(rank, size)
        self.said, self.barrier = said, barrier

    def exchange(self, mine):
        self.said[self.rank] = mine
        self.barrier.wait()
        everybody = [*self.said]
        self.barrier.wait()
        return everybody

    def gather_rows(self, mine, count):
        return torch.cat(self.exchange(mine))

    def sum_gradients(self, parameters):
        parameters = [*parameters]
        everybody = self.exchange([torch.zeros_like(p) if p.grad is None else p.grad for p in parameters])
        for p, *grads in zip(parameters, *everybody, strict=True):
            p.grad = torch.stack(grads).sum(0)


def in_threads(step: Callable[[World], Any], size: int) -> list:
    said, barrier = [None] * size, threading.Barrier(size, timeout=600)
    with ThreadPoolExecutor(size) as pool:
        return [*pool.map(step, [InThreads(rank, size, said, barrier) for rank in range(size)])]


def test_a_batch_may_have_fewer_images_than_there_are_processes():
    images, labels = small_batch(3)
    models = [penalized_model("activation") for _ in range(4)]

    def step(world):
        model = models[world.rank]
        objective = lambda z: bier_loss(z, labels % 2, model.head.dims)  # noqa: E731
        found = gradient_step(model, lambda rows: images[rows], 3, objective, world)
        return [*found, *(p.grad for p in model.parameters())]

    truth = step(World())
    models[0].zero_grad()
    for process in in_threads(step, 4):
        torch.testing.assert_close(process, truth, rtol=0, atol=1e-9)


def test_batch_norms_that_learn_see_each_image_once():
    def step(world):
        norm = nn.BatchNorm2d(1).double()
        images, labels = small_batch()
        gradient_step(
            nn.Sequential(norm, nn.Flatten()),
            lambda rows: images[rows],
            20,
            lambda z: sst_loss(z, labels),
            world,
        )
        return norm.num_batches_tracked

    assert in_threads(step, 2) == [1, 1]


TWO_PROCESSES = """
import sys, torch
torch.set_num_threads(1)
from dmlteach import distributed
from tests.train.test_step import penalized_model, penalized_step
with distributed.join(torch.device("cpu")) as world:
    model = penalized_model("adversarial")
    value, embeddings = penalized_step(model, micro_batch=4, world=world)
    torch.save([value, embeddings, *(p.grad for p in model.parameters())], f"{sys.argv[1]}/{world.rank}.pt")
"""


def test_two_processes_add_their_shares_of_the_penalty(tmp_path, checkout):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "PYTHONPATH": str(checkout)}
    command = [sys.executable, "-c", TWO_PROCESSES, str(tmp_path)]
    processes = [subprocess.Popen(command, env={**os.environ, **shared, "RANK": rank}) for rank in "01"]
    assert [process.wait(timeout=600) for process in processes] == [0, 0]
    model = penalized_model("adversarial")
    truth = [*penalized_step(model), *(p.grad for p in model.parameters())]
    for rank in "01":
        ours = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        torch.testing.assert_close(ours, truth, rtol=0, atol=1e-9)


def test_a_head_without_penalty_is_never_asked_for_one(monkeypatch):
    model = create("omniglot_cnn", 8)
    monkeypatch.setattr(model.head, "penalty", None)  # calling it would fail
    images, labels = torch.randn(6, 1, 28, 28), torch.arange(6) % 2
    value, z = gradient_step(model, lambda rows: images[rows], 6, lambda z: sst_loss(z, labels), None, 4)
    assert value == sst_loss(z, labels)
