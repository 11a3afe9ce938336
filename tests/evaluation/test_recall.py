"""Which K of Recall@K are measured: named ones must fit, published ones are left out where they do not."""

import warnings

import pytest

from dmlteach import data, evaluate, models
from dmlteach.errors import DMLTeachError
from dmlteach.evaluation import evaluate_domains, recall


def test_k_are_whole_numbers_from_1_separated_by_commas():
    assert recall.parse("1,10, 100") == recall.parse([1, 10, 100, 10]) == (1, 10, 100)
    for wrong in ("1,two", "0", "-1", "1.5", "", "1,,2", [1, 0], [True], [2.0], ()):
        with pytest.raises(DMLTeachError, match="--recall-at takes whole numbers from 1"):
            recall.parse(wrong)


def test_published_k_are_taken_as_far_as_they_fit_and_the_rest_is_said():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert recall.fitting("sop", 1000, "the test split") == (1, 10, 100, 1000)
        assert recall.fitting("folder", 8, "the test split") == (1, 2, 4, 8)
    with pytest.warns(
        UserWarning, match="Recall@1000 left out: only 999 items are searched in the test split."
    ):
        assert recall.fitting("sop", 999, "the test split") == (1, 10, 100)
    with pytest.warns(UserWarning, match="Recall@4, Recall@8 left out"):
        assert recall.fitting("omniglot", 3, "the val split") == (1, 2)
    with pytest.raises(DMLTeachError, match="one image only"):
        recall.fitting("omniglot", 0, "the val split")


def test_published_k_are_those_of_the_papers_and_a_data_set_of_ones_own_has_the_usual_ones():
    """Song et al. (SOP) and Liu et al. (In-Shop), CVPR 2016."""
    assert recall.published("sop") == (1, 10, 100, 1000)
    assert recall.published("inshop") == (1, 10, 20, 30, 40, 50)
    assert recall.published("cub200") == recall.published("my birds") == (1, 2, 4, 8)


def test_published_k_are_divided_into_those_that_fit_and_the_others():
    assert recall.that_fit("inshop", 25) == ((1, 10, 20), (30, 40, 50))
    assert recall.that_fit("cub200", 8) == ((1, 2, 4, 8), ())


@pytest.fixture
def seven():
    """Seven drawings of two characters, each of which searches six."""
    drawings = data.load("omniglot", "test", classes=2)
    rows = [0, 1, 2, 20, 21, 22, 23]
    return data.ImageDataset(
        "omniglot", "test", drawings.source, drawings.labels[rows], drawings.class_names,
        shareable=True, rows=drawings.rows[rows],
    )  # fmt: skip


def test_evaluate_takes_the_k_that_fit_and_refuses_named_ones_that_do_not(seven):
    model = models.create("omniglot_cnn", 8)
    with pytest.warns(UserWarning, match="Recall@8 left out: only 6 items are searched in the test split"):
        found = evaluate(model, seven, device="cpu")
    assert [name for name in found if name.startswith("recall")] == ["recall@1", "recall@2", "recall@4"]
    assert (found["num_queries"], found["num_classes"]) == (7, 2)
    assert evaluate(model, seven, ks=(6,), device="cpu")["recall@6"] == 1
    with pytest.raises(DMLTeachError, match="Recall@7 of 6 items searched"):
        evaluate(model, seven, ks=(1, 7), device="cpu")
    with warnings.catch_warnings():  # of a gallery, no item is the query itself
        warnings.simplefilter("error")
        assert "recall@8" in evaluate(model, seven, data.load("omniglot", "test", classes=2), device="cpu")


def test_across_domains_the_smallest_gallery_decides():
    model = models.create("omniglot_cnn", 8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = evaluate_domains(model, "omniglot", classes=1, device="cpu")  # ten drawings in each
    assert "recall@8" in found["average"]
    assert [numbers["num_classes"] for numbers in found["domains"].values()] == [1]


def test_named_k_are_refused_across_domains_before_anything_is_embedded(monkeypatch):
    monkeypatch.setattr("dmlteach.evaluation.domains.embed", lambda *_, **__: pytest.fail("it was embedded"))
    with pytest.raises(DMLTeachError, match="Recall@100000 of 10 items searched in the smallest gallery"):
        evaluate_domains(models.create("omniglot_cnn", 8), "omniglot", classes=1, ks=(100_000,), device="cpu")
