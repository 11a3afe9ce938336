"""A short training that collapses, and the changes to it that the chapter on pairs and triplets discusses."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from dmlteach import losses, models, samplers
from dmlteach.course.exercises.drawings import training_drawings
from dmlteach.distances import pairwise_squared_distances
from dmlteach.options import one_of

CLASSES, IMAGES_PER_CLASS = 60, 4
LAST = 5  # steps over which the end of a run is averaged


class Step(NamedTuple):
    """What one step of training saw: the loss, and mean squared distances within its batch."""

    loss: float
    d2_positive: float
    d2_negative: float


def hardest_triplets(z: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Mean hinge over anchors, each with its farthest positive and its nearest negative."""
    d2 = pairwise_squared_distances(z)
    same = labels[:, None] == labels
    hardest = d2.masked_fill(~same, -1).amax(1) - d2.masked_fill(same, torch.inf).amin(1)
    return (margin + hardest).relu().mean()


LOSSES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "hardest": hardest_triplets,
    "all": losses.triplet_loss,
    "sst": lambda z, labels, margin: losses.sst_loss(z, labels),
}
STARTS = ("untrained", "triplet")


def train_briefly(
    loss: str = "hardest",
    margin: float = 0.2,
    learning_rate: float = 3e-3,
    start: str = "untrained",
    seed: int = 0,
    steps: int = 40,
    batch_size: int = 32,
) -> list[Step]:
    """Train a small network on 60 characters for a few seconds; as it stands, it collapses.

    Args:
        loss: "hardest" (the hardest triplet of each anchor), "all" (the mean over all triplets) or "sst".
        margin: of the triplet losses, a squared distance.
        learning_rate: of Adam.
        start: "untrained", or "triplet", a network that already separates the characters.
        seed: of the weights and the batches.
        steps: how many.
        batch_size: drawings in a batch, four of a character.

    Returns:
        What each step saw.

    Raises:
        DMLTeachError: an unknown loss or start.
    """
    one_of("loss of the short training", loss, LOSSES)
    one_of("start of the short training", start, STARTS)
    pixels, classes = training_drawings(CLASSES)
    untrained = start == "untrained"
    network = models.create("omniglot_cnn", 64, seed=seed) if untrained else models.pretrained(start)
    network.train()
    optimizer = torch.optim.Adam(network.parameters(), learning_rate)
    sampler = samplers.create(
        "class_balanced", classes, batch_size, seed=seed, images_per_class=IMAGES_PER_CLASS
    )
    history: list[Step] = []
    while len(history) < steps:
        for batch in sampler:
            labels = classes[list(batch)]
            z = network((pixels[list(batch)] / 255 - network.spec.mean[0]) / network.spec.std[0])
            value = LOSSES[loss](z, labels, margin)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            d2, same = pairwise_squared_distances(z.detach()), labels[:, None] == labels
            positive = same.clone().fill_diagonal_(False)
            history.append(Step(value.item(), d2[positive].mean().item(), d2[~same].mean().item()))
            if len(history) == steps:
                break
    return history


def separation(history: list[Step]) -> float:
    """How many times as far negatives are as positives, in d², over the last steps."""
    last = history[-LAST:]
    return sum(s.d2_negative for s in last) / max(sum(s.d2_positive for s in last), 1e-12)
