"""Proxy-NCA: Movshovitz-Attias et al., "No fuss distance metric learning using proxies", ICCV 2017.

Its softmax form is that of the public code of others: Teh, DeVries & Taylor, "ProxyNCA++", ECCV 2020.
"""

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from dmlteach.distances import cosine_to
from dmlteach.errors import DMLTeachError
from dmlteach.inputs import check_classes
from dmlteach.interfaces import Loss
from dmlteach.losses.batch import loss_function
from dmlteach.losses.class_vectors import point_at_class_means_
from dmlteach.losses.tuples import has_any, masked_logsumexp, masked_mean
from dmlteach.options import one_of, positive

Variant = Literal["paper", "softmax"]


@loss_function
def proxy_nca_loss(
    embeddings: Tensor,
    labels: Tensor,
    proxies: Tensor,
    scale: float = 1.0,
    proxy_scale: float | None = None,
    variant: Variant = "paper",
    smoothing: float = 0.0,
) -> Tensor:
    """Mean over the batch of −log(exp(−d²(x, p_y)) / Σ_{z≠y} exp(−d²(x, p_z))).

    x is an embedding, p_z the proxy of class z, both scaled to a fixed length. The own proxy is not in
    the denominator, so the loss can be negative. With variant "softmax" it is: that is cross-entropy
    on −d². ProxyNCA++ is "softmax" with scale 3 (temperature 1/9); a widely used implementation of
    Proxy-NCA is "softmax" with scale 3 and smoothing 0.1.

    Args:
        embeddings: (N, D); normalised here.
        labels: (N,) class of each embedding, 0 … C-1.
        proxies: (C, D), one per class; normalised here.
        scale: length of x, and of p where `proxy_scale` is None.
        proxy_scale: length of p.
        variant: "paper" or "softmax".
        smoothing: with "softmax", the share of the target that the other classes divide evenly.

    Returns:
        Scalar; a differentiable 0 if there is no other class.

    Raises:
        DMLTeachError: shapes or dtypes do not fit, no such variant, or a label (looked at on the CPU only) is
            no class.
    """
    one_of("variant of the proxy_nca loss", variant, get_args(Variant))
    check_classes(labels, len(proxies))
    # −d² = 2 x·p − ‖x‖² − ‖p‖², and the lengths, equal for all proxies, cancel in the ratio.
    similarity = 2 * scale * (scale if proxy_scale is None else proxy_scale) * cosine_to(embeddings, proxies)
    num_classes = len(proxies)
    if variant == "softmax":
        # torch spreads its smoothing over all classes, the own one included.
        over_all = smoothing * num_classes / max(num_classes - 1, 1)
        return cross_entropy(similarity, labels, label_smoothing=over_all)
    is_other = labels[:, None] != torch.arange(num_classes, device=labels.device)  # (N, C)
    own = similarity.gather(1, labels[:, None])[:, 0]  # (N,)
    return masked_mean(masked_logsumexp(similarity, is_other) - own, has_any(is_other))


class ProxyNCA(Loss):
    """Proxy-NCA with one learned proxy per training class; retrieval forgets the proxies."""

    geometry = "sphere"
    compares = "learned class vectors"

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        scale: float = 1.0,
        proxy_scale: float | None = None,
        variant: Variant = "paper",
        smoothing: float = 0.0,
    ):
        super().__init__()
        positive("scale", scale, because="it is a length")
        if proxy_scale is not None:
            positive("proxy_scale", proxy_scale, because="it is a length")
        one_of("variant of the proxy_nca loss", variant, get_args(Variant))
        if not 0 <= smoothing <= 1 - 1 / max(num_classes, 1):
            raise DMLTeachError(
                f"smoothing must be from 0 to {1 - 1 / max(num_classes, 1):.3g}, where all "
                f"{num_classes} classes share the target, not {smoothing}."
            )
        if smoothing and variant == "paper":
            raise DMLTeachError(
                f"smoothing {smoothing} needs variant='softmax': the paper's form has no target to smooth."
            )
        self.scale = scale
        self.proxy_scale = proxy_scale
        self.variant = variant
        self.smoothing = smoothing
        self.proxies = nn.Parameter(torch.randn(num_classes, embedding_dim) / embedding_dim**0.5)

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        return proxy_nca_loss(
            embeddings, labels, self.proxies, self.scale, self.proxy_scale, self.variant, self.smoothing
        )

    def imprint(self, space) -> None:
        point_at_class_means_(self.proxies, space)

    def active_tuples(self, embeddings, labels, tuples=None) -> Tensor:
        """Share of images whose nearest proxy is not their own."""
        return (cosine_to(embeddings, self.proxies).argmax(1) != labels).float().mean()
