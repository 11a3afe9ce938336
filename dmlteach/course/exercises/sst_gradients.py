"""Exercises on gradients: SST's gradients, where they differ from the triplet loss's, and a broken SST."""

from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn.functional import softplus

from dmlteach.course.exercises.answers import ask
from dmlteach.course.exercises.kinds import Artefact, Choice, Exercise, Function, Option, Reflection, Teaching
from dmlteach.course.exercises.replies import NOT_YET, RIGHT, Reply
from dmlteach.course.plots.ternary import triplet_gradients
from dmlteach.losses import sst_loss

ZERO = 1e-9  # a push of less is none: rounding


def moves(loss: str, a: Tensor, p: Tensor, n: Tensor) -> Tensor:
    """(3,) negative gradients of one triplet on a line, by autograd of the library's loss."""
    return triplet_gradients(loss, torch.stack([a, p, n])[None, :, None])[0, :, 0]


def _on_a_line(generator: Generator) -> list[tuple]:
    """Random triplets, and those where points coincide or are far apart."""
    together, apart = [(0, 0, 0), (1, 1, 1)], [(0, 1, 12), (0, 8, 1), (1, -1, 0)]
    special = [*together, (0, 1, 0), (0, 1, 1), (1, 1, 0), (0, 1, 0.5), *apart]
    drawn = torch.randn(60, 3, generator=generator, dtype=torch.float64)
    return [tuple(case) for case in [*drawn, *torch.tensor(special, dtype=torch.float64)]]


# --- the three moves


def _error_probability(a: Tensor, p: Tensor, n: Tensor) -> Tensor:
    return torch.sigmoid((a - p) ** 2 - ((a - n) ** 2 + (p - n) ** 2) / 2)


def _sst_moves(a: Tensor, p: Tensor, n: Tensor) -> Tensor:
    return -_error_probability(a, p, n) * torch.stack([a - 2 * p + n, p - 2 * a + n, a + p - 2 * n])


SUM_TO_ZERO = Function(
    id="sst.sum_to_zero",
    number="02.1",
    title="Gradients that sum to zero",
    question=(
        "Write a function of three numbers `a`, `p`, `n` on a line that returns the three *negative* "
        "gradients of SST, the moves of a, p and n, in this order. They sum to zero; but three zeros also "
        "sum to zero, and are wrong. Compare with autograd yourself before you run the check."
    ),
    hints=(
        "Start from u = d²(a,p) − ½[d²(a,n) + d²(p,n)], then s = 1 / (1 + exp(−u)).",
        "The chapter has the three gradients of u. A step goes against the gradient.",
        "The move of a is −s (a − 2p + n). The other two follow by exchanging letters, and n's is the rest.",
    ),
    solution=(
        "def answer(a, p, n):\n"
        "    u = (a - p) ** 2 - ((a - n) ** 2 + (p - n) ** 2) / 2\n"
        "    s = torch.sigmoid(u)\n"
        "    return -s * (a - 2 * p + n), -s * (p - 2 * a + n), -s * (a + p - 2 * n)"
    ),
    explanation="In the sum every letter appears with 1 + 1 − 2 = 0: the mean of the three points stays.",
    setup="import torch",
    arguments=("a", "p", "n"),
    definition=lambda a, p, n: moves("sst", a, p, n),
    cases=_on_a_line,
    returns="the moves of a, p and n: minus the gradients of softplus(u), three numbers that sum to zero",
    mistakes=(
        (lambda a, p, n: torch.zeros(3), "Three zeros do sum to zero, but SST moves these points."),
        (lambda a, p, n: -_sst_moves(a, p, n), "These are the gradients; a step goes the other way."),
        (
            lambda a, p, n: _sst_moves(a, p, n) / _error_probability(a, p, n),
            "These are minus the gradients of u; the softplus contributes the factor s.",
        ),
        (
            lambda a, p, n: _sst_moves(a, p, n) * (1 / _error_probability(a, p, n) - 1),
            "The factor is P, the probability of the right choice; it should be s = 1 − P.",
        ),
        (lambda a, p, n: moves("triplet", a, p, n), "These are the triplet loss's moves."),
    ),
    teaching=Teaching(
        minutes=6,
        often="Returns gradients in place of moves, or the gradients of u without the factor in front.",
        say=(
            "Put a at 0, p at 1 and n at 3: which way should p go? Then take n to 30: should the moves "
            "grow, or fade?"
        ),
    ),
)

# --- where they push n in opposite directions


def pushed_apart(a: Tensor, p: Tensor, n: Tensor) -> bool:
    """Whether the two losses push n in opposite directions, by autograd of both."""
    by_triplet, by_sst = moves("triplet", a, p, n)[2], moves("sst", a, p, n)[2]
    return bool(by_triplet.abs() > ZERO and by_sst.abs() > ZERO and by_triplet.sign() != by_sst.sign())


def _walks(generator: Generator) -> list[tuple]:
    """Also n on a grid along a pair, with the positive on either side of the anchor."""
    grid = torch.linspace(-0.5, 1.5, 17, dtype=torch.float64)  # steps of ⅛: exact
    a, p = torch.tensor([[1.0, 2.0], [1.0, -1.0]], dtype=torch.float64).T
    walks = [(a[i], p[i], a[i] + t * (p[i] - a[i])) for i in (0, 1) for t in grid]
    return [*_on_a_line(generator), *walks]


def _between(x: Tensor, one: Tensor, other: Tensor) -> bool:
    return bool(torch.minimum(one, other) < x) and bool(x < torch.maximum(one, other))


OPPOSED = Function(
    id="sst.opposed_on_n",
    number="02.2",
    title="Where they fight",
    question=(
        "On a line, with the default margin: for which positions of `n` do the two losses push n in "
        "*opposite* directions? Write a function of the numbers `a`, `p`, `n` that says so, `True` or "
        "`False`. The playground and the curve show it; the function states it. No push at all is not "
        "opposed to anything."
    ),
    hints=(
        "SST's push on n is zero at one place, the triplet loss's at another. Between them the signs differ.",
        "The triplet loss pushes n away from a; SST pushes it away from the midpoint of a and p.",
        "n lies strictly between a and (a + p) / 2. The positive may also be on the left of the anchor.",
    ),
    solution=(
        "def answer(a, p, n):\n"
        "    midpoint = (a + p) / 2\n"
        "    return bool(min(a, midpoint) < n < max(a, midpoint))"
    ),
    explanation=(
        "Between the two, n is nearer to a than p is, so the triplet is active whatever the margin. The "
        "same says (n − a)(n − midpoint) < 0."
    ),
    arguments=("a", "p", "n"),
    definition=pushed_apart,
    cases=_walks,
    returns="True where n is pushed one way by the triplet loss and the other way by SST, otherwise False",
    mistakes=(
        (
            lambda a, p, n: _between(n, a, p),
            "That is all between a and p. Beyond the midpoint both push n the same way.",
        ),
        (
            lambda a, p, n: _between(n, p, (a + p) / 2),
            "That is the half near p; there both push n towards p and beyond.",
        ),
        (
            lambda a, p, n: bool(a < n) and bool(n < (a + p) / 2),
            "That holds only where p is on the right of a. What if it is on the left?",
        ),
        (lambda a, p, n: False, "They do disagree somewhere: walk n from a to p in the playground."),
    ),
    teaching=Teaching(
        minutes=6,
        often=(
            "Says all of the way between a and p; or finds the region and writes it for a positive on "
            "the right alone."
        ),
        say=(
            "Walk n along the line in the playground and stop wherever an arrow turns round. Then "
            "exchange left and right: does your function still agree with the picture?"
        ),
    ),
)

# --- the place where SST leaves n alone

REST = Function(
    id="sst.resting_place",
    number="02.3",
    title="The place where SST leaves n alone",
    question="For which position of n does SST not push n? Give it as a function of the numbers `a` and `p`.",
    hints=(
        "Set the gradient in n to zero. The factor s is never zero.",
        "a + p − 2n = 0.",
    ),
    solution="def answer(a, p):\n    return (a + p) / 2",
    explanation="It is the midpoint: SST measures the negative from there.",
    arguments=("a", "p"),
    definition=lambda a, p: p + 0.5 * (a - p),
    cases=lambda generator: [(a, p) for a, p, _ in _on_a_line(generator)],
    returns="the position of n at which SST moves it neither to the left nor to the right",
    mistakes=(
        (
            lambda a, p: a,
            "There the triplet loss does not push n; SST does, towards the outside of the pair.",
        ),
        (lambda a, p: p, "There SST pushes n away from the pair."),
        (lambda a, p: a + p, "a + p − 2n = 0 still has a factor 2 at n."),
        (lambda a, p: (p - a) / 2, "That is half the distance; add it to a."),
    ),
    teaching=Teaching(
        minutes=2,
        often=(
            "Answers a, where the triplet loss leaves n alone; or half the distance, which is a length "
            "and no place."
        ),
        say=(
            "Try a = 10 and p = 12: where does your function put n? And with the points of the "
            "playground: is the arrow of n under SST gone there?"
        ),
    ),
)

STABLE = Choice(
    id="sst.stability",
    number="02.4",
    title="Is it stable?",
    question=(
        "A negative lies a hair beside the place of the last exercise, where SST does not push it. Which way "
        "does it go in the steps that follow?"
    ),
    hints=(
        "Look at the sign of the push a little to the right of that place.",
        "The move of n is s (2n − a − p): to the right of the midpoint it is positive.",
    ),
    solution='answer = {"b": "the push points away from the midpoint on both sides"}',
    options={
        "a": Option(
            "it comes back",
            False,
            "to the right of the midpoint the push goes to the right: s (2n − a − p) is positive there.",
        ),
        "b": Option(
            "it leaves, on the side it is on",
            True,
            "the push points away from the midpoint on both sides, so every displacement grows.",
        ),
        "c": Option("it stays where it is", False, "only exactly on the midpoint is there no push."),
        "d": Option(
            "it leaves, always on the side of the positive",
            False,
            "SST is symmetric in a and p: neither side is special. The triplet loss would drive it that way.",
        ),
    },
    teaching=Teaching(
        minutes=3,
        often="Says that it comes back: a place of rest is taken for a stable one.",
        say=(
            "A ball rests at the bottom of a bowl, and on the top of a hill, too. Move n by a hair in "
            "the playground and let it step: which of the two is this?"
        ),
    ),
)

# --- a test for a broken loss


def broken_sst_loss(embeddings: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """SST of one triplet with d²(a,n) where the mean of d²(a,n) and d²(p,n) belongs.

    Args:
        embeddings: (3, D) anchor, positive, negative.
        labels, targets: as those of `sst_loss`; the triplet is rows 0, 1, 2.
    """
    a, p, n = embeddings
    return softplus((a - p).square().sum() - (a - n).square().sum())


def _right_sst(embeddings: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    return sst_loss(embeddings, labels, targets=targets)


def _by_midpoint(embeddings: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Right as well: u = ¾ d²(a,p) − ‖n − midpoint‖²."""
    a, p, n = embeddings
    return softplus(0.75 * (a - p).square().sum() - (n - (a + p) / 2).square().sum())


def inspect_test(test: Any) -> Reply:
    """Whether a test lets the right loss pass, in two ways of writing it, and not the broken one."""
    expected = "True for SST, however it is written, and False for the broken loss"
    if not callable(test):
        return Reply(NOT_YET, "This is no function; a function of a loss is asked for.", expected)
    results = {
        "the library's SST passes": ask(test, _right_sst),
        "SST written with the midpoint passes": ask(test, _by_midpoint),
        "the broken loss passes": ask(test, broken_sst_loss),
    }
    if None in results.values():
        return Reply(NOT_YET, "Your test returns nothing; is a `return` missing?", expected, results)
    first, second, broken = (bool(result) for result in results.values())
    if first and second and not broken:
        return Reply(RIGHT, "Your test lets SST pass, and exposes the broken loss.", case=results)
    if first and second:
        words = "The broken loss passes. Its gradients sum to zero too, and it is smooth; what is it not?"
    elif first or second:
        words = "One way of writing SST fails your test: allow for rounding, with `torch.allclose`."
    else:
        words = "The right loss does not pass your test."
    return Reply(NOT_YET, words, expected, results)


EXPOSE = Artefact(
    id="sst.expose_broken",
    number="02.5",
    title="Expose a broken loss",
    question=(
        "Somebody wrote SST with d²(a,n) where the mean of d²(a,n) and d²(p,n) belongs: "
        "`dmlteach.course.exercises.sst_gradients.broken_sst_loss`. It trains, it looks plausible, and its "
        "gradients even sum to zero. Write a test: a function that takes a loss and returns `True` if it "
        "passes and `False` if not. Inside, call the loss as `loss(z, labels, targets=only_row_0)` with any "
        "`z` of shape (3, D)."
    ),
    hints=(
        "Which property of SST does its name promise?",
        "Exchange a and p: what happens to the value of SST, and to the broken one's?",
        "Draw a random z, compare `loss(z, …)` with `loss(z[[1, 0, 2]], …)` by `torch.allclose`.",
    ),
    solution=(
        "def answer(loss):\n"
        "    z = torch.randn(3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)\n"
        "    one, other = (loss(x, labels, targets=only_row_0) for x in (z, z[[1, 0, 2]]))\n"
        "    return torch.allclose(one, other)"
    ),
    explanation=(
        "Symmetry is cheap to test, needs no second implementation, and is what the loss is named for."
    ),
    setup=("import torch\nlabels = torch.tensor([0, 0, 1])\nonly_row_0 = torch.tensor([[1], [-1], [-1]])"),
    inspect=inspect_test,
    teaching=Teaching(
        minutes=6,
        often=(
            "Tests what the broken loss has, too: that its gradients sum to zero, that it falls as n "
            "goes away. Or compares with `==`, and one way of writing SST fails by rounding."
        ),
        say=(
            "Print what your test computes, for both losses. Of the four points under *Reading them* "
            "in the chapter, which have you looked at, and which not yet?"
        ),
    ),
)

# --- a bound

BOUND = Reflection(
    id="sst.bound",
    number="02.6",
    title="A bound, by hand (bonus)",
    question=(
        "Show that an active triplet moves the *anchor* against SST only if ‖p − n‖² < m/3. Write your "
        "proof as text; it is not marked. In words is enough."
    ),
    hints=(
        "Write v = p − n and w = p − a. Along which vector does each loss move the anchor?",
        "The triplet loss moves it along v, SST along v + w. Opposed means that their dot product is "
        "negative.",
        "Active means m + ‖w‖² > ‖v − w‖². Multiply out, and put in what opposed says about v·w.",
    ),
    solution=(
        'answer = """v = p - n, w = p - a. The triplet loss moves a along v, SST along v + w.\n'
        "Opposed: v.(v + w) < 0, so -v.w > |v|^2. Active: m + |w|^2 > |v - w|^2, so m > |v|^2 - 2 v.w.\n"
        'Together: m > |v|^2 + 2 |v|^2 = 3 |v|^2."""'
    ),
    explanation="The chapter's cell looks for a counter-example among random triplets.",
    model_answer=(
        "With v = p − n and w = p − a, the triplet loss moves the anchor along v and SST along v + w. "
        "Opposed means v·(v + w) < 0, that is −v·w > ‖v‖². Active means m + ‖w‖² > ‖v − w‖², that is m > "
        "‖v‖² − 2 v·w. Together m > 3‖v‖²."
    ),
    compare=(
        "Did you use that the triplet is active? Without it there is no bound.",
        "Is every inequality strict where it has to be?",
        "Does your proof hold in any number of dimensions?",
    ),
    teaching=Teaching(
        minutes=7,
        often=(
            "Uses that the pushes are opposed and not that the triplet is active; or argues with left "
            "and right, which only a line has."
        ),
        say=(
            "Where does m come into your proof? And where would your proof break if the points lay in space?"
        ),
    ),
)

EXERCISES: tuple[Exercise, ...] = (SUM_TO_ZERO, OPPOSED, REST, STABLE, EXPOSE, BOUND)
