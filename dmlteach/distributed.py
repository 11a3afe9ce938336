"""One process or several (torchrun): which rows are mine, gather everybody's, sum gradients."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from dmlteach.errors import DMLTeachError

PATIENCE = timedelta(hours=2)  # with a process that decodes or evaluates for all


class World:
    """The processes that train together; a single process is a world of one."""

    def __init__(self, rank: int = 0, size: int = 1):
        self.rank, self.size = rank, size
        self._asked: tuple[Tensor, dist.Work] | None = None

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def rows(self, count: int) -> slice:
        """This process's contiguous share of `count` rows; shares differ by at most one."""
        base, extra = divmod(count, self.size)
        start = self.rank * base + min(self.rank, extra)
        return slice(start, start + base + (self.rank < extra))

    def gather_rows(self, mine: Tensor, count: int) -> Tensor:
        """All processes' rows in order, (n_rank, D) → (count, D); no gradient passes."""
        if self.size == 1:
            return mine
        longest = -(-count // self.size)
        padded = mine.new_zeros(longest, *mine.shape[1:])
        padded[: len(mine)] = mine
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(parts, padded)
        lengths = [s.stop - s.start for s in (World(r, self.size).rows(count) for r in range(self.size))]
        return torch.cat([part[:n] for part, n in zip(parts, lengths, strict=True)])

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its sum over the processes, in one message."""
        if self.size == 1:
            return
        parameters = [p for p in parameters if p.requires_grad]
        grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
        flat = torch.cat([g.flatten() for g in grads])
        dist.all_reduce(flat)
        for p, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            p.grad = part.view_as(p).clone()

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Run the body on the main process, then on the others: for work that leaves files behind."""
        if not self.is_main:
            dist.barrier()
        yield
        if self.is_main and self.size > 1:
            dist.barrier()

    def on_main(self, action: Callable[[], None]) -> None:
        """Do something on the main process; where it fails, every process raises, and none waits in vain.

        Args:
            action: what the main process does.

        Raises:
            DMLTeachError: the one of `action`.
        """
        failure: DMLTeachError | None = None
        if self.is_main:
            try:
                action()
            except DMLTeachError as error:
                failure = error
        message = self.share(str(failure) if failure else None)
        if message is not None:
            raise failure or DMLTeachError(message)

    def any_late(self, *flags: bool) -> list[bool]:
        """Which flags any process has raised. Of several processes it tells what they said one call before.

        So nobody waits for the slowest, but at the first call. All processes get the same answer, and must
        call equally often.

        Args:
            *flags: of this process.
        """
        if self.size == 1:
            return list(flags)
        before, said = self._asked, torch.tensor(flags, dtype=torch.uint8)
        self._asked = said, dist.all_reduce(said, dist.ReduceOp.MAX, async_op=True)
        answer, work = before or self._asked
        work.wait()
        return answer.bool().tolist()

    def share(self, value: Any) -> Any:
        """The main process's `value`, on every process."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]


@contextmanager
def join(device: torch.device) -> Iterator[World]:
    """The world torchrun describes in the environment, or a world of one."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World()
        return
    already = dist.is_initialized()
    if device.type == "cuda":
        torch.cuda.set_device(_own_gpu())
    if not already:
        # What is said between the processes, as by `any_late`, goes past the GPUs.
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield World(dist.get_rank(), size)
    finally:
        if not already:
            dist.destroy_process_group()


def _own_gpu() -> int:
    """The GPU of this process: as many are needed on a machine as torchrun starts processes there."""
    own, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if own >= there:
        raise DMLTeachError(
            f"each process of torchrun needs a GPU of its own, and this machine has {there}: "
            f"give it --nproc-per-node {there}, or train with --device cpu."
        )
    return own
