"""Read batches ahead of the accelerator."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from dmlteach.data.cache import Packed
from dmlteach.device import moved

B = TypeVar("B")
Pixels = Tensor | Packed  # a batch of images, as `CachedImages.gather` gives them
AHEAD = 2  # batches in flight


def prefetch(
    batches: Sequence[B], read: Callable[[B], Pixels], device: torch.device
) -> Iterator[tuple[B, Pixels]]:
    """Each batch with its pixels on `device`; for an accelerator, read by a thread while it computes.

    Args:
        batches: what `read` takes, in order.
        read: gives a batch's pixels (uint8, on the CPU).
        device: where they are needed. On the CPU there is no thread: it would take the network's cores.
    """
    if device.type == "cpu":
        for batch in batches:
            yield batch, read(batch)
        return

    with ThreadPoolExecutor(1) as reader:
        waiting = deque(reader.submit(read, batch) for batch in batches[:AHEAD])
        for i, batch in enumerate(batches):
            pixels = waiting.popleft().result()
            if i + AHEAD < len(batches):
                waiting.append(reader.submit(read, batches[i + AHEAD]))
            yield batch, moved(pixels, device)
