"""The training step: micro-batches, all-gather and gradient caching are one mechanism.

A pair loss needs the whole batch at once, the network does not. So: embed the rows in parts, gather
them to one leaf Z, differentiate the objective with respect to Z, and push the rows of Z.grad back
through the network part by part. With one process and one part it is ordinary training.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dmlteach.distributed import World


def gradient_step(
    model: nn.Module,
    view: Callable[[slice], Tensor],
    count: int,
    objective: Callable[[Tensor], Tensor],
    world: World | None = None,
    micro_batch: int | None = None,
    bf16: bool = False,
) -> tuple[Tensor, Tensor]:
    """Add the gradient of `objective(embeddings of the global batch)` to the parameters.

    Args:
        model: images → embeddings (n, D).
        view: gives the images of a slice of the global batch, augmented, on the device; asked for
            the same slice twice it must give the same pixels.
        count: N, images in the global batch.
        objective: (N, D) in fp32 or wider → scalar; computed alike on every process.
        world: the processes that share the batch; default one.
        micro_batch: images per pass through the network; default all.
        bf16: run the network (not the objective) in bfloat16 autocast.

    Returns:
        The objective's value and the embeddings (N, D), both detached.
    """
    world = world or World()
    mine = world.rows(count)
    parts = _cut(mine, micro_batch or count)

    def embed(rows: slice) -> Tensor:
        images = view(rows)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
            embeddings = model(images)
        return embeddings.float() if embeddings.dtype in (torch.bfloat16, torch.float16) else embeddings

    if world.size == 1 and len(parts) == 1:
        z = embed(parts[0])
        loss = objective(z)
        loss.backward()
        return loss.detach(), z.detach()

    with torch.no_grad():
        z = world.gather_rows(torch.cat([embed(rows) for rows in parts]), count)  # (N, D)
    z.requires_grad_()
    loss = objective(z)
    loss.backward()
    if z.grad is not None:
        for rows in parts:
            embed(rows).backward(z.grad[rows])
    world.sum_gradients(model.parameters())
    return loss.detach(), z.detach()


def _cut(rows: slice, size: int) -> list[slice]:
    return [slice(i, min(i + size, rows.stop)) for i in range(rows.start, rows.stop, size)]


class DelayedScalar:
    """A device scalar copied to the host in the background; reading it later does not stop the device."""

    def __init__(self, value: Tensor):
        self.host = value.detach().to("cpu", non_blocking=True)
        self.event = torch.cuda.Event() if value.is_cuda else None
        if self.event is not None:
            self.event.record()

    def read(self) -> float:
        if self.event is not None:
            self.event.synchronize()
        return float(self.host)
