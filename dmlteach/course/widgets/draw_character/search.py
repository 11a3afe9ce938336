"""A drawing among one of each character: what the page computes, in the kernel, with the same numbers."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from dmlteach import data, models
from dmlteach.course.widgets.draw_character.rounding import Rounded, round_model, round_rows
from dmlteach.course.widgets.strokes import Strokes, draw_strokes, shrink
from dmlteach.data.augment import Augmentation
from dmlteach.data.omniglot import CHARACTERS, DRAWERS
from dmlteach.distances import pairwise_distances
from dmlteach.models import Model
from dmlteach.neighbors import nearest

NETWORK = "sst"
BASELINE = "untrained"
DRAWER = 0  # whose drawings are the gallery
FOUND = 5  # neighbors shown


@dataclass(frozen=True)
class Neighbor:
    """A drawing of the gallery that was found.

    Attributes:
        character: which of the test characters, from 0.
        distance: between the embeddings.
        similarity: 1 for the same point, 0 for the distance that two characters have on average, or more.
    """

    character: int
    distance: float
    similarity: float


class Search:
    """One drawing of each of the 659 test characters, and a network that finds the nearest ones.

    Args:
        network: name of a shipped network.
        rounded: whether weights and gallery have eight bits, as in the page; else fp32.
    """

    def __init__(self, network: str = NETWORK, rounded: bool = True):
        self.shipped = models.pretrained(network)
        self.rounded = rounded
        self.model: Model = round_model(self.shipped) if rounded else self.shipped

    def embed(self, drawings: Tensor) -> Tensor:
        """Drawings (n, 1, 105, 105) uint8 → embeddings (n, D)."""
        spec = self.model.spec
        center = Augmentation("none", spec.image_size, spec.mean, spec.std)
        with torch.no_grad():
            return self.model(center.apply(shrink(drawings), torch.empty(len(drawings), 0)))

    @cached_property
    def gallery_rows(self) -> Rounded:
        """The gallery's embeddings as the page has them."""
        return round_rows(self.embed(gallery_drawings()))

    @cached_property
    def gallery(self) -> Tensor:
        """(659, D) embeddings of one drawing of each character."""
        return self.gallery_rows.values if self.rounded else self.embed(gallery_drawings())

    @cached_property
    def typical(self) -> float:
        """Mean distance of two drawings of the gallery, which are of different characters."""
        count = len(self.gallery)
        return (pairwise_distances(self.gallery).sum() / (count * (count - 1))).item()

    def nearest(self, strokes: Strokes, k: int = FOUND) -> list[Neighbor]:
        """The gallery's drawings nearest to drawn strokes.

        Args:
            strokes: as `strokes.draw_strokes` takes them.
            k: how many.

        Returns:
            The nearest first.
        """
        distances, found = self.ranked(draw_strokes(strokes)[None], k)
        return [
            Neighbor(character, distance, max(0.0, 1 - distance / self.typical))
            for character, distance in zip(found[0].tolist(), distances[0].tolist(), strict=True)
        ]

    def ranked(self, drawings: Tensor, k: int = FOUND) -> tuple[Tensor, Tensor]:
        """Distances (n, k) and characters (n, k) of the nearest, of drawings (n, 1, 105, 105).

        Args:
            drawings: uint8.
            k: how many.
        """
        d2, characters = nearest(self.embed(drawings), self.gallery, k)
        return d2.sqrt(), characters


def gallery_drawings() -> Tensor:
    """(659, 1, 105, 105) uint8: the drawing of each test character by the first person."""
    return drawings_of(torch.arange(CHARACTERS["test"]), torch.tensor(DRAWER))


def drawings_of(characters: Tensor, drawers: Tensor) -> Tensor:
    """(n, 1, 105, 105) uint8 drawings of test characters.

    Args:
        characters: (n,) from 0.
        drawers: (n,) or one, from 0: who drew them.
    """
    source = data.load("omniglot", "test").source
    return torch.cat(source.read(characters * DRAWERS + drawers))
