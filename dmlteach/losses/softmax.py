"""Softmax cross-entropy: the classifier whose last layer is cut off for retrieval."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear

from dmlteach.distances import full_precision
from dmlteach.inputs import check_classes
from dmlteach.interfaces import Loss
from dmlteach.losses.batch import loss_function
from dmlteach.neighbors import means_of


@loss_function
@full_precision
def softmax_loss(embeddings: Tensor, labels: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Mean over the batch of −log softmax(W z + b) at the example's own class.

    Args:
        embeddings: (N, D).
        labels: (N,) class of each embedding, 0 … C-1.
        weight: W, (C, D), one row per class.
        bias: b, (C,).

    Returns:
        Scalar.

    Raises:
        DMLTeachError: shapes or dtypes do not fit, or a label (looked at on the CPU only) is no class.
    """
    check_classes(labels, len(weight))
    return cross_entropy(linear(embeddings, weight.to(embeddings), bias.to(embeddings)), labels)


class Softmax(Loss):
    """A linear classifier on the embedding; retrieval uses the embedding and forgets the classifier."""

    geometry = "euclidean"
    compares = "learned class vectors"

    def __init__(self, num_classes: int, embedding_dim: int):
        super().__init__()
        self.classifier = nn.Linear(embedding_dim, num_classes)

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        return softmax_loss(embeddings, labels, self.classifier.weight, self.classifier.bias)

    @torch.no_grad()
    def imprint(self, space) -> None:
        # z·m − ‖m‖²/2 is, but for a term all classes share, −‖z − m‖²/2: the nearest mean wins.
        means = means_of(space.embeddings, space.labels, len(self.classifier.bias)).to(self.classifier.weight)
        self.classifier.weight.copy_(means)
        self.classifier.bias.copy_(means.square().sum(1) / -2)

    def active_tuples(self, embeddings, labels, tuples=None) -> Tensor:
        """Share of images not yet classified correctly."""
        wrong = self.classifier(embeddings.to(self.classifier.weight)).argmax(1) != labels
        return wrong.float().mean()
