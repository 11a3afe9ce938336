"""Exercises on batches: expected positives, batches from neighbourhoods, and anchors left alone."""

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dmlteach import samplers
from dmlteach.course.exercises.answers import ask
from dmlteach.course.exercises.kinds import Artefact, Choice, Exercise, Number, Option, Teaching
from dmlteach.course.exercises.replies import NOT_YET, RIGHT, Reply
from dmlteach.course.recordings import recordings
from dmlteach.interfaces import Space

IMAGES, CLASSES = 59_551, 11_318  # training part of Stanford Online Products
NEIGHBOURHOOD, LARGEST = 16, 32  # images a batch


# --- expected positives


def _random_positives(others: int) -> float:
    return others * (IMAGES / CLASSES - 1) / (IMAGES - 1)


def expected_positives(batch: int, per_class: int) -> Number:
    """The exercise for batches of these sizes.

    Args:
        batch: images of it.
        per_class: K of a P×K batch.
    """
    right = _random_positives(batch - 1)
    return Number(
        id="batches.expected_positives",
        number="03.1",
        title="Expected positives",
        question=(
            f"A data set has {CLASSES:,} classes and {IMAGES:,} images, {IMAGES / CLASSES:.2f} of a class "
            "(the training part of Stanford Online Products; take all classes as equally large). How many "
            f"positives does an anchor find, on average, in a *random* batch of {batch}, and how many in a "
            f"P×K batch with K = {per_class}? Give a pair of numbers, to four decimals."
        ),
        hints=(
            "Each other place of the random batch is filled by one of the other images of the data set.",
            "An anchor has n − 1 positives among M − 1 other images. How many other places has a batch?",
            "In a P×K batch the answer does not depend on the data: K images of the class, one is the "
            "anchor.",
        ),
        solution=(
            "images, classes = 59_551, 11_318\n"
            f"answer = (({batch} - 1) * (images / classes - 1) / (images - 1), {per_class} - 1)"
        ),
        explanation=(
            f"They are {batch - 1} (n − 1) / (M − 1) and K − 1. In a random batch about {right:.1%} of "
            "anchors "
            "have a positive; nearly all triplets of an epoch would be missing."
        ),
        value=lambda: (right, per_class - 1.0),
        means="the mean number of positives of an anchor, in a random batch and in a P×K batch",
        parts=("in a random batch", "in a P×K batch"),
        decimals=4,
        tolerance=1e-6,
        mistakes=(
            (
                lambda: (right, float(per_class)),
                "The anchor is one of the K, and no positive of its own.",
            ),
            (
                lambda: (_random_positives(batch), per_class - 1.0),
                f"The anchor takes one of the places of the batch; {batch - 1} others are left.",
            ),
            (
                lambda: (batch / CLASSES, per_class - 1.0),
                "This counts the anchor among its own positives.",
            ),
        ),
        with_numbers=lambda drawn: expected_positives(drawn.choice(range(64, 260, 4)), drawn.randint(3, 8)),
        teaching=Teaching(
            minutes=5,
            often=(
                "Counts the anchor: as one of the places of the batch that are still to be filled, or "
                "as one of its own K."
            ),
            say=(
                "Take two classes of two images each and a batch of all four: how many positives has "
                "an anchor, and what do your formulas say?"
            ),
        ),
    )


EXPECTED = expected_positives(128, 4)

# --- batches from neighbourhoods


@functools.cache
def recorded(moment: int) -> tuple[Tensor, Tensor]:
    """Embeddings (M, D) and labels (M,) of the recording that the chapter uses; 0 is before training."""
    record = recordings("sst")
    return torch.as_tensor(record.embeddings[moment]).float(), torch.as_tensor(record.labels)


def _spread(z: Tensor) -> float:
    """Mean squared distance to the mean."""
    return float((z - z.mean(0)).square().sum(1).mean())


def inspect_batches(answer: Any) -> Reply:
    """Whether a function's batches are groups of near rows, none too large, no row twice."""
    expected = f"a list of tensors of row numbers, each of one k-means group and of {LARGEST} rows at most"
    if not callable(answer):
        return Reply(NOT_YET, "This is no function of `z` and `batch_size`.", expected)
    z, _ = recorded(-1)
    z = z[torch.randperm(len(z), generator=torch.Generator().manual_seed(0))]  # their order says nothing
    given = ask(answer, z, LARGEST)
    try:
        batches = [torch.as_tensor(batch, dtype=torch.long).flatten() for batch in given]
    except (TypeError, ValueError, RuntimeError):
        return Reply(NOT_YET, "It returns no list of row numbers.", expected)
    return _judge_batches(z, [batch for batch in batches if len(batch)], expected)


def _judge_batches(z: Tensor, batches: Sequence[Tensor], expected: str) -> Reply:
    rows = torch.cat([*batches, torch.empty(0, dtype=torch.long)])
    twice = len(rows) - len(rows.unique())
    strange = [row for row in rows.tolist() if not 0 <= row < len(z)]
    largest = max(map(len, batches), default=0)
    numbers: dict[str, Any] = {"batches": len(batches), "rows used": len(rows), "rows there are": len(z)}
    if strange:
        return Reply(NOT_YET, f"There is no row {strange[0]}.", expected, numbers)
    if twice:
        return Reply(NOT_YET, f"{twice} rows are used more than once.", expected, numbers)
    if largest > LARGEST:
        return Reply(NOT_YET, f"A batch has {largest} rows; {LARGEST} are allowed.", expected, numbers)
    if len(rows) < len(z) / 2:
        return Reply(NOT_YET, "More than half of the rows are in no batch.", expected, numbers)
    within = sum(_spread(z[batch]) * len(batch) for batch in batches) / len(rows)
    numbers |= {"mean d² to the batch's mean": within, "mean d² to the mean of all": _spread(z)}
    if within > 0.6 * _spread(z):
        words = "The rows of a batch are hardly nearer to each other than any rows; are they groups?"
        return Reply(NOT_YET, words, expected, numbers)
    return Reply(RIGHT, "These are neighbourhoods.", case=numbers)


NEIGHBOURHOODS = Artefact(
    id="batches.neighbourhoods",
    number="03.2",
    title="Neighbourhood batches in five lines",
    question=(
        "Write a function of the embeddings `z` (M, D) and `batch_size` that returns a list of batches "
        "(tensors of row numbers), each within one k-means group, none larger than `batch_size`, no "
        "row twice. `dmlteach.neighbors.kmeans(z, k, seed)` gives the centres and the group of each "
        "row."
    ),
    hints=(
        "About how many groups give groups of about the batch's size?",
        "`(group == g).nonzero()[:, 0]` are the rows of group g. What if there are too many?",
        "`rows[torch.randperm(len(rows))[:batch_size]]` takes a random part of them.",
    ),
    solution=(
        "def answer(z, batch_size):\n"
        "    k = max(1, len(z) // batch_size)\n"
        "    _, group = kmeans(z, k, seed=0)\n"
        "    groups = [(group == g).nonzero()[:, 0] for g in range(k)]\n"
        "    return [rows[torch.randperm(len(rows))[:batch_size]] for rows in groups if len(rows)]"
    ),
    explanation=(
        "A group that is too large gives a random part of itself, as in the library; over the epochs "
        "nearly every row has its turn."
    ),
    setup="import torch\nfrom dmlteach.neighbors import kmeans",
    inspect=inspect_batches,
    teaching=Teaching(
        minutes=8,
        often=(
            "Takes k-means for a knife that cuts equal pieces: groups that are larger than a batch "
            "stay whole."
        ),
        say=(
            "Print the sizes of your groups. Has anybody promised that they are equal, and what is to "
            "become of the largest?"
        ),
    ),
)

# --- anchors left alone


@functools.cache
def left_alone(moment: int, batch_size: int) -> float:
    """Share of the anchors of an epoch's local batches that find no positive, anchor by anchor."""
    z, labels = recorded(moment)
    sampler = samplers.create("local", labels, batch_size, seed=0)
    sampler.plan(0, Space(z, labels))
    alone = seen = 0
    for batch in sampler:
        chosen = labels[list(batch)].tolist()
        alone += sum(chosen.count(label) == 1 for label in chosen)
        seen += len(chosen)
    return alone / seen


@functools.cache
def reported() -> float:
    """The share that the report of `plan` gives: also of groups that become no batch."""
    z, labels = recorded(0)
    report = samplers.create("local", labels, NEIGHBOURHOOD, seed=0).plan(0, Space(z, labels))
    return report["anchors_without_positive"]


ALONE = Number(
    id="batches.left_alone",
    number="03.3",
    title="Find the failure",
    question=(
        "A class whose drawings are scattered over several groups leaves anchors without a positive. "
        f"Plan local batches of **{NEIGHBOURHOOD}** on the *untrained* embedding `moments[0]` "
        "(`seed=0`, epoch 0) and count, over all batches that the sampler gives: which share of the "
        "anchors finds nobody of its class? Give a fraction, to three decimals."
    ),
    hints=(
        '`samplers.create("local", labels, …, seed=0)` makes the sampler; `sampler.plan(0, Space(…, '
        "…))` plans it.",
        "`for batch in sampler` gives lists of row numbers; `labels[batch]` are their classes.",
        "`(labels[batch][:, None] == labels[batch]).sum(1)` counts each anchor's class, the anchor included.",
    ),
    solution=(
        'sampler = samplers.create("local", labels, 16, seed=0)\n'
        "sampler.plan(0, Space(moments[0], labels))\n"
        "batches = [labels[batch] for batch in sampler]\n"
        "alone = torch.cat([(y[:, None] == y).sum(1) == 1 for y in batches])\n"
        "answer = alone.float().mean().item()"
    ),
    explanation="Larger batches leave fewer alone, and so do P×K batches for the first epochs.",
    setup=(
        "import torch\n"
        "from dmlteach import samplers\n"
        "from dmlteach.course.exercises.batches import recorded\n"
        "from dmlteach.interfaces import Space\n"
        "(first, labels), (last, _) = recorded(0), recorded(-1)\n"
        "moments = [first, last]"
    ),
    value=lambda: left_alone(0, NEIGHBOURHOOD),
    means="the share of anchors that find nobody of their class in their batch",
    decimals=3,
    percent=0.01,
    tolerance=1e-3,
    mistakes=(
        (reported, "That is the report's: it counts groups of a single class, too, which become no batch."),
        (lambda: left_alone(-1, NEIGHBOURHOOD), "That is after the training; take `moments[0]`."),
        (lambda: left_alone(0, 2 * NEIGHBOURHOOD), "That is for batches of 32; take 16."),
        (lambda: 1 - left_alone(0, NEIGHBOURHOOD), "That is the share of those who find one."),
    ),
    teaching=Teaching(
        minutes=7,
        often=(
            "Takes the share from the report of `plan`; or divides by all drawings, though many are in "
            "no batch."
        ),
        say=(
            "How many anchors are there in the batches that you were given, and how many drawings in "
            "the recording? Where are the others, and do they belong to your denominator?"
        ),
    ),
)

# --- which sampler with which loss

WHICH = Choice(
    id="batches.which_sampler",
    number="03.4",
    title="Which sampler with which loss",
    question=(
        "Four people report that most images of their batches teach nothing. Data: a thousand "
        "classes of twenty images; batches of 64. For whom is the *sampler* the reason? Name all, with "
        "a reason each."
    ),
    hints=(
        "What does each loss compare: images of the batch with each other, or with something learned?",
        "A loss that compares images with each other needs a positive in the batch.",
    ),
    solution=(
        "answer = {\n"
        '    "a": "64 of 20,000 images at random: an anchor finds 0.06 positives",\n'
        '    "c": "with one image of a class there is no positive at all",\n'
        "}"
    ),
    options={
        "a": Option(
            "the triplet loss, random batches",
            True,
            "an anchor finds 63 · 19 / 19,999 = 0.06 positives: sixteen of seventeen are alone.",
        ),
        "b": Option(
            "softmax, a classifier, random batches",
            False,
            "it compares each image with its table of classes and needs no positive in the batch.",
        ),
        "c": Option(
            "multi-similarity (a loss on pairs), P×K batches with K = 1",
            True,
            "K − 1 = 0 positives for everybody.",
        ),
        "d": Option(
            "SST, local batches, after some epochs",
            False,
            "near images share a batch; by then most anchors have found a positive.",
        ),
    },
    teaching=Teaching(
        minutes=5,
        often=(
            "Chooses b as well: a random batch holds hardly any positives, so it must be bad for every loss."
        ),
        say=(
            "Take all other images out of the batch, loss by loss. Which of the four people can still "
            "compute theirs?"
        ),
    ),
)

EXERCISES: tuple[Exercise, ...] = (EXPECTED, NEIGHBOURHOODS, ALONE, WHICH)
