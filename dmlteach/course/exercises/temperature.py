"""Exercises of the chapter on temperature: SupCon and its weights to write, two numbers, two choices."""

import math

import torch
from torch import Generator, Tensor

from dmlteach.course.exercises.kinds import Choice, Exercise, Function, Number, Option, Teaching
from dmlteach.course.widgets.weight_explorer import curves
from dmlteach.losses import supcon_loss

WANTED = 10  # negatives, of an exercise

# --- a network that makes all alike


def of_equal_embeddings(classes: int, pictures: int) -> float:
    """SupCon of a batch in one place, by the library.

    Args:
        classes: of the batch.
        pictures: of each.
    """
    labels = torch.arange(classes).repeat_interleave(pictures)
    return float(supcon_loss(torch.ones(len(labels), 8, dtype=torch.float64), labels))


def all_alike(classes: int, pictures: int) -> Number:
    """The exercise for a batch of this size.

    Args:
        classes: of the batch.
        pictures: of each.
    """
    every = classes * pictures
    others, negatives = every - 1, every - pictures
    return Number(
        id="temperature.all_alike",
        number="05.1",
        title="All alike",
        question=(
            f"A network puts all pictures in one place. A batch holds **{classes}** classes of "
            f"**{pictures}** "
            "pictures. What is the value of the SupCon loss, to two decimals, at a temperature of 0.1?"
        ),
        hints=(
            "All cosines are equal. Which probability does the softmax give to each of the others?",
            "An anchor is compared with all others of its batch, its positives among them, but not with "
            "itself.",
            "Minus the logarithm of one over the number of others; the temperature cancels.",
        ),
        solution=f"answer = torch.tensor({classes} * {pictures} - 1.0).log().item()",
        explanation=(
            f"Each of {others} others has the probability 1/{others}, whatever the temperature. A training "
            "that starts near "
            "this value starts from a network that tells nothing apart; one that stays there has collapsed."
        ),
        setup="import torch",
        value=lambda: of_equal_embeddings(classes, pictures),
        means="minus the logarithm of the probability that the softmax gives to each of the others",
        decimals=2,
        mistakes=(
            (lambda: math.log(every), "An anchor is not compared with itself."),
            (lambda: math.log(negatives), "The positives stand in the denominator, too."),
            (lambda: math.log(classes), "The softmax is over pictures here, not over classes."),
            (
                lambda: math.log(negatives / (pictures - 1)),
                "Each positive is compared by itself: the sum is outside the logarithm.",
            ),
            (lambda: 10 * math.log(others), "The temperature divides all logits alike, so it cancels."),
        ),
        with_numbers=lambda drawn: all_alike(drawn.randint(6, 16), drawn.randint(3, 5)),
        teaching=Teaching(
            minutes=2,
            often=(
                "Lets the temperature into the result, or counts the anchor among those it is compared with."
            ),
            say=(
                "Would you answer otherwise at a temperature of 1? Then take one anchor and point at "
                "everybody in its denominator."
            ),
        ),
    )


ALL_ALIKE = all_alike(16, 4)

# --- SupCon


def supcon(z: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """SupCon, anchor by anchor and positive by positive."""
    unit = z / z.norm(dim=1, keepdim=True)
    terms = []
    for a in range(len(z)):
        scores = {b: (unit[a] @ unit[b]) / temperature for b in range(len(z)) if b != a}
        positives = [b for b in scores if labels[b] == labels[a]]
        if not positives:
            continue
        top = max(float(score.detach()) for score in scores.values())
        log_sum = top + torch.stack([(score - top).exp() for score in scores.values()]).sum().log()
        terms.append(torch.stack([log_sum - scores[p] for p in positives]).mean())
    return torch.stack(terms).mean()


def _another(
    z: Tensor, labels: Tensor, temperature: float, unit=True, itself=False, inside=False, summed=False
) -> Tensor:
    """Forms that are mistaken for SupCon."""
    z = z / z.norm(dim=1, keepdim=True) if unit else z
    logits = z @ z.T / temperature
    others = ~torch.eye(len(z), dtype=torch.bool)
    positive = (labels[:, None] == labels) & others
    number, has = positive.sum(1), positive.any(1)
    everyone = logits if itself else logits.masked_fill(~others, -torch.inf)
    log_p = logits - everyone.logsumexp(1, keepdim=True)
    if inside:
        return -log_p.masked_fill(~positive, -torch.inf)[has].logsumexp(1).mean()
    terms = -log_p.masked_fill(~positive, 0).sum(1)[has]
    return (terms if summed else terms / number[has]).mean()


def _with_a_positive(labels: Tensor) -> int:
    return int(((labels[:, None] == labels).sum(1) > 1).sum())


def _batches(generator: Generator) -> list[tuple]:
    def drawn(labels: list[int], dim: int, temperature: float) -> tuple:
        z = torch.randn(len(labels), dim, generator=generator, dtype=torch.float64)
        return z, torch.tensor(labels), temperature

    return [
        drawn([0, 0, 1, 1], 3, 0.5),
        drawn([0, 1, 0, 2, 1, 0], 4, 0.1),  # a class with one picture
        drawn([2, 2, 2, 0, 0, 1, 1, 1], 5, 1.0),
        drawn([0, 0, 0, 0], 3, 0.2),
        drawn([0, 0, 1, 1, 2, 2, 3, 3], 8, 0.05),
        drawn([0, 0, 1, 1, 2], 3, 0.001),  # exp of a thousand is no number
    ]


SUPCON = Function(
    id="temperature.supcon",
    number="05.2",
    title="SupCon from log-sum-exp",
    question=(
        "Write the SupCon loss as a function of `z` (N, D), `labels` (N,) and `temperature`: the mean, over "
        "the anchors that have a positive, of −1/|P| Σ_p log( exp(S_ap/τ) / Σ_{b ≠ a} exp(S_ab/τ) ). "
        "S is the cosine, P the anchor's positives. Temperatures may be as small as 0.001. Its gradient in "
        "`z` is compared as well."
    ),
    hints=(
        "All cosines first, as one matrix; then two masks: who is the anchor itself, and who is a positive.",
        "exp(1000) is infinite. `torch.logsumexp` of a row does not go that way; what is not to be summed is "
        "filled with `-torch.inf` before.",
        "Per anchor: log-sum-exp of the logits of all others, minus the mean logit of the positives. Some "
        "have no positive: leave them out before the mean.",
    ),
    solution=(
        "def answer(z, labels, temperature):\n"
        "    z = z / z.norm(dim=1, keepdim=True)\n"
        "    logits = z @ z.T / temperature\n"
        "    itself = torch.eye(len(z), dtype=torch.bool)\n"
        "    positive = (labels[:, None] == labels) & ~itself\n"
        "    everyone = logits.masked_fill(itself, -torch.inf).logsumexp(1)\n"
        "    has = positive.any(1)\n"
        "    mean_positive = (logits * positive).sum(1)[has] / positive.sum(1)[has]\n"
        "    return (everyone[has] - mean_positive).mean()"
    ),
    explanation=(
        "A log of a softmax is a difference: the logit minus the log-sum-exp. Written so, nothing overflows, "
        "and the mean over the positives is taken of logits alone."
    ),
    setup="import torch",
    arguments=("z", "labels", "temperature"),
    definition=supcon,
    cases=_batches,
    returns="a scalar",
    gradients=True,
    mistakes=(
        (
            lambda z, labels, t: _another(z, labels, t, itself=True),
            "The anchor stands in its own denominator: its cosine with itself is 1, the largest of all.",
        ),
        (
            lambda z, labels, t: _another(z, labels, t, inside=True),
            "The sum over the positives is inside the logarithm: that is NCA's form.",
        ),
        (
            lambda z, labels, t: _another(z, labels, t, summed=True),
            "An anchor with many positives counts more: divide by how many it has.",
        ),
        (
            lambda z, labels, t: _another(z, labels, t, unit=False),
            "S is the cosine: divide each row by its length.",
        ),
        (
            lambda z, labels, t: t * _another(z, labels, t),
            "The loss is multiplied by the temperature: τ divides the similarities, and nothing else.",
        ),
        (
            lambda z, labels, t: _another(z, labels, 1 / t),
            "The similarities are multiplied by the temperature; they are divided by it.",
        ),
        (
            lambda z, labels, t: _another(z, labels, t) * _with_a_positive(labels),
            "The anchors are summed; the loss is their mean.",
        ),
    ),
    teaching=Teaching(
        minutes=8,
        often=(
            "Fills the anchor's own place with −∞ and multiplies by a mask of 0 and 1 afterwards, "
            "which gives no number; or leaves the anchor in the sum."
        ),
        say=(
            "Print the matrix that you sum, for four pictures. Which entries are no numbers, and what "
            "did you multiply there?"
        ),
    ),
)

# --- its weights


def supcon_weights(s: Tensor, is_positive: Tensor, temperature: float) -> Tensor:
    """∂L/∂s of one anchor's SupCon, by autograd."""
    s = s.detach().clone().requires_grad_()
    value = torch.logsumexp(s / temperature, 0) - (s[is_positive] / temperature).mean()
    return torch.autograd.grad(value, s)[0]


def _anchors(generator: Generator) -> list[tuple]:
    cases: list[tuple] = []
    for size, positives in ((2, 1), (5, 1), (8, 3), (30, 3), (4, 4)):
        for temperature in (0.05, 0.5):
            s = 2 * torch.rand(size, generator=generator, dtype=torch.float64) - 1
            cases.append((s, torch.arange(size) < positives, temperature))
    return cases


def _among_negatives(s: Tensor, is_positive: Tensor, temperature: float) -> Tensor:
    p = (s / temperature).masked_fill(is_positive, -torch.inf).softmax(0).nan_to_num()
    return (p - is_positive.to(s) / is_positive.sum()) / temperature


WEIGHTS = Function(
    id="temperature.weights",
    number="05.3",
    title="Its weights",
    question=(
        "One anchor is compared with K others: their cosines `s` (K,), which of them are positives, "
        "`is_positive` (K,), and the `temperature`. Write a function that returns the weight of each, the "
        "derivative of this anchor's SupCon loss with respect to its cosine: above 0 it is pushed away, "
        "below 0 drawn near."
    ),
    hints=(
        "The derivative of a log-sum-exp is a softmax.",
        "The second term, the mean logit of the positives, has a derivative only there, the same at each.",
        "Softmax over all K, minus 1/|P| at the positives; and each logit has a factor 1/τ inside.",
    ),
    solution=(
        "def answer(s, is_positive, temperature):\n"
        "    p = (s / temperature).softmax(0)\n"
        "    return (p - is_positive / is_positive.sum()) / temperature"
    ),
    explanation=(
        "A negative is pushed by its softmax probability. A positive is drawn by what its probability lacks "
        "of 1/|P|; one whose probability is larger than that is pushed away: SupCon wants all positives "
        "equally near."
    ),
    setup="import torch",
    arguments=("s", "is_positive", "temperature"),
    definition=supcon_weights,
    cases=_anchors,
    returns="weights (K,) that sum to 0",
    mistakes=(
        (
            lambda s, is_positive, t: t * supcon_weights(s, is_positive, t),
            "Each logit is s/τ: the inner derivative 1/τ is missing.",
        ),
        (lambda s, is_positive, t: -supcon_weights(s, is_positive, t), "The sign is turned around."),
        (
            lambda s, is_positive, t: (s / t).softmax(0) / t,
            "That is the log-sum-exp alone: the positives' own term is missing.",
        ),
        (
            lambda s, is_positive, t: ((s / t).softmax(0) - is_positive.to(s)) / t,
            "The mean over the positives gives each of them 1/|P|, not 1.",
        ),
        (
            lambda s, is_positive, t: _among_negatives(s, is_positive, t),
            "The positives stand in the denominator, too.",
        ),
    ),
    teaching=Teaching(
        minutes=4,
        often="Gives the softmax to the negatives alone: a positive is drawn by 1/|P|, wherever it is.",
        say=(
            "In the figure, let it show *a positive is pushed away*. Can your function ever give a "
            "positive a weight above 0?"
        ),
    ),
)  # fmt: skip

# --- ten negatives


def temperature_for(number: float, embedding: str = "trained", everyone: bool = False, root=False) -> float:
    """The temperature at which as many negatives as that share the push of the first anchor.

    Args:
        number: effective number.
        embedding: of the recorded ones.
        everyone: count the positives as well: a mistake.
        root: one over the sum of squares in place of the entropy: another measure.
    """
    z = curves.load().points[embedding][0]
    cosine = (z @ z[0])[1 if everyone else curves.PER_CLASS :]
    low, high = 1e-3, 10.0
    for _ in range(60):
        middle = math.sqrt(low * high)
        p = (cosine / middle).softmax(0)
        found = 1 / p.square().sum() if root else torch.special.entr(p).sum().exp()
        low, high = (middle, high) if found < number else (low, middle)
    return low


TEN = Number(
    id="temperature.ten_left",
    number="05.4",
    title="Ten negatives",
    question=(
        "The first picture of the first recorded batch is the anchor: row 0 of "
        '`record.points["trained"][0]`. Its negatives are the 60 rows from row 4 on. At which temperature '
        f"do, in effect, **{WANTED}** of them share the push? Give it to three decimals."
    ),
    hints=(
        "Write the effective number as a function of the temperature: softmax of cosine/τ over the 60, then "
        "exp of the entropy.",
        "It grows with the temperature. Try 0.01 and 1, then halve the interval between.",
        "A loop of some 40 halvings: where the number is below ten, the lower end moves up, else the upper "
        "end comes down.",
    ),
    solution=(
        'z = record.points["trained"][0]\n'
        "cosine = z[4:] @ z[0]\n"
        "low, high = 0.001, 10.0\n"
        "for _ in range(40):\n"
        "    answer = (low + high) / 2\n"
        "    p = (cosine / answer).softmax(0)\n"
        f"    few = torch.special.entr(p).sum().exp() < {WANTED}\n"
        "    low, high = (answer, high) if few else (low, answer)"
    ),
    explanation=(
        "That is how to choose a temperature by looking: decide how many negatives should share a step, and "
        "solve for it in an embedding that is trained. In another embedding the same number needs another "
        "temperature."
    ),
    setup=(
        "import torch\nfrom dmlteach.course.widgets.weight_explorer import curves\nrecord = curves.load()"
    ),
    value=lambda: temperature_for(WANTED),
    means=f"the temperature at which the push is shared as if by {WANTED} negatives",
    decimals=3,
    tolerance=5e-4,
    mistakes=(
        (lambda: temperature_for(WANTED, "untrained"), "That is in the untrained network."),
        (
            lambda: temperature_for(WANTED, everyone=True),
            "Its three positives are no negatives: from row 4 on.",
        ),
        (
            lambda: temperature_for(WANTED, root=True),
            "That is by one over the sum of squares; here it is exp of the entropy.",
        ),
    ),
    teaching=Teaching(
        minutes=5,
        often=(
            "Halves the interval the wrong way round and ends at one of its ends; or leaves the three "
            "positives in."
        ),
        say=(
            "What is the effective number at both ends of your interval, and at its middle? About "
            "where does the chapter's curve of the trained network cross ten?"
        ),
    ),
)

# --- two choices

LONGER = Choice(
    id="temperature.longer",
    number="05.5",
    title="Three times as long",
    question=(
        "All embeddings of a batch are multiplied by 3 before they are given to a loss. For which losses "
        "does that do what another temperature would do? Name all, with a reason each."
    ),
    hints=(
        "Which of them divide an embedding by its length first?",
        "An inner product of two embeddings grows by 9, a squared distance as well; a cosine does not.",
        "A linear layer's logits grow, too: by 3, as its class vectors stay as they are.",
    ),
    solution=(
        "answer = {\n"
        '    "a": "d² grows by 9: as a scale nine times as large",\n'
        '    "b": "inner products grow by 9: as a ninth of the temperature",\n'
        '    "e": "its logits grow by 3",\n'
        "}"
    ),
    options={
        "a": Option(
            "NCA, on embeddings as they are",
            True,
            "all d² grow by 9, which is a scale nine times as large, or a ninth of the temperature.",
        ),
        "b": Option(
            "N-pair",
            True,
            "all inner products grow by 9; it has no temperature but the embeddings' length, and its `l2` "
            "holds that.",
        ),
        "c": Option("SupCon", False, "it takes cosines, which lengths do not change."),
        "d": Option(
            "normalised softmax",
            False,
            "it takes cosines with its class vectors, which lengths do not change.",
        ),
        "e": Option(
            "softmax: a linear layer without a bias, then the cross-entropy",
            True,
            "the layer's products grow by 3: a third of the temperature. A bias would not grow with them.",
        ),
    },
    teaching=Teaching(
        minutes=3,
        often=(
            "Thinks that longer embeddings always mean larger logits, and chooses all; or leaves out "
            "e, whose class vectors do not grow."
        ),
        say=(
            "Take two embeddings and make both three times as long: print their cosine, inner product "
            "and squared distance before and after. Which of these stands in each loss?"
        ),
    ),
)  # fmt: skip

BETTER = Choice(
    id="temperature.better",
    number="05.6",
    title="Is it better?",
    question=(
        "SupCon is trained twice with the same steps: at 0.1, and at another temperature. Which of these "
        "tell that the second network retrieves unseen characters better? Name all, with a reason each."
    ),
    hints=(
        "A loss's value depends on the embedding and on the temperature. What does it say if both differ?",
        "Go back to the figure of the loss against the temperature: where do its lines cross?",
        "What was asked is retrieval, of characters that were not trained on: two of them measure that.",
    ),
    solution=(
        "answer = {\n"
        '    "b": "that is what was asked, and not one run\'s luck",\n'
        '    "e": "a finer measure of the same, with an interval",\n'
        "}"
    ),
    options={
        "a": Option(
            "its loss is lower, at the end of its training",
            False,
            "it is measured at another temperature: the value of one network alone goes up and down with it.",
        ),
        "b": Option(
            "its Recall@1 on val characters is higher, with each of five seeds",
            True,
            "val characters were not trained on, both are searched alike, and five seeds are more than luck.",
        ),
        "c": Option(
            "both are measured by SupCon at 0.01, on the same batches: its value is lower",
            False,
            "at 0.01 the untrained network has a lower value than the trained one: SupCon also wants the "
            "positives equally near, and a small temperature exaggerates what they differ.",
        ),
        "d": Option(
            "fewer negatives share the push at the end",
            False,
            "that says what the loss looks at, not what the network has learned.",
        ),
        "e": Option(
            "the difference of MAP@R on val, seed by seed, has a 95 % interval above 0",
            True,
            "it looks at the ranks of all pictures of a class, and the interval says that the seeds agree.",
        ),
    },
    teaching=Teaching(
        minutes=3,
        often="Accepts c: it is one loss at one temperature on the same batches, so it must be fair.",
        say=(
            "Look at the chapter's figure of the loss over the temperature, at its left end. Which "
            "network is lower there, and which of the two finds more?"
        ),
    ),
)

EXERCISES: tuple[Exercise, ...] = (ALL_ALIKE, SUPCON, WEIGHTS, TEN, LONGER, BETTER)
