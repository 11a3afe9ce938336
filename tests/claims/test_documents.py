"""What the documents of the course claim about recorded results."""

import json
import re

import pytest

from dmlteach.course import CHECKOUT

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


def test_the_long_run_on_birds_ends_no_higher_than_the_networks_own_features_and_runs_on_val_end_higher():
    told = " ".join((CHECKOUT / "docs" / "results.md").read_text(encoding="utf-8").split())
    assert "The long run ends no higher in Recall@1 than the network's own features." in told
    assert "end higher than the short ones, and higher than the network's own features." in told
    lines = (CHECKOUT / "benchmarks" / "birds.jsonl").read_text(encoding="utf-8").splitlines()
    found: dict[str, list[dict]] = {}
    for row in map(json.loads, lines):
        found.setdefault(row["what"]["stage"], []).append(row)
    (long,), (frozen,), (on_val,) = found["long"], found["frozen"], found["frozen on val"]
    assert long["recall@1"] <= frozen["recall@1"] and long["untrained"] < frozen["recall@1"]  # starts lower
    rate = long["what"]["options"]["learning_rate"]
    short = max(row["recall@1"] for row in (*found["tuning"], *found["size"], on_val))
    for row in found["check"]:
        assert row["what"]["options"]["learning_rate"] < rate and row["recall@1"] > short
        assert row["steps"] == long["steps"] and row["what"]["options"]["embedding_dim"] > 128


def test_in_the_records_the_classifier_is_a_strong_competitor_and_every_network_far_above_the_untrained():
    recall = {row[0]: float(row[3].rstrip("%")) for row in rows("shipped", 8)}
    assert recall["softmax"] > recall["sst"] - 5
    assert min(value for name, value in recall.items() if name != "untrained") > 2 * recall["untrained"]
