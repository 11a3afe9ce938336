"""The few signatures that hold every method: what samplers, losses and the trainer say to each other."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from dmlteach.device import moved
from dmlteach.distances import normalize, pairwise_distances, wide
from dmlteach.errors import DMLTeachError
from dmlteach.inputs import as_labels
from dmlteach.options import at_least

# What `Loss.stats` tells of a batch.
STATS = ("active_tuples", "positive_distance", "negative_distance", "embedding_norm", "spread")


class Space(NamedTuple):
    """Epoch-start view of the whole training set; row i is image i of the data set."""

    embeddings: Tensor  # (M, D) fp32, or float64 where the network computes in it
    labels: Tensor  # (M,) 0 … C-1


class Tuples(NamedTuple):
    """Tuples that a sampler chose, and what limits a loss that chooses its own; indices are batch rows."""

    targets: Tensor | None = None  # (N, k) positives per anchor, -1 where there are fewer
    triplets: Tensor | None = None  # (T, 3) anchor, positive, negative
    origins: Tensor | None = None  # (N,) image of each row, where made copies are among them

    def to(self, device: torch.device) -> "Tuples":
        """The same tuples on `device`, without waiting for the copy."""
        return Tuples(*(t if t is None else moved(t, device) for t in self))


class Batch(list):
    """Data-set indices of one global batch: a plain list of ints for any DataLoader.

    `tuples` are the tuples the sampler chose, or None. `step_seed` seeds augmentation and
    every random choice of this step, so that a run is a function of (seed, epoch, step) alone.
    """

    def __init__(self, indices, step_seed: int = 0, tuples: Tuples | None = None):
        super().__init__(int(i) for i in indices)
        self.step_seed = step_seed
        self.tuples = tuples


def derive_seed(*parts: int) -> int:
    """One 63-bit seed from several non-negative integers, e.g. (seed, epoch, step)."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)


class Sampler:
    """Decides which images share a batch. Subclasses implement `_compose`.

    A sampler works as the `batch_sampler` of any DataLoader. If it does not need the embedding space, it
    plans the next epoch by itself when it is iterated; if it does, its user, who holds the network, has to
    plan each epoch: `sampler.plan(epoch, space)`.

    Args:
        labels: (M,) class of each image, integers in a tensor, an array, a list or a pandas column.
        batch_size: images per batch.
        seed: of every random choice.

    Raises:
        DMLTeachError: the labels are no integers, or the batch is larger than the data.
    """

    needs_space: bool = False

    def __init__(self, labels: Tensor, batch_size: int, seed: int = 0):
        self.labels = as_labels(labels).cpu()
        if self.labels.ndim != 1:
            raise DMLTeachError(
                f"labels must be one integer for each image, not of shape {tuple(self.labels.shape)}."
            )
        at_least("batch_size", batch_size, 1)
        if batch_size > len(self.labels):
            raise DMLTeachError(
                f"batch_size {batch_size} is larger than the data ({len(self.labels)} images); "
                "choose a smaller batch_size."
            )
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = -1
        self._batches: list[Batch] | None = None
        self._fresh = False  # the plan has not been iterated yet

    def plan(self, epoch: int, space: Space | None = None, last_loss: float | None = None) -> dict:
        """Compose the batches of `epoch` and return a report (plain numbers and lists).

        Args:
            epoch: its number; equal (seed, epoch, space) give equal batches.
            space: epoch-start embeddings, needed where `needs_space`.
            last_loss: mean training loss of the epoch before, for samplers that adapt.
        """
        if self.needs_space and space is None:
            raise DMLTeachError(self._how_to_plan())
        rng = np.random.default_rng([self.seed, epoch])
        rows, chosen, report = _checked_plan(self._compose(rng, space, last_loss), self)
        tuples: Sequence[Tuples | None] = chosen or [None] * len(rows)
        self._batches = [
            Batch(r, derive_seed(self.seed, epoch, step), t)
            for step, (r, t) in enumerate(zip(rows, tuples, strict=True))
        ]
        self.epoch, self._fresh = epoch, True
        return report

    def rows_to_embed(self, epoch: int) -> Tensor | None:
        """Images whose epoch-start embeddings `plan` will read; None: all. Other rows of Space may be NaN."""
        return None

    def _compose(
        self, rng: np.random.Generator, space: Space | None, last_loss: float | None
    ) -> tuple[list[np.ndarray], list[Tuples] | None, dict]:
        """Index arrays of the epoch's batches, their tuples (or None), and a report."""
        raise NotImplementedError

    def _how_to_plan(self) -> str:
        return (
            f"the {type(self).__name__} sampler groups images by where the network puts them, so it needs "
            "embeddings before each epoch:\n"
            "    space = Space(embed(model, dataset), dataset.labels)\n"
            "    sampler.plan(epoch, space)"
        )

    def __iter__(self) -> Iterator[Batch]:
        if not self._fresh and not self.needs_space:
            self.plan(self.epoch + 1)
        if self._batches is None:
            raise DMLTeachError(self._how_to_plan())
        self._fresh = False
        return iter(list(self._batches))

    def __len__(self) -> int:
        """Batches of the planned epoch (of the next one, where it is not planned yet)."""
        if self._batches is None:
            if self.needs_space:
                raise DMLTeachError(self._how_to_plan())
            self.plan(self.epoch + 1)
        assert self._batches is not None
        return len(self._batches)

    def state_dict(self) -> dict:
        """The planned epoch: indices, targets and seeds of every batch, as tensors and numbers."""
        batches = self._batches or []
        return {
            "epoch": self.epoch,
            "planned": self._batches is not None,
            "rows": [torch.tensor(list(b), dtype=torch.int64) for b in batches],
            "seeds": [b.step_seed for b in batches],
            "targets": [b.tuples.targets if b.tuples else None for b in batches],
            "triplets": [b.tuples.triplets if b.tuples else None for b in batches],
        }

    def load_state_dict(self, state: dict) -> None:
        """Continue with the plan of a checkpoint: the next iteration yields its batches."""
        self.epoch = state["epoch"]
        self._fresh = state["planned"]
        if not state["planned"]:
            self._batches = None
            return
        parts = list(zip(state["rows"], state["seeds"], state["targets"], state["triplets"], strict=True))
        if not all(_fits(rows, targets, triplets, len(self.labels)) for rows, _, targets, triplets in parts):
            raise ValueError("the plan of the epoch names images that this data set does not have.")
        self._batches = [
            Batch(rows.tolist(), seed, Tuples(t, p) if t is not None or p is not None else None)
            for rows, seed, t, p in parts
        ]


def _checked_plan(made: Any, sampler: Sampler) -> tuple[list, list | None, dict]:
    """What a sampler composed, which may be somebody's own: batches of images that there are, and a report.

    Raises:
        DMLTeachError: something else.
    """

    def wrong(what: str) -> DMLTeachError:
        return DMLTeachError(f"the {type(sampler).__name__} sampler {what}; see Sampler._compose.")

    if not (isinstance(made, tuple) and len(made) == 3):
        raise wrong("must compose three things: batches, their tuples or None, and a report")
    rows, chosen, report = made
    if not (isinstance(rows, list | tuple) and (not chosen or len(chosen) == len(rows))):
        raise wrong("must give its batches as a list, and tuples for each or None")
    for batch in map(np.asarray, rows):
        if batch.ndim != 1 or not len(batch) or batch.dtype.kind not in "iu":
            raise wrong("must give each batch as whole numbers, the rows of its images, at least one")
        if batch.min() < 0 or batch.max() >= len(sampler.labels):
            raise wrong(f"chose an image that is not there: rows go from 0 to {len(sampler.labels) - 1}")
    try:
        json.dumps(report, allow_nan=False)
    except (TypeError, ValueError):
        raise wrong("must report plain, finite numbers, texts and lists") from None
    return list(rows), chosen, report


def _fits(rows: Tensor, targets: Tensor | None, triplets: Tensor | None, num_images: int) -> bool:
    """Whether a planned batch names images that there are, and its tuples rows of it."""
    n = len(rows)
    if targets is not None and not (targets.ndim == 2 and len(targets) == n and _lie(targets, -1, n)):
        return False
    if triplets is not None and not (triplets.ndim == 2 and triplets.shape[1] == 3 and _lie(triplets, 0, n)):
        return False
    return rows.ndim == 1 and n > 0 and _lie(rows, 0, num_images)


def _lie(rows: Tensor, least: int, end: int) -> bool:
    return bool(((rows >= least) & (rows < end)).all())


class Loss(nn.Module):
    """A loss maps embeddings (N, D) and labels (N,) to a scalar.

    A loss ignores every keyword that it does not name in `uses`, so `loss(embeddings, labels)` works in
    anybody's training loop. What holds for every loss:

    - Labels are integers of any type, in a tensor beside the embeddings, an array or a list; words are
      refused. Losses with something learned or kept per class take 0 … C-1, all others any integers.
    - Shapes, dtypes, lengths and option values are checked. Values of labels are looked at on the CPU only:
      on a device that would make every step wait, so there they are checked once, in the data set.
    - The loss of a batch without rows is 0, and it can be differentiated.
    - Finite embeddings with a norm of up to 1e4 give a finite value and gradient; NaN gives NaN. Everything
      is computed in fp32, or in float64 where the embeddings are float64.
    """

    geometry: Literal["euclidean", "sphere"] = "euclidean"
    uses: frozenset[str] = frozenset()
    compares: str = "examples"  # or "learned class vectors", or "examples within one head"
    needs_space: bool = False  # `plan` reads the epoch-start embeddings of all images

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        *,
        tuples: Tuples | None = None,
        reference: tuple[Tensor, Tensor] | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        raise NotImplementedError

    def plan(self, epoch: int, space: Space | None) -> None:
        """Prepare for an epoch; most losses need nothing."""

    def imprint(self, space: Space) -> None:
        """Start learned class vectors at the mean embedding of their class; other losses have none.

        Args:
            space: embeddings of a few images of every class, by the network as it starts.
        """

    def active_tuples(self, embeddings: Tensor, labels: Tensor, tuples: Tuples | None = None) -> Tensor:
        """Share of the compared tuples that move something: a scalar, computed without gradients.

        Under a loss with a margin a tuple counts if it gives any gradient at all. A smooth loss gives every
        tuple some gradient; there a tuple counts if its weight is above 0.01. So the shares of two losses
        cannot be compared, and a share of 1 alone does not mean a collapse.
        """
        return embeddings.new_full((), torch.nan, dtype=torch.float32)

    @torch.no_grad()
    def stats(self, embeddings: Tensor, labels: Tensor, tuples: Tuples | None = None) -> dict[str, Tensor]:
        """What a batch does, as scalars on the device: nothing waits for them.

        Args:
            embeddings: (N, D), as the network gives them.
            labels: (N,) class of each embedding.
            tuples: those the sampler chose, if it did.

        Returns:
            "active_tuples", see `active_tuples`; "positive_distance" and "negative_distance", the means over
            the pairs of the batch, in the loss's geometry; "embedding_norm", the mean norm; "spread", the
            root mean squared distance from the mean embedding, in the loss's geometry: 0 means a collapse.
            Each is NaN for a batch without rows.
        """
        labels = as_labels(labels)
        if not len(labels):
            return dict.fromkeys(STATS, embeddings.new_full((), torch.nan, dtype=torch.float32))
        z = normalize(embeddings) if self.geometry == "sphere" else wide(embeddings)
        same = labels[:, None] == labels[None, :]
        other = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        distance = pairwise_distances(z)
        return {
            "active_tuples": self.active_tuples(embeddings, labels, tuples),
            "positive_distance": (distance * (same & other)).sum() / (same & other).sum(),
            "negative_distance": (distance * ~same).sum() / (~same).sum(),
            "embedding_norm": wide(embeddings).norm(dim=1).mean(),
            "spread": (z - z.mean(0)).square().sum(1).mean().sqrt(),
        }
