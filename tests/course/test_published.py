"""Published numbers: whole, as given, and under ids that join with our methods and data sets."""

import csv
import math
import re

import pytest

from dmlteach import data, losses, methods
from dmlteach.course import published
from dmlteach.errors import DMLTeachError


def test_ids_are_those_of_our_methods_and_data_sets():
    rows = published.results()
    assert {row.dataset_id for row in rows} <= set(data.names())
    ids = {row.method_id.removesuffix("+das") for row in rows}
    # Two losses have no recipe of their own but --loss; DAS stands on top of any.
    assert ids <= {*methods.names(), *losses.names(), "", "das"}
    assert {"margin", "multi_similarity", "hdc", "abier", "htl", "proxy_anchor"} <= ids


def test_a_method_has_all_rows_that_are_published_of_it_by_whatever_name():
    """Also those that stand in two sources: nobody has to know how a leaderboard writes a method."""
    counts = {"angular": 12, "histogram": 8, "fast_ap": 14, "ranked_list": 19}
    for method, count in counts.items():
        assert len(published.results(method=method)) == count
    names = {row.method for row in published.results(method="ranked_list")}
    assert names == {"RLL-H", "Ranked List (H)", "Ranked List (L,M,H)"}
    rows = published.results("cub200", "ranked_list")
    assert [row.value for row in rows if row.k == 1] == [57.4, 57.4, 61.3]


def test_facts_are_those_given(shared):
    with open(shared / "published_results.csv", newline="", encoding="utf-8") as file:
        given = list(csv.DictReader(file))
    facts = ("method", "dataset", "metric", "backbone", "source")
    rows = published.results()
    assert len(rows) == len(given) == 881
    for row, one in zip(rows, given, strict=True):
        assert [getattr(row, name) for name in facts] == [one[name] for name in facts]
        assert (str(row.k or ""), str(row.dim or "")) == (one["k"], one["dim"])
        assert math.isclose(row.value, float(one["value"]))


def test_every_number_is_a_percentage_with_its_source():
    for row in published.results():
        assert 0 < row.value < 100 and row.source and row.method and row.dataset
        assert (row.k is not None) == (row.metric == "Recall@K")
        assert row.metric in ("Recall@K", "NMI", "F1")


def test_recall_grows_with_k():
    seen: dict[tuple, list[published.Result]] = {}
    for row in published.results():
        if row.k:
            seen.setdefault((row.method, row.dataset, row.backbone, row.dim, row.source), []).append(row)
    assert sum(len(rows) > 2 for rows in seen.values()) > 100
    for rows in seen.values():
        last = {}
        for row in sorted(rows, key=lambda row: (row.k, row.value)):
            assert row.value >= last.get("value", 0) or row.k == last["k"], row
            last = {"k": row.k, "value": row.value}


def test_rows_are_chosen_by_data_set_and_method():
    rows = published.results("domainnet", "das")
    assert [row.value for row in rows] == [39.52, 61.55, 51.44, 32.36, 62.70, 49.51]
    assert all("not in the DAS paper" in row.source for row in rows)
    assert {row.method_id for row in published.results(method="margin+das")} == {"margin+das"}
    assert len(published.results("sop")) + len(published.results("cub200")) < len(published.results())


@pytest.mark.parametrize(
    "chosen, message",
    [({"dataset": "cub20"}, "did you mean 'cub200'"), ({"method": "margn"}, "did you mean 'margin'")],
)
def test_an_unknown_id_gets_a_suggestion(chosen, message):
    with pytest.raises(DMLTeachError, match=message):
        published.results(**chosen)


def test_the_table_is_part_of_the_package():
    assert published.FILE.parent.name == "course" and published.FILE.is_file()


def test_a_result_of_ones_own_stands_among_the_published_ones():
    table = published.beside("cub200", "margin", 0.6421, others=3).splitlines()
    values = [float(re.search(r"(\d+\.\d) %", line)[1]) for line in table[2:]]
    assert values == sorted(values, reverse=True)
    own = published.results("cub200", "margin") + published.results("cub200", "margin+das")
    assert len(values) == sum(row.k == 1 and row.metric == "Recall@K" for row in own) + 3 + 1
    assert "| **margin, this run** | – | **64.2 %** | this report |" in table
    best = max(row.value for row in published.results("cub200") if row.k == 1)
    assert values[0] == best


def test_published_numbers_of_another_network_are_marked_so():
    table = published.beside("cub200", "margin", 0.6421, backbone="resnet50").splitlines()
    assert "| **margin, this run** | resnet50 | **64.2 %** | this report |" in table
    for line in table[2:]:
        another = "ResNet50" not in line and "this run" not in line
        assert ("(another network)" in line) == another
    assert any("(another network)" in line for line in table)


def test_where_nothing_is_published_it_says_so():
    assert "`omniglot`" in published.beside("omniglot", "sst", 0.5)
    assert not published.has_recall("omniglot") and published.has_recall("cub200")
