"""Parts of a user: each does what one of ours does, which trainings with it are compared with."""

import torch
from torch import nn

from dmlteach import data, losses
from dmlteach.interfaces import Loss
from dmlteach.models import OmniglotCNN
from dmlteach.samplers import ClassBalanced


def pairs(embeddings, labels, margin=5.0):
    """A loss as a function."""
    return losses.contrastive_loss(embeddings, labels, margin)


class Pairs(nn.Module):
    """A loss as a module."""

    def __init__(self, margin: float = 5.0):
        super().__init__()
        self.margin = margin

    def forward(self, embeddings, labels):
        return losses.contrastive_loss(embeddings, labels, self.margin)


class Noisy:
    """A loss that draws from torch's global generator."""

    def __call__(self, embeddings, labels):
        return losses.contrastive_loss(embeddings + 0.1 * torch.randn_like(embeddings), labels, 5.0)


class Proxies(Loss):
    """A loss with learned class vectors, on the sphere."""

    geometry = "sphere"

    def __init__(self, num_classes, embedding_dim, scale=8.0):
        super().__init__()
        self.scale = scale
        self.vectors = nn.Parameter(torch.randn(num_classes, embedding_dim))

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None):
        cosine = nn.functional.normalize(embeddings) @ nn.functional.normalize(self.vectors).T
        return nn.functional.cross_entropy(self.scale * cosine, labels)


class Balanced(ClassBalanced):
    """A sampler."""


class Network(OmniglotCNN):
    """A backbone for drawings."""

    channels = 1
    mean, std = (0.08,), (0.25,)


def load(split, root=None, *, rotations=False):
    """A data set: the drawings."""
    return data.load("omniglot", split, rotations=rotations)
