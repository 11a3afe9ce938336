"""What DAS gains at each of several learning rates, and what exact copies gain: short trainings, recorded.

Made by `python -m dmlteach.course.recordings.das_by_rate` in some minutes; nothing in the file is typed.
"""

import csv
from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dmlteach import losses
from dmlteach.course.exercises import weighted_training
from dmlteach.metrics import difference_by_seed, mean_and_interval
from dmlteach.objective import DAS
from dmlteach.objective.objective import Objective
from dmlteach.options import one_of

FILE = Path(__file__).with_name("das_by_rate.csv")
LOSS, PART = "multi_similarity", "val"
LOSS_OPTIONS: dict[str, dict[str, Any]] = {"multi_similarity": {"base": 0.5}}  # as in its recipe
RATES = (1e-4, 3e-4, 1e-3, 3e-3)
SEEDS = (0, 1, 2, 3)
SIDES: dict[str, dict[str, Any] | None] = {  # options of DAS; None: without it
    "without DAS": None,
    "with DAS": {},
    "exact copies": {"scale_range": (1.0, 1.0), "shift": 0.0},
    "with DAS, detached": {"detach": True},
}
RECORDED = ("without DAS", "with DAS", "exact copies")


class Row(NamedTuple):
    """A short training, measured on characters that it has not seen.

    Attributes:
        side: one of `SIDES`.
        rate: learning rate.
        seed: of weights, batches and new points.
        recall: Recall@1.
        untrained: the same before the first step.
        num_classes: that were searched.
    """

    side: str
    rate: float
    seed: int
    recall: float
    untrained: float
    num_classes: int


def side_of(side: str, loss: str = LOSS, seed: int = 0) -> Callable[[Tensor, Tensor], Tensor]:
    """What a training minimises, of embeddings and labels: the loss, with or without DAS before it.

    Args:
        side: one of `SIDES`.
        loss: our id.
        seed: of the new points.

    Raises:
        DMLTeachError: an unknown side or loss.
    """
    one_of("side", side, SIDES)
    options = SIDES[side]
    das = None if options is None else DAS(weighted_training.CLASSES, weighted_training.DIM, **options)
    objective = Objective(losses.create(loss, **LOSS_OPTIONS.get(loss, {})), das)
    generator = torch.Generator().manual_seed(seed)
    return lambda z, labels: objective(z, labels, torch.arange(len(z)), None, generator)


def measure(side: str, rate: float, seed: int) -> Row:
    """Train briefly, and measure.

    Args:
        side: one of `SIDES`.
        rate: learning rate.
        seed: of everything random.
    """
    network = weighted_training.train(side_of(side, seed=seed), seed, rate)
    untrained = weighted_training.of_untrained(PART, seed)
    recall = weighted_training.recall(network, PART)
    return Row(side, rate, seed, recall, untrained, weighted_training.classes(PART))


@cache
def rows() -> tuple[Row, ...]:
    """The recorded trainings."""
    with FILE.open(encoding="utf-8", newline="") as file:
        return tuple(
            Row(r["side"], float(r["rate"]), int(r["seed"]), float(r["recall"]), float(r["untrained"]),
                int(r["num_classes"]))
            for r in csv.DictReader(file)
        )  # fmt: skip


def recalls(side: str, rate: float) -> dict[int, float]:
    """Recall@1 by seed.

    Args:
        side: one of `RECORDED`.
        rate: one of `RATES`.
    """
    return {row.seed: row.recall for row in rows() if (row.side, row.rate) == (side, rate)}


def mean(side: str, rate: float) -> tuple[float, float]:
    """Mean of Recall@1, and half of its 95 % interval.

    Args:
        side: one of `RECORDED`.
        rate: one of `RATES`.
    """
    return mean_and_interval([*recalls(side, rate).values()])


def minus(one: tuple[str, float], other: tuple[str, float]) -> tuple[float, float, int]:
    """How much higher one side at its rate is than another at its own, seed by seed.

    Args:
        one, other: a side and a rate.

    Returns:
        Mean, half of its 95 % interval, and how many seeds.
    """
    return difference_by_seed(recalls(*one), recalls(*other))


def best_rate(side: str) -> float:
    """The rate at which the mean of a side is highest.

    Args:
        side: one of `RECORDED`.
    """
    return max(RATES, key=lambda rate: mean(side, rate)[0])


def main() -> None:
    """Make the recording anew."""
    torch.set_num_threads(1)
    with FILE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Row._fields)
        for seed, rate, side in product(SEEDS, RATES, RECORDED):
            writer.writerow(measure(side, rate, seed))
            file.flush()  # an interrupted program leaves what it has measured


if __name__ == "__main__":
    main()
