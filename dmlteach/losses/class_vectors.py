"""Learned class vectors (proxies, centers, rows of a classifier), and a start for them.

Imprinting: Qi, Brown & Lowe, "Low-shot learning with imprinted weights", CVPR 2018.
"""

import torch
from torch import Tensor

from dmlteach.distances import normalize
from dmlteach.interfaces import Space
from dmlteach.neighbors import means_of


@torch.no_grad()
def point_at_class_means_(vectors: Tensor, space: Space) -> None:
    """Turn each class's vector (C, D) towards its mean embedding, in place; its length stays."""
    directions = normalize(means_of(space.embeddings, space.labels, len(vectors))).to(vectors)
    vectors.copy_(directions * vectors.norm(dim=1, keepdim=True))
