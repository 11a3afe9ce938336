"""Creating losses by name, and using them in anybody's loop."""

import pytest
import torch

from dmlteach import losses
from dmlteach.errors import DMLTeachError
from tests.losses.cases import DIM, create, generator


@pytest.mark.parametrize("name", losses.names())
def test_every_name_creates_a_loss_that_trains_an_embedding(name):
    loss = create(name, num_classes=3)
    z = torch.randn(12, DIM, generator=generator(), requires_grad=True)
    y = torch.arange(12) % 3
    optimizer = torch.optim.Adam([z, *loss.parameters()], lr=0.05)
    first = loss(z, y, generator=generator()).item()
    for _ in range(40):
        optimizer.zero_grad()
        loss(z, y, generator=generator()).backward()
        optimizer.step()
    assert loss(z, y, generator=generator()).item() < first


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
