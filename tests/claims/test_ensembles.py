"""What the chapter on ensembles, its explorer and its exercises claim."""

import re

import numpy as np
import pytest
import torch
from scipy import stats

from dmlteach.course import measured
from dmlteach.course.widgets import EnsembleExplorer
from dmlteach.course.widgets.ensemble_explorer.widget import STATES
from dmlteach.metrics import recall_at_k
from dmlteach.models.bier import BIERHead

CHAPTER = "ensembles"  # as `run_cells` finds it
SEEDS = (0, 1, 2)
every_seed = pytest.mark.parametrize("seed", SEEDS)


@pytest.fixture(scope="module")
def space(run_cells):
    """Names of the chapter, once its numbers are computed."""
    ids = ("imports", "controls", "controls-read", "same-queries", "same-queries-read", "scale", "scale-read")
    return run_cells(CHAPTER, *ids, "rescued", "benchmark")


@pytest.fixture(scope="module")
def said(space, said_by):
    return lambda id: said_by(CHAPTER, id, space)


def told_by_a_t_test(one: dict[int, float], other: dict[int, float]) -> int:
    """1, −1 or 0, by scipy's own paired test over the seeds of both."""
    seeds = sorted(one.keys() & other.keys())
    x, y = [one[i] for i in seeds], [other[i] for i in seeds]
    if stats.ttest_rel(x, y).pvalue >= 0.05:
        return 0
    return 1 if np.mean(x) > np.mean(y) else -1


# --- the controls


def test_the_recording_has_every_network_in_every_seed(space):
    record = space["record"]
    assert record.hits.keys() == space["LABELS"].keys() | {"untrained"}
    for network, hits in record.hits.items():
        assert hits.shape[0] == len(record.seeds[network]) >= 2 and hits.shape[2] == len(record.rows)
        alone = network in ("untrained", "one_deviance", "one_contrastive")
        assert hits.shape[1] == (1 if alone else 4)


def test_each_difference_from_a_control_is_what_a_paired_t_test_finds(space, said):
    record = space["record"]
    by_label = {label: network for network, label in space["LABELS"].items()}
    seen = 0
    for part in re.findall(r"[*][^*]+[*] [^*]+[*][^*]+[*][^*;.]*", said("controls-read")):
        names = [by_label[name] for name in re.findall(r"\*([^*]+)\*", part) if name in by_label]
        if len(names) == 2:
            verdict = told_by_a_t_test(*(record.recall(name) for name in names))
            words = {1: " above ", -1: " below ", 0: "cannot be told apart"}[verdict]
            assert words in part, part
            seen += 1
    assert seen == 11


def test_with_one_loss_the_methods_end_above_both_controls_and_with_the_other_below(space):
    recall = space["record"].recall
    for method in ("bier", "abier"):
        for control in ("one_deviance", "three_deviance"):
            assert told_by_a_t_test(recall(method), recall(control)) == 1, (method, control)
    for control in ("one_contrastive", "three_contrastive"):
        assert told_by_a_t_test(recall("hdc"), recall(control)) == -1, control
    for loss in ("deviance", "contrastive"):  # three weak ones are not told from a strong one of their size
        assert told_by_a_t_test(recall(f"three_{loss}"), recall(f"one_{loss}")) == 0, loss


def test_the_controls_are_trained_at_the_rate_of_their_ensemble(space):
    rates = space["record"].rates
    assert rates["unboosted"] == rates["one_deviance"] == rates["three_deviance"] == rates["bier"]
    assert rates["uncascaded"] == rates["one_contrastive"] == rates["three_contrastive"] == rates["hdc"]
    for name in ("bier", "abier", "hdc"):
        assert rates[name] == measured.tuned(name).best.learning_rate


# --- averaging


@every_seed
def test_the_more_alike_the_noise_the_less_is_gained_and_nothing_where_it_is_the_same(run_cells, seed):
    found = run_cells(CHAPTER, "imports", "noise", seed=seed)
    gains = np.array(found["together"]) - np.array(found["alone"])
    assert (np.diff(found["together"]) < 0).all()
    assert gains[0] > 0.14 and gains[2] > 0.08 and abs(gains[-1]) < 1e-9


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.8])
def test_the_variance_of_a_mean_of_three_is_that_of_the_formula(correlation):
    generator = torch.Generator().manual_seed(0)
    common, *own = torch.randn(4, 200_000, generator=generator)
    errors = [correlation**0.5 * common + (1 - correlation) ** 0.5 * one for one in own]
    assert float((sum(errors) / 3).var()) == pytest.approx(correlation + (1 - correlation) / 3, rel=0.02)


def test_side_by_side_the_cosine_is_the_mean_and_the_squared_distance_the_sum():
    parts = [torch.nn.functional.normalize(torch.randn(2, n, dtype=torch.float64), dim=1) for n in (3, 4, 5)]
    whole = torch.cat(parts, 1)
    cosines = [float(part[0] @ part[1]) for part in parts]
    assert float(torch.cosine_similarity(whole[0], whole[1], 0)) == pytest.approx(np.mean(cosines))
    apart = sum(float((part[0] - part[1]).square().sum()) for part in parts)
    assert float((whole[0] - whole[1]).square().sum()) == pytest.approx(apart)


# --- errors


def test_no_two_learners_fail_as_if_they_knew_nothing_of_each_other(space):
    for network in space["ENSEMBLES"]:
        assert min(space["alike"](network).values()) > 0.25, network


def test_each_word_on_errors_and_on_side_by_side_is_what_a_paired_t_test_finds(space, said):
    by_label = {label: network for network, label in space["LABELS"].items()}
    errors, gains = said("same-queries-read").split("**All side by side:**")
    pairs = re.findall(r"those of \*([^*]+)\* are ([a-z ]+) those of \*([^*]+)\*", errors)
    assert len(pairs) == 4
    for one, words, other in pairs:
        verdict = told_by_a_t_test(*(space["alike"](by_label[name]) for name in (one, other)))
        assert words == {-1: "less alike than", 0: "not told from", 1: "more alike than"}[verdict]
    single = re.findall(r"\*([^*]+)\*: ([a-z ]+) its best learner alone", gains)
    assert len(single) == len(space["ENSEMBLES"])
    for label, words in single:
        network = by_label[label]
        verdict = told_by_a_t_test(space["record"].recall(network), space["best_alone"](network))
        assert words == {-1: "below", 0: "not told from", 1: "above"}[verdict]


# --- a common scale


def test_as_they_are_the_softmax_network_decides(space):
    assert space["widest"] > 0.75 and space["copied"] > 0.85


def test_three_of_an_equal_spread_beat_each_and_an_untrained_fourth_costs_more_than_they_gain(space):
    names = space["names"]
    three = space["shown"]["the three, each network to an equal spread"]
    four = space["shown"]["the same and the untrained one"]
    gained, lost = [], []
    for seed in range(5):  # halves of the characters
        characters = space["y"].unique()
        half = characters[
            torch.randperm(len(characters), generator=torch.Generator().manual_seed(seed))[:100]
        ]
        rows = torch.isin(space["y"], half)
        recall = {name: recall_at_k(x[rows], space["y"][rows], (1,))[1]
                  for name, x in [*space["z"].items(), ("three", three), ("four", four)]}  # fmt: skip
        best = max(recall[name] for name in names)
        gained.append(recall["three"] - best)
        lost.append(best - recall["four"])
    assert np.mean(gained) > 0.004 and np.mean(lost) > 0.004


def test_the_triplet_network_lies_farther_from_zero_than_from_itself_and_has_least_to_say_on_the_sphere(
    space,
):
    z, on_sphere = space["z"]["triplet"], space["on_sphere"]
    assert space["spread"](z) < 0.5 * float(z.square().sum(1).mean())
    assert on_sphere["triplet"] < 0.5 * min(on_sphere["softmax"], on_sphere["sst"])


def test_the_rescued_are_more_than_the_lost(space):
    assert len(space["rescued"]) > 1.1 * space["lost"]


# --- the explorer


def test_who_is_given_a_pair_is_what_the_text_says(said):
    shown = {label: EnsembleExplorer(**state) for label, state in STATES.items()}
    assert shown["easy for the first"].learning == 1 and shown["wrong twice"].learning == 3
    assert float(shown["easy for the first"].weights[2]) == 0
    third = shown["easy for the first"].batch[0][2]
    assert float(third[0]) == float(third.min())  # the pair that learner 3 has worst
    assert shown["the same boosted"].learning == 3
    assert float(shown["settled"].weights[2]) < 1e-6 < 0.9 < float(shown["wrong together"].weights[2])
    right = 1 / (1 + np.exp(2 * (1 - 0.5)))
    assert f"**{right:.2f}** for learner 2" in said("explorer-read")


# --- the opponent


@pytest.mark.parametrize("seed", (0, 10, 20))
def test_without_the_reversal_learners_become_alike_and_with_it_they_do_not(run_cells, seed):
    played = run_cells(CHAPTER, "imports", "opponent", seed=seed)["played"]
    without, reversed_ = ([shares[-1] for shares in played[key]] for key in (0, 1))
    assert np.mean(without) > 0.9 and min(without) > 0.75
    assert np.mean(reversed_) < 0.4 and max(reversed_) < 0.6


# --- the benchmark


def test_each_sentence_on_the_benchmark_is_what_a_paired_t_test_finds(space):
    assert len(space["told"]) == len(space["asked"]) == 4
    for sentence, (one, other) in zip(space["told"], space["asked"], strict=True):
        verdict = told_by_a_t_test(*(space["ranked"][name].recalls() for name in (one, other)))
        words = {1: " higher than ", -1: " lower than ", 0: "cannot be told"}[verdict]
        assert words in sentence and f"`{one}`" in sentence and f"`{other}`" in sentence


# --- conventions


def test_later_learners_of_bier_weigh_more_in_retrieval():
    head = BIERHead([32], 16)
    assert [scale**2 for scale in head.scales()] == pytest.approx([1 / 6, 1 / 3, 1 / 2])
