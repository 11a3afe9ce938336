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


def test_the_long_run_on_birds_ends_no_higher_than_the_networks_own_features():
    said = "The long run ends no higher in Recall@1 than the network's own features."
    assert said in (CHECKOUT / "docs" / "results.md").read_text(encoding="utf-8")
    lines = (CHECKOUT / "benchmarks" / "birds.jsonl").read_text(encoding="utf-8").splitlines()
    found = {row["what"]["stage"]: row for row in map(json.loads, lines)}
    long, frozen = found["long"], found["frozen"]["recall@1"]
    assert long["recall@1"] <= frozen and long["untrained"] < frozen  # and it starts lower


def test_in_the_records_the_classifier_is_a_strong_competitor_and_every_network_far_above_the_untrained():
    recall = {row[0]: float(row[3].rstrip("%")) for row in rows("shipped", 8)}
    assert recall["softmax"] > recall["sst"] - 5
    assert min(value for name, value in recall.items() if name != "untrained") > 2 * recall["untrained"]
