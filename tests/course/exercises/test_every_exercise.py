"""Every exercise: its solution is right, its wrong answers get the reply that helps, no answer is no harm."""

import inspect
import math
import re
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import softplus

from dmlteach.course import exercises
from dmlteach.course.exercises import (
    CHAPTERS,
    answers,
    batches,
    comparing,
    ensembles,
    filling_the_space,
    looking,
    pairs_and_triplets,
    proxies,
    sst_gradients,
    start_here,
    temperature,
    training,
    weighting,
)
from dmlteach.course.exercises.kinds import Choice, Configuration, Function, Number, Reflection
from dmlteach.course.exercises.replies import NOT_YET, RIGHT
from dmlteach.losses import sst_loss, triplet_loss
from dmlteach.train import TrainConfig, fit

LABELS, ONLY_ROW_0 = torch.tensor([0, 0, 1]), torch.tensor([[1], [-1], [-1]])


def with_the_query(z, y):
    return (y[torch.cdist(z, z).argmin(1)] == y).float().mean()


def recall_per_class_name(z, y):
    d = torch.cdist(z, z).fill_diagonal_(torch.inf)
    return (d.argmin(1) == y).float().mean()  # rows compared with classes


def other_drawings_at_0_left_out(z, y):
    d = torch.cdist(z, z)
    d[d < 1e-6] = torch.inf
    return (y[d.argmin(1)] == y).float().mean()


def with_the_query_in_a_table(d, y):
    same = y[:, None] == y
    right, wrong = d.masked_fill(~same, torch.inf).amin(1), d.masked_fill(same, torch.inf).amin(1)
    return (right < wrong).double().mean(), (right <= wrong).double().mean()


def first_row_wins(d, y):
    recall = (y[d.clone().fill_diagonal_(torch.inf).argmin(1)] == y).double().mean()
    return recall, recall


def sums_of_gradients_vanish(loss):
    z = torch.randn(3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(z, LABELS, targets=ONLY_ROW_0), z)
    return bool(gradient.sum(0).abs().max() < 1e-9)


def equal_to_the_last_digit(loss):
    z = torch.randn(3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return bool(loss(z, LABELS, targets=ONLY_ROW_0) == sst_loss(z, LABELS, targets=ONLY_ROW_0))


def naive_supcon(z, y, t):
    """Right but for what overflows."""
    z = z / z.norm(dim=1, keepdim=True)
    others = ~torch.eye(len(z), dtype=torch.bool)
    raised = (z @ z.T / t).exp() * others
    positive = (y[:, None] == y) & others
    log_p = (raised / raised.sum(1, keepdim=True)).log()
    has = positive.any(1)
    return -(log_p.masked_fill(~positive, 0).sum(1)[has] / positive.sum(1)[has]).mean()


def exp_before_log(s, labels, alpha, margin):
    own = labels[:, None] == torch.arange(s.shape[1])
    pull = torch.log1p(((-alpha * (s - margin)).exp() * own).sum(0))
    return pull[own.any(0)].mean() + torch.log1p(((alpha * (s + margin)).exp() * ~own).sum(0)).mean()


def learner_itself_included(cosines, positive, alpha, beta, cost):
    x = alpha * (cosines - beta) * torch.where(positive, 1.0, -cost)
    return torch.sigmoid(-x.cumsum(0) / torch.arange(1, len(x) + 1)[:, None])


PLANNED = {"a": "sst", "b": "triplet", "seeds": [0, 1, 2, 3], "budget": {"epochs": 2}, "smallest": 20.0}

# Answers a reader might well give, and words of the reply each should get. Numbers that take a while are
# computed in the test.
WRONG = {
    "start.recall_at_1": [
        (with_the_query, "finds itself"),
        (lambda z, y: 100 * start_here.recall_at_1(z, y), "fraction, not percent"),
        (recall_per_class_name, "differs"),
        (other_drawings_at_0_left_out, "differs"),
        (lambda z, y: None if len(y) > 1 else 0.0, "returns nothing"),
    ],
    "start.leak": [
        (1.0, "still finds itself"),
        (lambda: 100 * start_here._of_untrained(), "right in percent"),
        (0.1, "too small"),
    ],
    "start.split": [
        ((list(range(50)), list(range(40, 60))), "both lists"),
        ((list(range(50)), list(range(50, 60))), "not as many"),
        (([0] * 50, list(range(50, 70))), "not as many"),
        ((list(range(50)), list(range(950, 970))), "no class 964"),
        (list(range(70)), "no pair of lists"),
    ],
    "start.own_problem": [(3, "as text"), (["a classifier"], "as text")],
    "before.squared_distance": [
        (2**0.5, "squared"), (24, "dot product"), ("two", "cannot be read"), (3, "large"),
    ],
    "before.gradient": [((-2, 0), "training step"), ((1, 0), "factor 2"), (2, "2 numbers are asked for")],
    "before.softmax": [(1, "share the probability"), (50, "right in percent"), (5, "between 0 and 1")],
    "before.k_means": [((1, 9), "mean of its points"), ((0, 11), "outermost"), ((0.5, 9), "something else")],
    "before.training_step": [("b", "raises nothing"), ({"c": "zero"}, "weights stay"), ("ac", "no choice")],
    "triplet.hinge": [
        (lambda a, p, n, m: m + (a - p).square().sum() - (a - n).square().sum(), "hinge is missing"),
        (lambda a, p, n, m: torch.relu(m + (a - p).norm() - (a - n).norm()), "squared"),
        (lambda a, p, n, m: pairs_and_triplets.hinge(a, p, n, m).item(), "lost its connection"),
        (lambda a, p, n, m: torch.relu(m + (a - p).square() - (a - n).square()), "not one number"),
        (lambda a, p, n, m: softplus(m + (a - p).square().sum() - (a - n).square().sum()), "smooth"),
    ],
    "triplet.active_share": [
        (lambda: pairs_and_triplets.active_share(0), "start of the recording"),
        (lambda: pairs_and_triplets.active_share(-1, 0.0), "without the margin"),
        (lambda: f"{pairs_and_triplets.drawn_share():.1%}", "drawn at random"),
        (0.9, "too large"),
    ],
    "triplet.collapse": [
        ({"a", "b"}, "it would stick at 1"),
        ({"c": "less noise"}, "1 of them is missing"),
        ({"c", "d", "e"}, "only those that are right"),
        ({"f"}, "no choice 'f'"),
        (3, "letters are asked for"),
    ],
    "triplet.cure": [
        ({"margin": 1.0}, "does not separate"),
        ({"start": "triplet"}, "does not separate"),
        ({"loss": "all", "margin": 1.0}, "change 1"),
        ({"los": "all"}, "Did you mean 'loss'"),
        ({"loss": "contrastive"}, "choose one of"),
        ("loss", "settings are asked for"),
    ],
    "sst.sum_to_zero": [
        (lambda a, p, n: (0.0, 0.0, 0.0), "Three zeros"),
        (lambda a, p, n: tuple(-x for x in sst_gradients._sst_moves(a, p, n)), "the other way"),
        (lambda a, p, n: sst_gradients._sst_moves(a, p, n)[[1, 0, 2]], "differs"),
        (lambda a, p, n: sst_gradients._sst_moves(a, p, n).sum(), "not 3 numbers"),
    ],
    "sst.opposed_on_n": [
        (lambda a, p, n: min(a, p) < n < max(a, p), "all between a and p"),
        (lambda a, p, n: a < n < (a + p) / 2, "on the left"),
        (lambda a, p, n: (a + p) / 2 < n < p, "differs"),
        (lambda a, p, n: 1, "True or False"),
    ],
    "sst.resting_place": [
        (lambda a, p: a, "triplet loss"),
        (lambda a, p: a + p, "factor 2"),
        (0.5, "a number; a function"),
    ],
    "sst.stability": [("a", "is positive there"), ("c", "only exactly"), ({"b", "d"}, "neither side")],
    "sst.expose_broken": [
        (lambda loss: True, "it is smooth"),
        (sums_of_gradients_vanish, "it is smooth"),
        (lambda loss: False, "right loss does not pass"),
        (equal_to_the_last_digit, "allow for rounding"),
        (True, "no function"),
    ],
    "sst.bound": [(("v", "w"), "as text"), (1 / 3, "as text")],
    "batches.expected_positives": [
        ((0.0091, 4), "one of the K"),
        ((0.01131, 3), "counts the anchor"),
        ((3, 0.0091), "something else"),
        (3, "2 numbers are asked for"),
    ],
    "batches.neighbourhoods": [
        (lambda z, size: list(torch.arange(len(z)).split(size)), "are they groups"),
        (lambda z, size: [torch.arange(len(z))], "32 are allowed"),
        (lambda z, size: [torch.arange(size)] * 20, "more than once"),
        (lambda z, size: [torch.arange(size)], "in no batch"),
        (lambda z, size: [torch.tensor([len(z)])], "There is no row"),
        (lambda z, size: 3.5, "no list of row numbers"),
        ([[0, 1]], "no function"),
    ],
    "batches.left_alone": [
        (lambda: batches.left_alone(-1, 16), "after the training"),
        (lambda: 100 * batches.left_alone(0, 16), "right in percent"),
        (0.0, "too small"),
    ],
    "batches.which_sampler": [
        ("b", "table of classes"),
        ({"a": "none"}, "1 of them is missing"),
        ("e", "no choice"),
    ],
    "weights.within_reach": [
        (lambda: weighting.within(1.3, 128), "too small"),
        (lambda: 1000 * weighting.within(1.3, 2), "on a circle"),
        (500, "smaller"),
        ((40, 960), "a number is asked for"),
    ],
    "weights.inverse_density": [
        (lambda d, dim: d.softmax(0), "differs"),
        (lambda d, dim: d.clamp_min(0.5) ** (2 - dim) * (1 - d**2 / 4) ** ((3 - dim) / 2), "differs"),
        (lambda d, dim: torch.full_like(d, 1 / len(d)), "drawn alike"),
        (lambda d, dim: weighting._density_itself(d, dim), "still more often"),
    ],
    "weights.multi_similarity": [
        (lambda s, beta, base: (beta * (s - base)).softmax(0), "the 1 in the logarithm"),
        (lambda s, beta, base: (beta * (s - base)).sigmoid(), "each negative alone"),
        (lambda s, beta, base: (beta * (s - base)).exp(), "differs"),
    ],
    "weights.duplicate": [
        ("c", "no semi-hard triplet"),
        ({"b": "the hardest"}, "1 of them is missing"),
        ({"a", "b", "e"}, "at most three"),
    ],
    "weights.own": [
        (lambda d: torch.ones_like(d), "no higher than with the triplet loss"),
        (lambda d: 1 - d, "below 0"),
        (lambda d: d.sum(), "returns the shape ()"),
        (lambda d: 3.0, "no tensor"),
        (lambda d: 0 * d, "nothing would be pushed"),
        (3.0, "no function of distances"),
    ],
    "temperature.all_alike": [
        (lambda: math.log(64), "not compared with itself"),
        (lambda: math.log(60), "stand in the denominator"),
        (lambda: math.log(16), "not over classes"),
        (0.0, "too small"),
        ("log 63", "cannot be read"),
    ],
    "temperature.supcon": [
        (lambda z, y, t: temperature._another(z, y, t, itself=True), "its own denominator"),
        (lambda z, y, t: temperature._another(z, y, t, inside=True), "NCA's form"),
        (lambda z, y, t: t * temperature.supcon(z, y, t), "multiplied by the temperature"),
        (lambda z, y, t: temperature.supcon(z, y, 1 / t), "similarities are multiplied"),
        (naive_supcon, "not a finite number"),
        (lambda z, y, t: temperature.supcon(z, y, t).detach(), "lost its connection"),
        (3.5, "a function of z, labels, temperature"),
    ],
    "temperature.weights": [
        (lambda s, p, t: (s / t).softmax(0) - p / p.sum(), "1/τ is missing"),
        (lambda s, p, t: ((s / t).softmax(0) - p.to(s)) / t, "1/|P|, not 1"),
        (lambda s, p, t: (s / t).softmax(0), "differs"),
    ],
    "temperature.ten_left": [
        (lambda: temperature.temperature_for(10, "untrained"), "untrained network"),
        (lambda: temperature.temperature_for(10, everyone=True), "from row 4 on"),
        (0.1, "too large"),
        ((0.05, 10), "a number is asked for"),
    ],
    "temperature.longer": [
        ({"a": "", "b": ""}, "1 of them is missing"),
        ({"a", "b", "c", "e"}, "which lengths do not change"),
        ("f", "no choice"),
    ],
    "temperature.better": [
        ("a", "another temperature"),
        ({"b": "", "c": "the same batches", "e": ""}, "equally near"),
        ({"d"}, "not what the network has learned"),
    ],
    "proxies.terms": [
        ((proxies.triplets(100, 20) // 2, 200_000), "Of the triplets you have half"),
        ((proxies.triplets(100, 20), 100), "the number of proxies"),
        ((proxies.triplets(100, 20), 2_000), "with every proxy"),
        ((200_000, proxies.triplets(100, 20)), "something else"),
        (200_000, "2 numbers are asked for"),
    ],
    "proxies.proxy_anchor": [
        (lambda *case: proxies._anchor_by(*case, all_proxies=True), "number of all proxies"),
        (lambda *case: proxies._anchor_by(*case, over_proxies=True), "along the rows"),
        (lambda *case: proxies.proxy_anchor(*case).detach(), "lost its connection"),
        (exp_before_log, "not a finite number"),
        (lambda s, labels, alpha, margin: s.mean(), "differs"),
    ],
    "proxies.sign": [
        ("e", "no probability exceeds 1"),
        ({"a": "the only other is far"}, "1 of them is missing"),
        ({"a", "c", "d"}, "outweighed by the sum"),
    ],
    "proxies.two_modes": [
        (lambda x, centers, gamma: x @ centers.mean(1).T, "between the modes"),
        (lambda x, centers, gamma: torch.einsum("nd,ckd->nck", x, centers).amax(2), "where γ goes to 0"),
        (proxies._over_all_centers, "centers of all classes"),
        (lambda x, centers, gamma: torch.einsum("nd,ckd->nck", x, centers), "numbers of shape"),
    ],
    "proxies.greedy": [
        (proxies._best_alone, "stood alone"),
        (proxies._farthest_first, "the farthest point"),
        (lambda d, k: list(range(k))[::-1], "differs"),
        (lambda d, k: proxies.greedy_places(d, k).sort().values, "differs"),
    ],
    "space.dfs": [
        (filling_the_space._others_at_zero, "not 0"),
        (filling_the_space._own_largest, "largest in each embedding"),
        (filling_the_space._first_channels, "first K channels"),
        (lambda z, counts, s: filling_the_space.scaled(z, counts, s).detach(), "lost its connection"),
        (lambda z, counts, s: s, "numbers of shape"),
    ],
    "space.leaves": [
        (1.3, "half way"),
        (1.6, "lies on the point of B"),
        (1.0, "too small"),
        ("2", "too large"),
    ],
    "space.balance": [
        ((0, 6, -2), "These are gradients"),
        ((0, 0, 0), "still pulls and pushes"),
        ((0, 2, -4), "left out the whole distance"),
        (0, "3 numbers are asked for"),
    ],
    "space.cause": [
        ({"b": "nothing new"}, "1 of them is missing"),
        ({"a", "b", "c"}, "same mixture of causes"),
        ("d", "tuning one side"),
    ],
    "space.own": [(1, "as text"), (["pictures"], "as text")],
    "ensembles.cascade": [
        ((1, 3), "it was not given all eight"),
        ((3, 7), "hardest for depth 3 itself"),
        ((6, 8), "decided by the losses at depth 2"),
        ((2, 8), "hardest for depth 1"),
        ((5, 7), "something else"),
        (4, "2 numbers are asked for"),
    ],
    "ensembles.boosting": [
        (lambda *case: ensembles._weights_by("previous alone", *case), "the learner before alone"),
        (lambda *case: ensembles._weights_by("plain mean", *case), "later ones count more"),
        (lambda *case: ensembles._weights_by("sign", *case), "the other way"),
        (learner_itself_included, "differs"),
        (lambda cosines, *more: cosines[0], "weights of shape"),
    ],
    "ensembles.reversal": [
        ("b", "if R had no minus"),
        ({"a": "g foretells", "e": "the identity"}, "1 of them is missing"),
        ({"a", "c", "d", "e"}, "would become alike"),
    ],
    "ensembles.side_by_side": [
        (1 / 3, "if all spread alike"),
        (lambda: ensembles.share_of_the_widest(0.5), "not squared ones"),
        (lambda: 100 * ensembles.share_of_the_widest(), "right in percent"),
        (0.5, "too small"),
    ],
    "ensembles.average": [
        ((1 / 3, 0), "nothing in common"),
        ((0.7333, 0), "The common part stays"),
        ((0.6, 0.7333), "in the other order"),
        (0.6, "2 numbers are asked for"),
    ],
    "ensembles.own": [(3, "as text"), (["yes"], "as text")],
    "training.bottleneck": [
        (("read", None, "backward"), "what another part built"),
        ((None, "read", "loss"), "Look again at A and B"),
        (("disk", None, "loss"), "no part 'disk'"),
        ("read", "Three answers"),
    ],
    "training.resumed": [
        (("nowhere", "elsewhere"), "holds no run"),
        (("here", "here"), "the same folder twice"),
        ("here", "Two folders"),
    ],
    "training.longer": [
        ("a", "without complaint"),
        ({"c": "over"}, "nothing left to do"),
        ({"b", "d"}, "seed and its number"),
    ],
    "training.half_batch": [
        ({"batch 20": "nowhere"}, "asked for by name"),
        ({"batch 20": "nowhere", "batch 20, half rate": "elsewhere"}, "holds no run"),
    ],
    "training.pairs_compared": [
        (lambda n, w: 1 / w, "a little less than 1/W"),
        (lambda n, w: (n / w - 1) / (n - 1), "share by share"),
        (lambda n, w: (n // w) * (n // w - 1) / 2, "On this input your function differs"),
        (0.5, "a function of n, processes"),
    ],
    "training.averaged": [
        ("a", "1 of them is missing"),
        ({"a", "c", "d"}, "other half"),
        ({"b": "all pairs"}, "about half of all"),
    ],
    "looking.which_is_better": [("a", "perplexity"), ({"b", "c"}, "perplexity")],
    "looking.number_that_tells": [
        ("a", "how honest"),
        ("d", "depend on the perplexity"),
        ({"b": "", "c": ""}, "mixes"),
    ],
    "looking.kept_neighbours": [
        (lambda z, page, k: 100 * looking.kept(z, page, k), "fraction"),
        (lambda z, page, k: looking.kept(page, z, min(k, 2)), "differs"),
        (lambda z, page, k: looking._neighbours(z, k), "not one number"),
    ],
    "looking.cost_of_a_hub": [
        (lambda lists, y: looking.cost_of_hub(lists, y) + 1, "differs"),
        (lambda lists, y: int((y != y[0]).sum()), "differs"),
    ],
    "looking.worst_query": [(7, "as text"), (["a loop"], "as text")],
    "looking.ties": [
        (with_the_query_in_a_table, "take it out"),
        (lambda d, y: looking.recall_in_both_orders(d, y)[0], "not 2 numbers"),
        (lambda d, y: looking.recall_in_both_orders(d, y)[::-1], "in the other order"),
        (first_row_wins, "differs"),
    ],
    "looking.fair_comparison": [
        ("b", "1 of them is missing"),
        ({"a", "b", "c"}, "a larger set is a harder one"),
        ({"b": "", "e": "the set is the same"}, "mixed set hides it"),
        ("d", "sorting decides"),
    ],
    "comparing.interval": [
        (lambda x: (x.mean() - x.std(), x.mean() + x.std()), "where single seeds lie"),
        (lambda x: (min(x), max(x)), "On this input your function differs"),
        (lambda x: comparing.t_interval(x)[1] - float(x.mean()), "not 2 numbers"),
        (lambda x: [100 * end for end in comparing.t_interval(x)], "differs"),
    ],
    "comparing.left_out": [
        ({"a": "of what?", "b": "chosen", "d": "by whom?"}, "1 of them is missing"),
        ({"a", "b", "c", "d", "f"}, "224 pixels are given"),
        ("e", "the same for all who keep to it"),
    ],
    "comparing.flaw": [
        ("b", "1 of them is missing"),
        ({"a", "b", "d"}, "the backbone differs as well"),
        ({"b": "", "d": "", "e": "the numbers agree"}, "one number, quoted with two networks"),
    ],
    "comparing.backbone": [
        ((10.1, 7.05), "the same backbone"),
        ((7.05, 1.7333), "in the other order"),
        (1.73, "2 numbers are asked for"),
    ],
    "comparing.paired_difference": [
        (comparing._unpaired, "pair them by seed"),
        (lambda a, b: comparing.paired(b, a), "B minus A"),
        (lambda a, b: comparing.paired(a, b)[0], "not 3 numbers"),
    ],
    "comparing.own_problem": [(("sst", "triplet"), "as text"), (2, "as text")],
    "comparing.plan": [
        ("sst or triplet", "as a dictionary"),
        ({**PLANNED, "b": "tripplet"}, "did you mean 'triplet'"),
        ({**PLANNED, "b": "sst"}, "the same method"),
        ({**PLANNED, "seeds": [0, 1]}, "Two seeds"),
        ({**PLANNED, "seeds": 3}, "as a list"),
        ({**PLANNED, "seeds": [0, 1, 1]}, "stands there twice"),
        ({**PLANNED, "budget": {"classes": 20}}, "how long both are trained"),
        ({**PLANNED, "budget": {"epochs": 2, "seed": 0}}, "what they share"),
        ({**PLANNED, "budget": {"epoch": 2}}, "did you mean 'epochs'"),
        ({**PLANNED, "smallest": 0.02}, "give points"),
        ({**PLANNED, "smallest": -1}, "more than 0"),
        ({name: PLANNED[name] for name in ("a", "b", "seeds", "budget")}, "does not say 'smallest'"),
        ({**PLANNED, "learning_rate": 1e-3}, "belong into the budget"),
    ],
    "comparing.verdict": [
        ("better", "A dictionary is asked for"),
        ({"plan": PLANNED, "verdict": "better"}, "does not say 'sweep'"),
        (
            {"plan": PLANNED, "sweep": "nowhere", "difference": 1, "interval": (0, 2), "verdict": "better"},
            "neither the folder",
        ),
    ],
}  # fmt: skip

every_exercise = pytest.mark.parametrize("id", exercises.names())


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """A short training is no faster on a machine that has other work: no clock decides here."""
    monkeypatch.setattr(answers, "LIMIT", 3600)


@pytest.mark.anew
@every_exercise
def test_the_solution_is_right(id):
    exercise = exercises.get(id)
    wanted = "to compare" if isinstance(exercise, Reflection) else "right"
    assert exercises.check(id, exercise.reference()).status == wanted


@pytest.mark.anew
@pytest.mark.parametrize(
    ("id", "answer", "words"),
    [pytest.param(id, *case, id=f"{id}-{i}") for id, each in WRONG.items() for i, case in enumerate(each)],
)
def test_a_plausible_wrong_answer_gets_the_reply_that_helps(id, answer, words):
    computed = isinstance(exercises.get(id), Number) and callable(answer)
    reply = exercises.check(id, answer() if computed else answer)
    assert reply.status == "not yet"
    assert words in reply.plain()


def test_every_exercise_has_two_wrong_answers_or_more():
    assert set(WRONG) == set(exercises.names())
    assert min(len(cases) for cases in WRONG.values()) >= 2


@every_exercise
@pytest.mark.parametrize("empty", [..., (..., ...), {"a": ...}], ids=str)
def test_without_an_answer_it_says_so_in_one_line_and_notes_nothing(id, empty, capsys, progress_file):
    assert exercises.check(id, empty).status == "not answered yet"
    assert capsys.readouterr().out == f"{exercises.get(id).heading}: not answered yet\n"
    assert not progress_file.exists()


@every_exercise
def test_hints_come_in_stages_and_the_last_stays(id):
    exercise = exercises.get(id)
    shown = [exercises.hint(id).text.split("\n\n")[0] for _ in range(len(exercise.hints) + 1)]
    assert shown == [*exercise.hints, exercise.hints[-1]]


@every_exercise
def test_solution_shows_code_and_why(id):
    page = exercises.solution(id)
    assert "```python" in page.text and exercises.get(id).solution in page.text
    assert exercises.get(id).explanation in page.text


@every_exercise
def test_no_hint_and_no_question_holds_the_solution(id):
    exercise = exercises.get(id)
    telling = max(exercise.solution.splitlines(), key=len)
    assert all(telling not in text for text in (exercise.question, *exercise.hints))


@pytest.mark.anew
@pytest.mark.parametrize("id", [id for id in exercises.names() if isinstance(exercises.get(id), Function)])
def test_each_known_mistake_of_a_function_is_recognised(id):
    for mistake, words in exercises.get(id).mistakes:
        assert exercises.check(id, mistake).words == words


@pytest.mark.anew
@pytest.mark.parametrize("id", [id for id in exercises.names() if isinstance(exercises.get(id), Number)])
def test_each_of_several_numbers_is_named_beside_its_field(id):
    page = exercises.get(id).for_page()
    assert len(set(page["parts"])) == len(page["parts"]) == (len(page["right"]) if page["several"] else 0)


@pytest.mark.parametrize("id", [id for id in exercises.names() if isinstance(exercises.get(id), Number)])
def test_each_known_mistake_of_a_number_is_recognised(id):
    for value, words in exercises.get(id).mistakes:
        assert exercises.check(id, value()).words == words


@pytest.mark.parametrize("id", [id for id in exercises.names() if isinstance(exercises.get(id), Choice)])
def test_each_choice_is_explained_and_some_but_not_all_are_right(id):
    options = exercises.get(id).options.values()
    assert all(option.text and option.why for option in options)
    assert 0 < sum(option.right for option in options) < len(options)


def test_ids_and_numbers_are_unique_and_numbers_follow_the_chapter():
    assert len(set(exercises.names())) == sum(len(chapter.exercises) for chapter in CHAPTERS)
    for chapter in CHAPTERS:
        numbers = [exercise.number for exercise in chapter.exercises]
        assert numbers == [f"{chapter.number}.{i}" for i in range(1, len(numbers) + 1)]
        assert len(numbers) >= 3


@every_exercise
def test_texts_speak_to_the_reader_as_the_course_does(id):
    exercise = exercises.get(id)
    text = " ".join([exercise.question, *exercise.hints, exercise.explanation]).lower()
    assert not {"simply", "obviously", "trivially", "just"} & set(re.findall(r"\w+", text))
    assert re.fullmatch(r"[a-z]+\.[a-z0-9_]+", id)


# ── the definitions they compare with ─────────────────────────────────────────────────────────────────


def test_recall_at_1_is_that_of_the_library():
    from dmlteach import metrics

    z, y = torch.randn(40, 3, generator=torch.Generator().manual_seed(1)), torch.arange(8).repeat(5)
    assert start_here.recall_at_1(z, y) == pytest.approx(metrics.recall_at_k(z, y, (1,))[1])


def test_the_hinge_is_the_loss_of_the_library():
    z = torch.randn(50, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for a, p, n in z:
        by_library = triplet_loss(torch.stack([a, p, n]), LABELS, margin=0.5, targets=ONLY_ROW_0)
        assert torch.allclose(pairs_and_triplets.hinge(a, p, n, 0.5), by_library)


def test_the_share_of_active_triplets_is_that_of_random_ones():
    from dmlteach.course.recordings import recordings
    from dmlteach.losses.triplet import triplet_hinges

    record = recordings("triplet")
    margin = pairs_and_triplets.TRAINED_WITH
    hinges, exist = triplet_hinges(record.embeddings[-1].double(), record.labels, margin, num_targets=500)
    assert pairs_and_triplets.active_share() == pytest.approx(float((hinges[exist] > 0).double().mean()))


def test_the_cure_has_the_defaults_of_the_run_that_collapses():
    from dmlteach.course.exercises import collapse

    cure = exercises.get("triplet.cure")
    assert isinstance(cure, Configuration)
    parameters = inspect.signature(collapse.train_briefly).parameters
    for setting, problem in cure.settings.items():
        assert problem(parameters[setting].default) is None


def test_both_orders_of_a_tie_agree_with_the_library_and_with_sorting_that_favours_the_right_one():
    from dmlteach import metrics

    z, y = torch.randint(3, (40, 2), generator=torch.Generator().manual_seed(1)).float(), torch.arange(40) % 4
    d = (z[:, None] - z).square().sum(2)
    wrong_first, right_first = looking.recall_in_both_orders(d, y)
    assert wrong_first == pytest.approx(metrics.recall_at_k(z, y, (1,))[1])
    favoured = d - 0.5 * (y[:, None] == y)  # whole numbers: it only breaks ties
    nearest = favoured.fill_diagonal_(torch.inf).argmin(1)
    assert right_first == pytest.approx((y[nearest] == y).double().mean().item())
    assert wrong_first < right_first


@pytest.mark.parametrize("processes", [1, 2, 4, 16])
def test_the_pairs_compared_follow_the_formula_where_shares_are_equal(processes):
    assert training.pairs_compared(64, processes) == pytest.approx((64 / processes - 1) / 63)


@pytest.mark.anew
def test_two_runs_are_shown_beside_the_untrained_network_on_the_same_classes():
    exercise = exercises.get("training.half_batch")
    case = exercises.check(exercise.id, exercise.reference()).case
    assert list(case)[:2] == ["classes of val", "Recall@1 on val, untrained"] and len(case) == 4
    assert all(0 < value <= 1 for name, value in case.items() if name.startswith("Recall@1"))


@pytest.mark.anew
def test_two_runs_of_half_the_batch_may_differ_in_their_rate_alone(tmp_path):
    small = TrainConfig(
        method="sst", dataset="omniglot", classes=20, batch_size=20, epochs=1, batches_per_epoch=1,
        device="cpu", progress=False,
    )  # fmt: skip

    def runs(**halves):
        made = [
            fit(replace(small, output=str(tmp_path / f"{name}{len([*tmp_path.iterdir()])}"), **other))
            for name, other in {"full": {"learning_rate": 1e-3}, "half": halves}.items()
        ]
        return dict(zip(training.HALVES, made, strict=True))  # as `fit` returns them: their folders are meant

    as_asked = exercises.check("training.half_batch", runs(learning_rate=5e-4))
    assert as_asked.status == RIGHT
    longer = exercises.check("training.half_batch", runs(learning_rate=5e-4, epochs=2))
    assert longer.status == NOT_YET and "differ in epochs, too" in longer.words
    whole_rate = exercises.check("training.half_batch", runs(learning_rate=2e-4))
    assert whole_rate.status == NOT_YET and "learning_rate is 0.0002, not 0.0005" in whole_rate.words


def test_a_run_is_known_by_its_folder_by_its_configuration_and_by_what_fit_returns(tmp_path):
    exercise = exercises.get("training.resumed")
    runs = training.two_runs(tmp_path)
    undisturbed = TrainConfig(method="sst", dataset="omniglot", output=str(runs / "undisturbed"))
    assert exercise.judge((undisturbed, runs / "broken")).status == RIGHT
    missing = exercise.judge((undisturbed, runs / "nowhere"))
    assert "nowhere" in missing.words and not missing.words.endswith("..")


@pytest.mark.parametrize(("alpha", "margin"), [(32.0, 0.1), (4.0, 0.3)])
def test_the_proxy_anchor_of_the_exercise_is_the_loss_of_the_library(alpha, margin):
    from dmlteach.distances import cosine_to
    from dmlteach.losses import proxy_anchor_loss

    generator = torch.Generator().manual_seed(1)
    z, p = (torch.randn(n, 4, dtype=torch.float64, generator=generator) for n in (9, 6))
    labels = torch.randint(6, (9,), generator=generator)
    ours = proxies.proxy_anchor(cosine_to(z, p), labels, alpha, margin)
    torch.testing.assert_close(ours, proxy_anchor_loss(z, labels, p, alpha, margin), rtol=1e-10, atol=1e-10)


def test_the_similarity_of_the_exercise_is_that_of_soft_triple():
    from dmlteach.distances import normalize
    from dmlteach.losses.soft_triple import class_similarity

    generator = torch.Generator().manual_seed(1)
    x = normalize(torch.randn(7, 4, dtype=torch.float64, generator=generator))
    centers = normalize(torch.randn(6, 4, dtype=torch.float64, generator=generator)).view(3, 2, 4)
    torch.testing.assert_close(
        proxies.similarity_to_classes(x, centers, 0.1), class_similarity(x, centers, 0.1)
    )


def test_the_triplets_of_the_exercise_are_those_that_counting_finds():
    labels = [c for c in range(3) for _ in range(4)]
    rows = range(len(labels))
    counted = sum(a != p and labels[a] == labels[p] != labels[n] for a in rows for p in rows for n in rows)
    assert counted == proxies.triplets(3, 4)


def test_the_greedy_places_of_the_exercise_are_the_medoids_that_the_library_starts_from():
    from dmlteach.losses.clustering import violating_medoids

    z = torch.randn(15, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    d = torch.cdist(z, z)
    by_library = violating_medoids(d.numpy(), torch.arange(15).numpy() % 4, 0.0, passes=0)
    assert proxies.greedy_places(d, 4).tolist() == by_library.tolist()


def test_the_signs_of_the_choices_are_those_of_the_loss():
    from dmlteach.losses import proxy_nca_loss

    at_right_angles = torch.eye(101, dtype=torch.float64)
    opposite = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    between = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    first = torch.tensor([0])
    values = {
        "a": proxy_nca_loss(opposite[:1], first, opposite),
        "b": proxy_nca_loss(between, first, opposite),
        "c": proxy_nca_loss(at_right_angles[:1], first, at_right_angles),
        "d": proxy_nca_loss(at_right_angles[:1], first, at_right_angles, scale=3.0),
        "e": proxy_nca_loss(at_right_angles[:1], first, at_right_angles, scale=3.0, variant="softmax"),
    }
    below = {letter for letter, value in values.items() if value < -1e-9}
    assert below == {letter for letter, option in proxies.SIGN.options.items() if option.right}


@pytest.mark.parametrize("channels", [1, 3])
def test_the_scaling_of_the_exercise_is_that_of_das(channels, monkeypatch):
    from dmlteach.objective import DAS

    generator = torch.Generator().manual_seed(1)
    z, labels = torch.randn(9, 5, generator=generator), torch.arange(9) % 3
    das = DAS(3, 5, copies=1, channels=channels, scale_range=(0.5, 2.0), shift=0.0)
    das.frequency.copy_(torch.stack([torch.randperm(5, generator=generator) for _ in range(3)]))
    draws = torch.rand(9, channels, generator=generator)
    monkeypatch.setattr(das, "remember", lambda *given: None)
    monkeypatch.setattr(torch, "rand", lambda *shape, **more: draws if len(shape) == 2 else draws[:, 0])
    made = das(z, labels)[0][9:]
    torch.testing.assert_close(made, filling_the_space.scaled(z, das.frequency[labels], 0.5 + 1.5 * draws))


def test_the_label_of_the_exercise_stops_where_looking_at_every_scale_finds_it():
    own, strangers = (
        torch.tensor(points, dtype=torch.float64)
        for points in ((filling_the_space.ANCHOR, filling_the_space.CLASSMATE), filling_the_space.STRANGERS)
    )
    scales = torch.arange(1, 1.7, 1e-4, dtype=torch.float64)
    made = torch.stack([2 * scales, torch.ones_like(scales)], 1)
    wrong = torch.cdist(made, strangers).amin(1) < torch.cdist(made, own).amin(1)
    first = scales[int(wrong.int().argmax())]
    assert float(first) == pytest.approx(exercises.get("space.leaves").value(), abs=2e-4)
    assert bool(wrong[scales > first].all())


def test_the_forces_of_the_exercise_sum_to_zero_only_where_all_three_answer():
    assert filling_the_space._forces() == pytest.approx((0, -6, 2))


@pytest.mark.parametrize("seed", range(3))
def test_the_weights_of_the_exercise_are_those_of_bier(seed):
    from dmlteach.losses.bier import boosting_weights, pair_logits

    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(6, 12, dtype=torch.float64, generator=generator)
    labels = torch.randint(2, (6,), generator=generator)
    by_library = torch.stack(boosting_weights(pair_logits(z, labels, (3, 4, 5), 2.0, 0.5, 2.0), labels))
    cosines = torch.stack(
        [torch.nn.functional.cosine_similarity(p[:, None], p, -1) for p in z.split((3, 4, 5), 1)]
    )
    same = (labels[:, None] == labels).flatten()
    torch.testing.assert_close(
        ensembles.boosted(cosines.flatten(1), same, 2.0, 0.5, 2.0), by_library.flatten(1)
    )


def test_the_cascade_of_the_exercise_is_that_of_hdc():
    from dmlteach.losses.hdc import hard_sets

    kept = hard_sets(torch.tensor(ensembles.DEPTHS), torch.ones(8, dtype=torch.bool), (1.0, 0.5, 0.25))
    assert tuple((kept[2].nonzero()[:, 0] + 1).tolist()) == ensembles.cascade()


@pytest.mark.parametrize("seed", range(5))
def test_the_choices_on_the_reversal_are_what_a_step_of_the_library_does(seed):
    from dmlteach.models.diversity import adversarial_penalty

    torch.manual_seed(seed)
    x, learners = torch.randn(20, 6), [torch.randn(n, 6, requires_grad=True) for n in (3, 4)]
    g = torch.nn.Linear(4, 3)

    def product():
        r, other = (x @ matrix.T for matrix in learners)
        return float((r * g(other)).square().mean().detach())

    def after_a_step(values, gradients):
        with torch.no_grad():
            for v, d in zip(values, gradients, strict=True):
                v -= 1e-4 * d
            moved = product()
            for v, d in zip(values, gradients, strict=True):
                v += 1e-4 * d
        return moved

    before, penalty = product(), adversarial_penalty(x, learners, [g])
    assert float(penalty.detach()) == pytest.approx(-before, rel=1e-5)  # e
    weights = list(g.parameters())
    gradients = torch.autograd.grad(penalty, [*learners, *weights])
    assert after_a_step(weights, gradients[2:]) > before  # a, not b
    assert after_a_step(learners, gradients[:2]) < before  # c
    assert after_a_step(learners, [-d for d in gradients[:2]]) > before  # not d
    assert {k for k, option in ensembles.REVERSAL.options.items() if option.right} == {"a", "c", "e"}
