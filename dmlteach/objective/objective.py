"""What a training step minimises: DAS, then the loss, then the loss against a memory of earlier batches."""

import torch
from torch import Tensor, nn

from dmlteach.interfaces import Loss, Tuples
from dmlteach.objective.cross_batch_memory import CrossBatchMemory
from dmlteach.objective.das import DAS


class Objective(nn.Module):
    """A loss, with densely-anchored sampling before it and a cross-batch memory beside it, where asked for.

    Args:
        loss: any loss.
        das: makes further embeddings of the batch. Tuples of the sampler then no longer fit, and
            the loss chooses its own among real and made ones: as an anchor's targets never its own copies.
        auxiliary: with `das`, add the loss of the real embeddings alone (the paper does, for
            triplets on Stanford Online Products).
        memory: embeddings of earlier batches, each anchor's further positives and negatives.
    """

    def __init__(
        self,
        loss: Loss,
        das: DAS | None = None,
        auxiliary: bool = False,
        memory: CrossBatchMemory | None = None,
    ):
        super().__init__()
        self.loss, self.das, self.auxiliary, self.memory = loss, das, auxiliary, memory

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        images: Tensor,
        tuples: Tuples | None,
        generator: torch.Generator,
        use_memory: bool = True,
    ) -> Tensor:
        """The scalar to minimise on one global batch.

        Args:
            embeddings: (N, D).
            labels: (N,) class of each embedding.
            images: (N,) data-set index of each embedding.
            tuples: those the sampler chose, if it did.
            generator: of this step's random choices, on the embeddings' device.
            use_memory: compare with the memory (where there is one) and fill it; False while the
                embeddings still change fast.
        """
        if self.das is None:
            total = self.loss(embeddings, labels, tuples=tuples, generator=generator)
        else:
            among, their_labels = self.das(embeddings, labels, generator)
            own = torch.arange(len(labels), device=labels.device).repeat(1 + self.das.copies)
            total = self.loss(among, their_labels, tuples=Tuples(origins=own), generator=generator)
            if self.auxiliary:
                total = total + self.loss(embeddings, labels, tuples=tuples, generator=generator)
        if self.memory is not None and use_memory:
            reference = self.memory.reference(images)
            total = total + self.loss(embeddings, labels, reference=reference, generator=generator)
            self.memory.add(embeddings, labels, images)
        return total
