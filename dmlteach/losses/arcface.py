"""ArcFace, with sub-centers, and CosFace.

Deng et al., "ArcFace: additive angular margin loss for deep face recognition", CVPR 2019; sub-centers: Deng
et al., "Sub-center ArcFace: boosting face recognition by large-scale noisy web faces", ECCV 2020; CosFace:
Wang et al., "CosFace: large margin cosine loss for deep face recognition", CVPR 2018.
"""

from math import cos, sin

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from dmlteach.distances import cosine_to, distance, normalize
from dmlteach.inputs import check_classes
from dmlteach.interfaces import Loss
from dmlteach.losses.batch import loss_function
from dmlteach.neighbors import means_of
from dmlteach.options import at_least, between, one_of, positive

MARGINS = {"arcface": 0.5, "cosface": 0.35}  # the papers' m, by the form of the loss


def class_cosines(embeddings: Tensor, centers: Tensor) -> Tensor:
    """cos of each embedding with the nearest center of each class, (N, D) and (C, K, D) → (N, C)."""
    classes, dim = centers.shape[0], centers.shape[-1]
    return cosine_to(embeddings, centers.reshape(-1, dim)).unflatten(1, (classes, -1)).amax(2)


def with_margin(cosine: Tensor, margin: float, form: str) -> Tensor:
    """cos θ less its margin: cos(θ + m) for ArcFace, cos θ − m for CosFace.

    cos(θ + m) = cos θ cos m − sin θ sin m needs no angle, whose gradient has no bound at θ = 0 and θ = π:
    there sin θ counts as constant. Beyond θ = π − m, where cos(θ + m) would rise again, cos θ − m sin m
    takes its place, as in the authors' code.
    """
    if form == "cosface":
        return cosine - margin
    sine = distance(1 - cosine.square())
    within = cosine >= -cos(margin)  # θ ≤ π − m
    return torch.where(within, cosine * cos(margin) - sine * sin(margin), cosine - margin * sin(margin))


def margin_of(form: str, margin: float | None) -> float:
    """The margin that is used: the given one if the form can have it, or that of the form's paper."""
    one_of("form", form, MARGINS)
    if margin is None:
        return MARGINS[form]
    if form == "arcface":
        between("margin", margin, 0, 1.5, because="it is an angle in radians")
    else:
        at_least("margin", margin, 0)
    return margin


@loss_function
def arcface_loss(
    embeddings: Tensor,
    labels: Tensor,
    centers: Tensor,
    form: str = "arcface",
    margin: float | None = None,
    scale: float = 64.0,
) -> Tensor:
    """Mean over the batch of −log softmax(S cos θ_c) at the example's own class, where cos(θ + m) stands
    in for cos θ.

    θ_c is the angle between the embedding and the nearest of the K centers of class c; with K = 1 it is
    ArcFace, with more Sub-center ArcFace, where noise and unlike images of a class may gather at a center
    of their own. The form "cosface" has cos θ − m at the own class. Beyond θ = π − m, ArcFace goes on with
    cos θ − m sin m, so that a larger angle always costs more.

    Args:
        embeddings: (N, D); normalised here.
        labels: (N,) class of each embedding, 0 … C-1.
        centers: (C, D), or (C, K, D) for K sub-centers of each class; normalised here.
        form: "arcface" or "cosface".
        margin: m, an angle in radians for "arcface", in cosine for "cosface"; default the papers', 0.5 and
            0.35.
        scale: S; the papers' 64 is for millions of faces, small batches and networks want less.

    Returns:
        Scalar.

    Raises:
        DMLTeachError: shapes or dtypes do not fit, no such form, its margin is out of range, or a label
            (looked at on the CPU only) is no class.
    """
    margin = margin_of(form, margin)
    check_classes(labels, len(centers))
    cosine = class_cosines(embeddings, centers)  # (N, C)
    own = cosine.gather(1, labels[:, None])
    own = with_margin(own, margin, form)
    return cross_entropy(scale * cosine.scatter(1, labels[:, None], own), labels)


class ArcFace(Loss):
    """A classifier by angle that asks for a margin; retrieval uses the embedding and forgets the centers."""

    geometry = "sphere"
    compares = "learned class vectors"

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        form: str = "arcface",
        sub_centers: int = 1,
        margin: float | None = None,
        scale: float = 64.0,
    ):
        super().__init__()
        self.margin = margin_of(form, margin)
        at_least("sub_centers", sub_centers, 1)
        positive("scale", scale)
        self.form = form
        self.scale = scale
        bound = embedding_dim**-0.5
        shape = (num_classes, sub_centers, embedding_dim)
        self.centers = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        return arcface_loss(embeddings, labels, self.centers, self.form, self.margin, self.scale)

    @torch.no_grad()
    def imprint(self, space) -> None:
        # What sets the K centers of a class apart at random stays; of one center it is nothing.
        apart = self.centers - self.centers.mean(1, keepdim=True)
        means = means_of(space.embeddings, space.labels, len(self.centers)).to(self.centers)
        self.centers.copy_(normalize(means)[:, None] + apart)

    def active_tuples(self, embeddings, labels, tuples=None) -> Tensor:
        """Share of images that are nearer to another class than to their own, the margin left aside."""
        return (class_cosines(embeddings, self.centers).argmax(1) != labels).float().mean()
