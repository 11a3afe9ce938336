"""The benchmark's runs as the course reads them: all that count today, as they were measured."""

import csv

import numpy as np
import pytest
from scipy import stats

from benchmarks import course_rows
from benchmarks.tuning import OF_CHOSEN, OPTIONS, Rows
from dmlteach import methods
from dmlteach.course import measured
from dmlteach.errors import DMLTeachError


@pytest.fixture(scope="module")
def committed() -> list[dict]:
    """Rows of the benchmark that came to an end, but for finals that another choice has overtaken."""
    return Rows(course_rows.HOME / "tuned.jsonl").of_today()


def test_the_file_is_the_one_that_record_writes():
    assert measured.FILE.read_text(encoding="utf-8") == course_rows.text()


def test_every_run_that_counts_is_there_as_it_was_measured(committed):
    with open(measured.FILE, encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    as_told = {(r["method"], r["variant"], r["stage"], float(r["recall"]), int(r["seed"])) for r in read}
    given = {
        (*row["what"]["cell"], row["what"]["stage"], row["recall@1"], row["what"]["options"]["seed"])
        for row in committed
    }
    assert as_told == given and len(read) == len(committed)


def test_only_what_another_choice_has_overtaken_is_left_out(committed):
    every = [row for row in Rows(course_rows.HOME / "tuned.jsonl").rows if "recall@1" in row]
    assert {row["what"]["stage"] for row in every if row not in committed} <= {*OF_CHOSEN}


def test_a_method_over_its_seeds_is_mean_and_t_interval(committed):
    for one in measured.ranking()[:3]:
        rows = [
            r for r in committed if r["what"]["cell"] == [one.method, ""] and r["what"]["stage"] == "final"
        ]
        recalls = np.array([row["recall@1"] for row in rows])
        low, high = stats.t.interval(0.95, len(recalls) - 1, loc=recalls.mean(), scale=stats.sem(recalls))
        mean, half = one.recall()
        np.testing.assert_allclose([mean - half, mean + half], [low, high], rtol=1e-12)


def test_a_difference_is_paired_by_seed():
    one, other = measured.of("sst"), measured.of("sst", "with random")
    pairs = [one.runs[seed].recall - other.runs[seed].recall for seed in (0, 1, 2)]
    mean, _, seeds = one.minus(other)
    assert mean == pytest.approx(np.mean(pairs)) and seeds == 3
    assert other.minus(one)[0] == pytest.approx(-mean)
    alone = measured.Ranked("sst", "", {7: one.runs[0]})
    assert one.minus(alone)[2] == 0


def test_what_was_chosen_is_what_the_finals_were_trained_with():
    """Where all finals of a method are there; its samplers take over what was chosen for it."""
    for one in measured.ranking():
        tuned = measured.tuned(one.method)
        assert tuned is not None and len(tuned.rates) >= 4
        used = {(run.learning_rate, run.value) for run in one.runs.values()}
        assert used == {(tuned.best.learning_rate, tuned.best.value)}
        assert tuned.rate_at_end == (tuned.best.learning_rate in (min(tuned.rates), max(tuned.rates)))
        assert tuned.option == OPTIONS.get(one.method, ("",))[0]


def test_the_methods_are_ours_and_the_untrained_network_is_known():
    assert {run.method for run in measured.runs()} <= set(methods.names())
    for run in measured.runs():
        assert run.untrained is not None and 0.2 < run.untrained < run.recall + 0.2 and run.num_classes == 659


def test_an_unknown_name_says_what_is_there():
    for wrong in ({"method": "sts"}, {"variant": "with locals"}, {"stage": "finals"}):
        with pytest.raises(DMLTeachError, match=next(iter(wrong.values()))):
            measured.runs(**wrong)


def test_what_was_never_tuned_has_no_tuning():
    assert measured.tuned("sst", "with random") is None
