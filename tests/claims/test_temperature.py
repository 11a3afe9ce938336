"""What the chapter on temperature, its explorer and its exercises claim."""

import re
from functools import cache

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn.functional import cross_entropy

from dmlteach import data, losses, models
from dmlteach.course import measured
from dmlteach.course.exercises import get, temperature, weighted_training
from dmlteach.course.pair_weights import pair_weights
from dmlteach.course.widgets.temperature_explorer import shares
from dmlteach.course.widgets.weight_explorer import curves
from dmlteach.distances import normalize
from dmlteach.embeddings import embed
from tests.claims import paired

SEEDS = (1, 2, 3)
SMALL, BETWEEN, LARGE = 0.003, 0.05, 1.0  # temperatures: the ends of those in the chapter, and one between
LABELS = curves.labels_of_batch()
SAME = LABELS[:, None] == LABELS
POSITIVE = SAME & ~torch.eye(64, dtype=torch.bool)
NUMBERS = ("family", "check", "weights", "effective", "positives", "value", "scale", "tuned", "softmax")


@pytest.fixture(scope="module")
def space(run_cells):
    """Names of the chapter, once its numbers are computed; nothing is trained."""
    return run_cells("temperature", "imports", *NUMBERS)


@pytest.fixture(scope="module")
def said(space, cell):
    """What a cell says that puts its sentence together itself, by its id."""

    def text(id: str, **given) -> str:
        source = cell("temperature", id).rstrip()
        at = max(source.rfind("\nText("), source.rfind("\ncovered("))
        names = {**space, **given}
        exec(source[: at + 1] + "shown = " + source[at + 1 :], names)
        return names["shown"].markdown

    return text


@cache
def trained(seed: int, temperature: float = 0.1):
    """A small network after 50 steps of SupCon."""
    return weighted_training.train(losses.create("supcon", temperature=temperature), seed)


def batch_of(network, seed: int) -> torch.Tensor:
    """16 test characters of four drawings that the seed chooses, (64, D) of length 1."""
    test = data.load("omniglot", "test")
    chosen = torch.randperm(test.num_classes, generator=torch.Generator().manual_seed(seed))[:16]
    some = test.subset_classes(chosen.tolist())
    rows = torch.cat([(some.labels == label).nonzero()[:4, 0] for label in range(16)])
    return normalize(embed(network, some)[rows].double())


@cache
def both(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The same batch before and after the training of this seed."""
    before = models.create("omniglot_cnn", weighted_training.DIM, seed=seed)
    return batch_of(before, seed), batch_of(trained(seed), seed)


@cache
def untrained(seed: int) -> torch.Tensor:
    """A batch of an untrained network with more dimensions than pictures, (64, 128)."""
    return batch_of(models.create("omniglot_cnn", 128, seed=seed), seed)


def pushed_share(unit: torch.Tensor, t: float) -> float:
    """Positives that SupCon pushes away, by autograd of the library's loss anchor by anchor."""
    count = 0
    for a in range(64):
        others = torch.arange(64) != a
        cosine = (unit[others] @ unit[a]).requires_grad_()
        own = (LABELS[others] == LABELS[a]).nonzero()[:, 0]
        loss = torch.stack([cross_entropy(cosine[None] / t, p[None]) for p in own]).mean()
        loss.backward()
        count += int((cosine.grad[own] > 0).sum())
    return count / int(POSITIVE.sum())


# --- one sentence, four losses


@pytest.mark.parametrize("seed", SEEDS)
def test_the_family_is_each_of_the_librarys_losses(space, seed):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(64, 20, generator=generator, dtype=torch.float64)
    unit, others = normalize(z), ~torch.eye(64, dtype=torch.bool)
    t = float(torch.rand((), generator=generator)) + 0.05
    family = space["family"]
    d2 = torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist").square()
    own = torch.eye(32, dtype=torch.bool)
    seen = own | ~SAME[::2, 1::2]
    for library, ours in (
        (losses.nca_loss(z, LABELS, log=True, scale=1 / t), family(-d2, POSITIVE, others, t, inside=True)),
        (losses.n_pair_loss(z, LABELS), family(z[::2] @ z[1::2].T, own, seen)),
        (losses.n_pair_loss(unit / t**0.5, LABELS), family((unit @ unit.T)[::2, 1::2], own, seen, t)),
        (losses.supcon_loss(z, LABELS, t), family(unit @ unit.T, POSITIVE, others, t)),
    ):
        assert float(library) == pytest.approx(float(ours), rel=1e-9)


def test_the_chapters_own_table_shows_no_difference(space):
    assert len(space["both"]) == 4
    assert all(abs(a - b) < 1e-9 for a, b in space["both"].values())


def test_supcon_with_two_pictures_of_a_class_is_a_cross_entropy_with_one_positive():
    unit = normalize(torch.randn(12, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    logits = (unit @ unit.T / 0.3).fill_diagonal_(-torch.inf)
    partner = torch.arange(12) ^ 1
    expected = cross_entropy(logits, partner)
    found = losses.supcon_loss(unit, torch.arange(6).repeat_interleave(2), 0.3)
    assert float(found) == pytest.approx(float(expected))


# --- what the gradient does with it


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_weights_are_probabilities_less_targets(space, inside, seed):
    unit, t = untrained(seed), 0.1
    p = space["probabilities"](unit, t)
    target = POSITIVE.double() / POSITIVE.sum(1, keepdim=True)
    if inside:
        target = (p * POSITIVE) / (p * POSITIVE).sum(1, keepdim=True)
    w = (p - target) / t / 64
    read = pair_weights(shares.loss_of("nca" if inside else "supcon", t), unit, LABELS)
    torch.testing.assert_close(w + w.T, read, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close((w * ~SAME).sum(1), -(w * SAME).sum(1))  # pushed as much as pulled


# --- how many negatives there are


@pytest.mark.parametrize("seed", SEEDS)
def test_more_negatives_share_the_push_the_larger_the_temperature_and_fewer_after_training(space, seed):
    number = space["effective_number"]
    before, after = both(seed)
    for unit in (before, after):
        means = [float(number(unit, t).mean()) for t in (0.003, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)]
        assert means == sorted(means) and means[0] < 10 and means[-1] > 59
    for t in (0.01, 0.05, 0.1):  # over eight seeds 2.4 to 8.9, 2.1 to 7.0 and 1.5 to 2.9 times as many before
        assert number(after, t).mean() < number(before, t).mean() / 1.2
    spreads = [unit_cosines(unit).std() for unit in (before, after)]
    assert spreads[1] > 1.5 * spreads[0]


def unit_cosines(unit: torch.Tensor) -> torch.Tensor:
    return (unit @ unit.T)[~SAME]


def test_what_is_said_of_the_effective_number_is_that_of_the_recording(said):
    text = said("effective-read")
    for embedding, t in (("untrained", 0.1), ("trained", 0.1)):
        mean = np.mean([effective(unit, t) for unit in curves.load().points[embedding]])
        assert f"**{mean:.0f}**" in text
    hardest = np.mean([effective(unit, 0.01) for unit in curves.load().points["trained"]])
    assert hardest < 2 and f"{hardest:.1f}" in text
    for embedding in shares.EMBEDDINGS:  # "all 60 share it"
        assert np.mean([effective(unit, 1.0) for unit in curves.load().points[embedding]]) > 58


def effective(unit: torch.Tensor, t: float) -> float:
    """Mean over anchors of exp of the entropy, by scipy."""
    rows = (unit @ unit.T / t).masked_fill(SAME, -torch.inf).softmax(1).numpy()
    return float(np.exp(stats.entropy(rows, axis=1)).mean())


def test_the_trained_network_needs_a_temperature_several_times_as_large_for_the_same_number(space):
    at = {}
    for name, numbers in space["numbers"].items():
        for wanted in (10, 30, 50):
            at[name, wanted] = float(space["temperatures"][(numbers.median(1).values < wanted).sum()])
    assert all(at["trained", wanted] > 3 * at["untrained", wanted] for wanted in (10, 30, 50))


# --- positives


@pytest.mark.parametrize("seed", SEEDS)
def test_supcon_pushes_some_positives_of_a_trained_network_and_hardly_any_of_an_untrained_one(seed):
    before, after = both(seed)
    assert pushed_share(after, 0.05) > 0.05 > pushed_share(before, 0.1)
    assert pushed_share(after, 0.05) > 2 * pushed_share(before, 0.05)


def test_the_pushed_positives_of_the_table_are_those_of_autograd(space):
    by_autograd = [pushed_share(unit, 0.05) for unit in curves.load().points["trained"]]
    assert space["pushed"]["trained", 0.05] == pytest.approx(np.mean(by_autograd))
    assert np.mean(by_autograd) > 0.3


@pytest.mark.parametrize("seed", SEEDS)
def test_nca_pushes_no_positive_and_prefers_the_nearest_the_smaller_the_temperature(space, seed):
    _, after = both(seed)
    nearest = []
    for t in (0.01, 0.05, 0.5):
        cosine = after @ after.T
        for a in range(64):
            others = torch.arange(64) != a
            row = shares.Row(cosine[a, others], SAME[a, others], SAME[a, others])
            assert (shares.weights_of("nca", t, row)[SAME[a, others]] <= 1e-12).all()
        q = (cosine / t).masked_fill(~POSITIVE, -torch.inf).softmax(1)
        nearest.append(float(q.amax(1).mean()))
    assert nearest == sorted(nearest, reverse=True) and nearest[0] > 0.6 and nearest[-1] < 0.45


# --- a lower loss


@pytest.mark.parametrize("seed", SEEDS)
def test_an_untrained_network_has_a_lower_supcon_than_a_trained_one_at_another_temperature(seed):
    before, after = both(seed)

    def value(unit, t):
        return float(losses.supcon_loss(unit, LABELS, t))

    assert min(value(before, t) for t in shares.TEMPERATURES) < value(after, 2.0)
    assert value(after, 0.1) < value(before, 0.1)  # at the temperature of its training
    assert value(after, 0.01) > value(before, 0.01)  # and yet at a small one it is the other way round


def test_what_is_said_of_the_losss_value_is_that_of_the_recording(said, space):
    record = curves.load()

    def mean(loss, name, t):
        return np.mean([float(loss(unit, t)) for unit in record.points[name]])

    assert mean(space["supcon"], "trained", 0.01) > mean(space["supcon"], "untrained", 0.01)
    assert mean(space["supcon"], "trained", 2.0) > min(space["values"]["supcon", "untrained"])
    for of_trained, of_untrained in zip(
        *(space["values"]["nca", n] for n in ("trained", "untrained")), strict=True
    ):
        assert of_trained < of_untrained
    cosine = {name: record.points[name] @ record.points[name].mT for name in shares.EMBEDDINGS}
    ranges = {}
    for name, of in cosine.items():
        own = of[:, POSITIVE].view(8, 64, 3)
        ranges[name] = float((own.amax(-1) - own.amin(-1)).mean())
    assert ranges["trained"] > 1.5 * ranges["untrained"]  # "differ more from each other"
    text = said("value-read")
    assert f"{mean(space['supcon'], 'trained', 2.0):.2f} at a temperature of 2" in text
    assert f"{min(space['values']['supcon', 'untrained']):.2f} at" in text


# --- only a scale


@pytest.mark.parametrize("seed", SEEDS)
def test_gradients_at_different_temperatures_have_different_directions(space, seed):
    _, after = both(seed)
    gradient = space["gradient"]
    usual = gradient(after, 0.1)
    for t in (0.01, 1.0):
        assert torch.cosine_similarity(usual, gradient(after, t), dim=0) < 0.95


def test_the_recorded_gradients_turn_with_the_temperature(space):
    for name in shares.EMBEDDINGS:
        assert space["angles"][name, 0.1] == pytest.approx(1)
        assert space["angles"][name, 0.01] < 0.8
    assert space["angles"]["trained", 1.0] < 0.8


def test_the_length_of_embeddings_is_ncas_scale(said):
    text = said("length")
    first, second = re.findall(r"\d\.\d{6}", text)
    assert first == second


# --- which temperature learns better


def test_the_best_temperature_lies_between_the_ends(mean_over_seeds):
    def measure(seed):
        return {f"at {t}": weighted_training.recall(trained(seed, t), "val") for t in (SMALL, BETWEEN, LARGE)}

    means = mean_over_seeds(measure)
    # 0.570 ± 0.038, 0.680 ± 0.027 and 0.460 ± 0.030 over 20 seeds
    assert means[f"at {BETWEEN}"] > means[f"at {SMALL}"]
    assert means[f"at {BETWEEN}"] > means[f"at {LARGE}"] + 0.08


def test_the_sentence_on_training_names_the_best_and_the_ends(said):
    reached = {0.003: 0.51, 0.05: 0.69, 1.0: 0.46}
    text = said("learn-read", reached=reached, start=0.4)
    assert "**51%** at 0.003, **69%** at 0.05" in text and "**46%** at 1.0; untrained it was 40%" in text


def test_the_table_of_tunings_is_that_of_the_committed_runs(cell, space):
    names = dict(space)
    exec(cell("temperature", "tuned").replace("\nText(", "\nshown = Text("), names)
    table = names["shown"].markdown
    for method in ("supcon", "nca", "n_pair", "normalized_softmax"):
        tuned = measured.tuned(method)
        (line,) = [line for line in table.splitlines() if line.startswith(f"| `{method}`")]
        assert f"{tuned.best.value:g}: {tuned.best.recall:.1%}" in line
        assert (", an end" in line) == tuned.value_at_end
        assert len(re.findall(r"\d%", line)) == 3


def test_what_is_said_of_two_losses_is_what_a_paired_t_test_finds(said):
    lines = re.findall(r"- \*.*?\*(.*)", said("finals-read"))
    assert len(lines) == 3
    for line in lines:
        paired.check(line)


# --- one vector per class


@pytest.mark.parametrize("seed", SEEDS)
def test_a_classifier_by_cosine_is_of_the_family(space, seed):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(64, 20, generator=generator, dtype=torch.float64)
    vectors = torch.randn(16, 20, generator=generator, dtype=torch.float64)
    one_hot = LABELS[:, None] == torch.arange(16)
    ours = space["family"](normalize(z) @ normalize(vectors).T, one_hot, torch.ones_like(one_hot), 0.05)
    library = losses.normalized_softmax_loss(z, LABELS, vectors, temperature=0.05)
    assert float(library) == pytest.approx(float(ours), rel=1e-9)


def test_fewer_other_classes_share_the_push_in_the_trained_network(said):
    untrained, trained = map(int, re.findall(r"by (\d+)\s", said("softmax-read")))
    assert 1 <= trained < untrained <= 15


# --- exercises


@pytest.mark.parametrize("t", [0.02, 0.1, 1.0])
def test_a_network_that_makes_all_alike_has_the_same_loss_at_each_temperature(t):
    value = losses.supcon_loss(torch.ones(64, 8, dtype=torch.float64), LABELS, t)
    assert (
        float(value) == pytest.approx(get("temperature.all_alike").reference()) == pytest.approx(np.log(63))
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_the_definitions_of_the_exercises_are_the_librarys(seed):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(9, 4, generator=generator, dtype=torch.float64)
    labels = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 3])
    expected = losses.supcon_loss(z, labels, 0.2)
    assert float(temperature.supcon(z, labels, 0.2)) == pytest.approx(float(expected))
    row = shares.row_of("trained", seed)
    found = temperature.supcon_weights(row.cosine, row.is_positive, 0.07)
    torch.testing.assert_close(found, shares.weights_of("supcon", 0.07, row))


def test_ten_negatives_share_the_push_at_the_temperature_of_the_exercise():
    row = shares.row_of("trained", 0)
    weights = shares.weights_of("supcon", get("temperature.ten_left").reference(), row)
    assert shares.effective_number(shares.shares_of(weights, row)) == pytest.approx(10, abs=1e-3)


def test_embeddings_three_times_as_long_are_another_temperature_for_the_losses_of_the_solution():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(64, 20, generator=generator, dtype=torch.float64)
    vectors = torch.randn(16, 20, generator=generator, dtype=torch.float64)
    bias = torch.randn(16, generator=generator, dtype=torch.float64)
    value = {
        "a": lambda z: losses.nca_loss(z, LABELS),
        "b": lambda z: losses.n_pair_loss(z, LABELS),
        "c": lambda z: losses.supcon_loss(z, LABELS),
        "d": lambda z: losses.normalized_softmax_loss(z, LABELS, vectors),
        "e": lambda z: losses.softmax_loss(z, LABELS, vectors, bias),
    }
    changed = {letter for letter, of in value.items() if abs(of(3 * z) - of(z)) > 1e-6}
    assert changed == set(get("temperature.longer").reference())
