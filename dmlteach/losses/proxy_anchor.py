"""Proxy-Anchor loss: Kim, Kim, Cho & Kwak, "Proxy anchor loss for deep metric learning", CVPR 2020."""

import torch
from torch import Tensor, nn

from dmlteach.distances import cosine_to
from dmlteach.inputs import check_classes
from dmlteach.interfaces import Loss
from dmlteach.losses.batch import loss_function
from dmlteach.losses.class_vectors import point_at_class_means_
from dmlteach.losses.tuples import has_any, masked_logsumexp, masked_mean, softplus
from dmlteach.options import at_least, positive


@loss_function
def proxy_anchor_loss(
    embeddings: Tensor, labels: Tensor, proxies: Tensor, alpha: float = 32.0, margin: float = 0.1
) -> Tensor:
    """Σ_{p∈P⁺} log(1 + Σ_own exp(−α(s − δ))) / |P⁺| + Σ_{p∈P} log(1 + Σ_other exp(α(s + δ))) / |P|.

    s is the cosine of an embedding x and a proxy p. P are all proxies, P⁺ those with an embedding of
    their class in the batch: the proxy is the anchor, and the batch its positives and negatives.

    Args:
        embeddings: (N, D); normalised here.
        labels: (N,) class of each embedding, 0 … C-1.
        proxies: (C, D), one per class; normalised here.
        alpha: α, steepness.
        margin: δ, in cosine.

    Returns:
        Scalar.

    Raises:
        DMLTeachError: shapes or dtypes do not fit, or a label (looked at on the CPU only) is no class.
    """
    check_classes(labels, len(proxies))
    s = cosine_to(embeddings, proxies)  # (N, C)
    is_own = labels[:, None] == torch.arange(len(proxies), device=labels.device)  # (N, C)
    # softplus(log Σ exp) = log(1 + Σ exp), 0 for a proxy without such examples
    pull = softplus(masked_logsumexp(-alpha * (s - margin), is_own, dim=0))  # (C,)
    push = softplus(masked_logsumexp(alpha * (s + margin), ~is_own, dim=0))
    return masked_mean(pull, has_any(is_own, 0)) + push.mean()


class ProxyAnchor(Loss):
    """Proxy-Anchor with one learned proxy per training class; retrieval forgets the proxies."""

    geometry = "sphere"
    compares = "learned class vectors"

    def __init__(self, num_classes: int, embedding_dim: int, alpha: float = 32.0, margin: float = 0.1):
        super().__init__()
        at_least("margin", margin, 0)
        positive("alpha", alpha)
        self.alpha = alpha
        self.margin = margin
        self.proxies = nn.Parameter(torch.empty(num_classes, embedding_dim))
        nn.init.kaiming_normal_(self.proxies, mode="fan_out")

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        return proxy_anchor_loss(embeddings, labels, self.proxies, self.alpha, self.margin)

    def imprint(self, space) -> None:
        point_at_class_means_(self.proxies, space)

    def active_tuples(self, embeddings, labels, tuples=None) -> Tensor:
        """Share of images whose nearest proxy is not their own."""
        return (cosine_to(embeddings, self.proxies).argmax(1) != labels).float().mean()
