"""What our measured runs say to the questions of this project, as sentences.

A difference is stated only where its 95 % interval, paired by seed, excludes 0; otherwise the sentence says
that so many seeds cannot tell it.
"""

from collections.abc import Iterator
from statistics import fmean
from typing import NamedTuple

from dmlteach.course import measured
from dmlteach.course.measured import AT_ITS_RATE, BATCHED, SAMPLERS, Ranked
from dmlteach.errors import DMLTeachError

NEIGHBORS = "Batches of neighbors, after the same steps"
_SST = (
    "Nguyen & De Baets (Neurocomputing 2020) report the loss and the batches as gains, with ImageNet "
    "networks fine-tuned on photographs. Here a small network learns drawings from random weights, in a "
    "short training"
)
_DAS = (
    "Liu et al. (ECCV 2022) report gains for the losses they tried, with both sides at one rate and "
    "ImageNet networks. Here each side has its own tuned rate"
)
_ONE_RATE = (
    "The rate with DAS is another than the one that short runs chose without it, and what is left at one "
    "rate is what DAS gives. Where this is less than above, the rest was the rate's"
)


class Statement(NamedTuple):
    """A difference of two Recall@1 as measured, and what it lets one say.

    Attributes:
        about: the part of the text in which it stands.
        one, other: what is compared, over their seeds.
        reported: what the papers report, and why ours may differ.
    """

    about: str
    one: Ranked
    other: Ranked
    reported: str

    @property
    def verdict(self) -> int:
        """1 where `one` is higher, -1 where it is lower, 0 where so many seeds cannot tell."""
        mean, half, _ = self.one.minus(self.other)
        return 1 if mean > half else -1 if mean < -half else 0

    def devices(self) -> str:
        """Where the paired runs of either side were trained, if that is not the same."""
        seeds = self.one.runs.keys() & self.other.runs.keys()
        one, other = (sorted({side.runs[s].device for s in seeds}) for side in (self.one, self.other))
        return "" if one == other else f"; on {' and '.join(one)} against {' and '.join(other)}"

    def sentence(self) -> str:
        """What may be said."""
        mean, half, seeds = self.one.minus(self.other)
        one, other = in_words(self.one), in_words(self.other)
        points = f"{abs(100 * mean):.1f} ± {100 * half:.1f} points"
        if self.verdict:
            direction = "higher" if self.verdict > 0 else "lower"
            return f"{one} ends {points} {direction} than {other} ({seeds} seeds{self.devices()})."
        if seeds < 2:
            return f"Whether {one} ends higher than {other} cannot be told from a single seed."
        pair, found = f"{one} and {other}", f"{signed(mean)} ± {100 * half:.1f} points{self.devices()}"
        return f"Which of {pair} ends higher cannot be told from {seeds} seeds ({found})."


def signed(difference: float) -> str:
    """A difference of two Recall@1 in points, with its sign: "+0.9", "−1.5"."""
    return f"{100 * difference:+.1f}".replace("-", "−")


def in_words(ranked: Ranked) -> str:
    """A method with what shares its batches: "`sst` in `local` batches".

    Args:
        ranked: with at least one final.
    """
    sampler = next(iter(ranked.runs.values())).sampler
    about = f" {ranked.variant}" if ranked.variant and not ranked.variant.startswith("with ") else ""
    das = f" {ranked.variant}" if ranked.variant.startswith("with DAS") else ""
    return f"`{ranked.method}`{about}{das} in `{sampler}` batches"


def statements() -> Iterator[Statement]:
    """Every question of the project that its runs can be asked, in the order in which they are told."""
    for about, one, other, reported in _questions():
        try:
            yield Statement(about, measured.in_batches_of(*one), measured.in_batches_of(*other), reported)
        except DMLTeachError:  # not run yet
            continue
    yield from _of_das()


def _of_das() -> Iterator[Statement]:
    """What DAS gains: each side at the rate tuned for it."""
    finals = {(run.method, run.variant) for run in measured.runs()}
    for method in sorted({method for method, variant in finals if variant.startswith("with DAS")}):
        on_sphere = measured.tuned(method, "on the sphere") is not None
        without = method, "on the sphere" if on_sphere else measured.RECIPE
        for variant in ("with DAS", "with DAS, detached"):
            if {(method, variant), without} <= finals:
                pair = measured.of(method, variant), measured.of(*without)
                yield Statement("Densely-anchored sampling", *pair, _DAS)
    of_both = [
        method for method, variant in finals if variant == AT_ITS_RATE and (method, "with DAS") in finals
    ]
    for method in sorted(of_both):
        pair = measured.of(method, "with DAS"), measured.of(method, AT_ITS_RATE)
        yield Statement("Densely-anchored sampling, both sides at its rate", *pair, _ONE_RATE)


def _questions() -> Iterator[tuple[str, tuple[str, str], tuple[str, str], str]]:
    both = "SST and local sampling together"
    yield both, ("sst", "local"), ("triplet", "random"), _SST
    yield both, ("sst", "local"), ("sst", "random"), _SST
    yield both, ("sst", "local"), ("triplet", "local"), _SST
    for sampler in SAMPLERS:
        yield "SST against the triplet loss", ("sst", sampler), ("triplet", sampler), _SST
    for method in BATCHED:
        for sampler in ("random", "class_balanced", "local_classes"):
            yield NEIGHBORS, (method, "local"), (method, sampler), _SST


def told() -> Iterator[str]:
    """All statements as Markdown: a list for each part, then what the papers report of it."""
    every = list(statements())
    for about, reported in {statement.about: statement.reported for statement in every}.items():
        of_this = [statement for statement in every if statement.about == about]
        yield f"**{about}**\n"
        for statement in of_this:
            yield f"- {statement.sentence()}"
        yield from cost() if about == NEIGHBORS else ()
        yield ""
        if of_this[-1] is [statement for statement in every if statement.reported == reported][-1]:
            yield f"{reported}.\n"


def cost() -> Iterator[str]:
    """What batches of neighbors cost beside those of P classes × K images, as a line of a list."""
    found = {method: seconds(method, "local", "class_balanced") for method in BATCHED}
    alike: dict[tuple[str, str], list[str]] = {}
    for method, one in found.items():
        if one:
            ratio = round(one[0] / one[1], 1)
            take = "take longer" if ratio > 1 else "take no longer"
            alike.setdefault((one[2], take), []).append(f"{ratio:.1f} times (`{method}`)")
    for (device, take), ratios in alike.items():
        yield (
            f"- On {device} the same steps {take} in `local` batches than in `class_balanced` "
            f"ones, {', '.join(ratios)}: at the start of each epoch all images are embedded and clustered."
        )


def seconds(method: str, sampler: str, other: str) -> tuple[float, float, str] | None:
    """What an equal number of steps costs in the batches of one sampler and of another.

    Args:
        method: our id.
        sampler, other: our ids.

    Returns:
        Mean seconds of either, on the one device where both were run and timed, and the device; None where
        there is none.
    """
    try:
        one, two = (measured.in_batches_of(method, name).runs.values() for name in (sampler, other))
    except DMLTeachError:  # not run yet
        return None
    timed = [[(run.device, run.train_seconds) for run in group if run.train_seconds] for group in (one, two)]
    shared = sorted(set.intersection(*({device for device, _ in group} for group in timed)))
    if not shared:
        return None
    first, second = (fmean(spent for device, spent in group if device == shared[0]) for group in timed)
    return first, second, shared[0]
