"""What the documents of the course claim about recorded results."""

import json
import re

import pytest

from benchmarks import tuning
from dmlteach.course import CHECKOUT, measured

RESULTS = (CHECKOUT / "docs" / "results.md").read_text(encoding="utf-8")


def rows(part: str, columns: int) -> list[list[str]]:
    """Cells of the tables with so many columns in a part of the results, heads and rules left out."""
    text = RESULTS.split(f"<!-- results:{part} -->")[1].split("<!-- /results -->")[0]
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|") and "%" in line]
    return [[cell.strip(" `") for cell in line] for line in lines if len(line) == columns]


@pytest.mark.parametrize(("method", "direction"), [("multi_similarity", 1), ("triplet", -1), ("margin", 0)])
def test_das_helps_multi_similarity_harms_the_triplet_loss_and_leaves_margin_undecided(method, direction):
    (found,) = (
        [float(x) for x in re.findall(r"-?[\d.]+", row[3])] for row in rows("methods", 4) if row[0] == method
    )
    difference, half_interval = found
    assert (difference > half_interval) - (difference < -half_interval) == direction


def test_on_birds_sst_ends_higher_on_val_with_a_rotated_head_than_with_one_from_random_weights():
    told = " ".join((CHECKOUT / "docs" / "results.md").read_text(encoding="utf-8").split())
    assert "SST ends higher with the rotation (one seed)" in told
    rows = tuning.Rows(CHECKOUT / "benchmarks" / "birds.jsonl")
    rotated, random = (
        rows.best(("sst", about)) for about in ("batches of near species", "head from random weights")
    )
    assert rotated["recall@1"] > random["recall@1"]
    assert rotated["what"]["options"]["sampler"] == random["what"]["options"]["sampler"]


def test_the_long_run_on_birds_at_a_rate_of_long_runs_ends_almost_eight_points_above_own_features():
    told = " ".join((CHECKOUT / "docs" / "results.md").read_text(encoding="utf-8").split())
    assert "ends less than a point short of eight points above the network's own features" in told
    lines = (CHECKOUT / "benchmarks" / "birds.jsonl").read_text(encoding="utf-8").splitlines()
    found: dict[str, list[dict]] = {}
    for row in map(json.loads, lines):
        found.setdefault(row["what"]["stage"], []).append(row)
    (frozen,) = found["frozen"]
    first, second = sorted(found["long"], key=lambda row: -row["what"]["options"]["learning_rate"])
    assert first["recall@1"] <= frozen["recall@1"] and first["untrained"] < frozen["recall@1"]  # starts lower
    assert second["what"]["options"]["embedding_dim"] > 128
    assert 0 < 0.08 - (second["recall@1"] - frozen["recall@1"]) < 0.01
    before = second["untrained_on_training_classes"] - second["untrained"]
    after = second["on_training_classes"] - second["recall@1"]
    assert after - before > 0.04 and before > after / 2  # "further up", and "most of the distance"
    of_drawings = [
        json.loads(line) for line in (CHECKOUT / "benchmarks" / "limits.jsonl").open(encoding="utf-8")
    ]
    for row in (row for row in of_drawings if row["what"]["stage"] == "long"):  # "unlike on drawings"
        gains = (
            row["on_training_classes"] - row["untrained_on_training_classes"],
            row["recall@1"] - row["untrained"],
        )
        assert gains[0] < gains[1]
    checked = {row["what"]["options"]["learning_rate"]: row for row in found["check"]}
    assert min(checked) == max(checked, key=lambda rate: checked[rate]["recall@1"])
    assert second["what"]["options"]["learning_rate"] == min(checked)
    assert {row["steps"] for row in checked.values()} == {first["steps"], second["steps"]}


def test_in_the_records_the_classifier_is_a_strong_competitor_and_every_network_far_above_the_untrained():
    recall = {row[0]: float(row[3].rstrip("%")) for row in rows("shipped", 8)}
    assert recall["softmax"] > recall["sst"] - 5
    assert min(value for name, value in recall.items() if name != "untrained") > 2 * recall["untrained"]


def test_the_protocol_tells_where_the_rate_of_short_runs_is_not_that_of_longer_ones_and_what_das_owes_to_it():
    checks: dict[str, dict[float, float]] = {}
    for run in measured.runs(stage="check"):
        checks.setdefault(run.method, {})[run.learning_rate] = run.recall
    assert {*checks} == {"softmax", "triplet", "multi_similarity"}  # "for the other methods nobody looked"
    chosen = {method: measured.tuned(method).best.learning_rate for method in checks}
    lost = {method: max(found.values()) - found[chosen[method]] for method, found in checks.items()}
    assert lost["softmax"] < 0.005 and lost["triplet"] == 0 and lost["multi_similarity"] > 0.01
    found = checks["multi_similarity"]
    better = max(found, key=found.__getitem__)
    assert better < chosen["multi_similarity"]
    with_das = measured.of("multi_similarity", "with DAS")
    assert {run.learning_rate for run in with_das.runs.values()} == {better}
    at_one_rate = with_das.minus(measured.of("multi_similarity", measured.AT_ITS_RATE))[0]
    assert 0 < at_one_rate < with_das.minus(measured.of("multi_similarity"))[0] / 2
