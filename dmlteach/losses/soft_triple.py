"""SoftTriple loss: Qian et al., "SoftTriple loss: deep metric learning without …", ICCV 2019."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from dmlteach.distances import full_precision, normalize, pairwise_distances
from dmlteach.inputs import check_classes
from dmlteach.interfaces import Loss
from dmlteach.losses.batch import loss_function
from dmlteach.neighbors import means_of
from dmlteach.options import at_least, positive


@loss_function
@full_precision
def soft_triple_loss(
    embeddings: Tensor,
    labels: Tensor,
    centers: Tensor,
    scale: float = 20.0,
    gamma: float = 0.1,
    margin: float = 0.01,
    tau: float = 0.2,
) -> Tensor:
    """Cross-entropy of λ(S_c − δ[c = y]) over classes c, plus τ times the mean spread of a class's centers.

    S_c = Σ_k softmax_k(x·w_ck / γ) x·w_ck is the similarity of an embedding x to class c: nearly that
    to the nearest of its K centers w_ck. The second term draws a class's centers together, so that
    those not needed coincide: Σ_c Σ_{s<t} ‖w_cs − w_ct‖ / (C K (K − 1)).

    Args:
        embeddings: (N, D); normalised here.
        labels: (N,) class of each embedding, 0 … C-1.
        centers: (C, K, D), K for each class; normalised here.
        scale: λ.
        gamma: γ, temperature of the choice among a class's centers.
        margin: δ, by which the own class must be more similar.
        tau: τ, weight of the centers' spread.

    Returns:
        Scalar.

    Raises:
        DMLTeachError: shapes or dtypes do not fit, or a label (looked at on the CPU only) is no class.
    """
    check_classes(labels, len(centers))
    centers = normalize(centers.to(embeddings))
    s = class_similarity(embeddings, centers, gamma)  # (N, C)
    is_own = labels[:, None] == torch.arange(len(centers), device=labels.device)
    loss = cross_entropy(scale * (s - margin * is_own), labels)
    return loss + tau * center_spread(centers) if tau else loss


def class_similarity(embeddings: Tensor, centers: Tensor, gamma: float) -> Tensor:
    """S_c = Σ_k softmax_k(x·w_ck / γ) x·w_ck, (N, D) and unit centers (C, K, D) → (N, C)."""
    similarity = normalize(embeddings) @ centers.flatten(0, 1).T
    similarity = similarity.unflatten(1, centers.shape[:2])  # (N, C, K)
    return ((similarity / gamma).softmax(2) * similarity).sum(2)


def center_spread(centers: Tensor) -> Tensor:
    """Σ_c Σ_{s<t} ‖w_cs − w_ct‖ / (C K (K − 1)) of unit centers (C, K, D); 0 with one center each."""
    num_classes, k, _ = centers.shape
    distances = torch.vmap(pairwise_distances)(centers)  # (C, K, K)
    return distances.triu(1).sum() / (num_classes * max(k * (k - 1), 1))


class SoftTriple(Loss):
    """SoftTriple with several learned centers per training class; retrieval forgets them."""

    geometry = "sphere"
    compares = "learned class vectors"

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        centers_per_class: int = 10,
        scale: float = 20.0,
        gamma: float = 0.1,
        margin: float = 0.01,
        tau: float = 0.2,
    ):
        super().__init__()
        at_least("centers_per_class", centers_per_class, 1)
        positive("scale", scale)
        positive("gamma", gamma)
        at_least("margin", margin, 0)
        at_least("tau", tau, 0)
        self.scale = scale
        self.gamma = gamma
        self.margin = margin
        self.tau = tau
        bound = (num_classes * centers_per_class) ** -0.5  # as the authors' code
        shape = (num_classes, centers_per_class, embedding_dim)
        self.centers = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))

    def forward(self, embeddings, labels, *, tuples=None, reference=None, generator=None) -> Tensor:
        return soft_triple_loss(
            embeddings, labels, self.centers, self.scale, self.gamma, self.margin, self.tau
        )

    @torch.no_grad()
    def imprint(self, space) -> None:
        # All K centers of a class start near its mean; their random start keeps them apart.
        means = means_of(space.embeddings, space.labels, len(self.centers)).to(self.centers)
        self.centers.add_(normalize(means)[:, None])

    def active_tuples(self, embeddings, labels, tuples=None) -> Tensor:
        """Share of images that are more similar to another class than to their own."""
        s = class_similarity(embeddings, normalize(self.centers), self.gamma)
        return (s.argmax(1) != labels).float().mean()
