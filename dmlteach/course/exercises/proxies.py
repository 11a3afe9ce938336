"""Exercises of the chapter on proxies: counting terms, Proxy-Anchor, a sign, two modes, and greedy places."""

import math

import torch
from torch import Generator, Tensor

from dmlteach.course.exercises.kinds import Choice, Exercise, Function, Number, Option, Teaching

# --- how many terms


def triplets(classes: int, images: int) -> int:
    """Ordered triplets (a, p, n) of classes with equally many images.

    Args:
        classes: C.
        images: of each class.
    """
    return classes * images * (images - 1) * (classes - 1) * images


COUNTING = Teaching(
    minutes=3,
    often="Counts (a, p, n) and (p, a, n) as one triplet, or lets an anchor be its own positive.",
    say=(
        "Write down all triplets of two classes with two images each. How many are there, and "
        "what does your formula say?"
    ),
)


def count_terms(classes: int, images: int) -> Number:
    """The exercise for a training set of this size.

    Args:
        classes: C.
        images: of each class.
    """
    return Number(
        id="proxies.terms",
        number="06.1",
        title="Tuples against proxies",
        question=(
            f"A training set has **{classes}** classes of **{images}** images. How many triplets (a, p, n) "
            "does "
            "it hold, where a and p in the other order count as another triplet? And how many cosines of an "
            "image and a proxy does a loss with one proxy for each class compute in an epoch that shows "
            "every "
            "image once? Give both whole numbers, in this order."
        ),
        hints=(
            "For the triplets: how many images may be the anchor, how many are then left for p, and how many "
            "for n?",
            "An anchor is not its own positive, and a negative comes from one of the other classes. For the "
            "proxies: each image is compared with every proxy, that of its own class included.",
            "With C classes of K images, N = C·K: triplets are N · (K − 1) · (N − K), cosines N · C.",
        ),
        solution=(
            f"images, each, classes = {classes * images}, {images}, {classes}\n"
            "answer = (images * (each - 1) * (images - each), images * classes)"
        ),
        explanation=(
            "Triplets grow with the square of the images (with the third power, where classes grow in size), "
            "cosines with proxies with images times classes. That is why tuples are drawn, or mined, and "
            "cosines with proxies are all computed."
        ),
        value=lambda: (triplets(classes, images), classes * images * classes),
        means="the number of triplets, and the number of cosines with a proxy in an epoch",
        parts=("triplets", "cosines in an epoch"),
        tolerance=0.5,
        mistakes=(
            (
                lambda: (triplets(classes, images) // 2, classes**2 * images),
                "The cosines are right. Of the triplets you have half: (a, p, n) and (p, a, n) are two.",
            ),
            (
                lambda: (classes * images**3 * (classes - 1), classes**2 * images),
                "The cosines are right. In your triplets an anchor is its own positive now and then.",
            ),
            (
                lambda: (triplets(classes, images), classes),
                f"The triplets are right. {classes} is the number of proxies; each image meets all of them.",
            ),
            (
                lambda: (triplets(classes, images), classes * images),
                "The triplets are right. An image is compared with every proxy, not with its own alone.",
            ),
            (
                lambda: (triplets(classes, images), classes * images * (classes - 1)),
                "The triplets are right. The proxy of an image's own class is compared with it, too.",
            ),
        ),
        with_numbers=lambda drawn: count_terms(drawn.randint(40, 140), drawn.randint(5, 25)),
        teaching=COUNTING,
    )


TERMS = count_terms(100, 20)

# --- Proxy-Anchor


def proxy_anchor(s: Tensor, labels: Tensor, alpha: float, margin: float) -> Tensor:
    """The Proxy-Anchor loss of the cosines s (N, C), proxy by proxy and term by term.

    Args:
        s: cosine of each image and each proxy.
        labels: (N,) class of each image.
        alpha: α.
        margin: δ, in cosine.
    """
    pulls, pushes = [], []
    for c in range(s.shape[1]):
        own = [-alpha * (s[i, c] - margin) for i in range(len(s)) if labels[i] == c]
        other = [alpha * (s[i, c] + margin) for i in range(len(s)) if labels[i] != c]
        pulls += [_log_of_one_plus(own)] if own else []
        pushes.append(_log_of_one_plus(other) if other else 0 * s.sum())
    return sum(pulls, 0 * s.sum()) / max(len(pulls), 1) + sum(pushes, 0 * s.sum()) / s.shape[1]


def _log_of_one_plus(exponents: list[Tensor]) -> Tensor:
    """log(1 + Σ exp u), with the largest taken out, so that nothing overflows."""
    top = max(0.0, *(u.item() for u in exponents))
    return top + (math.exp(-top) + sum((u - top).exp() for u in exponents)).log()  # type: ignore[union-attr]


def _anchor_by(s: Tensor, labels: Tensor, alpha: float, margin: float, **other: bool) -> Tensor:
    """Proxy-Anchor with a mistake, if `other` names one."""
    own = labels[:, None] == torch.arange(s.shape[1])
    sign = -1 if other.get("margins_exchanged") else 1
    along = 1 if other.get("over_proxies") else 0
    first = s.new_full((1, s.shape[1]) if along == 0 else (len(s), 1), 0)

    def summed(u: Tensor, mask: Tensor) -> Tensor:
        u = u.masked_fill(~mask, -torch.inf)
        if other.get("without_the_one"):
            return u.logsumexp(along).masked_fill(~mask.any(along), 0)
        return torch.cat([first, u], along).logsumexp(along)

    pull = summed(-alpha * (s - sign * margin), own)
    push = summed(alpha * (s + sign * margin), ~own)
    has_own = own.any(along)
    return (pull.mean() if other.get("all_proxies") else pull[has_own].mean()) + push.mean()


def _batches(generator: Generator) -> list[tuple]:
    cases: list[tuple] = []
    for size, classes in ((2, 2), (4, 3), (6, 8), (12, 5)):
        for alpha, margin in ((32.0, 0.1), (4.0, 0.3), (1.0, 0.0)):
            s = 2 * torch.rand(size, classes, generator=generator, dtype=torch.float64) - 1
            cases.append((s, torch.randint(classes, (size,), generator=generator), alpha, margin))
    s = 2 * torch.rand(5, 3, generator=generator, dtype=torch.float64) - 1
    cases.append((s, torch.tensor([0, 0, 1, 2, 1]), 2000.0, 0.1))  # exp overflows
    cases.append((s[:, :1], torch.zeros(5, dtype=torch.int64), 32.0, 0.1))  # nothing to push
    return cases


PROXY_ANCHOR = Function(
    id="proxies.proxy_anchor",
    number="06.2",
    title="Proxy-Anchor from log-sum-exp",
    question=(
        "Write the Proxy-Anchor loss of the cosines `s` (N, C) of a batch with all proxies, and of the "
        "`labels` (N,). Each proxy with an image of its class in the batch pulls, log(1 + Σ exp(−α(s − δ))) "
        "over its own images, and the mean is over those proxies. Every proxy pushes, log(1 + Σ exp(α(s + "
        "δ))) over the images of other classes, and the mean is over all proxies. Value and gradient are "
        "checked, also for an α of 2,000."
    ),
    hints=(
        "The sums run down the columns of `s`, over images. A mask `own` (N, C) says which entries are of a "
        "proxy's class; what is not summed gets −∞ before `logsumexp`.",
        "e⁰ is 1: log(1 + Σ eᵘ) is the `logsumexp` of the u's and one 0 more. So nothing overflows.",
        "`torch.cat([torch.zeros(1, C), u.masked_fill(~mask, -torch.inf)]).logsumexp(0)` is one of the two "
        "parts, for every proxy; the columns in which `own.any(0)` holds are those that pull.",
    ),
    solution=(
        "def answer(s, labels, alpha, margin):\n"
        "    own = labels[:, None] == torch.arange(s.shape[1])\n"
        "    zero = torch.zeros(1, s.shape[1], dtype=s.dtype)\n\n"
        "    def log_one_plus(u, mask):\n"
        "        return torch.cat([zero, u.masked_fill(~mask, -torch.inf)]).logsumexp(0)\n\n"
        "    pull = log_one_plus(-alpha * (s - margin), own)\n"
        "    push = log_one_plus(alpha * (s + margin), ~own)\n"
        "    return pull[own.any(0)].mean() + push.mean()"
    ),
    explanation=(
        "The 1 is what lets a proxy rest: without it an image that is near already would be pulled for "
        "ever. With it the pull fades once the worst of its images has a cosine above δ."
    ),
    setup="import torch",
    arguments=("s", "labels", "alpha", "margin"),
    definition=proxy_anchor,
    cases=_batches,
    returns="one number, with gradient in s",
    gradients=True,
    mistakes=(
        (
            lambda *case: _anchor_by(*case, all_proxies=True),
            "Your pull is divided by the number of all proxies; the mean is over those with an image in the "
            "batch.",
        ),
        (
            lambda *case: _anchor_by(*case, over_proxies=True),
            "This sums along the rows, over proxies, as Proxy-NCA does; here each proxy sums over images.",
        ),
        (
            lambda *case: _anchor_by(*case, without_the_one=True),
            "The 1 in the logarithm is missing: a proxy whose images are all near would never rest.",
        ),
        (
            lambda *case: _anchor_by(*case, margins_exchanged=True),
            "The margin has the other sign: an own image should have a cosine above δ, others below −δ.",
        ),
    ),
    teaching=Teaching(
        minutes=8,
        often=(
            "Sums along the rows, over proxies, as all losses before it did; or takes the mean of the "
            "pull over all proxies, those without an image in the batch included."
        ),
        say=(
            "Put your hand on one column of `s`. Who is the anchor there, and whom does it compare? "
            "How many such hands do you need for the pull if the batch shows three classes?"
        ),
    ),
)

# --- the sign

SIGN = Choice(
    id="proxies.sign",
    number="06.3",
    title="Below zero?",
    question=(
        "The loss of an image is −log(exp(−d²(x, p_y)) / Σ exp(−d²(x, p_z))) as the paper on Proxy-NCA has "
        "it, without the own proxy in the sum; x and all proxies have length r. In which of these cases is "
        "the loss below 0? Name all, with a reason each."
    ),
    hints=(
        "The loss is log Σ exp(−d²_z) + d²_y. When is that below 0 with one other proxy? And with many?",
        "With n other proxies, all at the same squared distance D, it is log n − D + d²_y.",
        "At right angles the squared distance is 2 r², opposite it is 4 r². And log 100 is about 4.6.",
    ),
    solution=(
        "answer = {\n"
        '    "a": "0 − 4 + 0: the one other proxy is far, the own one is here",\n'
        '    "d": "log 100 − 18 is below 0: the scale outweighs the number",\n'
        "}"
    ),
    explanation=(
        "The loss is below 0 where the own proxy outweighs all others together, where a softmax with it in "
        "the sum would give it more than one half."
    ),
    options={
        "a": Option(
            "r = 1; the image lies on its proxy, one other proxy is opposite",
            True,
            "log 1 − 4 + 0 is −4.",
        ),
        "b": Option(
            "r = 1; the image is as near to its own proxy as to the one other",
            False,
            "the two squared distances cancel: it is 0, and not below.",
        ),
        "c": Option(
            "r = 1; the image lies on its proxy, 100 others are at right angles to it",
            False,
            "log 100 − 2 is above 0: right, and still outweighed by the sum of many.",
        ),
        "d": Option(
            "r = 3; the image lies on its proxy, 100 others are at right angles to it",
            True,
            "log 100 − 18 is far below 0.",
        ),
        "e": Option(
            "r = 3, as in d, but with the own proxy in the sum as well",
            False,
            "then it is minus the logarithm of a probability, and no probability exceeds 1.",
        ),
    },
    teaching=Teaching(
        minutes=4,
        often=(
            "Takes nearness for enough: chooses c, because the image lies on its own proxy; or says "
            "that minus the logarithm of a fraction is never below 0."
        ),
        say=(
            "Is the fraction the share of something, when its numerator is not in its denominator? And "
            "how strong are a hundred weak ones together, in c and in d?"
        ),
    ),
)

# --- two modes


def similarity_to_classes(x: Tensor, centers: Tensor, gamma: float) -> Tensor:
    """S_c = Σ_k softmax_k(x·w_ck / γ) x·w_ck, image by image and class by class.

    Args:
        x: (N, D) unit embeddings.
        centers: (C, K, D) unit centers.
        gamma: γ.
    """
    rows = []
    for z in x:
        row = []
        for own in centers:
            s = (own * z).sum(1)  # (K,)
            weight = ((s - s.max()) / gamma).exp()
            row.append((weight * s).sum() / weight.sum())
        rows.append(torch.stack(row))
    return torch.stack(rows)


def _cosines_with(x: Tensor, centers: Tensor) -> Tensor:
    return torch.einsum("nd,ckd->nck", x, centers)


def _over_all_centers(x: Tensor, centers: Tensor, gamma: float) -> Tensor:
    s = _cosines_with(x, centers)
    return ((s / gamma).flatten(1).softmax(1).view_as(s) * s).sum(2)


def _modes(generator: Generator) -> list[tuple]:
    cases: list[tuple] = []
    for size, classes, each in ((1, 2, 2), (3, 3, 2), (4, 5, 4), (6, 2, 1)):
        for gamma in (0.05, 0.5):
            x, centers = (
                torch.nn.functional.normalize(
                    torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1
                )
                for shape in ((size, 4), (classes, each, 4))
            )
            cases.append((x, centers, gamma))
    return cases


TWO_MODES = Function(
    id="proxies.two_modes",
    number="06.4",
    title="A class with two modes",
    question=(
        "SoftTriple gives each class K centers, so that a class may lie in several places. Its similarity "
        "of an image x to a class c is S_c = Σ_k q_k · x·w_ck, where the q_k are a softmax over the class's "
        "own K centers of x·w_ck / γ: nearly the cosine with the nearest of them. Write a function of `x` "
        "(N, D), `centers` (C, K, D), both of length 1, and `gamma` that returns S (N, C)."
    ),
    hints=(
        "First all cosines at once, (N, C, K): a product of `x` with the centers laid out as (C·K, D).",
        "The softmax runs over the last of the three axes only: each class shares out its own attention.",
        "`s = (x @ centers.flatten(0, 1).T).unflatten(1, centers.shape[:2])`; then weights by "
        "`softmax(2)`, and a weighted sum over that axis.",
    ),
    solution=(
        "def answer(x, centers, gamma):\n"
        "    s = (x @ centers.flatten(0, 1).T).unflatten(1, centers.shape[:2])  # (N, C, K)\n"
        "    return ((s / gamma).softmax(2) * s).sum(2)"
    ),
    explanation=(
        "A small γ looks at the nearest center alone, and an image pulls no other: the centers part. A "
        "large γ takes their mean, which for two opposite modes points nowhere."
    ),
    setup="import torch",
    arguments=("x", "centers", "gamma"),
    definition=similarity_to_classes,
    cases=_modes,
    returns="numbers of shape (N, C)",
    gradients=True,
    mistakes=(
        (
            lambda x, centers, gamma: _cosines_with(x, centers).mean(2),
            "All centers of a class count alike here: that is one proxy, at their mean, which lies between "
            "the modes.",
        ),
        (
            lambda x, centers, gamma: _cosines_with(x, centers).amax(2),
            "That is the nearest center alone, where γ goes to 0; with this γ the others have a share.",
        ),
        (
            _over_all_centers,
            "Your softmax runs over the centers of all classes; each class has one over its own.",
        ),
    ),
    teaching=Teaching(
        minutes=5,
        often="Takes the softmax over the centers of all classes at once.",
        say=(
            "For one image, add up your q over the centers of each class. What do you get, and what "
            "does the formula ask for?"
        ),
    ),
)

# --- greedy places


def greedy_places(d: Tensor, k: int) -> Tensor:
    """Places chosen one by one, each the one with which the sum of distances to the nearest is smallest.

    Args:
        d: (N, M) distances of points and places.
        k: how many.
    """
    chosen: list[int] = []
    for _ in range(k):
        costs = {}
        for j in range(d.shape[1]):
            if j not in chosen:
                costs[j] = sum(min(float(row[m]) for m in [*chosen, j]) for row in d)
        chosen.append(min(costs, key=lambda j: costs[j]))
    return torch.tensor(chosen)


def _best_alone(d: Tensor, k: int) -> Tensor:
    return d.sum(0).argsort()[:k]


def _farthest_first(d: Tensor, k: int) -> Tensor:
    chosen = [int(d.sum(0).argmin())]
    while len(chosen) < k:
        chosen.append(int(d[d[:, chosen].amin(1).argmax()].argmin()))
    return torch.tensor(chosen)


def _points(generator: Generator) -> list[tuple]:
    cases: list[tuple] = []
    for points, places, k in ((10, 3, 1), (12, 6, 2), (20, 8, 3), (30, 12, 4), (40, 15, 5)):
        for _ in range(2):
            z, w = (torch.randn(n, 2, generator=generator, dtype=torch.float64) for n in (points, places))
            cases.append(((z[:, None] - w).norm(dim=2), k))
    return cases


GREEDY = Function(
    id="proxies.greedy",
    number="06.5",
    title="Facility location, greedily",
    question=(
        "The cost of some places is the sum, over all points, of the distance to the nearest of them. Write "
        "a function of the distances `d` (N, M) of N points and M possible places, and of `k`, that chooses "
        "k places greedily: k times, the one with which the cost of all that are chosen is smallest. Return "
        "them (columns of `d`) in the order in which they were chosen."
    ),
    hints=(
        "Keep `near` (N,), the distance of each point to the nearest place so far; at first it is ∞.",
        "With place j in addition, the cost is the sum of the smaller of `near` and `d[:, j]`, point by "
        "point.",
        "`torch.minimum(near[:, None], d)` does it for all places at once. Sum its columns, take the "
        "`argmin`, and keep that column as the new `near`.",
    ),
    solution=(
        "def answer(d, k):\n"
        "    near, chosen = torch.full_like(d[:, 0], torch.inf), []\n"
        "    for _ in range(k):\n"
        "        best = int(torch.minimum(near[:, None], d).sum(0).argmin())\n"
        "        chosen.append(best)\n"
        "        near = torch.minimum(near, d[:, best])\n"
        "    return chosen"
    ),
    explanation=(
        "Each step is the best for the moment, and none is taken back. In the clustering loss the possible "
        "places are the images of the batch themselves, the medoids, and each may change places with a "
        "member of its cluster afterwards."
    ),
    setup="import torch",
    arguments=("d", "k"),
    definition=greedy_places,
    cases=_points,
    returns="k columns of d, in the order in which they were chosen",
    mistakes=(
        (
            _best_alone,
            "These are the k best places if each stood alone; the second should serve those that the first "
            "serves badly.",
        ),
        (
            _farthest_first,
            "This looks at the farthest point, one point's need; the sum over all points decides.",
        ),
    ),
    teaching=Teaching(
        minutes=5,
        often="Takes the k places that are best alone, which may all serve the same crowd.",
        say=(
            "Draw two clumps of points and three places, two of them in one clump. Which two does your "
            "function build, and who has the longest way?"
        ),
    ),
)

EXERCISES: tuple[Exercise, ...] = (TERMS, PROXY_ANCHOR, SIGN, TWO_MODES, GREEDY)
