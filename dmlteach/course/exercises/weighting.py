"""Exercises of the chapter on weighting pairs: two weights to write, a duplicate, a weight of one's own."""

import math
from typing import Any

import torch
from torch import Generator, Tensor

from dmlteach.course.exercises import weighted_training
from dmlteach.course.exercises.answers import ask
from dmlteach.course.exercises.kinds import Artefact, Choice, Exercise, Function, Number, Option, Teaching
from dmlteach.course.exercises.replies import NOT_YET, RIGHT, Reply
from dmlteach.losses.margin import log_inverse_density

DIM, DRAWN, CUTOFF = 128, 1000, 0.5
DRAWN_APART = 3  # by which the number of those within reach may be off

# --- how many lie near


def within(distance: float, dim: int, steps: int = 100_000) -> float:
    """Share of the points drawn uniformly on the unit sphere that are nearer to one of it than a distance.

    Args:
        distance: 0 to 2.
        dim: of the space.
        steps: of the sum that stands for the integral.
    """
    d = (torch.arange(steps, dtype=torch.float64) + 0.5) * 2 / steps
    log_density = -log_inverse_density(d, dim)
    density = (log_density - log_density.max()).exp()
    return float(density[d < distance].sum() / density.sum())


def within_reach(reach: float) -> Number:
    """The exercise for this distance.

    Args:
        reach: on the sphere.
    """
    return Number(
        id="weights.within_reach",
        number="04.1",
        title="How many lie within reach",
        question=(
            f"Of **{DRAWN:,}** negatives drawn uniformly on the unit sphere in **{DIM}** dimensions, how "
            "many "
            f"are nearer to the anchor than **{reach}**, on average? By the formula of the density, or by "
            f"drawing many times as many; {DRAWN_APART} more or fewer are right as well."
        ),
        hints=(
            "Draw many random directions: normal numbers, divided by their length. The anchor may be any of "
            "them.",
            "d² = 2 − 2 S on the sphere: which cosine S belongs to this distance?",
            "`(z @ anchor > 1 − d²/2)` for some 100,000 rows `z`; take the mean, and how many of 1,000 that "
            "is.",
        ),
        solution=(
            "generator = torch.Generator().manual_seed(0)\n"
            f"z = torch.randn(200_000, {DIM}, generator=generator)\n"
            "cosine = z[:, 0] / z.norm(dim=1)  # with the anchor along the first axis\n"
            f"answer = {DRAWN} * (cosine > 1 - {reach}**2 / 2).float().mean().item()"
        ),
        explanation=(
            "A cosine of random directions has a standard deviation of 1/√n. So in many dimensions distances "
            "crowd at √2, and a few tenths nearer hardly any are left: a loss that only looks there finds "
            "nothing."
        ),
        setup="import torch",
        value=lambda: DRAWN * within(reach, DIM),
        means=f"how many of {DRAWN:,} uniformly drawn negatives are nearer than {reach}",
        tolerance=DRAWN_APART,
        mistakes=(
            (lambda: DRAWN * within(reach, 2), "That is on a circle, in two dimensions."),
            (lambda: DRAWN * (1 - within(reach, DIM)), "Those are the ones that are farther."),
            (lambda: DRAWN / 2, "Half of them are nearer than √2; this distance is smaller."),
        ),
        with_numbers=lambda drawn: within_reach(drawn.choice((1.24, 1.26, 1.28, 1.32, 1.34, 1.36))),
        teaching=Teaching(
            minutes=4,
            often=(
                "Thinks of a circle, where hundreds lie that near; or compares the cosine with the "
                "distance itself."
            ),
            say=(
                "Find the distance on the first figure of the chapter, in all three panels. Where is "
                "it in the crowd, and where in its tail?"
            ),
        ),
    )


WITHIN = within_reach(1.3)

# --- distance-weighted sampling


def inverse_density(d: Tensor, dim: int) -> Tensor:
    """Probabilities in proportion to 1/q(d), of each distance by plain arithmetic in logarithms."""
    logs = []
    for x in d.tolist():
        x = max(x, CUTOFF)
        logs.append((2 - dim) * math.log(x) + (3 - dim) / 2 * math.log(1 - x * x / 4))
    top = max(logs)
    weights = [math.exp(value - top) for value in logs]
    return torch.tensor([w / sum(weights) for w in weights], dtype=d.dtype)


def _density_itself(d: Tensor, dim: int) -> Tensor:
    return (-log_inverse_density(d.clamp_min(CUTOFF), dim)).softmax(0)


def _without_cutoff(d: Tensor, dim: int) -> Tensor:
    return log_inverse_density(d, dim).softmax(0)


def _distances(generator: Generator) -> list[tuple]:
    cases: list[tuple] = []
    for size in (1, 2, 5, 20):
        for dim in (8, 32, 128, 512):
            cases.append((0.05 + 1.34 * torch.rand(size, generator=generator, dtype=torch.float64), dim))
    cases += [(torch.full((3,), 0.2, dtype=torch.float64), 512), (torch.tensor([0.4, 1.3]).double(), 512)]
    return cases


INVERSE = Function(
    id="weights.inverse_density",
    number="04.2",
    title="Draw by distance",
    question=(
        "Distance-weighted sampling draws a negative with a probability in proportion to 1/q(d), where q is "
        "the density of the section *Where the negatives are*; distances below 0.5 count as 0.5. Write a "
        "function of the distances `d` (K,) of an anchor's negatives and of the dimension `dim` that returns "
        "the K probabilities."
    ),
    hints=(
        "At 512 dimensions 1/q is larger than any number of single precision. Its logarithm is not.",
        "log 1/q(d) = (2 − n) log d − (n − 3)/2 · log(1 − d²/4).",
        "`d.clamp_min(0.5)` first; a `softmax` of the logarithms divides by the sum without overflow.",
    ),
    solution=(
        "def answer(d, dim):\n"
        "    d = d.clamp_min(0.5)\n"
        "    log_inverse = (2 - dim) * d.log() - (dim - 3) / 2 * (1 - d**2 / 4).log()\n"
        "    return log_inverse.softmax(0)"
    ),
    explanation=(
        "So every distance is drawn equally often where negatives lie as if at random. Without the cut-off "
        "the nearest would be drawn every time, and it is the one whose direction is mostly noise."
    ),
    setup="import torch",
    arguments=("d", "dim"),
    definition=inverse_density,
    cases=_distances,
    returns="probabilities (K,) that sum to 1",
    mistakes=(
        (_density_itself, "That is in proportion to q: the frequent distances are drawn still more often."),
        (_without_cutoff, "Distances below 0.5 count as 0.5: `d.clamp_min(0.5)`."),
        (
            lambda d, dim: torch.full_like(d, 1 / len(d)),
            "All are drawn alike; the rare ones should come more often.",
        ),
    ),
    teaching=Teaching(
        minutes=5,
        often=(
            "Draws in proportion to q, so that what is frequent becomes more frequent; or forgets the "
            "cut-off, and the nearest takes all."
        ),
        say=(
            "One negative at √2, one much nearer: which of the two does your function prefer, and "
            "which did the paper want to see more often? What do two at 0.2 and 0.4 get?"
        ),
    ),
)

# --- the weights of multi-similarity


def multi_similarity_weights(s: Tensor, beta: float, base: float) -> Tensor:
    """∂/∂s of 1/β log(1 + Σ exp(β(s − λ))), by autograd."""
    s = s.detach().clone().requires_grad_()
    zero = torch.zeros(1, dtype=s.dtype)
    value = torch.logsumexp(torch.cat([zero, beta * (s - base)]), 0) / beta
    return torch.autograd.grad(value, s)[0]


def _cosines(generator: Generator) -> list[tuple]:
    cases: list[tuple] = []
    for size in (1, 2, 7, 30):
        for beta, base in ((2.0, 0.5), (50.0, 0.5), (50.0, 1.0), (10.0, 0.0)):
            cases.append((2 * torch.rand(size, generator=generator, dtype=torch.float64) - 1, beta, base))
    return cases


MULTI_SIMILARITY = Function(
    id="weights.multi_similarity",
    number="04.3",
    title="The weights of multi-similarity (optional)",
    question=(
        "An anchor's negatives that mining has kept have the cosines `s` (K,). Their part of the "
        "multi-similarity loss is 1/β · log(1 + Σ exp(β(s − λ))). Write a function of `s`, `beta` and "
        "`base` (λ) that returns the weight of each, the derivative of this part with respect to `s`."
    ),
    hints=(
        "Differentiate the logarithm first: one over its argument, times the derivative of the argument.",
        "The β in front cancels the one that comes from the exponent.",
        "With e = exp(β(s − λ)) each weight is e over 1 plus the sum of all e.",
    ),
    solution=(
        "def answer(s, beta, base):\n"
        "    e = (beta * (s - base)).exp()\n"
        "    return e / (1 + e.sum())"
    ),
    explanation=(
        "A negative weighs more the nearer it is, and less the more other near ones there are: the sum of "
        "the weights never exceeds 1. Binomial deviance has each negative alone with the 1."
    ),
    setup="import torch",
    arguments=("s", "beta", "base"),
    definition=multi_similarity_weights,
    cases=_cosines,
    returns="weights (K,), each between 0 and 1",
    mistakes=(
        (
            lambda s, beta, base: torch.softmax(beta * (s - base), 0),
            "This sums to 1 however far they are: the 1 in the logarithm is missing.",
        ),
        (
            lambda s, beta, base: torch.sigmoid(beta * (s - base)),
            "This looks at each negative alone, as binomial deviance does; here the sum is over all of them.",
        ),
        (
            lambda s, beta, base: beta * multi_similarity_weights(s, beta, base),
            "The β in front of the logarithm cancels the inner derivative.",
        ),
    ),
    teaching=Teaching(
        minutes=6,
        often="Writes a softmax over the negatives, so that somebody is always pushed by the full weight.",
        say=(
            "Let there be a single negative, with a cosine far below λ. What weight does your function "
            "give it, and does it deserve one?"
        ),
    ),
)  # fmt: skip

# --- a duplicate

DUPLICATE = Choice(
    id="weights.duplicate",
    number="04.4",
    title="A duplicate",
    question=(
        "A picture lies in the data twice, by mistake under two classes: two embeddings at nearly the same "
        "place that are negatives of each other. The network is trained, a batch holds 16 classes of four. "
        "For which losses is this one pair nearly all that pushes its two pictures? Name all, with a reason "
        "each."
    ),
    hints=(
        "What weight does each loss give to a negative at distance 0, beside all others of the anchor?",
        "A loss with an upper end for near negatives gives the duplicate no more than any other near one.",
        "In a trained embedding the next negative is far: how much rarer is 0.5 than 1 on a sphere of 128 "
        "dimensions?",
    ),
    solution=(
        "answer = {\n"
        '    "b": "the duplicate is the hardest negative of both, and no other is looked at",\n'
        '    "e": "0.5 is so much rarer than the distances of all others that it is drawn every time",\n'
        "}"
    ),
    options={
        "a": Option(
            "the triplet loss over all triplets",
            False,
            "every open triplet weighs the same, and the duplicate is in at most three of an anchor's.",
        ),
        "b": Option(
            "batch-hard: the nearest negative of each anchor",
            True,
            "the duplicate is the nearest of both, so it is the only one they see, in every batch that "
            "holds both.",
        ),
        "c": Option(
            "semi-hard triplets",
            False,
            "the duplicate is nearer than every positive, so it is in no semi-hard triplet at all.",
        ),
        "d": Option(
            "binomial deviance",
            False,
            "its weight has an upper end: the duplicate weighs what any other near negative does.",
        ),
        "e": Option(
            "the margin loss with distance-weighted sampling",
            True,
            "the cut-off counts it as 0.5, which is still so rare beside all others that it is drawn nearly "
            "every time.",
        ),
    },
    teaching=Teaching(
        minutes=4,
        often=(
            "Answers another question: which losses give the duplicate the largest weight. And thinks "
            "that the cut-off at 0.5 takes it out of e."
        ),
        say=(
            "For each loss, count who else pushes. Does this one pair weigh more than any other, or "
            "more than all others together?"
        ),
    ),
)

# --- a weight of one's own

GOAL = "Recall@1 on val above that of the triplet loss with the same batches and steps"


def inspect_weight(answer: Any) -> Reply:
    """Train with the reader's weight, and compare on val; the test is measured for a right answer only."""
    if not callable(answer):
        return Reply(
            NOT_YET, "This is no function of distances.", "a function `answer(d)` that returns weights like d"
        )
    try:
        problem = _problem(ask(answer, torch.linspace(0, 2, 12).view(3, 4)))
    except TypeError as error:
        problem = str(error)
    if problem:
        return Reply(NOT_YET, problem, "a tensor of the shape of d, with no number below 0")
    network = weighted_training.trained_with(answer)
    yours, triplet = weighted_training.recall(network, "val"), weighted_training.of_triplet("val")
    numbers = {
        f"Recall@1 on {weighted_training.classes('val')} characters of val, yours": yours,
        "of the triplet loss": triplet,
        "of the untrained network": weighted_training.of_untrained("val"),
    }
    if yours <= triplet:
        words = "Trained with your weight, the network ends no higher than with the triplet loss."
        return Reply(NOT_YET, words, GOAL, numbers)
    numbers[f"on {weighted_training.classes('test')} characters of the test, yours"] = (
        weighted_training.recall(network, "test")
    )
    numbers["there, of the untrained network"] = weighted_training.of_untrained("test")
    return Reply(RIGHT, f"Reached: {GOAL}.", case=numbers)


def _problem(given: Any) -> str | None:
    if not isinstance(given, Tensor):
        return f"Your function returns {type(given).__name__}, no tensor."
    if given.shape != (3, 4):
        return f"For distances of the shape (3, 4) it returns the shape {tuple(given.shape)}."
    if not given.isfinite().all() or (given < 0).any():
        return "A weight is below 0, or no finite number."
    return None if (given > 0).any() else "All weights are 0: nothing would be pushed."


OWN = Artefact(
    id="weights.own",
    number="04.5",
    title="A weight of your own",
    question=(
        "`weighted_training` trains a small network for a few seconds: each anchor is drawn to its "
        "positives, and pushed from its negatives with weights that are yours, divided by their sum. Write "
        "`answer(d)`: from the distances d of an anchor's negatives, of any shape, to weights that are at "
        "least 0. Beat the triplet loss, with the same P×K batches and steps, on val. For a "
        "right answer the test is measured, once."
    ),
    hints=(
        "Equal weights are worse than the triplet loss: nearly all the push goes to pairs that are far "
        "apart already.",
        "Near negatives need more. How much more? Try a function that falls steadily, `torch.exp(-k * d)`.",
        "A `k` of 10 is a start.",
    ),
    solution="def answer(d):\n    return torch.exp(-10 * d)",
    explanation=(
        "Only the shape counts, because the weights are divided by their sum. An exponential of the "
        "distance is what the lifted structured loss has; with the factor 10 it looks mostly at the "
        "nearest, and at others a little."
    ),
    setup="import torch",
    inspect=inspect_weight,
    teaching=Teaching(
        minutes=6,
        often=(
            "Tries a gentle slope (1/d, 2 − d, exp(−d)), which is nearly flat over the distances that "
            "occur; or the hardest alone, which does worse still."
        ),
        say=(
            "Plot your weight over the distances of the untrained batch, with the histogram behind it. "
            "How many times as much does the nearest weigh as the middle of the crowd, and what do all "
            "those of the crowd weigh together?"
        ),
    ),
)

EXERCISES: tuple[Exercise, ...] = (WITHIN, INVERSE, MULTI_SIMILARITY, DUPLICATE, OWN)
