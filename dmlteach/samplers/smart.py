"""Smart Mining: Harwood et al., "Smart mining for deep metric learning", ICCV 2017.

Triplets come from nearest-neighbour lists over the whole training set. No code was published: what
the paper's summaries leave open is decided here and marked as a choice.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dmlteach.distances import wide
from dmlteach.errors import DMLTeachError
from dmlteach.interfaces import Sampler, Space, Tuples
from dmlteach.neighbors import nearest_others
from dmlteach.options import at_least, check_type

BLOCK = 2**24  # numbers held at once where positives are compared

# The controller's constants; all are choices.
LOWEST, HIGHEST = 0.1, 4.0  # κ stays between
LARGEST_STEP = 0.2  # of κ, per epoch
WINDOW = 5  # changes of κ and of the loss that the linear model is fitted to
DECREASE = 0.05  # of the loss, wanted per epoch
RISE = 0.1  # of the loss in an epoch, from which on mining is too hard
NOTHING = 1e-6  # a loss, slope or variance below this is zero


Search = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]


class Mined(NamedTuple):
    """One positive and one negative for each anchor; rows of the training set."""

    positives: Tensor  # (A,)
    negatives: Tensor  # (A,)
    is_random: Tensor  # (A,) whether the negative is random, because the list held no admissible one


def mine(
    space: Space,
    anchors: Tensor,
    kappa: float,
    num_neighbours: int,
    rng: np.random.Generator,
    search: Search = nearest_others,
) -> Mined:
    """For each anchor, the nearest admissible negative of its neighbour list and a random positive.

    A negative is admissible if d²(a, n) > κ d²(a, p), where p is the nearest image of a's class that
    does not coincide with a. Small κ takes the hardest negatives, large κ easier ones. Where the
    list holds no admissible negative, the negative is a random image of another class. (Choices:
    the nearest of the admissible ones; the positive is random among those that do not coincide.)

    Args:
        space: embeddings (M, D) and labels (M,) of the training set.
        anchors: (A,) rows, each with another image of its class.
        kappa: κ, a ratio of squared distances.
        num_neighbours: length of the lists, at most M - 1.
        rng: draws positives and random negatives.
        search: (embeddings, rows, k) → squared distances and rows, nearest first.
    """
    z, labels = space.embeddings, space.labels
    nearest_positive, positives = _positives(z, labels, anchors, rng)  # (A,), (A,)
    d2, listed = search(z, anchors, num_neighbours)  # (A, k), nearest first
    admissible = (labels[listed] != labels[anchors, None]) & (d2 > kappa * nearest_positive[:, None])
    is_random = ~admissible.any(1)
    mined = listed.gather(1, admissible.int().argmax(1, keepdim=True))[:, 0]  # the first, so the nearest
    negatives = torch.where(is_random, _random_negatives(labels, anchors, rng), mined)
    return Mined(positives, negatives, is_random)


def _positives(z: Tensor, labels: Tensor, anchors: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Squared distance to the nearest positive that does not coincide, and a random such positive.

    Where all coincide, the distance is 0 and the positive any other image of the class.
    """
    by_class, sizes = labels.argsort(stable=True), torch.bincount(labels)
    place = torch.arange(int(sizes[labels[anchors]].max()))  # in a class, 0 … its size - 1
    yardsticks, chosen = [], []
    for part in anchors.split(max(1, BLOCK // (len(place) * z.shape[1]))):
        of_class, size = labels[part, None], sizes[labels[part], None]
        images = by_class[(sizes.cumsum(0) - sizes)[of_class] + place.minimum(size - 1)]  # (a, largest size)
        is_other = (place < size) & (images != part[:, None])
        d2 = (z[images] - z[part, None]).square().sum(2)  # by differences: 0 only where images coincide
        apart = is_other & (d2 > 0)
        somewhere = apart.any(1, keepdim=True)
        yardsticks.append(d2.masked_fill(~apart, torch.inf).amin(1).where(somewhere[:, 0], 0.0))
        draw = torch.from_numpy(rng.random(d2.shape)).where(torch.where(somewhere, apart, is_other), -1.0)
        chosen.append(images.gather(1, draw.argmax(1, keepdim=True))[:, 0])
    return torch.cat(yardsticks), torch.cat(chosen)


def _random_negatives(labels: Tensor, anchors: Tensor, rng: np.random.Generator) -> Tensor:
    """A random image of another class for each anchor."""
    by_class = labels.argsort(stable=True)
    sizes = torch.bincount(labels)
    size, start = sizes[labels[anchors]], (sizes.cumsum(0) - sizes)[labels[anchors]]
    draw = torch.from_numpy(rng.integers(0, (len(labels) - size).numpy()))
    return by_class[torch.where(draw < start, draw, draw + size)]  # steps over the anchor's class


def next_kappa(trace: list[tuple[float, float]]) -> tuple[float, str]:
    """κ of the next epoch from κ and the mean loss of all epochs so far, and the rule that set it.

    In this order: a loss of zero wants harder negatives ("zero loss"); a loss that rose much wants
    easier ones ("rise"); a κ that has not moved says nothing, so it is moved ("probe"); then the change of
    the loss is fitted as a + b · (change of κ) over the last epochs, and κ set so that the loss should
    fall by the wanted share ("linear"), unless b is zero ("flat").

    Args:
        trace: (κ, loss) of each epoch, at least one.
    """
    kappa, loss = trace[-1]
    if loss < NOTHING:
        return _within_bounds(kappa, 1 - LARGEST_STEP), "zero loss"
    if len(trace) > 1 and loss > (1 + RISE) * trace[-2][1]:
        return _within_bounds(kappa, 1 + LARGEST_STEP), "rise"
    changes = np.diff(np.array(trace[-WINDOW - 1 :]), axis=0)  # (up to 5, 2) of κ, of the loss
    if len(changes) < 2 or changes[:, 0].var() < NOTHING:
        return _within_bounds(kappa, 1 - LARGEST_STEP / 2), "probe"
    slope, intercept = np.polyfit(changes[:, 0], changes[:, 1], 1)
    if abs(slope) < NOTHING:
        return kappa, "flat"
    step = (-DECREASE * loss - intercept) / slope
    return _within_bounds(kappa, 1 + float(np.clip(step / kappa, -LARGEST_STEP, LARGEST_STEP))), "linear"


def _within_bounds(kappa: float, factor: float) -> float:
    return min(max(kappa * factor, LOWEST), HIGHEST)


class Smart(Sampler):
    """Batches of mined triplets: anchors, then their positives, then their negatives.

    A batch holds batch_size // 3 triplets, and `Tuples.triplets` says which rows belong together; a loss
    that does not read them sees a labelled batch. Anchors are dealt from a shuffled list of all
    images whose class has another one. An epoch is M // batch_size batches, so a third of the
    images are anchors.

    Args:
        labels: (M,) class of each image.
        batch_size: images in a batch, at most; the largest multiple of 3 is taken.
        seed: of all choices.
        kappa: κ of the first epoch. At 1, a negative is farther away than the nearest positive.
        adapt: move κ from epoch to epoch by `next_kappa`, from the training loss given to `plan`.
        num_neighbours: length of the neighbour lists.
        search: finds them, see `mine`; by default exact. Any index may stand in for large sets.

    Raises:
        DMLTeachError: an option out of range; one class only, or one image in every class.
    """

    needs_space = True

    def __init__(
        self,
        labels: Tensor,
        batch_size: int,
        seed: int = 0,
        kappa: float = 1.0,
        adapt: bool = True,
        num_neighbours: int = 100,
        search: Search = nearest_others,
    ):
        super().__init__(labels, batch_size, seed)
        at_least("batch_size", batch_size, 3, because="a triplet has three images")
        check_type("kappa", float, kappa)
        at_least("kappa", kappa, 0)
        if not callable(search):
            raise DMLTeachError(f"search must be a function (embeddings, rows, k), not {search!r}.")
        at_least("num_neighbours", num_neighbours, 1)
        sizes = torch.bincount(self.labels)
        self._anchors = (sizes[self.labels] > 1).nonzero()[:, 0]
        if not len(self._anchors) or (sizes > 0).sum() < 2:
            raise DMLTeachError(
                "a triplet needs two images of one class and one of another; "
                f"the data has {len(self.labels)} images of {int((sizes > 0).sum())} classes."
            )
        self.kappa = kappa
        self.adapt = adapt
        self.num_neighbours = min(num_neighbours, len(self.labels) - 1)
        self.search = search
        self.trace: list[tuple[float, float]] = []  # κ and mean loss of each epoch

    def _compose(self, rng, space, last_loss):
        rule = self._move_kappa(last_loss)
        if not torch.isfinite(space.embeddings).all():
            raise DMLTeachError("mining was given embeddings that are not finite: training has diverged.")
        space = Space(wide(space.embeddings.detach().cpu()), self.labels)
        per_batch = min(self.batch_size // 3, len(self._anchors))
        num_batches = min(len(self.labels) // self.batch_size, len(self._anchors) // per_batch)
        deck = self._anchors[torch.from_numpy(rng.permutation(len(self._anchors)))]
        anchors = deck[: num_batches * per_batch]
        mined = mine(space, anchors, self.kappa, self.num_neighbours, rng, self.search)

        triplets = torch.arange(3 * per_batch).view(3, per_batch).T  # (B/3, 3)
        parts = torch.stack([anchors, mined.positives, mined.negatives])  # (3, anchors)
        rows = [batch.ravel().numpy() for batch in parts.split(per_batch, dim=1)]
        report = {
            "batches": num_batches,
            "coverage": len(parts.unique()) / len(self.labels),
            "random_negatives": mined.is_random.float().mean().item(),
            "kappa": self.kappa,
            "kappa_rule": rule,
            "kappa_trace": [list(entry) for entry in self.trace],
        }
        return rows, [Tuples(triplets=triplets)] * num_batches, report

    def _move_kappa(self, last_loss: float | None) -> str:
        """Record how the last epoch went, and set κ for the next; returns the rule that did."""
        if last_loss is None:
            return "start"
        self.trace.append((self.kappa, last_loss))
        if not self.adapt:
            return "fixed"
        self.kappa, rule = next_kappa(self.trace)
        return rule

    def state_dict(self) -> dict:
        """The planned epoch, κ and its trace."""
        return {**super().state_dict(), "kappa": self.kappa, "trace": list(self.trace)}

    def load_state_dict(self, state: dict) -> None:
        """Continue with the plan and κ of a checkpoint."""
        super().load_state_dict(state)
        self.kappa = float(state["kappa"])
        self.trace = [(float(kappa), float(loss)) for kappa, loss in state["trace"]]
