"""How often the search is right, and how far the rounding of its network changes what it finds."""

from functools import cache

import torch

from dmlteach.course.widgets.draw_character.search import BASELINE, FOUND, NETWORK, Search
from dmlteach.course.widgets.draw_character.traced import traced
from dmlteach.course.widgets.strokes import draw_strokes


@cache
def found(network: str = NETWORK, rounded: bool = True) -> torch.Tensor:
    """(200, 5) characters found for the traced drawings, redrawn from their strokes, nearest first.

    Args:
        network: name of a shipped network.
        rounded: whether its weights and the gallery have eight bits.
    """
    drawings = torch.stack([draw_strokes(one.strokes) for one in traced()])
    return Search(network, rounded).ranked(drawings)[1]


def right(characters: torch.Tensor) -> dict[str, float]:
    """Share of the traced drawings whose character is "first", and "among" the five found.

    Args:
        characters: what `found` gives.
    """
    hits = characters == torch.tensor([one.character for one in traced()])[:, None]
    return {"first": hits[:, 0].double().mean().item(), "among": hits.any(1).double().mean().item()}


def agreement(some: torch.Tensor, others: torch.Tensor) -> dict[str, float]:
    """Share of drawings with the same nearest ("first"), and with at least four of the five alike ("four").

    Args:
        some: characters found for each drawing, (n, 5).
        others: likewise, by another network.
    """
    alike = (some[:, :, None] == others[:, None, :]).any(2).sum(1)
    same = (some[:, 0] == others[:, 0]).double().mean().item()
    return {"first": same, "four": (alike >= FOUND - 1).double().mean().item()}


def measured() -> dict:
    """What the page says of itself: how often the right character is found, beside the untrained network."""
    return {
        "drawings": len(traced()),
        "network": right(found()),
        "baseline": right(found(BASELINE, rounded=False)),
        "full": agreement(found(), found(rounded=False)),
    }
