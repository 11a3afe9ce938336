"""Exercises of the chapter on densely-anchored sampling: DFS, a label's end, forces, the cause of a gain."""

import torch
from torch import Generator, Tensor

from dmlteach.course.exercises.kinds import Choice, Exercise, Function, Number, Option, Reflection, Teaching

# --- discriminative feature scaling


def scaled(z: Tensor, counts: Tensor, s: Tensor) -> Tensor:
    """Each embedding with the most frequent channels of its class scaled, number by number.

    Args:
        z: (N, D) embeddings.
        counts: (N, D) how often each channel was among the largest in the class of the embedding.
        s: (N, K) scales, of the most frequent channel first.
    """
    rows = []
    for v, count, scales in zip(z, counts.tolist(), s, strict=True):
        order = sorted(range(len(count)), key=lambda k: -count[k])[: len(scales)]
        rows.append(
            torch.stack([v[k] * scales[order.index(k)] if k in order else v[k] for k in range(len(v))])
        )
    return torch.stack(rows)


def _others_at_zero(z: Tensor, counts: Tensor, s: Tensor) -> Tensor:
    return z * torch.zeros_like(z).scatter(1, counts.topk(s.shape[1]).indices, s)


def _own_largest(z: Tensor, counts: Tensor, s: Tensor) -> Tensor:
    return z * torch.ones_like(z).scatter(1, z.topk(s.shape[1]).indices, s)


def _first_channels(z: Tensor, counts: Tensor, s: Tensor) -> Tensor:
    return torch.cat([z[:, : s.shape[1]] * s, z[:, s.shape[1] :]], 1)


def _same_for_all(z: Tensor, counts: Tensor, s: Tensor) -> Tensor:
    first = counts[:1].expand_as(counts)
    return z * torch.ones_like(z).scatter(1, first.topk(s.shape[1]).indices, s)


def _batches(generator: Generator) -> list[tuple]:
    cases: list[tuple] = []
    for n, dim, k in ((2, 3, 1), (3, 4, 2), (4, 6, 3), (3, 3, 3)):
        for low, high in ((1.0, 1.0), (0.99, 1.01), (0.5, 2.0)):
            z = torch.randn(n, dim, generator=generator, dtype=torch.float64)
            counts = torch.stack([torch.randperm(dim, generator=generator) for _ in range(n)])  # no ties
            s = low + (high - low) * torch.rand(n, k, generator=generator, dtype=torch.float64)
            cases.append((z, counts, s))
    return cases


DFS = Function(
    id="space.dfs",
    number="07.1",
    title="Feature scaling in three lines",
    question=(
        "Write a function of `z` (N, D), `counts` (N, D) and `s` (N, K). Row i of `counts` says how often "
        "each channel was among the largest ones in the class of embedding i. Multiply the K most frequent "
        "channels of each row by the scales in its row of `s`, the most frequent channel by the first, and "
        "leave all other channels as they are. With scales of 1 it must be the identity; value and gradient "
        "are checked."
    ),
    hints=(
        "Which K channels are scaled is decided by `counts`, row by row; `topk` gives them in the order of "
        "their frequency.",
        "Begin with a factor of 1 for every number of `z`, and put the scales where they belong. A factor "
        "of 1 changes nothing.",
        "`torch.ones_like(z).scatter(1, channels, s)` writes `s` into the columns `channels` of each row.",
    ),
    solution=(
        "def answer(z, counts, s):\n"
        "    channels = counts.topk(s.shape[1]).indices  # (N, K)\n"
        "    factors = torch.ones_like(z).scatter(1, channels, s)\n"
        "    return factors * z"
    ),
    explanation=(
        "This is all there is to DFS but for drawing `s`. Two embeddings of a class are scaled on the same "
        "channels, each by scales of its own; the gradient that arrives at a new point flows back "
        "through the factors, and so nearly whole."
    ),
    setup="import torch",
    arguments=("z", "counts", "s"),
    definition=scaled,
    cases=_batches,
    returns="numbers of shape (N, D)",
    gradients=True,
    mistakes=(
        (
            _others_at_zero,
            "The channels that are not scaled are gone: their factor is 1, not 0. With scales of 1 this is "
            "no identity.",
        ),
        (
            _own_largest,
            "You scale the channels that are largest in each embedding; those that are most frequent in its "
            "class are asked for, which `counts` knows.",
        ),
        (_first_channels, "You scale the first K channels of every row; `counts` says which ones."),
        (
            _same_for_all,
            "All rows are scaled on the channels of the first one; each row has counts of its own class.",
        ),
    ),
    teaching=Teaching(
        minutes=5,
        often=(
            "Writes the scales into zeros, so that all other channels vanish; or scales those channels "
            "that are large in `z`, where `counts` decides."
        ),
        say=(
            "Call it with scales of 1: in which columns does something else come back? Then let two "
            "rows have other frequent channels: does each row follow its own?"
        ),
    ),
)

# --- where a label stops

ANCHOR, CLASSMATE, STRANGERS = (2.0, 1.0), (2.4, 1.3), ((3.2, 1.0), (2.5, 2.2))


def first_wrong(points: tuple[tuple[float, float], ...], strangers: tuple[tuple[float, float], ...]) -> float:
    """The smallest scale s above 1 at which (2 s, 1) is no farther from a stranger than from all points.

    Args:
        points: of the class.
        strangers: of other classes.
    """

    def crossing(own: tuple[float, float], other: tuple[float, float]) -> float:
        # (x − a)² + (1 − b)² = (x − c)² + (1 − d)², of (a, b) and (c, d), has one x
        (a, b), (c, d) = own, other
        x = (c**2 - a**2 + (1 - d) ** 2 - (1 - b) ** 2) / (2 * (c - a))
        return x / ANCHOR[0]

    # Nearer to a stranger than to all points: beyond the last of the crossings with that stranger.
    return min(max(crossing(own, other) for own in points) for other in strangers)


LEAVES = Number(
    id="space.leaves",
    number="07.2",
    title="Where a label stops",
    question=(
        f"An anchor of class A lies at {ANCHOR}, a classmate at {CLASSMATE}; two points of class B lie at "
        f"{STRANGERS[0]} and {STRANGERS[1]}. DFS scales the first axis alone. From which scale s > 1 "
        "on is the new point (2 s, 1) nearer to a point of B than to all points of A, the anchor included? "
        "Give it to two decimals."
    ),
    hints=(
        "As s grows the new point runs to the right, at the height 1. Which point of B comes near?",
        "On the way from the anchor to (3.2, 1) it is not always the anchor that is the nearest of A: look "
        "at the classmate, too.",
        "Let x = 2 s. Where is (x − 2.4)² + 0.3² equal to (x − 3.2)²? From there on B is nearer.",
    ),
    solution=(
        "x = (3.2**2 - 2.4**2 - 0.3**2) / (2 * (3.2 - 2.4))  # as near to the classmate as to B\n"
        "answer = x / 2"
    ),
    explanation=(
        "Where a class is dense, a new point finds other classmates on its way, and its label holds for "
        "longer. The label ends at the border between the classes, long before the new point meets one of B."
    ),
    value=lambda: first_wrong((ANCHOR, CLASSMATE), STRANGERS),
    means="the scale from which on the new point is nearest to a point of B",
    decimals=2,
    mistakes=(
        (
            lambda: first_wrong((ANCHOR,), STRANGERS),
            "That is half way between the anchor and B; there the classmate is still nearer than B.",
        ),
        (lambda: STRANGERS[0][0] / ANCHOR[0], "There it lies on the point of B; B is nearer before that."),
        (
            lambda: 2 * first_wrong((ANCHOR, CLASSMATE), STRANGERS),
            "That is where the new point lies; the scale is that over the anchor's 2.",
        ),
    ),
    teaching=Teaching(
        minutes=4,
        often=(
            "Takes the middle between the anchor and the point of B, and forgets that the class has "
            "another member."
        ),
        say=(
            "Draw the four points and push a pencil to the right at the height of the anchor. Who of A "
            "is nearest to its tip, all along the way?"
        ),
    ),
)

# --- forces

TRIPLET = (0.0, 1.0, 3.0)  # a, p, n on a line


def net_force(kept: tuple[bool, bool, bool]) -> float:
    """Sum of the forces on a, p and n under d²(a, p) − d²(a, n), of those through which a gradient flows.

    Args:
        kept: of each, whether it is not detached.
    """
    points = [
        torch.tensor(x, dtype=torch.float64, requires_grad=flows)
        for x, flows in zip(TRIPLET, kept, strict=True)
    ]
    a, p, n = points
    ((a - p) ** 2 - (a - n) ** 2).backward()
    return -sum(float(x.grad) for x in points if x.grad is not None)


def _forces(sign: int = 1) -> tuple[float, float, float]:
    every = ((True, True, True), (True, True, False), (True, False, True))
    return tuple(sign * net_force(kept) for kept in every)  # type: ignore[return-value]


BALANCE = Number(
    id="space.balance",
    number="07.3",
    title="A force that is lost",
    question=(
        "On a line lie an anchor at 0, a positive at 1 and a negative at 3; the loss is d²(a, p) − d²(a, n). "
        "A force is the negative gradient. Give the sum of the forces on the three points: when a "
        "gradient flows to all three; when the negative is a detached copy; when the positive is one, and "
        "not the negative. Three whole numbers, in this order."
    ),
    hints=(
        "Write the loss as (a − p)² − (a − n)² and differentiate it with respect to each of the three.",
        "The forces are −2 (a − p) + 2 (a − n) on a, 2 (a − p) on p and −2 (a − n) on n.",
        "On a it is −4, on p −2 and on n 6. A detached point has no force of its own; those on the other "
        "two stay.",
    ),
    solution="answer = (-4 - 2 + 6, -4 - 2, -4 + 6)",
    explanation=(
        "A loss of differences pushes nothing as a whole: its forces sum to zero. A copy that is cut off "
        "still pulls and pushes the others, but nothing answers; what is left over moves the whole embedding."
    ),
    value=_forces,
    means="the sum of the forces: all three, without that on the negative, without that on the positive",
    parts=("gradient to all three", "the negative detached", "the positive detached"),
    tolerance=0.01,
    mistakes=(
        (lambda: _forces(-1), "These are gradients; a force is the negative gradient."),
        (
            lambda: (0.0, 0.0, 0.0),
            "The first is right. A detached point still pulls and pushes the others; what is gone is the "
            "force on itself.",
        ),
        (
            lambda: (0.0, 2.0, -4.0),
            "The first is right. You have left out the whole distance to the detached point; only the "
            "force on the point itself is lost.",
        ),
    ),
    teaching=Teaching(
        minutes=4,
        often="Believes that a detached point does nothing at all, and takes away its whole distance.",
        say=(
            "Nail one of the points down. Does it still pull at the others, and who goes without a "
            "push? Draw all three arrows first, then take away what the nail holds."
        ),
    ),
)

# --- the cause of a gain

CAUSE = Choice(
    id="space.cause",
    number="07.4",
    title="Whose gain is it?",
    question=(
        "A colleague reports: with DAS, multi-similarity ends four points higher (five seeds, paired, both "
        "at the learning rate of the paper). *The new points* need not be the cause. Which of these could "
        "show that they are not? Name all, with a reason each."
    ),
    hints=(
        "What differs between the two sides beside the new points? The loss has more terms, and one rate "
        "may suit it better.",
        "A control keeps everything but the one thing that is in question.",
        "Two of them are right: one takes the new information out of the new points, one gives the "
        "other side what suits it.",
    ),
    solution=(
        "answer = {\n"
        '    "b": "all terms of DAS without anything new in them",\n'
        '    "c": "each side at its own best rate, chosen on held-out classes",\n'
        "}"
    ),
    explanation=(
        "More seeds make a difference sharper; they do not say what it is due to. A control does: exact "
        "copies, for what is new in the points, and the other side's own best setting, for what is left."
    ),
    options={
        "a": Option(
            "ten seeds more, at the same rate",
            False,
            "the interval shrinks around the same mixture of causes.",
        ),
        "b": Option(
            "the same with exact copies: scales of 1 and no shift",
            True,
            "the loss has all its terms, and nothing in them is new. What exact copies gain as well, new "
            "points have not caused.",
        ),
        "c": Option(
            "both sides at several rates, each at the one that is best on held-out classes",
            True,
            "if the other side catches up at another rate, the first had the better rate, not more to learn "
            "from.",
        ),
        "d": Option(
            "DAS at several rates, the other side as in the paper",
            False,
            "tuning one side makes it win more; that is the flaw, not the cure.",
        ),
        "e": Option(
            "the training loss of both, step by step",
            False,
            "the two losses have different terms; which is lower says nothing.",
        ),
    },
    teaching=Teaching(
        minutes=3,
        often="Asks for more seeds: a difference that is sure is taken for a difference that is explained.",
        say=(
            "Suppose the interval were as narrow as you like. Name two things besides new points in "
            "which the sides differ: would the interval know?"
        ),
    ),
)

# --- your own problem

OWN = Reflection(
    id="space.own",
    number="07.5",
    title="Copies of your own pictures",
    question=(
        "Think of a problem of your own, or of the characters of this course. Which change of a *picture* "
        "surely keeps its class, and which change of an *embedding* would you trust to do so? "
        "Where would you rather spend an hour: on augmentation, on DAS, or on ten new pictures of each "
        "class? Write a few sentences; they are not marked."
    ),
    hints=(
        "A picture can be looked at after it was changed. Who looks at an embedding?",
        "Which of the three brings something that the network does not have yet?",
    ),
    solution=(
        'answer = """Screws: I may turn and light them differently, and see that they are the same. Of an\n'
        "embedding I would trust a small step towards a classmate, less a scale. I would take the ten new\n"
        'pictures first, then turns and light; DAS last, with exact copies as its control."""'
    ),
    model_answer=(
        "A turned screw is the same screw, and I can see it; of a changed embedding nobody sees whether the "
        "class has changed. New pictures bring what the network has not seen, augmentation brings what I "
        "know about the pictures, and DAS what is in the batch already. So the hour goes into pictures, then "
        "into augmentation, and DAS is tried against exact copies, each at its own rate."
    ),
    compare=(
        "Have you said where the knowledge comes from that a change keeps the class?",
        "Would you notice if a label were wrong?",
        "Is there a control in what you would try?",
    ),
    teaching=Teaching(
        minutes=4,
        often=(
            "Treats a change of an embedding like an augmentation, as if somebody could see that the "
            "class is kept."
        ),
        say=(
            "Show me the picture that belongs to your changed embedding. Who would notice that its "
            "label is wrong, and when?"
        ),
    ),
)

EXERCISES: tuple[Exercise, ...] = (DFS, LEAVES, BALANCE, CAUSE, OWN)
