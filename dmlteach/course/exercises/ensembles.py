"""Exercises of the chapter on ensembles: a cascade, BIER's weights, a reversed gradient, two numbers."""

import math

import torch
from torch import Generator, Tensor

from dmlteach.course.exercises.kinds import Choice, Exercise, Function, Number, Option, Reflection, Teaching
from dmlteach.course.recordings import recordings

# --- a cascade

# Losses of eight positive pairs at the three depths, made up.
DEPTHS = (
    (0.1, 0.9, 0.4, 0.7, 0.2, 0.6, 0.3, 0.8),
    (0.9, 0.3, 0.8, 0.5, 0.7, 0.6, 0.2, 0.1),
    (0.2, 0.1, 0.9, 0.4, 0.3, 0.6, 0.8, 0.7),
)
EVERY = tuple(range(1, 9))


def hardest(losses: tuple[float, ...], among: tuple[int, ...], count: int) -> tuple[int, ...]:
    """The pairs with the largest losses, in ascending order; the first pair is 1.

    Args:
        losses: of all pairs.
        among: pairs to choose from.
        count: how many.
    """
    return tuple(sorted(sorted(among, key=lambda pair: -losses[pair - 1])[:count]))


def cascade() -> tuple[int, ...]:
    """The pairs that depth 3 learns from: two of the four that depth 2 does."""
    return hardest(DEPTHS[1], hardest(DEPTHS[0], EVERY, 4), 2)


def _row(depth: int) -> str:
    return f"| depth {depth + 1} | " + " | ".join(f"{loss:g}" for loss in DEPTHS[depth]) + " |"


CASCADE = Number(
    id="ensembles.cascade",
    number="08.1",
    title="A step of the cascade",
    question=(
        "HDC has three depths with shares of 1, 1/2 and 1/4: depth 1 learns from all pairs, depth 2 from the "
        "half that is hardest for depth 1, depth 3 from the quarter of all pairs that is hardest for depth 2 "
        "*among those that depth 2 was given*. These are the losses of eight pairs of one class:\n\n"
        "| pair | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 |\n|---|---|---|---|---|---|---|---|---|\n"
        + "\n".join(_row(depth) for depth in range(3))
        + "\n\nFrom which two pairs does depth 3 learn?"
    ),
    hints=(
        "Write down first which four pairs depth 2 is given.",
        "Depth 2 is given pairs 2, 4, 6 and 8. The others are out, whatever depths 2 and 3 make of them.",
        "Of these four, which have the largest losses in the row of depth 2?",
    ),
    solution=(
        "one = torch.tensor([0.1, 0.9, 0.4, 0.7, 0.2, 0.6, 0.3, 0.8])\n"
        "two = torch.tensor([0.9, 0.3, 0.8, 0.5, 0.7, 0.6, 0.2, 0.1])\n"
        "given = one.topk(4).indices\n"
        "answer = tuple((given[two[given].topk(2).indices] + 1).tolist())"
    ),
    explanation=(
        "Pair 3 is the hardest of all for depth 3, and pair 1 for depth 2; depth 1 finds both easy, so that "
        "neither goes on. The row of depth 3 is not needed at all."
    ),
    setup="import torch",
    value=cascade,
    means="the two pairs that depth 3 learns from",
    parts=("one pair", "the other pair"),
    tolerance=0.1,
    any_order=True,
    mistakes=(
        (
            lambda: hardest(DEPTHS[1], EVERY, 2),
            "These are the hardest for depth 2 among all eight; it was not given all eight.",
        ),
        (
            lambda: hardest(DEPTHS[2], EVERY, 2),
            "These are the hardest for depth 3 itself; that is the released code's way, each depth for "
            "itself.",
        ),
        (
            lambda: hardest(DEPTHS[2], hardest(DEPTHS[0], EVERY, 4), 2),
            "Depth 2 was given the right four. Which go on is decided by the losses at depth 2.",
        ),
        (
            lambda: hardest(DEPTHS[0], EVERY, 2),
            "These are the hardest for depth 1: it decides what depth 2 is given, not what depth 3 is.",
        ),
    ),
    teaching=Teaching(
        minutes=2,
        often="Lets each depth choose among all eight pairs, and so looks at the last row.",
        say=(
            "Cross out every column that depth 2 has never been given. Who decides among those that are left?"
        ),
    ),
)

# --- boosting


def boosted(cosines: Tensor, positive: Tensor, alpha: float, beta: float, cost: float) -> Tensor:
    """BIER's weights, learner by learner and pair by pair, (M, P).

    Args:
        cosines: (M, P) of each pair in each learner.
        positive: (P,) whether it is a pair of one class.
        alpha, beta: α and β.
        cost: C.
    """
    rows = torch.ones_like(cosines)
    for pair in range(cosines.shape[1]):
        slope = alpha if positive[pair] else -alpha * cost
        ensemble = cosines.new_zeros(())
        for m in range(1, len(cosines)):
            step = 2 / (m + 1)
            ensemble = (1 - step) * ensemble + step * slope * (cosines[m - 1, pair] - beta)
            rows[m, pair] = 1 / (1 + ensemble.exp())
    return rows


def _weights_by(
    how: str, cosines: Tensor, positive: Tensor, alpha: float, beta: float, cost: float
) -> Tensor:
    """BIER's weights with a mistake."""
    x = alpha * (cosines - beta) * torch.where(positive, 1.0, -1.0 if how == "no cost" else -cost)
    ensemble, rows = torch.zeros_like(x[0]), [torch.ones_like(x[0])]
    for m in range(1, len(x)):
        step = 2 / (m + 1)
        if how == "previous alone":
            ensemble = x[m - 1]
        elif how == "summed":
            ensemble = ensemble + x[m - 1]
        elif how == "plain mean":
            ensemble = x[:m].mean(0)
        else:
            ensemble = (1 - step) * ensemble + step * x[m - 1]
        rows.append(torch.sigmoid(ensemble if how == "sign" else -ensemble))
    return torch.stack(rows)


def _cosines(generator: Generator) -> list[tuple]:
    cases: list[tuple] = []
    for learners, pairs in ((1, 2), (2, 1), (3, 2), (4, 6)):
        for alpha, beta, cost in ((2.0, 0.5, 2.0), (1.0, 0.0, 1.0), (3.0, 0.2, 5.0)):
            s = 2 * torch.rand(learners, pairs, generator=generator, dtype=torch.float64) - 1
            cases.append((s, torch.rand(pairs, generator=generator) < 0.5, alpha, beta, cost))
    return cases


BOOSTING = Function(
    id="ensembles.boosting",
    number="08.2",
    title="What boosting leaves to a learner",
    question=(
        "Write BIER's weights. Given are `cosines` (M, P) of P pairs in M learners, and `positive` (P,), "
        "true for pairs of one class. In learner m a pair has x_m = α (cos_m − β) if it is positive and "
        "x_m = −C α (cos_m − β) if not. All weights of learner 1 are 1. The ensemble of the first m is "
        "A_m = (1 − η_m) A_{m−1} + η_m x_m with A_0 = 0 and η_m = 2/(m + 1), and learner m + 1 has the "
        "weights σ(−A_m), σ the logistic function. Return the weights (M, P)."
    ),
    hints=(
        "Two lines make x for all learners at once; then a loop over the learners carries A along.",
        "The loop appends the weight *before* it takes in learner m: each learner's weights depend only on "
        "those before it.",
        "`ensemble = (1 - eta) * ensemble + eta * x[m - 1]`, with η = 2/(m + 1) and m from 1; "
        "`torch.sigmoid(-ensemble)` is the next row.",
    ),
    solution=(
        "def answer(cosines, positive, alpha, beta, cost):\n"
        "    x = alpha * (cosines - beta) * torch.where(positive, 1.0, -cost)\n"
        "    ensemble, weights = torch.zeros_like(x[0]), [torch.ones_like(x[0])]\n"
        "    for m in range(1, len(x)):\n"
        "        eta = 2 / (m + 1)\n"
        "        ensemble = (1 - eta) * ensemble + eta * x[m - 1]\n"
        "        weights.append(torch.sigmoid(-ensemble))\n"
        "    return torch.stack(weights)"
    ),
    explanation=(
        "σ(−A) is the slope of log(1 + exp(−A)): how much the loss of the ensemble so far would fall if a "
        "pair were done a little better. Later learners count more in A, as they do in retrieval."
    ),
    setup="import torch",
    arguments=("cosines", "positive", "alpha", "beta", "cost"),
    definition=boosted,
    cases=_cosines,
    returns="weights of shape (M, P)",
    mistakes=(
        (
            lambda *case: _weights_by("previous alone", *case),
            "This looks at the learner before alone; what counts is the ensemble of all before.",
        ),
        (
            lambda *case: _weights_by("summed", *case),
            "Here the learners are added up; each step is an average of the ensemble and the new learner.",
        ),
        (
            lambda *case: _weights_by("plain mean", *case),
            "This is the plain mean of the learners; with η = 2/(m + 1) later ones count more.",
        ),
        (
            lambda *case: _weights_by("sign", *case),
            "The sign is the other way: a pair that is right, with a large A, should be left little weight.",
        ),
        (
            lambda *case: _weights_by("no cost", *case),
            "Pairs of two classes are C times as steep; the cost is missing.",
        ),
    ),
    teaching=Teaching(
        minutes=7,
        often=(
            "Is off by one: lets a learner's own cosines into its weight, by updating A before the "
            "weight is kept."
        ),
        say=(
            "Take one pair that learner 1 has surely right, and nobody else. In which row of yours "
            "does the weight first fall, and in which should it?"
        ),
    ),
)

# --- the reversed gradient

REVERSAL = Choice(
    id="ensembles.reversal",
    number="08.3",
    title="The sign of the reversed gradient",
    question=(
        "A-BIER adds R = −mean (r ∘ g(r′))² to the loss: r and r′ are the outputs of two learners, g is a "
        "small network, and r and r′ pass a gradient reversal first. A step of gradient descent is made on R "
        "alone. What is true? Name all, with a reason each."
    ),
    hints=(
        "A reversal leaves values as they are. What does it do to the gradient of everything before it?",
        "The weights of g come after the reversal: they feel the gradient of R as it is. The learners come "
        "before it.",
        "g makes R smaller, the product larger. The learners are moved the other way.",
    ),
    solution=(
        "answer = {\n"
        '    "a": "g feels the gradient of R itself, and R is minus the square",\n'
        '    "c": "the learners feel it with the other sign",\n'
        '    "e": "it is the identity in the forward pass",\n'
        "}"
    ),
    explanation=(
        "One value, two players: g learns to foretell one learner from the other, and the learners learn to "
        "be what it cannot foretell. Without the reversal both would work at being alike."
    ),
    options={
        "a": Option(
            "The step in the weights of g alone makes the product (r ∘ g(r′))² larger.",
            True,
            "its weights feel the gradient as it is, and R is minus that square.",
        ),
        "b": Option(
            "The step in the weights of g alone makes the product smaller.",
            False,
            "that would be so if R had no minus.",
        ),
        "c": Option(
            "The step in the learners' weights alone makes the product smaller.",
            True,
            "they feel the gradient of R with the other sign, as if they were asked to make R larger.",
        ),
        "d": Option(
            "Without the reversal, the step in the learners' weights would make the product smaller, too.",
            False,
            "then they would help g, and the learners would become alike.",
        ),
        "e": Option(
            "The value of R is the same with and without the reversal.",
            True,
            "it changes gradients only.",
        ),
    },
    teaching=Teaching(
        minutes=3,
        often=(
            "Thinks that the reversal turns the value of R round as well, or that all move as one and "
            "want the same."
        ),
        say=(
            "Follow the gradient of R backwards with a finger. Who do you meet before the reversal, "
            "who behind it, and how many signs have you collected at each?"
        ),
    ),
)

# --- side by side without a common scale

NAMES = ("softmax", "triplet", "sst")


def spreads() -> list[float]:
    """Mean squared distance of two drawings in each of the recorded networks, at their end."""
    found = []
    for name in NAMES:
        z = recordings(name).embeddings[-1].double()
        found.append(float(2 * (z - z.mean(0)).square().sum(1).mean()))
    return found


def share_of_the_widest(power: float = 1.0) -> float:
    """The widest network's share of the squared distances of all side by side.

    Args:
        power: 1; other powers are mistakes.
    """
    of_each = [spread**power for spread in spreads()]
    return max(of_each) / sum(of_each)


SIDE_BY_SIDE = Number(
    id="ensembles.side_by_side",
    number="08.4",
    title="Side by side, as they are",
    question=(
        "The embeddings of the recorded softmax, triplet and SST networks are put side by side as they are. "
        "What share of the mean squared distance between two drawings then comes from the network that has "
        "most of it? `recordings(name).embeddings[-1]` is a network's embedding of the same drawings at the "
        "end of its training; take all pairs of drawings, each with itself as well. Give a fraction, to two "
        "decimals."
    ),
    hints=(
        "Side by side, squared distances add up: first the mean squared distance in each network.",
        "The mean squared distance of all pairs is twice the variance: twice the mean squared distance from "
        "the center.",
        "For each network `2 * (z - z.mean(0)).square().sum(1).mean()`; then the largest over the sum.",
    ),
    solution=(
        "spread = []\n"
        'for name in ("softmax", "triplet", "sst"):\n'
        "    z = recordings(name).embeddings[-1]\n"
        "    spread.append((2 * (z - z.mean(0)).square().sum(1).mean()).item())\n"
        "answer = max(spread) / sum(spread)"
    ),
    explanation=(
        "Each network has as many coordinates as the others, but distances know nothing of that: whoever "
        "spreads widest decides, and the others have little to say. Brought to one scale, each "
        "has a say."
    ),
    setup="from dmlteach.course.recordings import recordings",
    value=share_of_the_widest,
    means="the share of the softmax network in the squared distances of all three",
    decimals=2,
    percent=0.01,
    mistakes=(
        (lambda: 1 / 3, "A third each would be so if all spread alike: look at how far apart drawings are."),
        (
            lambda: share_of_the_widest(0.5),
            "These are distances, not squared ones; it is the squares that add up side by side.",
        ),
    ),
    teaching=Teaching(
        minutes=3,
        often="Says a third: the three have equally many coordinates.",
        say=(
            "Print the spread of each network before you divide anything. What have numbers of "
            "coordinates to do with it?"
        ),
    ),
)

# --- what averaging can do


def left(learners: float, correlation: float) -> float:
    """Variance of the mean of M errors of variance 1.

    Args:
        learners: M.
        correlation: of each two.
    """
    return correlation + (1 - correlation) / learners


AVERAGE = Number(
    id="ensembles.average",
    number="08.5",
    title="How much averaging takes away",
    question=(
        "The distances that learners measure have errors of variance **1**, and the errors of any two "
        "learners have the correlation **0.6**. What is the variance of the mean of **three** learners' "
        "errors? And to what does it come down with ever more learners? Give both, in this order, to two "
        "decimals."
    ),
    hints=(
        "The variance of a sum is the sum of all variances and of all covariances, each pair counted twice.",
        "Three variances of 1, and six covariances of 0.6, over 3².",
        "For M learners it is ρ + (1 − ρ)/M.",
    ),
    solution="rho = 0.6\nanswer = (rho + (1 - rho) / 3, rho)",
    explanation=(
        "What all learners get wrong alike, no number of them averages away. So the second half of what an "
        "ensemble needs, beside good learners, is a small ρ."
    ),
    value=lambda: (left(3, 0.6), left(math.inf, 0.6)),
    means="the variance of the mean of three, and of very many",
    parts=("of three learners", "of ever more learners"),
    decimals=2,
    mistakes=(
        (lambda: (1 / 3, 0.0), "That is so for errors that have nothing in common."),
        (lambda: (0.4 / 3, 0.0), "The part that is common to all, ρ, is not averaged away."),
        (lambda: (left(3, 0.6), 0.0), "The first is right. The common part stays, however many there are."),
        (lambda: (0.6, left(3, 0.6)), "These are the two numbers, in the other order."),
        (lambda: (left(3, 0.6) ** 0.5, 0.6**0.5), "These are standard deviations; variances are asked for."),
    ),
    teaching=Teaching(
        minutes=2,
        often=(
            "Divides by the number of learners, as for errors that have nothing in common, and lets "
            "the rest vanish."
        ),
        say=(
            "If all made exactly the same error, what would a thousand of them gain? What part of "
            "their errors is of that kind here?"
        ),
    ),
)

# --- one's own

OWN = Reflection(
    id="ensembles.own",
    number="08.6",
    title="Is it worth three?",
    question=(
        "A colleague shows that three networks of other seeds, side by side, have a higher Recall@1 than one "
        "of them, and wants to put them into service. What would you ask before you agree, and what would "
        "you measure? Write a few sentences."
    ),
    hints=(
        "What else could the same computing, memory or embedding size have been spent on?",
        "Think of one network with the embedding size of all three; of one trained three times as long; of "
        "the same comparison in several seeds.",
        "And of what service costs: three networks for each query, and a gallery three times as large.",
    ),
    solution=(
        'answer = "I would ask what one network of the same embedding size reaches with three times the '
        'training, in several seeds, and what three forward passes cost in service."'
    ),
    explanation="The control decides what is compared: equal size, equal training, or equal cost in service.",
    model_answer=(
        "Three networks have three times the training, the forward passes and the coordinates; so I would "
        "compare with one network of three times the embedding size, and with one that trained three times "
        "as long, each in several seeds with paired intervals. I would look at how often the three err on "
        "the same queries, because only the rest can be gained. And I would put the cost beside the gain: a "
        "gallery of three times the size is searched for every query."
    ),
    compare=(
        "Have you named a control of equal size, and one of equal training?",
        "Have you asked for several seeds, and for intervals?",
        "Have you thought of the cost of each query, and of the gallery?",
    ),
    teaching=Teaching(
        minutes=3,
        often=(
            "Asks only whether the gain is large, of three against one, and not what else three could "
            "have been."
        ),
        say=(
            "Who would be a fair opponent for three? And who pays for the two further networks, at "
            "each query?"
        ),
    ),
)

EXERCISES: tuple[Exercise, ...] = (CASCADE, BOOSTING, REVERSAL, SIDE_BY_SIDE, AVERAGE, OWN)
