"""What chapter 08 and its exercises claim about schedules, seeds and where the time goes."""

import time
from types import SimpleNamespace

import pytest
import torch

from dmlteach import data, losses, models, samplers
from dmlteach.optim import Schedule

every_seed = pytest.mark.parametrize("seed", [1, 2, 3])


def cosine(epochs: int) -> Schedule:
    return Schedule("cosine", {"warmup": 0.2}, epochs)  # as the recipes have it on Omniglot


@pytest.mark.parametrize("epochs", [1, 3, 12])
def test_the_rate_comes_down_to_zero_at_the_end_and_depends_on_the_number_of_epochs(epochs):
    schedule, longer = cosine(epochs), cosine(epochs + 2)
    assert schedule.factor(epochs) == pytest.approx(0, abs=1e-12)
    after_warmup = [0.2 + step * (epochs - 0.2) / 50 for step in range(1, 51)]
    rates = [schedule.factor(at) for at in after_warmup]
    assert rates == sorted(rates, reverse=True)
    assert all(longer.factor(at) > rate for at, rate in zip(after_warmup, rates, strict=True))


@every_seed
def test_half_a_batch_gives_noisier_gradients(seed):
    train = data.load("omniglot", "train", classes=60)
    pixels = data.cached(train, size=28, progress=False)
    network = models.create("omniglot_cnn", 64, seed=seed).train()

    def noise(batch_size: int) -> float:
        """Mean squared deviation of the head's gradient over batches, as a share of its mean's square."""
        gradients = []
        while len(gradients) < 24:
            sampler = samplers.create("class_balanced", train.labels, batch_size, seed=seed + len(gradients))
            for rows in list(sampler)[:8]:
                z = network((pixels.gather(rows) / 255 - network.spec.mean[0]) / network.spec.std[0])
                (g,) = torch.autograd.grad(
                    losses.sst_loss(z, train.labels[list(rows)]), network.head.linear.weight
                )
                gradients.append(g.flatten())
        found = torch.stack(gradients)
        return ((found - found.mean(0)).square().sum(1).mean() / found.mean(0).square().sum()).item()

    half, whole = noise(20), noise(40)
    assert half > 1.3 * whole


@every_seed
def test_reading_anew_costs_in_read_and_a_python_loop_over_triplets_in_loss_and_backward(seed, run_cells):
    space = run_cells("08", "imports", seed=seed)
    space["time"] = SimpleNamespace(perf_counter=time.process_time)  # other programs do not count
    profiles = run_cells("08", "time", "profiles", **space)["profiles"]
    anew, good, loop = profiles["A"], profiles["B"], profiles["C"]
    assert anew["read"] > 10 * good["read"] and anew["read"] > 10
    assert loop["loss"] > 10 * good["loss"]
    assert loop["backward"] > good["backward"] + 0.2 * loop["loss"]
