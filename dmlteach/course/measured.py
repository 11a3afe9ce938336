"""What our own runs reached under one protocol: every training of the benchmark, a row each.

`python -m benchmarks.record` writes the file from the benchmark's rows; nothing in it is typed.
"""

import csv
import functools
from pathlib import Path
from typing import NamedTuple

from dmlteach.errors import DMLTeachError, unknown_name
from dmlteach.metrics import difference_by_seed, mean_and_interval

FILE = Path(__file__).with_name("measured.csv")
SAMPLERS = ("random", "class_balanced", "local", "local_classes", "smart", "hierarchical")
BATCHED = ("triplet", "sst", "multi_similarity")  # methods that were run in the batches of each
AT_ITS_RATE = "at the rate with DAS"  # the variant without DAS, at the rate that was chosen with it
RECIPE = ""  # the variant of a method that is its recipe, with the tuned rate and option


class Run(NamedTuple):
    """One training of the benchmark.

    Attributes:
        method: our id.
        variant: what differs from its recipe, e.g. "with random" batches, "with DAS"; "" for nothing.
        stage: "tuning": measured on val classes, to choose the rate and the option; "final": trained on all
            training classes with what was chosen, and measured once on the test classes; "long": the same
            with many times the steps; "check": with the steps of a final, measured on val classes.
        dataset, backbone: our ids.
        sampler: of its batches.
        steps: of the training.
        seed: of everything random in it.
        learning_rate: of the network.
        option, value: the one option of the loss that was tuned as well, and its value; "" and None where
            a loss has none.
        recall, map_r: Recall@1 and MAP@R of the last state.
        num_classes: that were searched; Recall@1 falls as there are more.
        untrained: Recall@1 of the network before its first step, on the same images; None in tuning.
        train_seconds, plan_seconds: of the training, and the part of it that planning batches took; None in
            tuning. They compare only among runs of one device, side by side with as many others.
        device, side_by_side: where it ran, and with how many runs at a time.
        command: what makes the run again.
    """

    method: str
    variant: str
    stage: str
    dataset: str
    backbone: str
    sampler: str
    steps: int
    seed: int
    learning_rate: float
    option: str
    value: float | None
    recall: float
    map_r: float
    num_classes: int
    untrained: float | None
    train_seconds: float | None
    plan_seconds: float | None
    device: str
    side_by_side: int
    command: str


class Ranked(NamedTuple):
    """A method, or a variant of it, over its seeds.

    Attributes:
        method, variant: as in `Run`.
        runs: its finals, by seed.
    """

    method: str
    variant: str
    runs: dict[int, Run]

    @property
    def name(self) -> str:
        """The method, and its variant where it is not the recipe."""
        return f"{self.method} {self.variant}".strip()

    def recalls(self) -> dict[int, float]:
        """Recall@1 by seed."""
        return {seed: run.recall for seed, run in self.runs.items()}

    def recall(self) -> tuple[float, float]:
        """Mean of Recall@1, and half of its 95 % interval."""
        return mean_and_interval([*self.recalls().values()])

    def minus(self, other: "Ranked") -> tuple[float, float, int]:
        """How much higher its Recall@1 is than another's, seed by seed.

        Args:
            other: of the same test set and budget.

        Returns:
            Mean over the seeds that both have, half of its 95 % interval, and how many they are.
        """
        return difference_by_seed(self.recalls(), other.recalls())


class Tuned(NamedTuple):
    """What was tried for a method on val classes, and what was chosen.

    Attributes:
        best: the run with the highest Recall@1.
        rates: learning rates tried, ascending.
        option, values: of the loss, and its values tried, ascending; "" and none where there is none.
    """

    best: Run
    rates: tuple[float, ...]
    option: str
    values: tuple[float, ...]

    @property
    def rate_at_end(self) -> bool:
        """Whether the best rate is the smallest or the largest tried: a better one may lie beyond."""
        return self.best.learning_rate in (self.rates[0], self.rates[-1])

    @property
    def value_at_end(self) -> bool:
        """The same of the option."""
        return len(self.values) > 1 and self.best.value in (self.values[0], self.values[-1])


def runs(method: str | None = None, variant: str | None = None, stage: str = "final") -> list[Run]:
    """Trainings of the benchmark, in the order of the file.

    Args:
        method: only those of this method, by our id.
        variant: only those that differ from its recipe in this; "" for the recipe itself.
        stage: "final", "tuning", "long" or "check".

    Raises:
        DMLTeachError: no such method, variant or stage was run.
    """
    every = _read()
    for kind, given, known in [
        ("stage", stage, {run.stage for run in every}),
        ("method with measured runs", method, {run.method for run in every}),
        ("variant with measured runs", variant, {run.variant for run in every}),
    ]:
        if given is not None and given not in known:
            raise unknown_name(kind, given, known)
    return [
        run
        for run in every
        if run.stage == stage and method in (None, run.method) and variant in (None, run.variant)
    ]


def ranking(variant: str | None = RECIPE) -> list[Ranked]:
    """Methods with their finals, the highest mean of Recall@1 first.

    Args:
        variant: "" for the recipes; None for all variants as well.
    """
    found: dict[tuple[str, str], Ranked] = {}
    for run in runs(variant=variant):
        about = run.method, run.variant
        found.setdefault(about, Ranked(*about, {})).runs[run.seed] = run
    return sorted(found.values(), key=lambda one: -one.recall()[0])


def of(method: str, variant: str = RECIPE) -> Ranked:
    """A method, or a variant of it, over its seeds.

    Args:
        method, variant: as in `Run`.

    Raises:
        DMLTeachError: it was not run.
    """
    found = {run.seed: run for run in runs(method, variant)}
    if not found:
        raise DMLTeachError(f"{method} {variant} has no finals in the benchmark yet.")
    return Ranked(method, variant, found)


def in_batches_of(method: str, sampler: str) -> Ranked:
    """A method's finals in the batches of a sampler: its own, or another one.

    Args:
        method: our id.
        sampler: our id.

    Raises:
        DMLTeachError: it was not run.
    """
    own = {run.sampler for run in runs(method, RECIPE)}
    return of(method, RECIPE if sampler in own else f"with {sampler}")


def tuned(method: str, variant: str = RECIPE) -> Tuned | None:
    """What was tried on val classes and what was chosen; None where a method was not tuned.

    Args:
        method, variant: as in `Run`.
    """
    tried = [r for r in _read() if (r.method, r.variant, r.stage) == (method, variant, "tuning")]
    if not tried:
        return None
    best = min(tried, key=lambda run: (-run.recall, run.learning_rate))
    rates = sorted({run.learning_rate for run in tried})
    values = sorted({run.value for run in tried if run.value is not None})
    return Tuned(best, tuple(rates), best.option, tuple(values))


@functools.cache
def _read() -> tuple[Run, ...]:
    with open(FILE, encoding="utf-8", newline="") as file:
        return tuple(_run(row) for row in csv.DictReader(file))


def _run(row: dict[str, str]) -> Run:
    """A line of the file; an empty field of a number is None."""
    whole = ("steps", "seed", "num_classes", "side_by_side")
    words = ("method", "variant", "stage", "dataset", "backbone", "sampler", "option", "device", "command")
    return Run(**{
        name: text if name in words else None if not text else (int if name in whole else float)(text)
        for name, text in row.items()
    })  # type: ignore[arg-type]  # fmt: skip
