"""What the last chapter, its explorer and its exercises claim, against the files."""

import csv
import re
from collections import Counter
from itertools import combinations, pairwise
from statistics import mean

import numpy as np
import pytest
from scipy import integrate, stats

from dmlteach.course import measured, published
from dmlteach.course.exercises import comparing, judged_comparison
from dmlteach.course.widgets import ResultsExplorer

TABLES = ("imports", "load", "three", "tuning", "coverage", "paired", "luck", "correct", "published")


@pytest.fixture(scope="module")
def space(run_cells):
    """Names of the chapter, once its tables are computed."""
    return run_cells("which_method_is_best", *TABLES)


@pytest.fixture(scope="module")
def said(space, said_by):
    """What the cells say that put their sentence together themselves, by their id."""
    return lambda id: said_by("which_method_is_best", id, space)


@pytest.fixture(scope="module")
def finals():
    """Recall@1 in percent by method and seed, read from the file without the package."""
    with open(measured.FILE, encoding="utf-8", newline="") as file:
        lines = [r for r in csv.DictReader(file) if (r["stage"], r["variant"]) == ("final", "")]
    usual = Counter((r["backbone"], r["steps"]) for r in lines).most_common(1)[0][0]
    found: dict[str, dict[int, float]] = {}
    for r in lines:
        if (r["backbone"], r["steps"]) == usual:
            found.setdefault(r["method"], {}).setdefault(int(r["seed"]), 100 * float(r["recall"]))
    return dict(sorted(found.items(), key=lambda one: -mean(one[1].values())))


def p_value(a: dict[int, float], b: dict[int, float]) -> float:
    seeds = sorted(a.keys() & b.keys())
    return stats.ttest_rel([a[i] for i in seeds], [b[i] for i in seeds]).pvalue


# --- the three numbers


def test_the_three_numbers_are_those_of_the_files(said, finals):
    text, ten = said("three-said"), [*finals][:10]
    means = [mean(finals[m].values()) for m in ten]
    assert f"{means[0] - means[9]:.1f} points** from `{ten[0]}`" in text and f"`{ten[9]}`" in text
    spread = sorted(max(finals[m].values()) - min(finals[m].values()) for m in ten)
    assert f"**{(spread[4] + spread[5]) / 2:.1f} points** in the median" in text
    assert f"{spread[-1]:.1f} points for" in text
    by_network: dict[str, dict] = {}
    for r in published.results("cub200"):
        if (r.metric, r.k) == ("Recall@K", 1) and r.method_id and r.backbone and r.dim:
            by_network.setdefault(r.method_id, {}).setdefault((r.backbone, r.dim), []).append(r.value)
    reach = [
        max(map(max, of.values())) - min(map(min, of.values())) for of in by_network.values() if len(of) > 1
    ]
    assert f"**{max(reach):.1f} points** for" in text and f"over the {len(reach)} methods" in text


# --- tuning


def test_what_tuning_gains_is_told_as_the_tuning_runs_have_it(said, space):
    text = said("tuning-said")
    tried = [run for run in measured.runs(stage="tuning") if run.variant == ""]
    rates = set.intersection(*({r.learning_rate for r in tried if r.method == m} for m in space["tuned"]))
    assert space["shared"] == sorted(rates) and len(rates) >= 4
    best = {m: 100 * max(r.recall for r in tried if r.method == m) for m in space["tuned"]}
    top = sorted(best.values(), reverse=True)
    assert f"it is **{top[0] - top[9]:.1f} points**" in text
    moves = float(re.search(r"moves by \*\*([\d.]+) points", text)[1])
    larger = "rates" if moves > top[0] - top[9] else "methods"
    assert f"is what the *{larger}* make" in text


# --- intervals


def test_an_interval_of_three_seeds_covers_as_often_as_the_distribution_says(run_cells):
    space = run_cells("which_method_is_best", "imports", "coverage")
    exact = [2 * stats.t.cdf(q, 2) - 1 for q in (3**0.5, 1, stats.norm.ppf(0.975), stats.t.ppf(0.975, 2))]
    assert [*space["contains"].values()] == pytest.approx(exact, abs=0.01)
    assert exact[0] < 0.8 and exact[-1] == pytest.approx(0.95)
    assert f"{stats.t.ppf(0.975, 2):.2f}" == "4.30" and f"{stats.norm.ppf(0.975):.2f}" == "1.96"


def test_a_difference_is_claimed_where_a_paired_t_test_finds_it_and_nowhere_else(space, finals):
    for a, b in combinations([*finals][:12], 2):
        told = space["verdict"](a, b)
        found = p_value(finals[a], finals[b]) < 0.05
        assert (told != "cannot be told") == found, (a, b)
        if found:
            better = mean(finals[a][i] - finals[b][i] for i in finals[a].keys() & finals[b].keys()) > 0
            assert told == ("A is better" if better else "B is better")


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        ((81, 82, 83), (80, 81.2, 81.9), "A is better"),
        ((80, 81.2, 81.9), (81, 82, 83), "B is better"),
        ((81, 82, 83), (83, 80.5, 82), "cannot be told"),
    ],
)
def test_the_verdict_follows_the_runs_and_not_the_text(run_cells, a, b, verdict):
    finals = {"a": dict(enumerate(a)), "b": dict(enumerate(b))}
    space = run_cells("which_method_is_best", "imports") | {"finals": finals, "first_ten": ["a", "b"]}
    assert run_cells("which_method_is_best", "paired", **space)["verdict"]("a", "b") == verdict


def test_the_sentence_on_the_ranking_counts_its_open_steps(said, finals):
    ten = [*finals][:10]
    open_ = sum(p_value(finals[a], finals[b]) >= 0.05 for a, b in pairwise(ten))
    assert f"Of 9 steps of the ranking, **{open_}** cannot be told" in said("paired-said")


# --- chosen after looking


def test_equal_methods_are_as_far_apart_as_order_statistics_say(space, finals):
    m = len(finals)
    expected, _ = integrate.quad(
        lambda x: 1 - stats.norm.cdf(x) ** m - (1 - stats.norm.cdf(x)) ** m, -8, 8
    )  # of the range of m standard normal values
    pooled = mean(np.var([*of.values()], ddof=1) for of in finals.values()) ** 0.5
    assert space["one_seed"] == pytest.approx(pooled)
    assert space["by_luck"].mean() == pytest.approx(expected * pooled / 3**0.5, rel=0.02)
    assert space["false_alarms"] / len(space["pairs"]) == pytest.approx(0.05, abs=0.01)


def test_who_cannot_be_told_from_the_first_is_counted_with_and_without_the_correction(space, said, finals):
    first, *others = finals
    p = {other: p_value(finals[first], finals[other]) for other in others}
    alone, together = space["cannot"].values()
    assert set(alone) == {other for other in others if p[other] >= 0.05}
    assert set(together) == {other for other in others if p[other] >= 0.05 / len(others)}
    assert f"it is **{len(together)}**" in said("correct-said")


# --- the explorer


def test_places_change_with_the_seed_with_one_rate_and_with_the_network_as_the_takeaway_says():
    names = [entry.name for entry in ResultsExplorer().ranking]
    for seed in (0, 1, 2):
        assert [entry.name for entry in ResultsExplorer(filters={"seed": seed}).ranking] != names
    tuned = [entry.name for entry in ResultsExplorer("tuning").ranking]
    assert [entry.name for entry in ResultsExplorer("tuning", {"rate": 0.001}).ranking] != tuned
    every = [entry.values[""] for entry in ResultsExplorer("published").ranking]
    one = ResultsExplorer("published", {"backbone": "BN-Inception", "dim": 512}).ranking
    within = [entry.values[""] for entry in one]
    assert max(within) - min(within) < (max(every) - min(every)) / 2


def test_what_the_explorer_shows_is_told_by_its_own_ranking(said, space):
    text = said("explorer-said")
    before = [entry.name for entry in ResultsExplorer().ranking][:10]
    for seed in (0, 1, 2):
        after = [entry.name for entry in ResultsExplorer(filters={"seed": seed}).ranking]
        assert f"{sum(a != b for a, b in zip(before, after, strict=False))} (seed {seed})" in text


# --- published tables and exercises


def test_one_number_stands_in_several_tables_with_different_networks(said):
    assert re.search(r"And (?!0 )\d+ numbers on birds stand in several tables", said("published-said"))
    one, other = comparing.PAIRS["e"]
    assert comparing.number(*one) == comparing.number(*other) and one[2:] != other[2:]


def test_the_pairs_of_the_exercise_differ_as_its_replies_say():
    network = {letter: [row[2:] for row in pair] for letter, pair in comparing.PAIRS.items()}
    alike = {letter for letter, (one, other) in network.items() if one == other}
    assert alike == {letter for letter, option in comparing.FLAW.options.items() if option.right}
    (_, dim), (_, other) = network["c"]
    assert dim == 4 * other and network["a"][0][1] == network["a"][1][1]
    gains = {
        b: comparing.number("ProxyNCA", "DBML README", b, 64)
        - comparing.number("N-Pair", "DBML README", b, 64)
        for b in ("GoogLeNet", "ResNet18", "ResNet50")
    }
    assert gains["ResNet18"] < 0 < min(gains["GoogLeNet"], gains["ResNet50"])
    by_method, by_network = comparing.shares()
    assert by_network > 3 * abs(by_method)  # "several times"


def test_the_recorded_sweep_is_shorter_than_the_benchmark_and_spreads_more(tmp_path):
    plan, _ = judged_comparison.recorded_sweep(tmp_path)
    reply = judged_comparison.inspect_verdict(_judged(tmp_path))
    low, high = reply.case["its 95 % interval"]
    assert (high - low) / 2 > judged_comparison.half_width(len(plan["seeds"]))


def _judged(folder) -> dict:
    names: dict = {}
    names["plan"], names["sweep"] = judged_comparison.recorded_sweep(folder)
    exec(judged_comparison.VERDICT.solution, names)
    return names["answer"]


def test_the_chapter_goes_on_with_runs_of_another_device_and_budget(run_cells, monkeypatch):
    row = measured.of("sst").runs[0]
    more = tuple(
        row._replace(method="arcface", device="a CPU", seed=seed, recall=0.9 + seed / 100)
        for seed in (0, 1, 2)
    )
    longer = (row._replace(steps=5000, device="a CPU", recall=0.99),)
    known = tuple(run for run in measured._read() if run.method != "arcface")  # it has finals alone then
    every = known + more + longer
    monkeypatch.setattr(measured, "_read", lambda: every)
    space = run_cells("which_method_is_best", *TABLES)
    assert space["order"][0] == "arcface" and max(space["finals"]["sst"].values()) < 99
    assert "arcface" not in space["tuned"]
