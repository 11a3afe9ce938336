"""What the results say of the questions of this project, against the committed rows of the benchmark."""

import json
import re

import numpy as np
import pytest
from scipy import stats

from dmlteach import methods
from dmlteach.course import CHECKOUT, measured, statements

RESULTS = (CHECKOUT / "docs" / "results.md").read_text(encoding="utf-8")
TOLD = RESULTS.split("<!-- results:statements -->")[1].split("<!-- /results -->")[0]
SIDE = r"`(\w+)`((?: on the sphere| at the rate with DAS)?(?: with DAS(?:, detached)?)?) in `(\w+)` batches"
DIFFERENCE = re.compile(rf"{SIDE} ends ([\d.]+) ± ([\d.]+) points (higher|lower) than {SIDE}")
UNDECIDED = re.compile(rf"Which of {SIDE} and {SIDE} ends higher cannot be told")


def recalls(method: str, about: str, sampler: str) -> dict[int, float]:
    """Recall@1 by seed, read from the benchmark's own rows."""
    variant = about.strip() or ("" if sampler == methods.get(method).sampler else f"with {sampler}")
    lines = (CHECKOUT / "benchmarks" / "tuned.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["what"]["cell"] == [method, variant]]
    return {
        row["what"]["options"]["seed"]: row["recall@1"] for row in rows if row["what"]["stage"] == "final"
    }


def interval(one: tuple[str, str, str], other: tuple[str, str, str]) -> tuple[float, float]:
    """The 95 % interval of the paired difference in points, by scipy's own test."""
    first, second = recalls(*one), recalls(*other)
    seeds = sorted(first.keys() & second.keys())
    test = stats.ttest_rel([first[s] for s in seeds], [second[s] for s in seeds])
    low, high = test.confidence_interval(0.95)
    return 100 * low, 100 * high


def test_a_difference_is_claimed_only_where_its_interval_excludes_0():
    found = DIFFERENCE.findall(TOLD)
    assert len(found) >= 10
    for *one, mean, half, direction, method, about, sampler in found:
        low, high = interval(tuple(one), (method, about, sampler))
        assert (low > 0) if direction == "higher" else (high < 0)
        assert abs(low + high) / 2 == pytest.approx(float(mean), abs=0.051)
        assert (high - low) / 2 == pytest.approx(float(half), abs=0.051)


def test_where_it_does_not_the_sentence_says_so():
    found = UNDECIDED.findall(TOLD)
    assert found
    for *one, method, about, sampler in found:
        low, high = interval(tuple(one), (method, about, sampler))
        assert low <= 0 <= high


def test_every_line_is_one_of_the_two_or_tells_the_cost():
    lines = [line for line in TOLD.splitlines() if line.startswith("- ")]
    known = [line for line in lines if DIFFERENCE.search(line) or UNDECIDED.search(line)]
    rest = set(lines) - set(known)
    assert all("the same steps take longer in `local` batches" in line for line in rest)
    assert len(known) == len(list(statements.statements()))
    assert {"sst", "triplet"} <= {method for line in known for method in re.findall(r"`(\w+)` in", line)}


def test_the_text_is_what_the_rows_give_today():
    assert TOLD.strip() == "\n".join(statements.told()).strip()


def of(recalls: list[float], variant: str = "") -> measured.Ranked:
    """A made method with a Recall@1 for each seed."""
    run = measured.runs("sst")[0]
    return measured.Ranked("sst", variant, {
        seed: run._replace(recall=recall, seed=seed) for seed, recall in enumerate(recalls)
    })  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other", "verdict", "words"),
    [
        ([0.60, 0.61, 0.62], [0.50, 0.51, 0.52], 1, "points higher than"),
        ([0.50, 0.51, 0.52], [0.60, 0.61, 0.62], -1, "points lower than"),
        ([0.50, 0.60, 0.70], [0.51, 0.58, 0.71], 0, "cannot be told from 3 seeds"),
        ([0.90], [0.10], 0, "cannot be told from a single seed"),
    ],
)
def test_verdicts_of_made_runs(one, other, verdict, words):
    statement = statements.Statement("", of(one), of(other), "")
    assert statement.verdict == verdict and words in statement.sentence()


def test_a_pair_from_two_devices_is_said_to_be_one_by_the_seeds_that_are_paired():
    here, there = of([0.60, 0.61, 0.62]), of([0.50, 0.51, 0.52])
    alike = statements.Statement("", here, there, "").sentence()
    assert " against " not in alike
    moved = {seed: run._replace(device="another") for seed, run in there.runs.items()}
    told = statements.Statement("", here, there._replace(runs=moved), "").sentence()
    assert told.endswith(f"(3 seeds; on {here.runs[0].device} against another).")
    unpaired = there._replace(runs=there.runs | {9: there.runs[0]._replace(device="another", seed=9)})
    assert statements.Statement("", here, unpaired, "").sentence() == alike


def test_seconds_compare_on_one_device_only():
    local, balanced, device = statements.seconds("sst", "local", "class_balanced")
    runs = measured.in_batches_of("sst", "local").runs.values()
    expected = np.mean([run.train_seconds for run in runs if run.device == device])
    assert local == pytest.approx(expected) and local > balanced > 0


def test_runs_that_nobody_timed_are_not_compared(monkeypatch):
    untimed = tuple(run._replace(train_seconds=None) for run in measured.runs())
    monkeypatch.setattr(measured, "_read", lambda: untimed)
    assert statements.seconds("sst", "local", "class_balanced") is None
    assert list(statements.cost()) == []


def test_steps_that_take_less_time_are_not_said_to_take_longer(monkeypatch):
    monkeypatch.setattr(
        statements, "seconds", lambda method, *_: (9.0 if method == "sst" else 20.0, 10.0, "it")
    )
    longer, shorter = sorted(statements.cost())
    assert "take longer" in longer and "2.0 times (`triplet`)" in longer
    assert "take no longer" in shorter and "0.9 times (`sst`)" in shorter
