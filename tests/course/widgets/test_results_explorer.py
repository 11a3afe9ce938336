"""The results explorer in the kernel: rankings are those of the file, and what is new in the file appears."""

import csv
import html
import json
import re
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from dmlteach.course import measured, published
from dmlteach.course.widgets import ResultsExplorer
from dmlteach.course.widgets.results_explorer import rows
from dmlteach.errors import DMLTeachError


@pytest.fixture(scope="module")
def lines():
    """The rows of the file, read without the package."""
    with open(measured.FILE, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def of_the_usual_setting(lines, stage: str) -> list[dict]:
    found = [line for line in lines if line["stage"] == stage]
    usual = Counter((r["dataset"], r["backbone"], r["steps"]) for r in found).most_common(1)[0][0]
    return [r for r in found if (r["dataset"], r["backbone"], r["steps"]) == usual]


def test_the_ranking_of_our_runs_is_that_of_the_file_with_the_intervals_of_scipy(lines):
    by_method: dict[str, dict[str, float]] = {}
    for r in of_the_usual_setting(lines, "final"):
        if r["variant"] == "":
            by_method.setdefault(r["method"], {}).setdefault(r["seed"], float(r["recall"]))
    ranked = ResultsExplorer().ranking
    assert {entry.name: entry.values for entry in ranked} == by_method
    means = [entry.mean()[0] for entry in ranked]
    assert means == sorted(means, reverse=True)
    for entry in ranked[:5]:
        x = [*entry.values.values()]
        low, high = stats.t.interval(0.95, len(x) - 1, loc=np.mean(x), scale=stats.sem(x))
        mean, half = entry.mean()
        assert (mean - half, mean + half) == pytest.approx((low, high))


def test_one_seed_ranks_by_its_own_runs(lines):
    for seed in ("0", "1"):
        ranked = ResultsExplorer(filters={"seed": seed}).ranking
        own = {r["method"]: float(r["recall"]) for r in of_the_usual_setting(lines, "final")
               if (r["variant"], r["seed"]) == ("", seed)}  # fmt: skip
        assert [e.name for e in ranked] == sorted(own, key=lambda name: -own[name])


def test_a_sampler_shows_all_that_were_run_with_it(lines):
    found = {f"{r['method']} {r['variant']}".strip() for r in of_the_usual_setting(lines, "final")
             if r["sampler"] == "local"}  # fmt: skip
    assert {e.name for e in ResultsExplorer(filters={"sampler": "local"}).ranking} == found


def test_tuning_ranks_by_the_best_that_was_tried_or_by_one_rate_with_the_loss_as_it_is(lines):
    tried = [r for r in of_the_usual_setting(lines, "tuning") if r["variant"] == ""]
    best = {r["method"]: max(float(x["recall"]) for x in tried if x["method"] == r["method"]) for r in tried}
    assert {e.name: max(e.values.values()) for e in ResultsExplorer("tuning").ranking} == best
    rate = "0.001"
    for entry in ResultsExplorer("tuning", {"rate": rate}).ranking:
        own = [r for r in tried if r["method"] == entry.name]
        usual = Counter(r["value"] for r in own).most_common(1)[0][0]
        one = next(r for r in own if float(r["learning_rate"]) == float(rate) and r["value"] == usual)
        assert [*entry.values.values()] == [float(one["recall"])]


def test_published_numbers_are_ranked_by_backbone_and_dimension():
    every = {r for r in published.results("cub200") if (r.metric, r.k) == ("Recall@K", 1)}
    assert len(ResultsExplorer("published").ranking) == len(every)
    ranked = ResultsExplorer("published", {"backbone": "ResNet50", "dim": 128}).ranking
    wanted = sorted((r.value for r in every if (r.backbone, r.dim) == ("ResNet50", 128)), reverse=True)
    assert [100 * entry.values[""] for entry in ranked] == pytest.approx(wanted)
    assert "ResNet50, D = 128" in ranked[0].name


def test_the_difference_of_two_is_paired_by_seed():
    explorer = ResultsExplorer(a="sst", b="triplet")
    found, (mean, half, seeds) = explorer.difference, measured.of("sst").minus(measured.of("triplet"))
    assert found is not None and (found.mean, found.half, found.seeds) == pytest.approx((mean, half, seeds))
    explorer.filters = {**explorer.filters, "seed": "0"}
    assert explorer.difference.seeds == 1 and not explorer.difference.is_told
    explorer.b = ""
    assert explorer.difference is None


@pytest.fixture
def with_more_rows(monkeypatch):
    """The file with runs of another device, backbone, budget and loss."""
    row = measured.of("sst").runs[0]
    more = [
        row._replace(device="a CPU", method="arcface", seed=seed, recall=0.99 + seed / 1000)
        for seed in (0, 1, 2)
    ] + [row._replace(device="a CPU", steps=5000, backbone="resnet50", recall=0.9)]
    known = tuple(run for run in measured._read() if run.method != "arcface")  # it has only those, then
    every = known + tuple(more)
    monkeypatch.setattr(measured, "_read", lambda: every)
    rows.rows.cache_clear()
    rows.packed.cache_clear()
    yield
    rows.rows.cache_clear()
    rows.packed.cache_clear()


def test_what_is_new_in_the_file_appears_by_itself(with_more_rows):
    explorer = ResultsExplorer()
    assert explorer.ranking[0].name == "arcface" and explorer.filters["device"] == "all"
    assert rows.options("final", "device", explorer.filters)[0] == "all"
    assert "a CPU" in rows.options("final", "device", explorer.filters)
    assert "arcface" not in {e.name for e in ResultsExplorer(filters={"device": "NVIDIA H200"}).ranking}
    long = ResultsExplorer(filters={"backbone": "resnet50"})
    assert long.filters["steps"] == "5000" and [e.name for e in long.ranking] == ["sst"]
    assert "resnet50" in explorer.recorded["tables"]["final"]["words"]["backbone"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"view": "finals"}, "did you mean 'final'"),
        ({"filters": {"sampler": "locale"}}, "did you mean 'local'"),
        ({"filters": {"rate": 0.001}}, "unknown filter 'rate'|rate"),
        ({"view": "tuning", "filters": {"rate": 7}}, "unknown rate of the tuning numbers '7'"),
        ({"a": "tripplet"}, "did you mean 'triplet'"),
    ],
)
def test_a_state_that_cannot_be_is_refused_by_name(given, message):
    with pytest.raises(DMLTeachError, match=message):
        ResultsExplorer(**given)


def test_output_holds_the_widget_and_html_that_loads_nothing_and_is_small():
    page = ResultsExplorer(filters={"seed": 1})._repr_mimebundle_()[0]
    assert "application/vnd.jupyter.widget-view+json" in page
    text = page["text/html"]
    assert not re.search(r"""(src|href)=["'](?!data:)|url\(["']?http|\bimport\b""", text)
    state = json.loads(html.unescape(re.search(r'data-state="([^"]+)"', text)[1]))
    assert state["filters"]["seed"] == "1" and state["recorded"] == rows.packed()
    assert len(ResultsExplorer._esm.encode()) <= 40_000 and len(json.dumps(rows.packed())) <= 120_000


def test_the_picture_says_how_many_classes_and_what_the_untrained_network_has():
    svg, alt = ResultsExplorer(a="sst").picture()
    assert re.search(r"among \d+ classes; the untrained network has \d+%", alt)
    assert svg.count("<circle") > 50 and "#0072b2" in svg
    assert "was not measured" in ResultsExplorer("tuning").picture()[1]
