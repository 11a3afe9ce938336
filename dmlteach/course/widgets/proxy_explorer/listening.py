"""To which points a proxy listens: the weight of every cosine of a point and a proxy in a loss."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from dmlteach.losses import arcface_loss, normalized_softmax_loss, proxy_anchor_loss, proxy_nca_loss
from dmlteach.losses.arcface import with_margin
from dmlteach.losses.tuples import masked_logsumexp, softplus
from dmlteach.options import one_of

SCALES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
MARGINS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)


class Family(NamedTuple):
    """A loss with one proxy for each class.

    Attributes:
        label: as it is shown.
        library: the library's function, of (embeddings, labels, proxies, scale, margin).
        of_cosines: the same of (cosines (N, C), labels, scale, margin).
        margin: what its margin is measured in; "" where it has none.
    """

    label: str
    library: Callable[[Tensor, Tensor, Tensor, float, float], Tensor]
    of_cosines: Callable[[Tensor, Tensor, float, float], Tensor]
    margin: str


def _arcface(s: Tensor, labels: Tensor, scale: float, margin: float) -> Tensor:
    own = with_margin(s.gather(1, labels[:, None]), margin, "arcface")
    return cross_entropy(scale * s.scatter(1, labels[:, None], own), labels)


def _is_own(s: Tensor, labels: Tensor) -> Tensor:
    return labels[:, None] == torch.arange(s.shape[1])


def _proxy_nca(s: Tensor, labels: Tensor, scale: float, margin: float) -> Tensor:
    others = masked_logsumexp(scale * s, ~_is_own(s, labels))
    return (others - scale * s.gather(1, labels[:, None])[:, 0]).mean()


def _proxy_anchor(s: Tensor, labels: Tensor, scale: float, margin: float) -> Tensor:
    own = _is_own(s, labels)
    pull = softplus(masked_logsumexp(-scale * (s - margin), own, 0))
    return pull[own.any(0)].mean() + softplus(masked_logsumexp(scale * (s + margin), ~own, 0)).mean()


FAMILIES = {
    "normalized_softmax": Family(
        "normalised softmax",
        lambda z, y, p, scale, margin: normalized_softmax_loss(z, y, p, temperature=1 / scale),
        lambda s, y, scale, margin: cross_entropy(scale * s, y),
        "",
    ),
    "arcface": Family(
        "ArcFace",
        lambda z, y, p, scale, margin: arcface_loss(z, y, p, margin=margin, scale=scale),
        _arcface,
        "an angle, in radians",
    ),
    # −d² of vectors of length k is 2 k² times their cosine, and a constant.
    "proxy_nca": Family(
        "Proxy-NCA",
        lambda z, y, p, scale, margin: proxy_nca_loss(z, y, p, scale=(scale / 2) ** 0.5),
        _proxy_nca,
        "",
    ),
    "proxy_anchor": Family(
        "Proxy-Anchor",
        lambda z, y, p, scale, margin: proxy_anchor_loss(z, y, p, alpha=scale, margin=margin),
        _proxy_anchor,
        "a cosine",
    ),
}


def on_circle(degrees: Sequence[float]) -> Tensor:
    """Points on the unit circle, (N, 2) float64.

    Args:
        degrees: their angles, counterclockwise from the right.
    """
    angle = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([angle.cos(), angle.sin()], 1)


def weights(loss: str, cosines: Tensor, labels: Tensor, scale: float, margin: float) -> Tensor:
    """∂L/∂s of each cosine, (N, C): below 0 the point draws the proxy, above 0 it pushes it.

    Args:
        loss: one of `FAMILIES`.
        cosines: s, of N points and C proxies.
        labels: (N,) class of each point.
        scale: the factor in front of the cosine.
        margin: where the loss has one.

    Raises:
        DMLTeachError: an unknown loss.
    """
    one_of("loss", loss, FAMILIES)
    s = cosines.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(FAMILIES[loss].of_cosines(s, labels, scale, margin), s)
    return gradient


def forces(of_one_proxy: Tensor, degrees: Sequence[float], proxy: float) -> Tensor:
    """∂L/∂ψ of a proxy at the angle ψ on the circle, point by point, (N,): descent turns it the other way.

    Args:
        of_one_proxy: its column of `weights`.
        degrees: angles of the points.
        proxy: its angle ψ, in degrees.
    """
    apart = torch.tensor(degrees, dtype=torch.float64) - proxy
    return of_one_proxy * apart.deg2rad().sin()


def share(of_all: Tensor) -> Tensor:
    """Each point's share of all that turns a proxy, (N,).

    Args:
        of_all: its `forces`.
    """
    return of_all.abs() / of_all.abs().sum().clamp_min(1e-300)


def half_from(shares: Tensor) -> int:
    """How few points hold half of what turns a proxy.

    Args:
        shares: (N,), which sum to 1.
    """
    return int((shares.sort(descending=True).values.cumsum(0) < 0.5 - 1e-9).sum()) + 1
