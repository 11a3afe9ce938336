"""Exercises of the first chapter: Recall@1, the query that found itself, a split, and refreshers."""

import functools
from typing import Any

import torch
from torch import Generator, Tensor

from dmlteach import data, models
from dmlteach.course.exercises.kinds import (
    Artefact,
    Choice,
    Exercise,
    Function,
    Number,
    Option,
    Reflection,
    Teaching,
)
from dmlteach.course.exercises.replies import NOT_YET, RIGHT, Reply
from dmlteach.embeddings import embed

TEST_CLASSES = 100  # as the chapter takes them
TRAIN_ON, TEST_ON = 50, 20  # classes of the split to be built


# --- Recall@1


def recall_at_1(embeddings: Tensor, labels: Tensor) -> float:
    """Query by query, with differences in float64 instead of a matrix of distances."""
    hits = 0
    for query, (z, label) in enumerate(zip(embeddings.double(), labels.tolist(), strict=True)):
        others = [row for row in range(len(labels)) if row != query]
        nearest = min(others, key=lambda row: float((embeddings[row].double() - z).square().sum()))
        hits += int(labels[nearest]) == label
    return hits / len(labels)


def _recall_cases(generator: Generator) -> list[tuple]:
    def classes(count: int, size: int) -> Tensor:
        return torch.arange(count).repeat(size)

    def points(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    cases = [(points(4 * 3, 2), classes(4, 3)) for _ in range(6)]
    cases += [(points(3 * 5, 16) + 2 * torch.arange(3).repeat(5)[:, None], classes(3, 5)) for _ in range(4)]
    shuffled = torch.randperm(12, generator=generator)
    cases.append((points(12, 4), classes(4, 3)[shuffled] * 7 + 100))  # names of classes are any numbers
    cases.append((points(6, 1), torch.zeros(6, dtype=torch.long)))  # one class: 1
    cases.append((torch.tensor([[0.0], [1.0], [10.0], [11.0]]), torch.tensor([0, 1, 0, 1])))  # 0
    twins = points(5, 3).repeat(2, 1)  # each point twice, both of one class: another drawing at distance 0
    cases.append((twins, classes(5, 2)))
    return cases


def _with_the_query(embeddings: Tensor, labels: Tensor) -> float:
    return float((labels[torch.cdist(embeddings, embeddings).argmin(1)] == labels).float().mean())


def _hits(embeddings: Tensor, labels: Tensor, k: int = 1, farthest: bool = False) -> Tensor:
    """(M,) whether one of the k nearest (or the farthest) others is of the query's class."""
    d = torch.cdist(embeddings, embeddings).fill_diagonal_(-torch.inf if farthest else torch.inf)
    nearest = d.argsort(1, descending=farthest)[:, :k]
    return (labels[nearest] == labels[:, None]).any(1).float()


RECALL = Function(
    id="start.recall_at_1",
    number="00.1",
    title="Recall@1 in three lines",
    question=(
        "Write a function of `embeddings` (M, D) and `labels` (M,) that returns Recall@1, a fraction between "
        "0 and 1: the share of drawings whose nearest *other* drawing is of their own class. Three lines "
        "will do: all distances, no query for itself, compare the labels. (A right and a wrong drawing are "
        "never equally near here.)"
    ),
    hints=(
        "`torch.cdist` gives all distances. What is the distance of a drawing to itself?",
        "`d.fill_diagonal_(torch.inf)` takes every query out of its own list.",
        "`d.argmin(1)` is the row of the nearest other drawing; `labels[…]` of it is its class.",
    ),
    solution=(
        "def answer(embeddings, labels):\n"
        "    d = torch.cdist(embeddings, embeddings)\n"
        "    d.fill_diagonal_(torch.inf)  # a query must not find itself\n"
        "    return (labels[d.argmin(1)] == labels).float().mean().item()"
    ),
    explanation="The mean of true and false is the share of true ones.",
    setup="import torch",
    arguments=("embeddings", "labels"),
    definition=recall_at_1,
    cases=_recall_cases,
    returns="the share of drawings whose nearest other drawing is of their own class",
    mistakes=(
        (_with_the_query, "Every query finds itself, at distance 0; so this is always 1."),
        (lambda z, y: float(_hits(z, y).sum()), "This counts the hits; divide by the number of drawings."),
        (lambda z, y: 100 * float(_hits(z, y).mean()), "Give a fraction, not percent."),
        (
            lambda z, y: float(_hits(z, y, farthest=True).mean()),
            "This takes the farthest drawing, not the nearest.",
        ),
        (
            lambda z, y: float(_hits(z, y, k=min(2, len(y) - 1)).mean()),
            "This looks at the two nearest others: it is Recall@2.",
        ),
    ),
    teaching=Teaching(
        minutes=5,
        often=(
            "The query stays in its own list: everybody finds themselves, and the answer is 1 for any "
            "embedding."
        ),
        say=(
            "Give your function random points with random labels. What should come out, and what does? "
            "Which drawing is the nearest one of the first?"
        ),
    ),
)


# --- the leak


@functools.cache
def untrained_embedding() -> tuple[Tensor, Tensor]:
    """Embeddings of the chapter's test drawings by the untrained network, and their labels."""
    test = data.load("omniglot", "test", classes=TEST_CLASSES)
    return embed(models.pretrained("untrained"), test, "cpu"), test.labels


def _of_untrained(k: int = 1) -> float:
    return float(_hits(*untrained_embedding(), k).mean())


LEAK = Number(
    id="start.leak",
    number="00.2",
    title="Spot the leak",
    question=(
        "A colleague reports that an *untrained* network reaches a Recall@1 of 100 % on the test set:\n\n"
        "```python\n"
        'd = torch.cdist(embeddings["untrained"], embeddings["untrained"])\n'
        "found = d.argmin(dim=1)\n"
        'print(f"Recall@1 = {(test.labels[found] == test.labels).float().mean():.1%}")\n'
        "```\n\n"
        "What did each query find? Add the missing line and give the Recall@1 of the untrained network "
        "without the leak, as a fraction to two decimals."
    ),
    hints=(
        "Look at `found`: which numbers are in it, and in which order?",
        "`found` is 0, 1, 2, …: each drawing is nearest to itself. The chapter prevents it in one line.",
        "Put `d.fill_diagonal_(torch.inf)` between the two lines.",
    ),
    solution=(
        'd = torch.cdist(embeddings["untrained"], embeddings["untrained"])\n'
        "d.fill_diagonal_(torch.inf)  # the missing line\n"
        "answer = (test.labels[d.argmin(1)] == test.labels).float().mean().item()"
    ),
    explanation=(
        "Each query had found itself, at distance 0, and a drawing always shares its own class. The same "
        "leak is less easy to see where a gallery holds copies of the queries."
    ),
    setup=(
        "import torch\n"
        "from dmlteach import data\n"
        "from dmlteach.course.exercises.start_here import TEST_CLASSES, untrained_embedding\n"
        'test = data.load("omniglot", "test", classes=TEST_CLASSES)\n'
        'embeddings = {"untrained": untrained_embedding()[0]}'
    ),
    value=_of_untrained,
    means="the share of drawings whose nearest other drawing shows the same character",
    decimals=2,
    percent=0.01,
    tolerance=2e-3,  # four of 2,000 drawings: another processor may round a tie differently
    mistakes=(
        (lambda: 1.0, "That is with the leak: each query still finds itself."),
        (lambda: 0.0, "That would mean that no query has a right neighbour. Is the diagonal −inf, not +inf?"),
        (lambda: _of_untrained(2), "That looks at the two nearest others: it is Recall@2."),
        (lambda: 19 / 1999, "That is guessing. The untrained network does better."),
    ),
    teaching=Teaching(
        minutes=3,
        often=(
            "Looks for the leak in the data or in the labels, because the lines of code look right; or "
            "fills the diagonal after `found` has been taken."
        ),
        say=(
            "Put random numbers in the place of the embeddings: does the report change? What, then, "
            "can it not depend on?"
        ),
    ),
)


# --- a split


@functools.cache
def _alphabets() -> tuple[str, ...]:
    names = data.load("omniglot", "train").class_names
    return tuple(name.split(" character")[0] for name in names)


def inspect_split(answer: Any) -> Reply:
    """Whether the classes of a split are unseen in its test, and as many as asked for."""
    expected = f"{TRAIN_ON} classes to train on, {TEST_ON} others to test on, as two lists of class numbers"
    try:
        train, test = ([int(c) for c in part] for part in answer)
    except (TypeError, ValueError):
        return Reply(NOT_YET, "This is no pair of lists of whole numbers.", expected)
    sizes = {"classes to train on": len(set(train)), "classes to test on": len(set(test))}
    strange = [c for c in train + test if not 0 <= c < len(_alphabets())]
    if strange:
        words = f"There is no class {strange[0]}: they go from 0 to {len(_alphabets()) - 1}."
        return Reply(NOT_YET, words, expected)
    if both := sorted(set(train) & set(test)):
        words = f"Class {both[0]} is in both lists: the test would reward remembering it."
        return Reply(NOT_YET, words, expected, {"classes in both lists": len(both), **sizes})
    if (len(set(train)), len(set(test))) != (TRAIN_ON, TEST_ON):
        return Reply(NOT_YET, "Each class counts once, and these are not as many.", expected, sizes)
    divided = {_alphabets()[c] for c in train} & {_alphabets()[c] for c in test}
    if divided:
        note = (
            f"Alphabets on both sides: {', '.join(sorted(divided))}. The characters are unseen, but not the "
            "hand and the strokes of their alphabet; a harder test would divide no alphabet."
        )
    else:
        note = "No alphabet is divided either: the test asks about new alphabets, which is harder and fairer."
    return Reply(RIGHT, "No character is in both parts.", details=(note,))


SPLIT = Artefact(
    id="start.split",
    number="00.3",
    title="Build a split",
    question=(
        f"From the training characters, choose {TRAIN_ON} for training and {TEST_ON} for testing, so that "
        f"the "
        "test says something about unseen classes. Give two lists of class numbers of `train`, between 0 and "
        "`train.num_classes − 1`. A question to think about: characters of one alphabet resemble each "
        "other. Would you divide an alphabet?"
    ),
    hints=(
        "`range(50)` is a list of classes as good as any. Which test classes may not be used then?",
        "`train.class_names` tells the alphabet of each class; the characters of one follow each other.",
        "Take the first 50 classes to train on and the last 20 to test on.",
    ),
    solution=(
        "last = train.num_classes\nanswer = (list(range(50)), list(range(last - 20, last)))  # far apart"
    ),
    explanation="The first and the last classes share no alphabet.",
    setup='from dmlteach import data\ntrain = data.load("omniglot", "train")',
    inspect=inspect_split,
    teaching=Teaching(
        minutes=3,
        often=(
            "Splits as for a classifier, with the same characters on both sides; or takes test classes "
            "that follow right after the training classes, in the middle of an alphabet."
        ),
        say=(
            "Which characters of your test would a network get right that has learned its training "
            "characters by heart? And whose `train.class_names` meet where your two lists do?"
        ),
    ),
)


# --- reflection

OWN_PROBLEM = Reflection(
    id="start.own_problem",
    number="00.4",
    title="Your own problem",
    question=(
        "Think of pictures you would like to search. Would you train a classifier and cut off its last "
        "layer, or train an embedding with a metric-learning loss? Write three sentences. They are not "
        "marked."
    ),
    hints=("How many classes are there, how many pictures of each, and will there be new classes?",),
    solution=(
        'answer = """My shop has 80,000 products with two or three photos each, and new ones every week.\n'
        "A classifier would need a row of numbers for each product, learned from two photos.\n"
        'I would train an embedding, and keep a classifier without its last layer as the one to beat."""'
    ),
    explanation="Any answer that says what would be measured, and against what, is a good one.",
    model_answer=(
        "With few classes, many pictures of each and none to come, a classifier is hard to beat. With many "
        "classes, few pictures of each, or new classes to come, its table grows while each row learns from "
        "little, and a loss that compares pictures asks for what is wanted. Either way, train both and "
        "compare their Recall@1 on classes that neither has seen."
    ),
    compare=(
        "Did you say how many classes there are, and whether new ones will come?",
        "Did you say what a right answer to a search is?",
        "Did you name something simple that the trained network has to beat?",
    ),
    teaching=Teaching(
        minutes=4,
        often=(
            "Decides for metric learning because the course is about it, without a number and without "
            "a rival."
        ),
        say=(
            "How many classes have you, and does their list ever close? What would have to happen next "
            "week for you to say that you had chosen wrongly?"
        ),
    ),
)


# --- before you start

SQUARED_DISTANCE = Number(
    id="before.squared_distance",
    number="00.5",
    title="Dot product and norm",
    question="u = (3, 4) and v = (4, 3). What is the squared distance ‖u − v‖²?",
    hints=("Subtract number by number, square, add up.", "u − v = (−1, 1)."),
    solution="answer = (3 - 4) ** 2 + (4 - 3) ** 2",
    explanation="Or ‖u‖² + ‖v‖² − 2 u·v = 25 + 25 − 48.",
    value=lambda: 2.0,
    means="the sum of the squared differences",
    mistakes=(
        (lambda: 2**0.5, "That is the distance; it is asked for squared."),
        (lambda: 24.0, "That is the dot product u·v."),
        (lambda: 0.0, "The differences are squared before they are added: −1 and 1 do not cancel."),
        (lambda: 50.0, "That is ‖u‖² + ‖v‖²; 2 u·v has to be taken off."),
    ),
    teaching=Teaching(
        minutes=3,
        often=(
            "Compares the lengths: both vectors are equally long, so their distance is taken to be 0; "
            "or takes the root out of habit."
        ),
        say="Draw both arrows on squared paper. They are equally long; do their tips meet?",
    ),
)

GRADIENT = Number(
    id="before.gradient",
    number="00.6",
    title="The gradient of ‖x − y‖²",
    question="x = (1, 0), y = (0, 0). What is the gradient of ‖x − y‖² in x? Give a pair of numbers.",
    hints=("The gradient is 2 (x − y).", "x − y = (1, 0)."),
    solution="answer = (2 * (1 - 0), 2 * (0 - 0))",
    explanation="It points away from y: going against it brings x nearer to y.",
    value=lambda: (2.0, 0.0),
    means="2 (x − y), number by number",
    parts=("first number", "second number"),
    mistakes=(
        (lambda: (-2.0, 0.0), "That is the way a training step goes; the gradient points the other way."),
        (lambda: (1.0, 0.0), "That is x − y; the derivative of a square has a factor 2."),
        (lambda: (0.0, 2.0), "The two numbers are exchanged: x differs from y in its first number."),
    ),
    teaching=Teaching(
        minutes=3,
        often=(
            "Gives the step of a training, towards y, where the gradient is asked for; or leaves out "
            "the derivative of the square."
        ),
        say=(
            "Move x by a hair along your answer: does the squared distance grow or shrink, and by how "
            "many times the hair? Which of the two does a gradient tell?"
        ),
    ),
)

SOFTMAX = Number(
    id="before.softmax",
    number="00.7",
    title="Softmax",
    question="s = (5, 5). What is p₁ = exp(s₁) / (exp(s₁) + exp(s₂))?",
    hints=("Adding the same number to both changes nothing: take 5 off.", "exp(0) / (exp(0) + exp(0))."),
    solution="answer = 1 / (1 + 1)",
    explanation="Equal scores are equally likely, whatever they are.",
    value=lambda: 0.5,
    percent=0.01,
    means="the share of the first of two equal parts",
    mistakes=(
        (lambda: 5.0, "That is s₁; a probability lies between 0 and 1."),
        (lambda: 1.0, "The two share the probability; they add up to 1."),
        (lambda: 2.718281828459045**5, "That is e⁵, not yet divided by the sum."),
    ),
    teaching=Teaching(
        minutes=3,
        often="Takes the largest score for certain, or begins to compute exp(5).",
        say=(
            "Is there any reason to prefer one of the two? Would you answer otherwise if both scores "
            "were 500?"
        ),
    ),
)

K_MEANS = Number(
    id="before.k_means",
    number="00.8",
    title="k-means",
    question="The points 0, 1, 9, 11 on a line, k = 2. Where do the two centres end? Give a pair of numbers.",
    hints=("Which points form the two groups?", "A centre is the mean of its group."),
    solution="answer = ((0 + 1) / 2, (9 + 11) / 2)",
    explanation="0 and 1 form one group, 9 and 11 the other; no point is nearer to the other centre.",
    value=lambda: (0.5, 10.0),
    means="the means of the two groups",
    parts=("one centre", "the other centre"),
    any_order=True,
    mistakes=(
        (lambda: (1.0, 9.0), "Those are points; a centre moves to the mean of its points."),
        (lambda: (0.0, 11.0), "Those are the outermost points, where one may start; the centres move on."),
    ),
    teaching=Teaching(
        minutes=3,
        often=(
            "Answers with points of the data, as if a centre had to be one; or stops after the first round."
        ),
        say=(
            "Do one more round by hand: who chooses which centre, and where does the mean of those "
            "lie? When may you stop?"
        ),
    ),
)

TRAINING_STEP = Choice(
    id="before.training_step",
    number="00.9",
    title="One training step",
    question=(
        "Each step of a training calls `optimizer.zero_grad()`, `loss.backward()` and `optimizer.step()`. "
        "What is the first of the three for?"
    ),
    hints=("What does `backward` do with what is in `.grad` already?", "It adds."),
    solution='answer = {"a": "backward adds to what is in .grad"}',
    options={
        "a": Option(
            "without it, a step would also follow the gradients of the steps before",
            True,
            "`backward` adds to `.grad`; somebody has to empty it.",
        ),
        "b": Option(
            "without it, `backward` would raise an error the second time",
            False,
            "it raises nothing, which is why forgetting it is hard to notice.",
        ),
        "c": Option(
            "it sets the weights to zero before they are changed",
            False,
            "it empties the gradients; the weights stay as they are.",
        ),
    },
    teaching=Teaching(
        minutes=3,
        often=(
            "Takes the name by its word (*zero* the weights), or remembers the error about going "
            "backward twice and chooses b."
        ),
        say=(
            "Take that line out of the small training above and print `layer.weight.grad` after each "
            "step. What do you see?"
        ),
    ),
)

EXERCISES: tuple[Exercise, ...] = (
    RECALL, LEAK, SPLIT, OWN_PROBLEM, SQUARED_DISTANCE, GRADIENT, SOFTMAX, K_MEANS, TRAINING_STEP,
)  # fmt: skip
