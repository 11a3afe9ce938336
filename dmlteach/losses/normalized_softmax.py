"""Normalised softmax: Zhai & Wu, "Classification is a strong baseline for …", BMVC 2019."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from dmlteach.distances import cosine_to
from dmlteach.inputs import check_classes
from dmlteach.interfaces import Loss
from dmlteach.losses.batch import loss_function
from dmlteach.losses.class_vectors import point_at_class_means_
from dmlteach.options import positive


@loss_function
def normalized_softmax_loss(
    embeddings: Tensor, labels: Tensor, weight: Tensor, temperature: float = 0.05
) -> Tensor:
    """Mean over the batch of −log softmax(cos(x, w_c) / T) at the example's own class.

    Args:
        embeddings: (N, D); normalised here.
        labels: (N,) class of each embedding, 0 … C-1.
        weight: (C, D), one direction w_c per class; normalised here. There is no bias.
        temperature: T; the smaller, the more the nearest classes count.

    Returns:
        Scalar.

    Raises:
        DMLTeachError: shapes or dtypes do not fit, or a label (looked at on the CPU only) is no class.
    """
    check_classes(labels, len(weight))
    return cross_entropy(cosine_to(embeddings, weight) / temperature, labels)


class NormalizedSoftmax(Loss):
    """A classifier by cosine; retrieval uses the embedding and forgets the class directions."""

    geometry = "sphere"
    compares = "learned class vectors"

    def __init__(self, num_classes: int, embedding_dim: int, temperature: float = 0.05):
        super().__init__()
        positive("temperature", temperature, because="the loss divides by it")
        self.temperature = temperature
        bound = embedding_dim**-0.5
        self.weight = nn.Parameter(torch.empty(num_classes, embedding_dim).uniform_(-bound, bound))

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        return normalized_softmax_loss(embeddings, labels, self.weight, self.temperature)

    def imprint(self, space) -> None:
        point_at_class_means_(self.weight, space)

    def active_tuples(self, embeddings, labels, tuples=None) -> Tensor:
        """Share of images not yet classified correctly."""
        return (cosine_to(embeddings, self.weight).argmax(1) != labels).float().mean()
