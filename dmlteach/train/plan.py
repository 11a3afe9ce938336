"""What happens before the steps: a new network is prepared once, and each epoch is planned."""

from typing import Any

import torch
from torch import Tensor

from dmlteach import foreign, models
from dmlteach.embeddings import embed
from dmlteach.errors import DMLTeachError
from dmlteach.interfaces import Space
from dmlteach.train.build import Parts

INITIALIZED_ON = 4096  # images on whose features the learners of an ensemble are made independent


def prepare(parts: Parts) -> None:
    """Change a new network and its loss before the first step, where the recipe says so.

    Args:
        parts: of the run.
    """
    _initialize_heads(parts)
    _imprint(parts)


def _initialize_heads(parts: Parts) -> None:
    """Make the learners of an ensemble independent."""
    steps, head = parts.recipe.head_steps, parts.model.head
    if not steps or parts.config.checkpoint or not isinstance(head, models.BIERHead):
        return
    generator = torch.Generator().manual_seed(parts.config.seed)
    rows = torch.randperm(len(parts.images), generator=generator)[:INITIALIZED_ON]
    features = embed(parts.model.trunk(), parts.images, parts.device.type, world=parts.world, rows=rows)
    models.initialize_heads(head, features, generator, steps)


def _imprint(parts: Parts) -> None:
    """Start the loss's class vectors from a few images of every class."""
    if not parts.recipe.imprint:
        return
    generator = torch.Generator().manual_seed(parts.config.seed)
    rows = _of_every_class(parts.images.labels, parts.recipe.imprint, generator)
    found = embed(parts.model, parts.images, parts.device.type, world=parts.world, rows=rows)
    parts.objective.loss.imprint(Space(found, parts.images.labels[rows]))


def _of_every_class(labels: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Rows of so many images of every class, drawn at random, in order."""
    order = torch.randperm(len(labels), generator=generator)
    order = order[labels[order].argsort(stable=True)]  # class by class, at random inside
    starts = torch.bincount(labels).cumsum(0) - torch.bincount(labels)
    place = torch.arange(len(order)) - starts[labels[order]]
    return order[place < count].sort().values


def plan(parts: Parts, epoch: int, last_loss: float | None) -> dict[str, Any]:
    """Let sampler and loss prepare, from epoch-start embeddings where one of them needs them.

    Args:
        parts: of the run.
        epoch: that begins.
        last_loss: mean of the epoch before; None where there is none.

    Returns:
        What the sampler says of its plan.
    """
    sampler, world, report = parts.sampler, parts.world, {}
    space = _space(parts, epoch)
    if world.is_main:
        try:
            report = sampler.plan(epoch, space, last_loss)
        except Exception as error:
            if isinstance(error, DMLTeachError) or not foreign.is_foreign(parts.recipe.sampler):
                raise
            what = f"the sampler {parts.recipe.sampler} fails as it plans epoch {epoch + 1}"
            raise foreign.failed(what, error) from error
    if world.size > 1:
        sampler.load_state_dict(world.share(sampler.state_dict()))
    parts.objective.loss.plan(epoch, space)
    return report


def set_modes(parts: Parts, epoch: int) -> None:
    """Put the network into training mode, its backbone frozen in the epochs for which the recipe says so.

    Args:
        parts: of the run.
        epoch: that goes on.
    """
    parts.model.backbone.requires_grad_(epoch >= parts.recipe.frozen_epochs)
    parts.model.train()


def _space(parts: Parts, epoch: int) -> Space | None:
    """Embeddings, with the test-time transform, of the images that sampler or loss look at."""
    if not parts.needs_space:
        return None
    rows, images = parts.rows_to_embed(epoch), parts.images
    found = embed(parts.model, images, parts.device.type, progress=parts.shown, world=parts.world, rows=rows)
    if rows is None:
        return Space(found, images.labels)
    embeddings = found.new_full((len(images), found.shape[1]), torch.nan)
    embeddings[rows] = found
    return Space(embeddings, images.labels)
