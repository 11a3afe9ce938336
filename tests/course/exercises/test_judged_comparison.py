"""The closing project: a plan is weighed by what seeds can tell, a verdict by the sweep's own index."""

import shlex
from statistics import stdev

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from dmlteach.cli import app
from dmlteach.course import exercises, measured
from dmlteach.course.exercises import judged_comparison as project
from dmlteach.sweep import compare
from dmlteach.sweep.index import FILE, Index


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """The plan, the folder, and a right answer."""
    plan, folder = project.recorded_sweep(tmp_path_factory.mktemp("sweep"))
    with Index(folder, make=False) as index:
        rows = index.rows()
    values = {(row.config["method"], row.config.get("seed", 0)): row.metrics["final"] for row in rows}
    each = [
        100 * (values["multi_similarity", i]["recall@1"] - values["contrastive", i]["recall@1"])
        for i in range(5)
    ]
    test = stats.ttest_1samp(each, 0)  # an independent way to the same interval
    ends = test.confidence_interval(0.95)
    verdict = "cannot be told" if test.pvalue > 0.05 else "better" if sum(each) > 0 else "worse"
    answer = {"plan": plan, "sweep": folder, "difference": sum(each) / 5, "interval": (ends.low, ends.high)}
    return plan, folder, answer | {"verdict": verdict}


def judge(answer):
    return exercises.check("comparing.verdict", answer)


def test_the_verdict_is_that_of_a_t_test_on_the_runs_of_the_index(recorded):
    plan, _, answer = recorded
    reply = judge(answer)
    assert reply.status == "right" and answer["verdict"] in reply.words
    assert reply.case["its 95 % interval"] == pytest.approx(answer["interval"])
    assert judge({**answer, "plan": {**plan, "seeds": range(5)}}).status == "right"
    swapped = {**answer, "plan": {**plan, "a": plan["b"], "b": plan["a"]}}
    assert "This is B − A" in judge(swapped).words


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"difference": 0.0194, "interval": (-0.0037, 0.0425)}, "these are fractions"),
        ({"difference": 3.0}, "is not the mean"),
        ({"interval": (1.0, 2.9)}, "The interval is not that"),
        ({"interval": 2.0}, "the interval two"),
        ({"verdict": "better"}, "it holds 0"),
        ({"verdict": "perhaps"}, "The verdict is one of"),
        ({"sweep": 3}, "int"),
    ],
)
def test_a_wrong_verdict_is_told_why(recorded, change, words):
    reply = judge({**recorded[2], **change})
    assert reply.status == "not yet" and words in reply.plain()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seeds": [0, 1, 2, 3, 4, 5]}, "not run with the planned seed 5"),
        ({"seeds": [0, 1, 2]}, "also run with seed 3, which is not planned"),
        ({"budget": {"epochs": 3}}, "epochs = 2, the plan says 3"),
        ({"a": "triplet"}, "0 settings of triplet"),
    ],
)
def test_a_sweep_that_is_not_that_of_the_plan_is_no_answer(recorded, change, words):
    plan, _, answer = recorded
    reply = judge({**answer, "plan": {**plan, **change}})
    assert reply.status == "not yet" and words in reply.words


def test_a_sweep_that_is_not_done_is_no_answer_yet(recorded, tmp_path):
    _, folder, answer = recorded
    (tmp_path / FILE).write_bytes((folder / FILE).read_bytes())
    with Index(tmp_path) as index, index._transaction() as rows:
        rows.execute("UPDATE runs SET state = 'waiting', metrics = NULL WHERE rowid = 1")
    assert "1 of the sweep's runs are not done" in judge({**answer, "sweep": tmp_path}).words


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(-1, 1, "does not matter"), (4, 6, "matters to you"), (-6, -4, "matters to you"), (-1, 4, "more seeds")],
)
def test_an_interval_is_weighed_against_the_difference_that_would_matter(low, high, words):
    assert words in project._weighed(low, high, 3.0)


def test_the_spread_to_plan_with_is_the_median_over_all_pairs_of_methods():
    ranked = measured.ranking()
    spreads = sorted(
        100 * stdev(a.runs[i].recall - b.runs[i].recall for i in a.runs.keys() & b.runs.keys())
        for place, a in enumerate(ranked)
        for b in ranked[:place]
        if len(a.runs.keys() & b.runs.keys()) > 2
    )
    middle = len(spreads) // 2
    expected = spreads[middle] if len(spreads) % 2 else (spreads[middle - 1] + spreads[middle]) / 2
    assert project.usual_spread() == pytest.approx(expected)
    assert project.half_width(3) == pytest.approx(expected * 4.302653 / 3**0.5, rel=1e-5)


def test_more_seeds_tell_smaller_differences_and_as_many_as_are_asked_for_are_enough():
    for difference in (project.half_width, project.told):
        differences = [difference(n) for n in (3, 4, 5, 10, 50)]
        assert differences == sorted(differences, reverse=True)
    smallest = 0.4 * project.told(3)
    needed = project.seeds_for(smallest)
    assert project.told(needed) <= smallest < project.told(needed - 1)
    plan = project.PLAN.reference()
    told = project.inspect_plan({**plan, "seeds": range(needed - 1), "smallest": smallest})
    assert told.status == "not yet" and f"about {needed} would do" in told.words
    assert project.inspect_plan({**plan, "seeds": range(needed), "smallest": smallest}).status == "right"


@pytest.mark.parametrize("seeds", [3, 4, 5, 7, 10, 20])
def test_the_difference_of_the_table_is_told_four_times_in_five_and_half_of_the_interval_often_not(seeds):
    rng = np.random.default_rng(0)
    luck = project.usual_spread() * rng.standard_normal((40_000, seeds))
    mean, half = luck.mean(1), luck.std(1, ddof=1) * stats.t.ppf(0.975, seeds - 1) / seeds**0.5
    assert 0.75 < (mean + project.told(seeds) > half).mean() < 0.85
    assert 0.49 < (mean + project.half_width(seeds) > half).mean() < 0.64


def test_a_command_has_options_of_a_part_one_by_one_and_keeps_a_folder_with_a_space():
    budget = {"epochs": 2, "sampler_options": {"images_per_class": 2}, "root": "my pictures"}
    words = shlex.split(project.command({**project.PLAN.reference(), "budget": budget}))
    assert words[words.index("--sampler-option") + 1] == "images_per_class=2"
    assert words[words.index("--root") + 1] == "my pictures"
    found = CliRunner().invoke(app, [*words[1:], "--jobs", "0"])  # refused for its last option alone
    assert found.exit_code == 2 and "--jobs" in found.stderr and "No such option" not in found.output


def test_the_command_of_a_plan_is_one_that_a_sweep_understands(recorded):
    plan, folder, _ = recorded
    words = project.command(plan).split()
    assert words[:2] == ["dmlteach", "sweep"]
    given = dict(zip(words[2::2], words[3::2], strict=True))
    del given["--output"]
    from dmlteach.sweep import grid

    runs = grid.plan([{name.removeprefix("--"): value for name, value in given.items()}])
    with Index(folder, make=False) as index:
        assert {run.hash for run in runs} == {row.hash for row in index.rows()}
    assert compare.read([folder])[1] == 0
