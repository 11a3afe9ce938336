"""Five questions on the whole subject, asked when the course opens and when it closes.

Each is made of something that is often believed, and is answered by a number that a chapter measures.
"""

import functools
from collections.abc import Callable
from statistics import mean

import torch

from dmlteach import data, losses, metrics, models
from dmlteach.course import measured, statements
from dmlteach.course.exercises.kinds import Option
from dmlteach.course.exercises.unmarked import Closing, Opening, Place
from dmlteach.course.recordings import replay
from dmlteach.course.recordings.learners import learners
from dmlteach.course.widgets.weight_explorer import curves
from dmlteach.embeddings import embed


def lower_loss() -> str:
    """One loss at one temperature, on the same batches: the better network has the higher value."""
    record = curves.load()

    def loss(name: str) -> float:
        batches = [
            losses.supcon_loss(unit, record.labels, temperature=0.01).item() for unit in record.points[name]
        ]
        return mean(batches)

    return (
        f"on the same drawings, SupCon with a temperature of 0.01 is {loss('trained'):.2f} for a trained "
        f"network and {loss('untrained'):.2f} for an untrained one. Recall@1 among 659 characters is "
        f"{record.recall['trained']:.0%} and {record.recall['untrained']:.0%}."
    )


def hard_negatives() -> str:
    """The hardest alone, all, and those that still teach, from the same start and for as many steps."""
    hardest, every, active = (replay.replays()[name] for name in ("hardest", "triplet", "active"))
    return (
        f"three short trainings from the same start. With all negatives, Recall@1 among 25 unseen characters "
        f"rises from {every.recall[0]:.0%} (untrained) to {every.recall[-1]:.0%}, and to "
        f"{active.recall[-1]:.0%} with those alone that are not yet farther than the positive by a margin. "
        f"With the hardest alone it ends at {hardest.recall[-1]:.0%}, and the distance between drawings of "
        f"different characters at {hardest.distance[-1] / hardest.distance[0]:.1%} of what it was: the "
        "network has collapsed."
    )


def proxies_see() -> str:
    """What a loss with class vectors reaches beside the triplet loss in its best batches."""
    proxy = measured.of("proxy_nca")
    batches = {run.sampler for run in measured.runs("triplet", None)} & set(measured.SAMPLERS)
    best = max((measured.in_batches_of("triplet", one) for one in batches), key=lambda one: one.recall()[0])
    difference, half, seeds = proxy.minus(best)
    run = next(iter(proxy.runs.values()))
    return (
        f"trained alike, `proxy_nca` has a Recall@1 of {proxy.recall()[0]:.1%} among {run.num_classes} "
        f"unseen characters, {100 * difference:.1f} ± {100 * half:.1f} points more than the triplet loss in "
        f"the batches that suit it best ({seeds} seeds; untrained {run.untrained or 0:.0%}). It compares no "
        "drawing with another one."
    )


def ensembles_against() -> str:
    """What three networks side by side have over one embedding of their size, and BIER over both."""
    record = learners()
    before = mean(record.recall("untrained").values())

    def over(one: str, other: str) -> str:
        difference, half, seeds = metrics.difference_by_seed(record.recall(one), record.recall(other))
        told = f"{statements.signed(difference)} ± {100 * half:.1f} points by {seeds} seeds"
        return told if abs(difference) > half else f"{told}, which cannot be told from none"

    return (
        f"in short trainings with one loss, Recall@1 among {record.num_classes} characters (untrained "
        f"{before:.0%}). Three networks side by side over one embedding of their size: "
        f"{over('three_deviance', 'one_deviance')}. BIER over that embedding: "
        f"{over('bier', 'one_deviance')}; and over the same three parts without its choice of pairs: "
        f"{over('bier', 'unboosted')}."
    )


@functools.cache
def another_test() -> str:
    """One network and two sizes of the test; one method and its seeds."""
    whole = data.load("omniglot", "test")
    drawn = torch.randperm(whole.num_classes, generator=torch.Generator().manual_seed(0))[:100]
    test = whole.subset_classes(drawn.tolist())  # the characters of the chapter that measures it
    z, labels = embed(models.pretrained("untrained"), test, "cpu"), test.labels
    sets = [(labels // 5) == i for i in range(test.num_classes // 5)]
    among_five = mean(metrics.recall_at_k(z[rows], labels[rows], (1,))[1] for rows in sets)
    among_all = models.card("untrained")["recall@1"]
    spread = {
        one.method: 100 * (max(one.recalls().values()) - min(one.recalls().values()))
        for one in measured.ranking()[:10]
    }
    most = max(spread, key=spread.__getitem__)
    return (
        f"the same untrained network has a Recall@1 of {among_five:.0%} among 5 characters and of "
        f"{among_all:.0%} among 659. And runs of one method, `{most}`, lie {spread[most]:.1f} points apart, "
        "with nothing changed but the seed."
    )


def _both(
    place: str,
    name: str,
    title: str,
    question: str,
    options: dict[str, Option],
    where: Place,
    number: Callable[[], str],
) -> tuple[Opening, Closing]:
    """The same question for the beginning and for the end."""
    first, second = f"opening.{name}", f"closing.{name}"
    opening = Opening(id=first, title=title, question=question, options=options, place=place, closing=second)
    closing = Closing(
        id=second, title=title, question=question, options=options, place=place, opening=first, where=where,
        measured=number,
    )  # fmt: skip
    return opening, closing


LOWER_LOSS = _both(
    "1 of 5",
    "lower_loss",
    "A lower loss",
    "Training makes a number small, the *loss*. Two networks are given the same drawings, and the same loss "
    "is computed for both. Network A has the lower one. What do you know?",
    {
        "a": Option(
            "A finds the right drawing more often: that is what the loss measures",
            False,
            "a loss measures what it is made of, e.g. how alike the drawings of one character lie. Whether "
            "the nearest drawing is the right one is another question.",
        ),
        "b": Option(
            "A finds the right drawing more often, if nobody trained on these drawings",
            False,
            "new drawings keep a network honest; they do not make two different questions one.",
        ),
        "c": Option(
            "nothing yet about which of them finds the right drawing more often",
            True,
            "that is measured by searching. A loss is good for its gradient.",
        ),
        "d": Option(
            "B was trained for too short a time",
            False,
            "B may be trained to its end and be the better one.",
        ),
    },
    Place("Temperature", "temperature", "a-lower-loss"),
    lower_loss,
)

HARD_NEGATIVES = _both(
    "2 of 5",
    "hard_negatives",
    "Hard negatives",
    "A network compares a drawing with drawings of *other* characters, its negatives. Some look very much "
    "like it (they are *hard*), most do not. From which should it learn?",
    {
        "a": Option(
            "from the hardest alone: the harder, the more it teaches",
            False,
            "the hardest alone can push a network into a corner in which all drawings lie in one place.",
        ),
        "b": Option(
            "from all of them alike, the most honest average",
            False,
            "most are far away already. They teach next to nothing, and hide those that do.",
        ),
        "c": Option(
            "from several of the harder ones, those nearer more than those farther",
            True,
            "most losses that do well share the push among some near negatives; how steeply is their choice.",
        ),
        "d": Option(
            "from any: the network ends in the same place",
            False,
            "the choice decides whether it learns at all.",
        ),
    },
    Place("Pairs and triplets", "pairs_and_triplets", "which-curve-is-the-collapsed-one"),
    hard_negatives,
)

PROXIES_SEE = _both(
    "3 of 5",
    "proxies",
    "One vector for each class",
    "Some losses compare the drawings of a batch not with each other but with one learned vector for each "
    "class, a *proxy*. What is true of them?",
    {
        "a": Option(
            "each step uses all training drawings, because the proxies stand for them",
            False,
            "a step sees the drawings of its batch. A proxy is where earlier steps have left it.",
        ),
        "b": Option(
            "each step compares a drawing with all classes, those without a drawing in the batch included",
            True,
            "that is their gain: no batch has to be composed so that it holds a pair.",
        ),
        "c": Option(
            "they are a second choice: comparing drawings with drawings is better",
            False,
            "measured under one budget, losses of both kinds share the first places.",
        ),
        "d": Option(
            "they need the name of every drawing's class, and a vector for every class in memory",
            True,
            "pairs do with less: it is enough to know which two drawings belong together.",
        ),
    },
    Place(
        "Proxies, clusters, trees", "proxies_clusters_trees", "what-a-proxy-loss-computes-and-what-it-sees"
    ),
    proxies_see,
)

ENSEMBLE = _both(
    "4 of 5",
    "ensemble",
    "Three embeddings in one",
    "A method trains three small embeddings so that they make different mistakes, and puts them side by "
    "side. Together they find more than one small embedding. What should they be compared with, before the "
    "method gets the credit?",
    {
        "a": Option(
            "nothing more: the gain is the method's",
            False,
            "three embeddings hold more numbers than one. Perhaps more numbers are all it takes.",
        ),
        "b": Option(
            "one embedding as large as the three together",
            True,
            "if it finds as much, the gain was size.",
        ),
        "c": Option(
            "three small ones trained apart, from three seeds, put side by side",
            True,
            "if they find as much, the gain was to have three, not to make them differ.",
        ),
        "d": Option(
            "the best of the three alone",
            False,
            "it is smaller than the three, and loses for that reason alone.",
        ),
    },
    Place("Ensembles", "ensembles", "an-ensemble-and-its-controls"),
    ensembles_against,
)

ANOTHER_TEST = _both(
    "5 of 5",
    "another_test",
    "Two numbers",
    "*Recall@1* is the share of drawings whose nearest other drawing shows the same character. That of "
    "network A lies one point above that of network B, after one training each. What do you ask before you "
    "call A the better one?",
    {
        "a": Option(
            "whether both searched the same drawings, of equally many characters",
            True,
            "among fewer characters the same network finds more.",
        ),
        "b": Option(
            "how far apart two trainings of one method end that differ in their seed alone",
            True,
            "a difference that a seed makes as well is none that a method has made.",
        ),
        "c": Option(
            "nothing: a point is a point",
            False,
            "a point of what, and how many points does chance make?",
        ),
        "d": Option(
            "which of them had the lower loss",
            False,
            "that was the first question.",
        ),
    },
    Place("Looking at an embedding", "looking_at_an_embedding", "a-larger-test-set-is-a-harder-one"),
    another_test,
)

QUESTIONS = (LOWER_LOSS, HARD_NEGATIVES, PROXIES_SEE, ENSEMBLE, ANOTHER_TEST)
OPENING = tuple(opening for opening, _ in QUESTIONS)
CLOSING = tuple(closing for _, closing in QUESTIONS)

# For whoever teaches, as `teaching` of an exercise is.
IN_CLASS = (
    "Plan ten minutes at the beginning and twenty at the end. At the beginning everybody answers alone, with "
    "a reason, and nobody is told anything: what is often believed is to come out, so praise no answer and "
    "correct none. Come back to a question where its chapter measures it, and ask who would answer otherwise "
    "now. At the end let two people who have changed their minds read out their first reasons, and ask the "
    "class which number of the course has changed them; where nobody has, ask what number would."
)
