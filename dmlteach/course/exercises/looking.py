"""Exercises on looking: what two maps tell, what a map keeps, what a hub costs, which numbers compare."""

import numpy as np
import torch
from torch import Generator, Tensor

from dmlteach.course.exercises.kinds import Choice, Exercise, Function, Option, Reflection, Teaching
from dmlteach.plots.tsne import tsne

# --- two maps


def two_maps(embeddings: Tensor, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The maps A and B of the chapter's question: one embedding, perplexity 5 and perplexity 190.

    Args:
        embeddings: (M, D).
        seed: of both.
    """
    return tsne(embeddings, perplexity=5, seed=seed), tsne(embeddings, perplexity=190, seed=seed)


WHICH = Choice(
    id="looking.which_is_better",
    number="10.1",
    title="Which is the better network?",
    question=(
        "Back to maps A and B of the question, but now suppose that they *do* come from two networks. "
        "What do the maps tell?"
    ),
    hints=("What made the islands of map A?", "You have seen the same embedding as A and as B."),
    solution='answer = {"c": "the perplexity alone makes islands or a blob of one embedding"}',
    options={
        "a": Option("A is better", False, "the islands came from the perplexity, not from a network."),
        "b": Option("B is better", False, "the blob came from the perplexity, not from a network."),
        "c": Option(
            "it cannot be told from the maps",
            True,
            "one embedding gives both, so a map of each says nothing on which network is ahead.",
        ),
    },
    teaching=Teaching(
        minutes=2,
        often="Prefers A, because islands look like order, now that there are two networks.",
        say=(
            "You have seen such a difference before, and what had made it. Which question would you "
            "send back to the two colleagues?"
        ),
    ),
)

NUMBER_THAT_TELLS = Choice(
    id="looking.number_that_tells",
    number="10.2",
    title="The number that would tell",
    question="Two networks, and a map of each. Which number would tell which network is better?",
    hints=(
        "Two of the numbers measure the drawing of the map, one measures the drawing and the network "
        "together.",
    ),
    solution='answer = {"b": "it never sees the map"}',
    options={
        "a": Option(
            "the share of neighbours that each map keeps",
            False,
            "that tells how honest the map is, not how good the network is.",
        ),
        "b": Option(
            "Recall@1 computed in the embedding, on classes that nobody trained on",
            True,
            "it measures what the network is for; over several seeds it also says how sure one can be.",
        ),
        "c": Option(
            "Recall@1 computed on the map",
            False,
            "that mixes the network with the map: it differed between maps of one network.",
        ),
        "d": Option(
            "the cost that t-SNE ends with",
            False,
            "that tells how well the map fits its own probabilities, which depend on the perplexity.",
        ),
    },
    teaching=Teaching(
        minutes=2,
        often=(
            "Takes a number of the map for one of the network: a map that keeps more neighbours looks "
            "like a better network."
        ),
        say=(
            "Draw the same network again with another perplexity. Does your number change? Should it, "
            "if it is the network's?"
        ),
    ),
)

# --- what a map keeps


def kept(embeddings: Tensor, page: Tensor, k: int) -> float:
    """Share of the k nearest in the embedding that are among the k nearest on the page, point by point."""

    def near(points: Tensor, row: int) -> set[int]:
        d2 = (points.double() - points[row].double()).square().sum(1).tolist()
        others = sorted((other for other in range(len(points)) if other != row), key=lambda other: d2[other])
        return set(others[:k])

    shared = [len(near(embeddings, row) & near(page, row)) for row in range(len(page))]
    return sum(shared) / (k * len(shared))


def _maps(generator: Generator) -> list[tuple]:
    def points(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    cases: list[tuple] = []
    for apart in (0, 5, 10):  # two groups, from none to clear
        z, page = points(30, 8), points(30, 2)
        z[15:] += apart
        page[15:] += apart
        cases += [(z, page, 1), (z, page, 4)]
    z = points(20, 2)
    cases += [(z, 3 * z, 5), (points(6, 3), points(6, 2), 5)]  # all kept: a larger copy; k as large as can be
    return cases


def _neighbours(points: Tensor, k: int, skip: int = 1) -> Tensor:
    return torch.cdist(points, points).argsort(1)[:, skip : k + skip]


def _share(a: Tensor, b: Tensor, k: int) -> float:
    return float((a[:, :, None] == b[:, None, :]).any(2).float().sum() / (k * len(a)))


KEPT = Function(
    id="looking.kept_neighbours",
    number="10.3",
    title="How much does a map keep?",
    question=(
        "Write a function of `embeddings` (M, D), `page` (M, 2) and `k` that returns the share of each "
        "point's `k` nearest neighbours in the embedding that are among its `k` nearest on the page, "
        "as a fraction. A point is no neighbour of itself."
    ),
    hints=(
        "`torch.cdist(x, x)`, infinity on the diagonal, and the k smallest of each row: once for each "
        "of the two.",
        "`d.topk(k, largest=False).indices` are the k nearest, (M, k).",
        "Compare every entry of one row with every entry of the other: `(a[:, :, None] == b[:, None, "
        ":]).any(2)`.",
    ),
    solution=(
        "def answer(embeddings, page, k):\n"
        "    near = []\n"
        "    for points in (embeddings, page):\n"
        "        d = torch.cdist(points, points).fill_diagonal_(torch.inf)\n"
        "        near.append(d.topk(k, largest=False).indices)\n"
        "    return (near[0][:, :, None] == near[1][:, None, :]).any(2).float().mean().item()"
    ),
    explanation="The order among the k does not count, only who is there.",
    setup="import torch",
    arguments=("embeddings", "page", "k"),
    definition=kept,
    cases=_maps,
    returns="of all k · M nearest neighbours in the embedding, the share that is near on the page, too",
    mistakes=(
        (
            lambda z, page, k: _share(_neighbours(z, k, 0), _neighbours(page, k, 0), k),
            "Every point is its own nearest neighbour here, in both; it does not count.",
        ),
        (
            lambda z, page, k: float((_neighbours(z, k) == _neighbours(page, k)).float().mean()),
            "This asks for the same order; a neighbour that comes in another place is kept as well.",
        ),
        (lambda z, page, k: 100 * kept(z, page, k), "Give a fraction, not percent."),
        (lambda z, page, k: k * kept(z, page, k), "This is the number kept of each point; divide by k."),
    ),
    teaching=Teaching(
        minutes=6,
        often=(
            "Leaves each point among its own neighbours, in both lists, so that the share is too high; "
            "or compares place by place."
        ),
        say=(
            "Try two clouds that have nothing to do with each other, and k = 1. What should come out, "
            "and what does?"
        ),
    ),
)

# --- what a hub costs


def cost_of_hub(lists: Tensor, labels: Tensor) -> int:
    """How many of another class have the row that stands in most lists in theirs, list by list."""
    rows = lists.tolist()
    found = [sum(row in each for each in rows) for row in range(len(rows))]
    hub = found.index(max(found))
    return sum(hub in each and bool(labels[who] != labels[hub]) for who, each in enumerate(rows))


def _lists(generator: Generator) -> list[tuple]:
    cases: list[tuple] = []
    for size, k in ((12, 2), (30, 4), (40, 1)):
        lists = torch.stack([torch.randperm(size - 1, generator=generator)[:k] for _ in range(size)])
        lists += lists >= torch.arange(size)[:, None]  # nobody finds themselves
        hub = size // 2  # in more lists than any other, whatever the rest holds
        everybody = torch.arange(size) != hub
        lists[everybody & ~(lists == hub).any(1), 0] = hub
        cases.append((lists, torch.randint(3, (size,), generator=generator)))
    cases.append((cases[0][0], torch.zeros(12, dtype=torch.long)))  # one class: it costs nothing
    return cases


def _finders(lists: Tensor) -> Tensor:
    return (lists == lists.flatten().bincount().argmax()).any(1)


HUB = Function(
    id="looking.cost_of_a_hub",
    number="10.4",
    title="What does a hub cost?",
    question=(
        "Write a function of `lists` (M, k), each drawing's nearest others, and `labels` (M,): take "
        "the largest hub, the drawing that stands in most lists, and return how many drawings of "
        '*another* character have it in their list. Then try it on `lists["untrained"]`.'
    ),
    hints=(
        "`lists.flatten().bincount()` counts in how many lists each drawing stands.",
        "`hub = ….argmax()`; the drawings that found it are the rows of `lists` in which it occurs.",
        "`(lists == hub).any(1)` are those rows; compare their labels with the label of the hub.",
    ),
    solution=(
        "def answer(lists, labels):\n"
        "    hub = lists.flatten().bincount().argmax()\n"
        "    finders = (lists == hub).any(1)\n"
        "    return int((labels[finders] != labels[hub]).sum())"
    ),
    explanation="Each of them has one wrong answer more, and all owe it to the same drawing.",
    setup="import torch",
    arguments=("lists", "labels"),
    definition=cost_of_hub,
    cases=_lists,
    returns="the number of drawings of another character that have the largest hub in their list",
    mistakes=(
        (
            lambda lists, y: int(_finders(lists).sum()),
            "These are all who found it; count those of another character.",
        ),
        (
            lambda lists, y: int((_finders(lists) & (y == y[lists.flatten().bincount().argmax()])).sum()),
            "These are those of its own character; count the others.",
        ),
    ),
    teaching=Teaching(
        minutes=4,
        often="Counts all who found the hub, those of its own character included.",
        say=(
            "Look at the figure of the largest hubs: what are the ticks, what are the crosses, and "
            "which of them do you count?"
        ),
    ),
)

# --- the worst queries

WORST = Reflection(
    id="looking.worst_query",
    number="10.5",
    title="Explain a mistake",
    question=(
        "Choose one of the worst queries above. Describe in one sentence what the network seems to "
        "look at, and in one more a drawing that would prove you wrong. Could you find such a drawing "
        "in the test set? Write both sentences; they are not marked."
    ),
    hints=("What do the query and the drawings it found share that its own character does not have?",),
    solution=(
        'answer = """It goes by the loop at the top and ignores the foot.\n'
        "A drawing with the same loop and another foot, which it keeps apart nevertheless,\n"
        'would prove me wrong."""'
    ),
    explanation="An explanation that no drawing could contradict explains nothing.",
    model_answer=(
        "It names something visible (it goes by the loop at the top and ignores the foot), and the "
        "counter-example follows from it: a drawing with the same loop and another foot, which the "
        "network should then confuse, and does not."
    ),
    compare=(
        "Is what you named visible in the drawing?",
        "Could a drawing contradict your sentence?",
        "Did it stand before you looked for the counter-example, or did you adapt it afterwards?",
    ),
    teaching=Teaching(
        minutes=3,
        often="Writes what no drawing could contradict: *it is drawn unclearly*, *the two look alike*.",
        say=(
            "Point at the stroke that you mean and cover it with a finger. What should the network "
            "answer now, if you are right?"
        ),
    ),
)

# --- ties


def recall_in_both_orders(distances: Tensor, labels: Tensor) -> tuple[float, float]:
    """Recall@1 with the wrong one first in a tie, and with the right one first, query by query."""
    rows, classes = distances.tolist(), labels.tolist()
    found = [0, 0]
    for query, row in enumerate(rows):
        others = [i for i in range(len(rows)) if i != query]
        nearest = min(row[i] for i in others)
        right = [classes[i] == classes[query] for i in others if row[i] == nearest]
        found[0] += all(right)
        found[1] += any(right)
    return found[0] / len(rows), found[1] / len(rows)


def _tables(generator: Generator) -> list[tuple]:
    cases: list[tuple] = []
    for size, places in ((12, 2), (20, 3), (30, 40)):  # from nearly all in a tie to few
        points = torch.randint(places, (size, 2), generator=generator).float()
        distances = (points[:, None] - points).square().sum(2)  # whole numbers: ties are exact
        cases.append((distances, torch.randint(3, (size,), generator=generator)))
    z = torch.randn(15, 3, generator=generator, dtype=torch.float64)
    no_ties = (z[:, None] - z).square().sum(2)
    cases.append((no_ties, torch.arange(15) % 3))
    cases.append((torch.zeros(8, 8), torch.arange(8) // 2))  # all in one place
    return cases


def _both(distances: Tensor, labels: Tensor, with_query: bool = False) -> tuple[float, float]:
    d = distances.clone() if with_query else distances.clone().fill_diagonal_(torch.inf)
    same = labels[:, None] == labels
    right, wrong = d.masked_fill(~same, torch.inf).amin(1), d.masked_fill(same, torch.inf).amin(1)
    return float((right < wrong).double().mean()), float((right <= wrong).double().mean())


TIES = Function(
    id="looking.ties",
    number="10.6",
    title="Both orders of a tie",
    question=(
        "Write a function of `distances` (M, M), the distances between all drawings, and `labels` (M,) that "
        "returns *two* fractions: Recall@1 if the wrong drawing comes first in a tie, and Recall@1 if the "
        "right one does. A query is not among its own results. Where the two differ, a number says more "
        "about the rule than about the network."
    ),
    hints=(
        "For each query, two numbers decide: the distance of its nearest right drawing and that of its "
        "nearest wrong one.",
        "Take the query out first (infinity on the diagonal of a copy); then a minimum over the right ones, "
        "and one over the wrong ones: `masked_fill` and `amin(1)`.",
        "In a tie the two minima are equal: one answer needs `<`, the other `<=`.",
    ),
    solution=(
        "def answer(distances, labels):\n"
        "    d = distances.clone().fill_diagonal_(torch.inf)\n"
        "    same = labels[:, None] == labels\n"
        "    right = d.masked_fill(~same, torch.inf).amin(1)\n"
        "    wrong = d.masked_fill(same, torch.inf).amin(1)\n"
        "    return (right < wrong).double().mean(), (right <= wrong).double().mean()"
    ),
    explanation="If the two fractions agree, no tie decides anything, and any sorting will do.",
    setup="import torch",
    arguments=("distances", "labels"),
    definition=recall_in_both_orders,
    cases=_tables,
    returns="two fractions: the wrong one first in a tie, then the right one first",
    mistakes=(
        (
            lambda d, y: _both(d, y, with_query=True),
            "The query is among its own results here, at distance 0; take it out.",
        ),
        (
            lambda d, y: _both(d, y)[::-1],
            "These are the two fractions in the other order: first the one with the wrong drawing first.",
        ),
        (
            lambda d, y: (_both(d, y)[1], _both(d, y)[1]),
            "The right one comes first in both; in the first fraction a tie is no hit.",
        ),
        (
            lambda d, y: (_both(d, y)[0], _both(d, y)[0]),
            "The wrong one comes first in both; in the second fraction a tie is a hit.",
        ),
        (lambda d, y: tuple(100 * share for share in _both(d, y)), "Give fractions, not percent."),
    ),
    teaching=Teaching(
        minutes=5,
        often="Believes that `argmin` has no rule, and returns one Recall@1 twice; or leaves the query in.",
        say=(
            "Put all drawings in one place. What would a friend of the network report, what an "
            "opponent, and what do your two fractions say?"
        ),
    ),
)

# --- which numbers compare

FAIR = Choice(
    id="looking.fair_comparison",
    number="10.7",
    title="Which numbers can be compared?",
    question="Networks A and B. Which of these reports let you say which of the two serves you better?",
    hints=(
        "For each report: would A and B still differ if they were the same network?",
        "Two of the reports are in order; in the others the test, the rule or the training differs as well.",
    ),
    solution='answer = {"b": "same set, same rule, more than chance", "c": "the metric is the use"}',
    options={
        "a": Option(
            "A has a Recall@1 of 93 % on 100 new characters, B of 81 % on 659",
            False,
            "a larger set is a harder one: the same network could have given both numbers.",
        ),
        "b": Option(
            "both were measured on the same new characters by the same program, with five seeds each, and "
            "the worst of A is better than the best of B",
            True,
            "nothing differs but the network, and by more than the seeds do.",
        ),
        "c": Option(
            "on the same new characters A has the better Recall@1, B the better MAP@R, and you show your "
            "users one answer",
            True,
            "for one answer Recall@1 is the question you have: A. For a page of answers it would be B.",
        ),
        "d": Option(
            "on the same new characters A, kept as 8 bits, has 98 % and B, as floating-point numbers, 94 %, "
            "by a program that takes what its sorting puts first",
            False,
            "with few bits nearly everything is a tie, and the sorting decides what comes first.",
        ),
        "e": Option(
            "A was trained on half of the characters of the test set, B on none of them; the set is the same",
            False,
            "A may know these characters and no others; the mixed set hides it.",
        ),
    },
    teaching=Teaching(
        minutes=3,
        often=(
            "Chooses a, the higher number, or thinks that nothing can be said where two metrics disagree."
        ),
        say=(
            "In a, what might B reach on the test of A? And what do your users look at, one answer or "
            "a whole page?"
        ),
    ),
)

EXERCISES: tuple[Exercise, ...] = (WHICH, NUMBER_THAT_TELLS, KEPT, HUB, WORST, TIES, FAIR)
