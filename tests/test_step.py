"""The training step: micro-batches and several processes give the gradient of the whole batch."""

import pytest
import torch
from torch import nn

from dmlteach.losses import sst_loss, triplet_loss
from dmlteach.models import create
from dmlteach.step import gradient_step


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
