"""Creating losses by name, and using them in anybody's loop."""

import pytest
import torch

from dmlteach import losses
from dmlteach.errors import DMLTeachError


def test_every_name_creates_a_loss_that_trains_an_embedding():
    for name in losses.names():
        options = {"num_classes": 3, "embedding_dim": 4} if name == "softmax" else {}
        loss = losses.create(name, **options)
        z = torch.randn(12, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
        y = torch.arange(12) % 3
        optimizer = torch.optim.SGD([z, *loss.parameters()], lr=0.5)
        first = loss(z, y).item()
        for _ in range(20):
            optimizer.zero_grad()
            loss(z, y).backward()
            optimizer.step()
        assert loss(z, y).item() < first, name


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.create("tripplet"), "unknown loss 'tripplet'; did you mean 'triplet'?"),
        (lambda: losses.create("triplet", margn=1), "did you mean 'margin'?"),
        (lambda: losses.create("softmax", num_classes=3), "the softmax loss needs embedding_dim"),
        (lambda: losses.create("sst", num_targets=0), "num_targets must be at least 1, not 0"),
        (
            lambda: losses.sst_loss(torch.zeros(3), torch.zeros(3).long()),
            "embeddings must be floats",
        ),
        (lambda: losses.sst_loss(torch.zeros(3, 2), torch.zeros(4).long()), "labels must be 3 integers"),
        (lambda: losses.sst_loss(torch.zeros(3, 2), torch.zeros(3)), "labels must be 3 integers"),
    ],
)
def test_a_mistake_is_one_clear_error(call, message):
    with pytest.raises(DMLTeachError) as error:
        call()
    assert message in str(error.value)
