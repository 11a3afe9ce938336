"""What the chapter on weighting pairs, its explorer and its exercises claim."""

import re
from functools import cache

import numpy as np
import pytest
import torch
from scipy import stats

from dmlteach import TrainConfig, data, fit, losses, models
from dmlteach.course.exercises import weighted_training, weighting
from dmlteach.course.pair_weights import pair_weights
from dmlteach.course.widgets.weight_explorer import curves
from dmlteach.distances import normalize
from dmlteach.embeddings import embed
from dmlteach.losses.margin import negative_probabilities
from tests.claims import paired

SEEDS = (0, 1, 2)
SAME = curves.labels_of_batch()[:, None] == curves.labels_of_batch()


@pytest.fixture(scope="module")
def space(run_cells):
    """Names of the chapter, once its numbers are computed."""
    return run_cells("weighting_pairs", "imports", "sphere", "real", "weights", "all", "learn")


@pytest.fixture(scope="module")
def said(space, said_by):
    """What a cell says that puts its sentence together itself, by its id."""
    return lambda id: said_by("weighting_pairs", id, space)


@cache
def untrained(seed: int) -> torch.Tensor:
    """A batch of an untrained network of this seed, (64, 128) of length 1."""
    test = data.load("omniglot", "test")
    chosen = torch.randperm(test.num_classes, generator=torch.Generator().manual_seed(seed))[:16]
    some = test.subset_classes(chosen.tolist())
    rows = torch.cat([(some.labels == label).nonzero()[:4, 0] for label in range(16)])
    return normalize(embed(models.create("omniglot_cnn", 128, seed=seed), some)[rows].double())


def negatives(z, w):
    """Distances and weights of the negative pairs of a batch."""
    d = (2 - 2 * z @ z.T).clamp_min(0).sqrt()
    return d[~SAME].numpy(), w[~SAME].numpy()


# --- where the negatives are


def test_the_share_within_a_distance_is_the_integral_of_the_density():
    for distance, dim in ((1.3, 128), (1.0, 16), (0.5, 3)):
        cosine = (
            1 - distance**2 / 2
        )  # of a coordinate of a random direction: t = x √(n−1) / √(1−x²) is Student's
        exact = stats.t.sf(cosine * np.sqrt(dim - 1) / np.sqrt(1 - cosine**2), dim - 1)
        assert weighting.within(distance, dim) == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_in_128_dimensions_distances_crowd_at_the_root_of_two_and_none_is_below_1(run_cells, seed):
    found = run_cells("weighting_pairs", "imports", "sphere", seed=seed)["distances"]
    assert (found[128] < 1).sum() == 0 and (found[2] < 1).sum() > 250
    assert found[16].std() < found[2].std() / 2 and found[128].std() < found[16].std() / 2
    assert abs(found[128].median() - 2**0.5) < 0.02


@pytest.mark.parametrize("seed", SEEDS)
def test_an_untrained_network_puts_everything_into_one_corner(seed):
    d, _ = negatives(untrained(seed), torch.zeros(64, 64))
    z = untrained(seed)
    positive = (2 - 2 * z @ z.T).clamp_min(0).sqrt()[SAME & ~torch.eye(64, dtype=torch.bool)]
    assert np.median(d) < 0.8  # at random: 1.41
    assert (d < positive.median().item()).mean() > 0.05


@pytest.mark.anew
@pytest.mark.parametrize("seed", SEEDS)
def test_training_spreads_the_characters_out(trained_on_the_sphere, seed):
    before, after = trained_on_the_sphere(seed)
    assert np.median(after["negative"]) > 1.5 * np.median(before["negative"])
    overlap = [(of["negative"] < np.median(of["positive"])).mean() for of in (before, after)]
    assert overlap[1] < overlap[0] / 3


@pytest.fixture(scope="session")
def trained_on_the_sphere(tmp_path_factory):
    """Distances of the pairs of held-back drawings before and after 60 steps of multi-similarity, by seed."""

    def distances(network):
        val = data.load("omniglot", "val", classes=40)
        z = normalize(embed(network, val).double())
        d, same = (2 - 2 * z @ z.T).clamp_min(0).sqrt().numpy(), val.labels[:, None] == val.labels
        others = ~torch.eye(len(z), dtype=torch.bool)
        return {"negative": d[(~same).numpy()], "positive": d[(same & others).numpy()]}

    @cache
    def of(seed: int):
        config = TrainConfig(
            method="multi_similarity", classes=100, batch_size=64, epochs=1, batches_per_epoch=60, seed=seed,
            learning_rate=3e-3, eval_every=0, progress=False, output=str(tmp_path_factory.mktemp("run")),
        )  # fmt: skip
        return distances(models.create("omniglot_cnn", 128, seed=seed)), distances(fit(config).model)

    return of


# --- what the losses look at


@pytest.mark.parametrize("seed", SEEDS)
def test_the_share_of_negatives_that_take_part_differs_by_orders_of_magnitude(seed):
    z, labels = untrained(seed), curves.labels_of_batch()
    share = {}
    for family, value in (("triplet", 0.2), ("batch_hard", 0.2)):
        _, w = negatives(z, pair_weights(curves.loss_of(family, value), z, labels))
        share[family] = (w > 1e-9 * w.max()).mean()
    assert share["batch_hard"] < 0.06 and share["triplet"] > 10 * share["batch_hard"]


def test_triplets_pull_as_much_as_they_push_and_the_others_do_not(said):
    said("weights-read")
    z, labels = untrained(1), curves.labels_of_batch()

    def balance(name, **options):
        w = pair_weights(losses.create(name, **options), z, labels)
        return float(w[~SAME].sum() / -w[SAME].sum())

    assert balance("triplet_all", squared=True) == pytest.approx(1, abs=1e-9)
    assert balance("triplet_hard") > 1.1 and abs(balance("multi_similarity", base=0.5) - 1) > 0.1


@pytest.mark.parametrize("seed", SEEDS)
def test_semi_hard_gives_the_nearest_less_weight_in_an_untrained_network_and_the_others_do_not(seed):
    z, labels = untrained(seed), curves.labels_of_batch()
    for family, of in curves.FAMILIES.items():
        torch.manual_seed(0)
        middle = of.values[(len(of.values) - 1) // 2]
        d, w = negatives(z, pair_weights(curves.loss_of(family, middle), z, labels))
        nearest, middling = d <= np.quantile(d, 0.02), abs(d - np.median(d)) < 0.02
        less = w[nearest].mean() < 0.9 * w[middling].mean()  # triplets are flat
        assert less == (family == "semihard"), family


def test_distance_weighted_sampling_pushes_all_distances_within_reach_alike_where_points_lie_at_random():
    push = (
        np.nan_to_num(curves.load().curves["margin", 0.2, "uniform"].negative)
        * curves.load().negatives["uniform"]
    )
    within = (curves.EDGES[:-1] > 1.24) & (curves.EDGES[1:] < 1.41)
    assert push[within].max() < 1.15 * push[within].min() and within.sum() == 3
    assert push[curves.EDGES[:-1] > 1.39].sum() == 0


def test_a_small_margin_finds_nothing_left_in_a_trained_network(said):
    record = curves.load().curves
    assert record["contrastive", 0.6, "untrained"].active > 0.5
    assert record["contrastive", 0.6, "trained"].active < 0.01
    text = said("explorer-read")
    assert f"{record['contrastive', 0.6, 'untrained'].active:.0%}" in text


@pytest.mark.parametrize("embedding", ["untrained", "trained"])
@pytest.mark.parametrize(
    ("family", "sign"), [("contrastive", 1), ("triplet", 1), ("lifted", -1), ("sst", -1)]
)
def test_an_option_moves_the_curve_along_the_axis(family, sign, embedding):
    halves = [curves.load().curves[family, value, embedding].half for value in curves.FAMILIES[family].values]
    known = np.array([half for half in halves if not np.isnan(half)][: 4 if family == "sst" else None])
    assert (sign * np.diff(known) >= -0.03).all() and sign * (known[-1] - known[0]) > 0.02


def test_the_picture_of_all_losses_tells_what_its_words_say():
    record = curves.load().curves
    steep = {}
    for family, of in curves.FAMILIES.items():
        w = record[family, of.values[(len(of.values) - 1) // 2], "untrained"].negative
        known = w[~np.isnan(w)]
        assert (known.argmax() == 0) == (family not in ("semihard", "margin")), family
        steep[family] = known[2] / known.max()
    assert sorted(steep, key=steep.get)[0] == "batch_hard"


def test_the_number_of_pairs_left_in_front_of_the_positives_is_counted_once_each(said):
    z, labels = curves.load().points["trained"], curves.load().labels
    d = (2 - 2 * z @ z.mT).clamp_min(0).sqrt()
    same = labels[:, None] == labels
    upper = torch.ones(64, 64, dtype=torch.bool).triu(1)
    middle = d[:, same & upper].median()
    count = int((d[:, ~same & upper] < np.median(d[:, same & upper])).sum())
    assert middle > 0 and f"**{count:,}** of {8 * int((~same & upper).sum()):,} negative pairs" in said(
        "real-read"
    )


# --- which weights learn better


def test_what_is_said_of_two_losses_is_what_a_paired_t_test_finds(said, space):
    text = said("learn-read")
    pairs = re.findall(r"- \*.*?\*(.*)", text)
    assert len(pairs) >= 3
    for line in pairs:
        paired.check(line)


# --- exercises


def test_the_density_of_the_exercise_is_that_of_the_librarys_sampling():
    d = torch.tensor([0.3, 0.6, 0.9, 1.2, 1.39], dtype=torch.float64)
    for dim in (8, 128):
        whole = torch.zeros(6, 6, dtype=torch.float64)
        whole[0, 1:] = d
        is_negative = torch.zeros(6, 6, dtype=torch.bool)
        is_negative[0, 1:] = True
        expected = negative_probabilities(whole, is_negative, dim)[0, 1:]
        torch.testing.assert_close(weighting.inverse_density(d, dim), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("batch", range(4))
def test_a_duplicate_is_nearly_all_the_push_of_two_of_the_losses(batch):
    z = curves.load().points["trained"][batch].clone()
    noise = torch.randn(128, generator=torch.Generator().manual_seed(batch), dtype=torch.float64)
    z[4] = normalize((z[0] + 1e-4 * noise)[None])[0]  # a picture of the second class, nearly one of the first
    share = {}
    for letter, family, value in (
        ("a", "triplet", 0.2), ("b", "batch_hard", 0.2), ("c", "semihard", 0.2),
        ("d", "binomial_deviance", 10.0), ("e", "margin", 0.2),
    ):  # fmt: skip
        torch.manual_seed(0)
        w = pair_weights(curves.loss_of(family, value), z, curves.labels_of_batch()) * ~SAME
        share[letter] = float(2 * w[0, 4] / (w[0].sum() + w[4].sum()))
    assert {letter for letter, value in share.items() if value > 0.9} == {"b", "e"}
    assert share["a"] < 0.3 and share["d"] < 0.3 and abs(share["c"]) < 1e-6


@pytest.mark.parametrize("seed", [pytest.param(0, marks=pytest.mark.anew), 1, 2])
def test_the_weight_of_the_solution_beats_the_triplet_loss_and_equal_weights_do_not(seed):
    def trained(weight):
        return weighted_training.recall(weighted_training.trained_with(weight, seed), "val")

    triplet = weighted_training.of_triplet("val", seed)
    assert trained(lambda d: torch.exp(-10 * d)) > triplet > trained(torch.ones_like)


def test_the_gradient_of_the_weighted_loss_has_the_weights_that_are_given():
    z, labels = untrained(0), curves.labels_of_batch()
    w = pair_weights(
        lambda z, y: weighted_training.weighted_loss(z, y, lambda d: torch.exp(-3 * d)), z, labels
    )
    d = (2 - 2 * z @ z.T).clamp_min(0).sqrt()
    given = torch.exp(-3 * d) * ~SAME
    given = given / given.sum(1, keepdim=True) / 64
    torch.testing.assert_close(w[~SAME], (given + given.T)[~SAME], rtol=1e-6, atol=1e-12)
