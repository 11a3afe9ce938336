"""Cross-batch memory (XBM): recent embeddings as further negatives and positives. Wang et al., CVPR 2020."""

import torch
from torch import Tensor, nn

from dmlteach.options import at_least


class CrossBatchMemory(nn.Module):
    """The last `size` embeddings with label and image, first in, first out; part of the checkpoint.

    Embeddings change slowly once a network has warmed up, so those of earlier batches are nearly
    right and cost nothing. The loss compares each anchor of the batch with all of them:
    loss(batch) + loss(batch, reference=memory.reference(images)).

    Args:
        size: M, embeddings to keep.
        embedding_dim: D.

    Source: Algorithm 1, but for the order: here the memory is asked before the batch is added, so that no
    embedding meets itself. The authors' code adds the batch first, and compares it with itself twice.
    """

    def __init__(self, size: int, embedding_dim: int):
        super().__init__()
        at_least("memory", size, 1)
        self.embeddings: Tensor
        self.labels: Tensor
        self.images: Tensor
        self.next_row: Tensor
        self.register_buffer("embeddings", torch.zeros(size, embedding_dim))
        self.register_buffer("labels", torch.full((size,), -1))
        self.register_buffer("images", torch.full((size,), -1))
        self.register_buffer("next_row", torch.zeros((), dtype=torch.int64))

    def reference(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings (M, D) and labels (M,); -1 for empty rows and for older views of the batch's own images.

        Args:
            images: (N,) data-set index of each image of the batch.
        """
        own = (self.images[:, None] == images).any(1)  # torch.isin would make a GPU wait
        # A copy: the memory changes before the loss is differentiated.
        return self.embeddings.clone(), self.labels.masked_fill(own, -1)

    @torch.no_grad()
    def add(self, embeddings: Tensor, labels: Tensor, images: Tensor) -> None:
        """Put a batch in the place of the oldest; of a batch larger than the memory, its last part."""
        size = len(self.labels)
        embeddings, labels, images = embeddings[-size:], labels[-size:], images[-size:]
        rows = (self.next_row + torch.arange(len(labels), device=self.labels.device)) % size
        self.embeddings[rows] = embeddings.detach().to(self.embeddings)
        self.labels[rows], self.images[rows] = labels, images
        self.next_row.add_(len(labels)).remainder_(size)
