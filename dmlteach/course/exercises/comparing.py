"""Exercises on comparing methods: intervals, published tables, paired differences, one's own problem."""

from collections.abc import Sequence
from statistics import mean, pstdev, stdev

import torch
from scipy import stats
from torch import Generator

from dmlteach.course import published
from dmlteach.course.exercises.judged_comparison import PLAN, VERDICT
from dmlteach.course.exercises.kinds import Choice, Exercise, Function, Number, Option, Reflection, Teaching

# --- an interval


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """Both ends of the 95 % interval of a mean, as scipy has it.

    Args:
        values: two or more.
    """
    x = [float(v) for v in values]
    error = stats.sem(x)
    if error == 0:
        return x[0], x[0]
    low, high = stats.t.interval(0.95, len(x) - 1, loc=mean(x), scale=error)
    return float(low), float(high)


def _around(half):
    """A wrong interval: the mean ± something else."""

    def wrong(values):
        x = [float(v) for v in values]
        return mean(x) - half(x), mean(x) + half(x)

    return wrong


def _interval_cases(generator: Generator) -> list[tuple]:
    return [
        (torch.randn(n, generator=generator, dtype=torch.float64) * spread + 0.7,)
        for n, spread in ((2, 0.1), (3, 0.02), (3, 0.2), (5, 0.05), (12, 0.01))
    ] + [(torch.full((3,), 0.5, dtype=torch.float64),)]


INTERVAL = Function(
    id="comparing.interval",
    number="11.1",
    title="An interval from three seeds",
    question=(
        "Write a function of `values` (n,), a tensor with one Recall@1 for each seed, that returns both ends "
        "of the 95 % interval of their mean by Student's t. `scipy.stats.t.ppf(q, df)` gives quantiles. The "
        "number of seeds may be any from two on."
    ),
    hints=(
        "The interval is mean ± quantile × standard error. How many degrees of freedom have n values?",
        "The standard error is the standard deviation of the seeds, with n − 1 in the denominator, "
        "divided by √n.",
        "Both tails together have 5 %: the quantile is that of 0.975, with n − 1 degrees of freedom.",
    ),
    solution=(
        "import numpy as np\n"
        "from scipy.stats import t\n\n"
        "def answer(values):\n"
        "    x = np.asarray(values)\n"
        "    half = t.ppf(0.975, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x))\n"
        "    return x.mean() - half, x.mean() + half"
    ),
    explanation=(
        "With three seeds the quantile is 4.30, not 1.96: the standard deviation itself is known from "
        "three numbers only. `dmlteach.metrics.mean_and_interval` gives the mean and half of this interval."
    ),
    arguments=("values",),
    definition=t_interval,
    cases=_interval_cases,
    returns="two numbers, the lower and the upper end",
    mistakes=(
        (
            _around(stdev),
            "This is mean ± one standard deviation: where single seeds lie, not where their mean does.",
        ),
        (
            _around(lambda x: stdev(x) / len(x) ** 0.5),
            "This is mean ± one standard error. How many of them make 95 %, with so few seeds?",
        ),
        (
            _around(lambda x: 1.959963984540054 * stdev(x) / len(x) ** 0.5),
            "1.96 is the quantile of the normal distribution, right if the standard deviation were known; "
            "here it is estimated from the same few seeds.",
        ),
        (
            _around(lambda x: stats.t.ppf(0.975, len(x) - 1) * pstdev(x) / len(x) ** 0.5),
            "The standard deviation of a sample has n − 1 in its denominator: `std(ddof=1)`.",
        ),
        (
            _around(lambda x: stats.t.ppf(0.95, len(x) - 1) * stdev(x) / len(x) ** 0.5),
            "The quantile of 0.95 leaves 5 % in each tail, 10 % together.",
        ),
        (
            _around(lambda x: stats.t.ppf(0.975, len(x) - 1) * stdev(x)),
            "The division by √n is missing: this is about single seeds, not about their mean.",
        ),
    ),
    teaching=Teaching(
        minutes=4,
        often=(
            "Takes 1.96 from the normal distribution; or NumPy's `std`, which divides by n where n − 1 "
            "is meant."
        ),
        say=(
            "Draw three numbers at random, many thousand times, as the chapter does: how often does "
            "your interval hold the true mean?"
        ),
    ),
)

# --- what a table leaves out

LEFT_OUT = Choice(
    id="comparing.left_out",
    number="11.2",
    title="What does this table leave out?",
    question=(
        "A table, made up for this exercise, reads: “Recall@1 on CUB-200-2011, 512 dimensions. Margin "
        "(ResNet-50) 63.6, Ours (BN-Inception) 66.1 ± 0.2. In both rows, images of 224 pixels and "
        "batches of 80. The numbers of others are quoted from their papers.” What would you need to know "
        "before you believe that *Ours* is the better method, and cannot find in these lines?"
    ),
    hints=(
        "Go through the list of the section on published tables, and cross out what these lines do say.",
        "Four of them are missing.",
    ),
    solution=(
        'answer = {"a": "± is of what?", "b": "an epoch chosen on test is a choice after looking", '
        '"d": "who tuned how much", "f": "the network may be all of it"}'
    ),
    options={
        "a": Option(
            "how many seeds there are, and whether ± is a standard deviation or an interval",
            True,
            "0.2 may be the spread of two runs; and the other row has one number.",
        ),
        "b": Option(
            "whether the number is that of the last epoch, or of the best one on the test classes",
            True,
            "the best of many epochs, chosen on the test, is higher by luck alone.",
        ),
        "c": Option(
            "the size of the images",
            False,
            "224 pixels are given, for both rows.",
        ),
        "d": Option(
            "whether Margin's learning rate and margin were tuned with as many runs as those of Ours",
            True,
            "a quoted number was tuned by others, years ago, with their program.",
        ),
        "e": Option(
            "the number of test images",
            False,
            "CUB's test set is fixed by its split: the same for all who keep to it.",
        ),
        "f": Option(
            "what Margin reaches with BN-Inception, or Ours with ResNet-50",
            True,
            "two things differ between the rows, and the table cannot say which of them made the difference.",
        ),
        "g": Option("the size of the batches", False, "80 is given, for both rows."),
    },
    teaching=Teaching(
        minutes=3,
        often="Misses f, because both networks are named in the table; or ticks what is given.",
        say=(
            "Read the two rows aloud. In how many things do they differ, and how many of these are the "
            "method?"
        ),
    ),
)

# --- a flaw in a published table


def number(method: str, source: str, backbone: str, dim: int) -> float:
    """A published Recall@1 on CUB, in percent.

    Args:
        method: as its source calls it.
        source: how its source begins.
        backbone, dim: of the network.
    """
    (row,) = (
        row
        for row in published.results("cub200")
        if (row.method, row.metric, row.k, row.backbone, row.dim) == (method, "Recall@K", 1, backbone, dim)
        and row.source.startswith(source)
    )
    return row.value


def _told(method: str, source: str, backbone: str, dim: int) -> str:
    return f"{method} {number(method, source, backbone, dim):.1f} ({backbone}, {dim} dimensions)"


def _pair(one: tuple, other: tuple) -> str:
    source = one[1] if one[1] == other[1] else f"{one[1]} and {other[1]}"
    return f"{_told(*one)} and {_told(*other)}; {source}"


_DBML, _TABLE_2, _RAMBO = "DBML README", "DAS ECCV2022 Table 2", "RaMBO paper"
PAIRS = {
    "a": (("ProxyNCA", _DBML, "ResNet50", 64), ("N-Pair", _DBML, "GoogLeNet", 64)),
    "b": (("MS + DAS", _TABLE_2, "ResNet50", 128), ("MS", _TABLE_2, "ResNet50", 128)),
    "c": (("RaMBO log log", _RAMBO, "ResNet50", 512), ("Margin", _RAMBO, "ResNet50", 128)),
    "d": (("ProxyNCA", _DBML, "ResNet18", 64), ("N-Pair", _DBML, "ResNet18", 64)),
    "e": (("HTL", _RAMBO, "GoogLeNet", 128), ("HTL", "DAS ECCV2022 Table 1", "BN-Inception", 512)),
}

FLAW = Choice(
    id="comparing.flaw",
    number="11.3",
    title="Find the flaw",
    question=(
        "Pairs of rows from published tables, Recall@1 on CUB in percent. In which of them does the "
        "*method* alone differ, as far as the rows tell, so that their difference may be called the "
        "method's?"
    ),
    hints=(
        "Compare what stands in brackets before you compare the numbers.",
        "One pair is the same number twice. Can both brackets be true?",
    ),
    solution='answer = {"b": "one table, one network", "d": "one table, one network"}',
    explanation=(
        "Of the two pairs that are left, too, the rows do not say how many seeds were run: a difference "
        "may be called the method's, and still be luck."
    ),
    options={
        "a": Option(_pair(*PAIRS["a"]), False, "the backbone differs as well."),
        "b": Option(_pair(*PAIRS["b"]), True, "one source, one backbone, one dimension; seeds are not told."),
        "c": Option(_pair(*PAIRS["c"]), False, "one has four times as many dimensions as the other."),
        "d": Option(
            _pair(*PAIRS["d"]),
            True,
            "one source, one backbone, one dimension. The sign is not the one of the two other backbones "
            "there: without seeds nobody knows why.",
        ),
        "e": Option(
            _pair(*PAIRS["e"]),
            False,
            "it is one number, quoted with two networks: at least one of the tables is wrong about it, "
            "and about what its other rows may be compared with.",
        ),
    },
    teaching=Teaching(
        minutes=3,
        often=(
            "Looks at the numbers: throws out a pair whose order is the wrong one, and believes the "
            "two equal ones."
        ),
        say=(
            "Cover the numbers with your hand. In which pairs do names and brackets differ in one "
            "thing alone? Now look: does a number change your mind, and why should it?"
        ),
    ),
)

# --- backbone or method

_BACKBONES, _METHODS = ("GoogLeNet", "ResNet18", "ResNet50"), ("N-Pair", "ProxyNCA")


def shares() -> tuple[float, float]:
    """Points that the method makes with equal backbones, and the backbone with equal methods, on average."""
    table = {(m, b): number(m, _DBML, b, 64) for m in _METHODS for b in _BACKBONES}
    method = mean(table["ProxyNCA", b] - table["N-Pair", b] for b in _BACKBONES)
    backbone = mean(table[m, "ResNet50"] - table[m, "GoogLeNet"] for m in _METHODS)
    return method, backbone


def _crossed() -> tuple[float, float]:
    return number("ProxyNCA", _DBML, "ResNet50", 64) - number("N-Pair", _DBML, "GoogLeNet", 64), shares()[1]


def _largest() -> tuple[float, float]:
    return max(
        number("ProxyNCA", _DBML, b, 64) - number("N-Pair", _DBML, b, 64) for b in _BACKBONES
    ), shares()[1]


BACKBONE = Number(
    id="comparing.backbone",
    number="11.4",
    title="The method's share, and the backbone's",
    question=(
        'In the rows of `published.results("cub200")` whose source begins with `DBML README`, N-Pair and '
        "ProxyNCA stand with three backbones each, at 64 dimensions. How many points does ProxyNCA gain "
        "over N-Pair with the *same* backbone, in the mean over the three? And how many does ResNet50 "
        "gain over GoogLeNet with the *same* method, in the mean over the two? Give a pair of numbers, in "
        "points of Recall@1, to one decimal."
    ),
    hints=(
        'Take the rows with `metric == "Recall@K"` and `k == 1`; six of them are asked for.',
        "Make a table of two methods × three backbones. The first number is a mean over its columns, the "
        "second one over its rows.",
    ),
    solution=(
        "from dmlteach.course import published\n\n"
        "table = {\n"
        "    (row.method, row.backbone): row.value\n"
        '    for row in published.results("cub200")\n'
        '    if row.source.startswith("DBML") and (row.metric, row.k, row.dim) == ("Recall@K", 1, 64)\n'
        "}\n"
        'backbones = ("GoogLeNet", "ResNet18", "ResNet50")\n'
        'by_method = sum(table["ProxyNCA", b] - table["N-Pair", b] for b in backbones) / 3\n'
        'gains = [table[m, "ResNet50"] - table[m, "GoogLeNet"] for m in ("N-Pair", "ProxyNCA")]\n'
        "answer = (by_method, sum(gains) / 2)"
    ),
    explanation=(
        "In these rows the network is worth several times what the method is worth; a table that mixes "
        "networks ranks networks."
    ),
    value=shares,
    means="what the method makes with one network, and what the network makes with one method, in points",
    parts=("ProxyNCA over N-Pair", "ResNet50 over GoogLeNet"),
    decimals=1,
    percent=1,
    mistakes=(
        (_crossed, "For the first number both rows of each difference must have the same backbone."),
        (_largest, "The first is the largest of three differences; take their mean."),
        (lambda: shares()[::-1], "These are the two numbers in the other order."),
        (
            lambda: (-shares()[0], shares()[1]),
            "The first has the other sign: ProxyNCA minus N-Pair is asked for.",
        ),
    ),
    teaching=Teaching(
        minutes=4,
        often=(
            "Subtracts across: the best row of one method from the worst row of the other, with "
            "another network."
        ),
        say=(
            "Write the six numbers as a table, methods down and networks across. Along which way does "
            "each of the two questions go, and how many differences are in each mean?"
        ),
    ),
)

# --- a paired difference


def paired(a: dict[int, float], b: dict[int, float]) -> tuple[float, float, float]:
    """Mean of A minus B over the seeds of both, and both ends of its interval.

    Args:
        a, b: Recall@1 by seed.
    """
    each = [a[seed] - b[seed] for seed in a if seed in b]
    return (mean(each), *t_interval(each))


def _unpaired(a: dict[int, float], b: dict[int, float]) -> tuple[float, float, float]:
    """As if the seeds had nothing in common: Welch's interval."""
    x, y = [*a.values()], [*b.values()]
    parts = [stdev(v) ** 2 / len(v) for v in (x, y)]
    freedom = sum(parts) ** 2 / sum(p**2 / (len(v) - 1) for p, v in zip(parts, (x, y), strict=True))
    half, middle = stats.t.ppf(0.975, freedom) * sum(parts) ** 0.5, mean(x) - mean(y)
    return middle, middle - half, middle + half


def _in_order(a: dict[int, float], b: dict[int, float]) -> tuple[float, float, float]:
    each = [x - y for x, y in zip(a.values(), b.values(), strict=False)]
    return (mean(each), *t_interval(each))


def _difference_cases(generator: Generator) -> list[tuple]:
    def runs(seeds: Sequence[int], level: float) -> dict[int, float]:
        luck = 0.02 * torch.randn(len(seeds), generator=generator, dtype=torch.float64)
        return {seed: level + value for seed, value in zip(seeds, luck.tolist(), strict=True)}

    return [
        (runs((0, 1, 2), 0.8), runs((0, 1, 2), 0.78)),
        (runs((0, 1, 2), 0.7), runs((2, 0, 1), 0.7)),
        (runs((0, 1, 2, 3, 4), 0.6), runs((1, 2, 4), 0.65)),
        (runs((3, 4), 0.9), runs((4, 3, 7), 0.8)),
    ]


DIFFERENCE = Function(
    id="comparing.paired_difference",
    number="11.5",
    title="A difference, seed by seed",
    question=(
        "Write a function of `a` and `b`, two dictionaries from seed to Recall@1, that returns three "
        "numbers: the mean of A − B over the seeds that *both* have, and the lower and the upper end of "
        "its 95 % interval. The seeds need not stand in the same order."
    ),
    hints=(
        "Take the difference first, for each seed; then you have one list of numbers, as in Exercise 11.1.",
        "`a.keys() & b.keys()` are the seeds of both.",
    ),
    solution=(
        "import numpy as np\n"
        "from scipy.stats import t\n\n"
        "def answer(a, b):\n"
        "    each = np.array([a[seed] - b[seed] for seed in a.keys() & b.keys()])\n"
        "    half = t.ppf(0.975, len(each) - 1) * each.std(ddof=1) / np.sqrt(len(each))\n"
        "    return each.mean(), each.mean() - half, each.mean() + half"
    ),
    explanation=(
        "What a seed does to both methods alike (its first weights, say) leaves the "
        "difference. Where a seed does nothing to both alike, pairing costs nothing but a few degrees of "
        "freedom. `dmlteach.sweep.compare.difference` and `dmlteach compare` do this."
    ),
    arguments=("a", "b"),
    definition=paired,
    cases=_difference_cases,
    returns="three numbers: mean, lower end, upper end",
    mistakes=(
        (
            _unpaired,
            "This takes the seeds of A and of B as if they had nothing in common; pair them by seed.",
        ),
        (_in_order, "This pairs by place; the seeds of A and B may stand in another order, or be others."),
        (
            lambda a, b: (-paired(a, b)[0], -paired(a, b)[2], -paired(a, b)[1]),
            "This is B minus A.",
        ),
    ),
    teaching=Teaching(
        minutes=3,
        often="Pairs by place in the dictionary, or takes two means and combines their errors.",
        say="Give B's seeds in another order, and take one of A's away. What may change, and what does?",
    ),
)

# --- for one's own problem

OWN_PROBLEM = Reflection(
    id="comparing.own_problem",
    number="11.6",
    title="Choose for your own problem",
    question=(
        "Take the problem of your own that you wrote down in the first chapter, or a new one: which two "
        "methods would you compare for it, with which network, on which classes that nobody trains on, tuned "
        "how, with how many seeds; which difference would matter to you; and what would you do if it could "
        "not be told? Write a few sentences; they are not marked."
    ),
    hints=(
        "Begin at the end: which decision hangs on it? From it follows the smallest difference that matters.",
        "A difference that matters and a spread between seeds give the number of seeds.",
    ),
    solution=(
        'answer = """Screws from a parts catalogue, 40 new kinds a year. I compare the embedding of the\n'
        "classifier that I have with multi-similarity: one pretrained network, 128 dimensions. Rates and\n"
        "one option of each are tuned with six runs on held-back kinds; then five seeds on 200 kinds that\n"
        "nobody has touched. Below two points nobody at the counter would notice. If it cannot be told, I\n"
        'keep the classifier, because it is there."""'
    ),
    model_answer=(
        "A classifier's embedding, which is there already, against one pair loss; the network that can be "
        "afforded in use, the same for both, and the dimension that the index can hold; six runs of "
        "tuning each on held-back classes, five seeds, the test classes once. Two points would pay for "
        "the change. If it cannot be told, the simpler one stays, and the next hour goes into data."
    ),
    compare=(
        "Does everything but the method stay the same, the number of tuning runs included?",
        "Is the test made of classes on which nothing was chosen?",
        "Did you say what you would do if it cannot be told, before you know?",
        "Is there a row of something simpler: the untrained network, the classifier, yesterday's method?",
    ),
    teaching=Teaching(
        minutes=3,
        often=(
            "Compares until one is ahead: no smallest difference that matters, no plan for the case "
            "that nothing can be told."
        ),
        say=(
            "What will you do on Monday if the interval holds 0? And if it does not, but the "
            "difference is too small for anybody to notice?"
        ),
    ),
)

EXERCISES: tuple[Exercise, ...] = (
    INTERVAL,
    LEFT_OUT,
    FLAW,
    BACKBONE,
    DIFFERENCE,
    OWN_PROBLEM,
    PLAN,
    VERDICT,
)
