"""The training step: micro-batches, all-gather and gradient caching are one mechanism.

A pair loss needs the whole batch at once; the network does not. So the step embeds the rows in parts, gathers
them to one leaf Z, differentiates the objective with respect to Z, and pushes the rows of Z.grad back through
the network part by part, which embeds them once more where they are several. With one process and one part
it is ordinary training.

A head may add a penalty (`Head.penalty`). It is a mean over the batch, so each part adds its share.
"""

from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from dmlteach.data.loader import Pixels
from dmlteach.device import moved
from dmlteach.distributed import World
from dmlteach.interfaces import Batch, Tuples
from dmlteach.models import Model
from dmlteach.train.build import Parts
from dmlteach.train.optim import clip_gradients

MEMORY_STARTS = 1  # epoch: before, embeddings change too fast for the memory to be right


class Stepped(NamedTuple):
    """What a step was made of, detached.

    Attributes:
        loss: what was minimised.
        embeddings: (N, D) of the global batch.
        labels: (N,) class of each.
        tuples: those that the sampler chose.
    """

    loss: Tensor
    embeddings: Tensor
    labels: Tensor
    tuples: Tuples | None


def train_step(parts: Parts, batch: Batch, pixels: Pixels, progress: float) -> Stepped:
    """One optimizer step on one global batch.

    Args:
        parts: of the run.
        batch: the images.
        pixels: of this process's rows of the batch, uint8.
        progress: epochs (with fraction) into the run.
    """
    parts.schedule.apply(parts.optimizer, progress)
    images = moved(torch.tensor(batch), parts.device)
    labels = parts.labels[images]
    tuples = batch.tuples.to(parts.device) if batch.tuples else None
    # Parameters of the augmentation are drawn for the global batch; each process takes its rows.
    params = parts.augmentation.draw(len(batch), torch.Generator().manual_seed(batch.step_seed))
    offset = parts.world.rows(len(batch)).start

    def view(rows: slice) -> Tensor:
        mine = pixels[rows.start - offset : rows.stop - offset]
        return parts.augmentation.apply(mine, params[rows])

    def objective(embeddings: Tensor) -> Tensor:
        generator = torch.Generator(parts.device).manual_seed(batch.step_seed)
        use_memory = progress >= MEMORY_STARTS
        return parts.objective(embeddings, labels, images, tuples, generator, use_memory=use_memory)

    micro_batch, bf16 = parts.config.micro_batch, parts.config.precision == "bf16"
    parts.optimizer.zero_grad()
    loss, embeddings = gradient_step(
        parts.network, view, len(batch), objective, parts.world, micro_batch, bf16
    )
    clip_gradients(parts.learned(), parts.recipe)
    parts.optimizer.step()
    return Stepped(loss, embeddings, labels, tuples)


def gradient_step(
    model: nn.Module,
    view: Callable[[slice], Tensor],
    count: int,
    objective: Callable[[Tensor], Tensor],
    world: World | None = None,
    micro_batch: int | None = None,
    bf16: bool = False,
) -> tuple[Tensor, Tensor]:
    """Add the gradient of `objective(embeddings of the global batch)` + penalty to the parameters.

    Args:
        model: images → embeddings (n, D). If `model.head.has_penalty`, it is called with
            `with_penalty=True` and also gives a scalar, the penalty's mean over these images.
        view: gives the images of a slice of the global batch, augmented, on the device; asked for
            the same slice twice it must give the same pixels.
        count: N, images in the global batch.
        objective: (N, D) in fp32 or wider → scalar; computed alike on every process.
        world: the processes that share the batch; default one.
        micro_batch: images per pass through the network; default all.
        bf16: run the network (not the objective) in bfloat16 autocast.

    Returns:
        What was differentiated, objective and penalty, and the embeddings (N, D), both detached.
    """
    world = world or World()
    parts = _cut(world.rows(count), micro_batch or count)
    penalized = getattr(getattr(model, "head", None), "has_penalty", False)

    def embed(rows: slice) -> tuple[Tensor, list[Tensor]]:
        """Embeddings of these rows, and their share of the penalty if there is one."""
        images = view(rows)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
            z, *penalty = model(images, with_penalty=True) if penalized else [model(images)]
        z = z.float() if z.dtype in (torch.bfloat16, torch.float16) else z
        return z, [p * ((rows.stop - rows.start) / count) for p in penalty]

    if world.size == 1 and len(parts) == 1:
        z, penalty = embed(parts[0])
        total = sum(penalty, objective(z))
        total.backward()
        return total.detach(), z.detach()

    once = len(parts) == 1  # then its graph is kept, and batch norms see each image once
    with torch.set_grad_enabled(once):
        passes = [embed(rows) for rows in parts]
    mine = torch.cat([z.detach() for z, _ in passes]) if parts else cast(Model, model).of_no_image()
    z = world.gather_rows(mine, count).requires_grad_()  # (N, D)
    total = objective(z)
    total.backward()
    gradient = torch.zeros_like(z) if z.grad is None else z.grad
    share = z.new_zeros(1)
    for rows in parts:
        part, penalty = passes[0] if once else embed(rows)
        torch.autograd.backward([part, *penalty], [gradient[rows], *(None for _ in penalty)])
        share += sum(p.detach() for p in penalty)
    world.sum_gradients(model.parameters())
    if penalized:
        total = total + world.gather_rows(share, world.size).sum()
    return total.detach(), z.detach()


def _cut(rows: slice, size: int) -> list[slice]:
    return [slice(i, min(i + size, rows.stop)) for i in range(rows.start, rows.stop, size)]


class DelayedScalar:
    """A device scalar that is read later: on CUDA it is copied in the background, elsewhere when it is read.

    Only CUDA has an event that says when a copy has arrived; so reading a value of one step ago need not stop
    the device.
    """

    def __init__(self, value: Tensor):
        self.value, self.arrived = value.detach(), None
        if value.is_cuda:
            self.value = self.value.to("cpu", non_blocking=True)
            self.arrived = torch.cuda.Event()
            self.arrived.record()

    def read(self) -> float:
        if self.arrived is not None:
            self.arrived.synchronize()
        return float(self.value)
