"""Learned class vectors (proxies, centers, rows of a classifier), and a start for them.

Imprinting: Qi, Brown & Lowe, "Low-shot learning with imprinted weights", CVPR 2018.
"""

import torch
from torch import Tensor

from dmlteach.distances import normalize
from dmlteach.interfaces import Space


def class_means(space: Space, num_classes: int) -> Tensor:
    """(C, D) mean embedding of each class; 0 for a class without an embedding."""
    z, labels = space
    sums = z.new_zeros(num_classes, z.shape[1]).index_add_(0, labels.to(z.device), z)
    return sums / torch.bincount(labels, minlength=num_classes).clamp_min(1).to(z)[:, None]


@torch.no_grad()
def point_at_class_means_(vectors: Tensor, space: Space) -> None:
    """Turn each class's vector (C, D) towards its mean embedding, in place; its length stays."""
    directions = normalize(class_means(space, len(vectors))).to(vectors)
    vectors.copy_(directions * vectors.norm(dim=1, keepdim=True))
