"""What the chapter on proxies, clusters and trees, its explorer and its exercises claim."""

import re
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy import stats

from dmlteach import losses
from dmlteach.course import measured
from dmlteach.course.widgets import ProxyExplorer
from dmlteach.course.widgets.proxy_explorer.widget import STATES
from dmlteach.distances import normalize
from dmlteach.losses.clustering import facility_location_loss, violating_medoids

SEEDS = (0, 1, 2)
every_seed = pytest.mark.parametrize("seed", SEEDS)


@pytest.fixture(scope="module")
def space(run_cells):
    """Names of the chapter, once its numbers are computed."""
    ids = ("imports", "benchmark", "benchmark-read", "chain", "sign", "sphere", "count", "seen", "location")
    return run_cells("proxies_clusters_trees", *ids, "tree", "modes")


@pytest.fixture(scope="module")
def said(space, cell):
    """What a cell says that puts its sentence together itself, by its id."""

    def text(id: str) -> str:
        source = cell("proxies_clusters_trees", id).rstrip()
        at = max(source.rfind("\nText("), source.rfind("\ncovered("))
        names = dict(space)
        exec(source[:at] + "\nshown = " + source[at + 1 :], names)
        return names["shown"].markdown

    return text


# --- the benchmark


def told_by_a_t_test(space, one: str, other: str) -> int:
    """1, −1 or 0, by scipy's own paired test on the rows of the benchmark."""
    a, b = (space["ranked"][name].recalls() for name in (one, other))
    seeds = sorted(a.keys() & b.keys())
    x, y = [a[i] for i in seeds], [b[i] for i in seeds]
    if stats.ttest_rel(x, y).pvalue >= 0.05:
        return 0
    return 1 if np.mean(x) > np.mean(y) else -1


def test_each_method_is_shown_in_the_batches_in_which_it_ended_highest(space):
    for name, ranked in space["ranked"].items():
        others = [r for r in measured.ranking(None) if r.method == name and r.variant.startswith("with ")]
        others = [r for r in others if r.variant.removeprefix("with ") in measured.SAMPLERS]
        assert ranked.recall()[0] >= max([r.recall()[0] for r in others], default=0)


def test_what_is_counted_above_and_below_is_what_a_paired_t_test_finds(space, said):
    lines = [line for line in said("benchmark-read").splitlines() if line.startswith("- Above")]
    told = [
        re.match(
            r"- Above `(\w+)`: \*\*(\d+)\*\* \((.*)\)\. Below it: (.*)\. Cannot be told from it: (.*)\.", line
        ).groups()
        for line in lines
    ]
    assert [other for other, *_ in told] == list(space["by_pairs"])
    for other, count, *texts in told:
        above, below, neither = (re.findall(r"`(\w+)`", names) for names in texts)
        assert int(count) == len(above)
        assert sorted(above + below + neither) == sorted(space["by_classes"])
        for names, verdict in ((above, 1), (below, -1), (neither, 0)):
            for one in names:
                assert told_by_a_t_test(space, one, other) == verdict, (one, other)


def test_most_losses_with_class_vectors_end_above_the_triplet_loss_and_none_above_multi_similarity(space):
    verdicts = {
        other: [told_by_a_t_test(space, one, other) for one in space["by_classes"]]
        for other in ("triplet", "multi_similarity")
    }
    assert verdicts["triplet"].count(1) > len(space["by_classes"]) / 2
    assert 1 not in verdicts["multi_similarity"]
    assert told_by_a_t_test(space, "softmax", "sst") == 1


def test_losses_of_both_kinds_share_the_first_places_of_the_full_ranking():
    first = [ranked.method for ranked in measured.ranking()][:6]
    by_class = [name for name in first if losses.LOSSES[name].compares == "learned class vectors"]
    assert by_class and len(by_class) < len(first)


def test_some_steps_went_up_and_some_down_and_each_sentence_is_what_a_paired_t_test_finds(space, said):
    verdicts = []
    for line in said("learn").splitlines():
        if line.startswith("- *"):
            one, other = re.findall(r"`(\w+)`", line)
            verdicts.append(told_by_a_t_test(space, one, other))
            words = {1: " above ", -1: " below ", 0: "cannot be told apart"}[verdicts[-1]]
            assert words in line, line
    assert len(verdicts) == 8 and {1, -1} <= set(verdicts)


# --- the steps


@every_seed
def test_each_loss_with_its_new_part_set_to_nothing_is_the_one_before(run_cells, seed):
    differences = run_cells("proxies_clusters_trees", "imports", "chain", seed=seed)["differences"]
    assert len(differences) == 4 and max(differences.values()) < 1e-9


@every_seed
def test_the_push_of_proxy_anchor_is_the_part_of_multi_similarity_on_negatives(seed):
    generator = torch.Generator().manual_seed(seed)
    s = 2 * torch.rand(20, generator=generator, dtype=torch.float64) - 1
    # The second proxy is of a class without a picture: nothing draws it, and all push it.
    z = torch.stack([s, (1 - s**2).sqrt()], 1)
    proxies = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    own = torch.cat([torch.zeros(1).double(), -32 * (z @ proxies[0] - 0.1)]).logsumexp(0)
    push = 2 * (losses.proxy_anchor_loss(z, torch.zeros(20, dtype=torch.long), proxies, 32.0, 0.1) - own)
    # Multi-similarity of the proxy and a copy of it, two anchors with one positive, and 20 lone negatives.
    batch = torch.cat([proxies[1:], proxies[1:], z])
    labels = torch.tensor([0, 0, *range(1, 21)])
    both = losses.multi_similarity_loss(batch, labels, alpha=2.0, beta=32.0, base=-0.1, epsilon=3.0)
    pull = np.log1p(np.exp(-2.0 * 1.1)) / 2.0
    assert 32 * (22 * both.item() / 2 - pull) == pytest.approx(push.item(), rel=1e-6)


# --- below zero


@every_seed
def test_proxy_nca_ends_below_zero_at_the_formulas_value_and_its_softmax_form_above(run_cells, seed):
    found = run_cells("proxies_clusters_trees", "imports", "sign", seed=seed)
    for variant, values in found["free"].items():
        assert values[-1] == pytest.approx(found["ends"][variant], abs=0.02)
    assert found["free"]["paper"][-1] < 0 < min(found["free"]["softmax"])


def test_the_weight_of_the_own_proxy_never_fades_without_it_in_the_sum():
    near = torch.tensor([[1.0, 0.01]], dtype=torch.float64)
    for variant, scale, fades in (("paper", 3.0, False), ("softmax", 3.0, True)):
        own = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
        other = torch.tensor([[-1.0, 0.0]], dtype=torch.float64)
        # the own proxy turned by an angle, so that its cosine alone changes
        proxy = torch.stack([own.cos(), own.sin()], 1)
        value = losses.proxy_nca_loss(
            near, torch.tensor([0]), torch.cat([proxy, other]), scale, variant=variant
        )
        (slope,) = torch.autograd.grad(value, own)
        weight = slope.item() / np.sin(own.item() - 0.01) / (2 * scale**2)
        assert (weight < 0.01) == fades, variant


# --- scale and margin


def test_a_small_scale_cannot_be_sure_and_the_margin_moves_the_edge_by_half_of_itself(space):
    floor, half_way = space["floor"], space["half_way"]
    for classes, values in floor.items():
        scales = space["scales"].numpy()
        formula = np.log1p((classes - 1) * np.exp(-scales * classes / (classes - 1)))
        assert values == pytest.approx(formula, abs=1e-6)
        assert (np.diff(values) < 1e-12).all() and values[0] > np.log(classes) - 1
    edge, with_margin = half_way["softmax, S = 32"], half_way["ArcFace, S = 32, m = 0.5"]
    assert edge - with_margin == pytest.approx(np.degrees(0.25), abs=1)
    assert abs(edge - 45) <= 1.5 and half_way["softmax, S = 4"] > edge


# --- the explorer


def test_a_larger_scale_makes_the_proxy_deaf_and_proxy_nca_is_not_like_that(said):
    shown = {label: ProxyExplorer(**state) for label, state in STATES.items()}
    assert shown["all of them"].half >= 4 > shown["only the hardest"].half == 1
    assert shown["its own alike"].half >= 3
    heard = int(shown["only the hardest"].shares.argmax())
    s = shown["only the hardest"].cosines
    lead = s[:5, 0] - s[:5, 1:].max(1).values
    assert heard == int(lead.argmin())  # the own point nearest to the border
    assert shown["two modes"].nearest == 0 and "**0** of its 6 points" in said("explorer-read")


@pytest.mark.parametrize("seed", range(5))
def test_the_larger_the_scale_the_fewer_are_heard_wherever_the_proxies_stand(seed):
    generator = torch.Generator().manual_seed(seed)
    turned = (torch.tensor([92.0, 214, 325]) + 16 * torch.rand(3, generator=generator) - 8).tolist()
    few, many = (ProxyExplorer(scale=scale, proxies=turned).half for scale in (32.0, 1.0))
    assert few < many


# --- terms, and what a step sees


def test_the_counts_are_those_of_the_training_set(space):
    in_set, in_batches, cosines = space["counts"].values()
    assert in_set == 964 * 20 * 19 * (19_280 - 20) and cosines == 19_280 * 964
    assert in_batches < cosines < in_set / 100


@every_seed
def test_a_picture_notices_its_batch_only_under_proxy_anchor_and_losses_on_pairs(run_cells, seed):
    found = run_cells("proxies_clusters_trees", "imports", "count", "seen", seed=seed)
    changed = {name for name, change in found["moved"].items() if change > 0.01}
    assert changed == {"proxy_anchor", "multi_similarity"}
    assert all(found["moved"][name] < 1e-9 for name in found["moved"].keys() - changed)
    assert 0.05 < np.mean(found["drawn"]) / 964 < 0.07


# --- facility location


def test_exchanges_mend_the_greedy_choice_of_the_example(space):
    cost, choices = space["cost"], space["choices"]
    greedy, mended, best = (cost(medoids) for medoids in choices.values())
    assert greedy > mended == best == min(cost(m) for m in combinations(range(9), 3))


def test_the_loss_is_zero_with_the_classes_that_are_groups_and_not_with_a_wrong_label(said):
    numbers = re.search(
        r"the loss \(γ = 0\) is ([\d.]+): .* left group the loss is ([\d.]+)\.", said("location-read")
    )
    assert float(numbers[1]) == 0 < float(numbers[2])


@pytest.mark.parametrize("seed", range(5))
def test_a_choice_that_is_missed_makes_the_loss_too_small_never_too_large(seed):
    z = torch.randn(9, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    d, labels = torch.cdist(z, z), torch.arange(9) % 3
    ours = float(facility_location_loss(d, labels, 0.0))
    costs = [float(d[list(m)].min(0).values.sum()) for m in combinations(range(9), 3)]
    of_classes = sum(float(d[labels == c][:, labels == c].sum(0).min()) for c in range(3))
    exact = max(0.0, of_classes - min(costs))
    assert ours <= exact + 1e-9
    assert len(violating_medoids(d.numpy(), labels.numpy(), 0.0)) == 3


# --- the tree


def test_the_drawn_tree_is_that_of_the_library(space):
    tree, between = space["tree"], space["between"]
    heights = space["linkage"](space["squareform"](between, checks=False), "average")
    from scipy.cluster.hierarchy import cophenet

    joined = space["squareform"](cophenet(heights))
    thresholds = tree.thresholds.double().numpy()
    level = np.searchsorted(thresholds, joined - 1e-6)
    off = ~np.eye(12, dtype=bool)
    assert (level[off] == tree.levels.numpy()[off]).all()


def test_classes_that_are_farther_apart_get_the_wider_margin(space, said):
    sums = re.findall(r"([\d.]+) \+ ([\d.]+) − ([\d.]+) = \*\*([\d.]+)\*\*", said("tree-read"))
    near, far = ([float(number) for number in one] for one in sums)
    assert near[3] < far[3]
    between, tree = space["between"], space["tree"]
    nearest, farthest = (between + 99 * np.eye(12)).argmin(), between.argmax()
    for (beta, joined, own, margin), pair in ((near, nearest), (far, farthest)):
        anchor, other = divmod(int(pair), 12)
        assert beta + joined - own == pytest.approx(margin, abs=0.016)  # each is rounded
        assert joined == pytest.approx(float(tree.thresholds[int(tree.levels[anchor, other])]), abs=0.006)
        assert own == pytest.approx(float(tree.spreads[anchor]), abs=0.006)


def test_mean_distances_between_classes_are_those_of_their_pictures(space):
    z, labels = normalize(space["space"].embeddings.double()), space["labels"]
    a, b = z[labels == 0], z[labels == 5]
    by_hand = (a[:, None] - b).square().sum(2).mean()
    assert space["between"][0, 5] == pytest.approx(float(by_hand), rel=1e-4)


# --- two modes


@pytest.mark.parametrize("seed", range(5))
def test_one_center_fails_for_a_class_with_two_modes_and_two_do_not(run_cells, seed):
    found = run_cells("proxies_clusters_trees", "imports", "modes", seed=seed)
    of_a = {each: float(r[found["y"] == 0].float().mean()) for each, r in found["right"].items()}
    assert of_a[1] < 0.4 and of_a[2] > 0.95


@every_seed
def test_with_one_center_all_three_crowd_at_one_side(run_cells, seed):
    centers = run_cells("proxies_clusters_trees", "imports", "modes", seed=seed)["centers"][1][:, 0]
    assert float((centers @ centers.T).min()) > 0.8
