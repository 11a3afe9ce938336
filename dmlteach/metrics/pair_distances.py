"""Distances within classes and between them, of pairs drawn at random."""

from typing import NamedTuple

import torch
from torch import Tensor

from dmlteach.errors import DMLTeachError
from dmlteach.metrics.sets import checked_set


class PairDistances(NamedTuple):
    """Distances of random pairs: row i of both is measured from the same image.

    Attributes:
        same: (P,) to an image of the same class.
        other: (P,) to an image of another class.
    """

    same: Tensor
    other: Tensor

    @property
    def confused(self) -> float:
        """Share of images for which the one of another class is nearer than the one of their own.

        One half in an embedding that knows nothing, or has collapsed: ties count one half.
        """
        nearer = (self.other < self.same).double() + 0.5 * (self.other == self.same).double()
        return nearer.mean().item()


def pair_distances(embeddings: Tensor, labels: Tensor, pairs: int = 20_000, seed: int = 0) -> PairDistances:
    """Euclidean distances from random images to one of the same class each, and to one of another.

    Images, and among those of a class or of the others, are drawn with equal probability, with replacement.
    Images that are alone in their class are drawn only as the one of another class.

    Args:
        embeddings: (M, D).
        labels: (M,) class of each.
        pairs: P of each kind.
        seed: equal seeds give equal pairs.

    Raises:
        DMLTeachError: there is one class only, or every image is alone in its class; or shapes do not fit or
            values are not finite.
    """
    z, labels = checked_set(embeddings, labels, "embeddings")
    classes, sizes = labels.cpu().unique(return_inverse=True, return_counts=True)[1:]
    if len(sizes) < 2 or sizes.max() < 2:
        raise DMLTeachError("pairs need two classes, and two images of one: there is nothing to compare.")
    order = classes.argsort(stable=True)  # images class by class
    start = (sizes.cumsum(0) - sizes)[classes[order]]  # (M,) where the class of each begins in that order
    size = sizes[classes[order]]
    generator = torch.Generator().manual_seed(seed)

    def draw(bound: Tensor) -> Tensor:
        """(P,) whole numbers from 0 up to each bound, which it does not reach."""
        return (torch.rand(pairs, generator=generator, dtype=torch.float64) * bound).long()

    companions = (size > 1).nonzero()[:, 0]
    place = companions[draw(torch.tensor(len(companions)))]  # (P,)
    first, many = start[place], size[place]
    own = first + (place - first + 1 + draw(many - 1)) % many
    foreign = (first + many + draw(len(order) - many)) % len(order)
    anchor, same, other = (z[order[rows].to(z.device)].double() for rows in (place, own, foreign))
    return PairDistances((anchor - same).norm(dim=1).cpu(), (anchor - other).norm(dim=1).cpu())
