"""Every metric equals brute force: float64, explicit sorting, at equal distance the non-match first."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score
from sklearn.metrics.cluster import pair_confusion_matrix

from dmlteach import metrics
from dmlteach.errors import DMLTeachError
from dmlteach.metrics import clustering, ranks

pytestmark = pytest.mark.filterwarnings("ignore:.*are left out")


def brute_force(queries, query_labels, ks, gallery=None, gallery_labels=None):
    single = gallery is None
    gallery, gallery_labels = (queries, query_labels) if single else (gallery, gallery_labels)
    queries, gallery = queries.double().numpy(), gallery.double().numpy()
    hits, precisions, averages, left_out = {k: [] for k in ks}, [], [], 0
    for i in range(len(queries)):
        d2 = ((queries[i] - gallery) ** 2).sum(1)
        match = (gallery_labels == query_labels[i]).numpy()
        if single:
            d2, match = np.delete(d2, i), np.delete(match, i)
        r = match.sum()
        if r == 0:
            left_out += 1
            continue
        found = match[np.lexsort((match, d2))]
        precision_at = np.cumsum(found) / np.arange(1, len(found) + 1)
        for k in ks:
            hits[k].append(found[:k].any())
        precisions.append(found[:r].mean())
        averages.append((precision_at * found)[:r].sum() / r)
    scores = {f"recall@{k}": np.mean(hits[k]) for k in ks}
    scores |= {"map@r": np.mean(averages), "r_precision": np.mean(precisions)}
    return scores | {
        "num_queries": len(averages),
        "num_left_out": left_out,
        "num_classes": len({int(label) for label in query_labels}),
    }


def assert_equal_to_brute_force(*args):
    assert metrics.retrieval_metrics(*args) == pytest.approx(brute_force(*args), abs=1e-12)


def embeddings_of(kind: str, n: int, dim: int, generator: torch.Generator) -> torch.Tensor:
    x = torch.randn(n, dim, generator=generator)
    if kind == "tied":
        return x.round().clamp(-1, 1)
    if kind == "duplicated":  # far from the origin, where an fp32 product would separate equal rows
        return (x * 130 + 130)[torch.randint(0, max(1, n // 3), (n,), generator=generator)]
    if kind == "collapsed":
        return x[:1].expand(n, dim).clone()
    if kind == "shifted":
        return x * 1e-3 + 1000
    return x


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of odd sizes, and too few matches at a time for one pass over a symmetric matrix."""

    def use(block: int, matches: int = 2**24):
        monkeypatch.setitem(ranks.BLOCK, "cpu", block)
        monkeypatch.setattr(ranks, "MATCHES", matches)

    return use


KINDS = ["random", "tied", "duplicated", "collapsed", "shifted"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block, matches", [(1024, 2**24), (7, 2**24), (13, 200)])
def test_a_single_set_is_scored_as_by_brute_force(kind, block, matches, small_blocks):
    small_blocks(block, matches)
    generator = torch.Generator().manual_seed(1)
    for num_classes in (2, 9, 40):  # the last has singletons
        x = embeddings_of(kind, 61, 5, generator)
        y = torch.randint(0, num_classes, (61,), generator=generator)
        assert_equal_to_brute_force(x, y, (1, 2, 10, 60))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block, matches", [(1024, 2**24), (7, 2**24), (13, 200)])
def test_query_and_gallery_are_scored_as_by_brute_force(kind, block, matches, small_blocks):
    small_blocks(block, matches)
    generator = torch.Generator().manual_seed(2)
    for num_classes in (2, 30):  # with 30, some classes are in one of the sets only
        both = embeddings_of(kind, 80, 6, generator)  # duplicates across the sets too
        y = torch.randint(0, num_classes, (80,), generator=generator)
        assert_equal_to_brute_force(both[:30], y[:30], (1, 3, 50), both[30:], y[30:])


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_small_set_is_scored_as_by_brute_force(data):
    n = data.draw(st.integers(3, 12))
    dim = data.draw(st.integers(1, 3))
    values = st.sampled_from([-2.0, -1.0, -0.0, 0.0, 1.0, 1 + 2**-23, 2.0])  # squares are exact in float64
    rows = data.draw(st.lists(st.lists(values, min_size=dim, max_size=dim), min_size=n, max_size=n))
    labels = data.draw(st.lists(st.integers(0, 5), min_size=n, max_size=n))
    y = torch.tensor(labels)
    assume(torch.bincount(y).max() > 1)
    assert_equal_to_brute_force(torch.tensor(rows), y, (1, n - 1))


def test_neighbours_closer_together_than_fp32_products_can_tell_are_ranked_exactly():
    query, near, far = [1000.0, 0.0], [1000.0, 1e-4], [1000.0, 3e-4]
    anchor = [-1000.0, 0.0]  # keeps the centre of the set away from the three
    x = torch.tensor([query, near, far, anchor], dtype=torch.float64)
    assert metrics.recall_at_k(x, torch.tensor([0, 0, 1, 1]), [1])[1] == 0.5
    assert metrics.recall_at_k(x, torch.tensor([0, 1, 0, 1]), [1])[1] == 0.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_a_collapsed_embedding_scores_zero(dtype):
    x = torch.full((400, 16), 0.3, dtype=dtype)
    scores = metrics.retrieval_metrics(x, torch.arange(400) % 20, (1, 8))
    assert scores["recall@1"] == scores["recall@8"] == scores["map@r"] == scores["r_precision"] == 0


def test_identical_rows_far_from_the_origin_tie():
    """An fp32 matrix product gives such duplicates distances of about -0.004 … 0.004."""
    x = (torch.randn(1, 64) * 130).expand(300, 64).clone()
    x[0] += 1
    scores = metrics.recall_at_k(x, torch.arange(300) % 150, [1, 100])
    assert scores == {1: 0.0, 100: 0.0}


def test_a_tie_counts_against_the_query():
    x = torch.tensor([[0.0], [1.0], [-1.0], [5.0]])
    y = torch.tensor([0, 0, 1, 1])  # row 0: its match and a non-match are both at distance 1
    assert metrics.recall_at_k(x, y, [1, 2]) == {1: 0.25, 2: 0.5}


def test_well_separated_classes_score_one():
    x = torch.eye(8).repeat_interleave(4, 0) * 9 + torch.randn(32, 8) * 0.1
    scores = metrics.retrieval_metrics(x, torch.arange(32) // 4, (1, 2))
    assert scores["recall@1"] == scores["map@r"] == scores["r_precision"] == 1


def test_the_functions_return_what_retrieval_metrics_returns():
    x, y = torch.randn(60, 4), torch.arange(60) % 6
    scores = metrics.retrieval_metrics(x, y, (1, 5))
    assert metrics.recall_at_k(x, y, (1, 5)) == {1: scores["recall@1"], 5: scores["recall@5"]}
    assert metrics.mean_average_precision_at_r(x, y) == scores["map@r"]
    assert metrics.r_precision(x, y) == scores["r_precision"]


def test_any_integer_labels_do():
    x, y = torch.randn(60, 4), torch.arange(60) % 6
    renamed = torch.tensor([900, -3, 7, 10**12, 0, 5])[y]
    assert metrics.retrieval_metrics(x, y) == pytest.approx(metrics.retrieval_metrics(x, renamed))


def test_a_large_scale_or_shift_changes_nothing():
    x, y = torch.randn(80, 6, dtype=torch.float64), torch.arange(80) % 8
    expected = metrics.retrieval_metrics(x, y)
    assert metrics.retrieval_metrics(x * 1e12, y) == expected
    assert metrics.retrieval_metrics(x * 1e-12, y) == expected
    assert metrics.retrieval_metrics(x + 1e6, y) == expected


@pytest.mark.filterwarnings("default")
def test_queries_without_a_match_are_counted_and_warned_about():
    x, y = torch.randn(11, 3), torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 3, 4, 5])
    with pytest.warns(UserWarning, match="3 of 11 queries"):
        scores = metrics.retrieval_metrics(x, y)
    assert scores["num_queries"] == 8 and scores["num_left_out"] == 3


def test_bf16_matrix_products_in_the_rest_of_the_program_do_not_reach_the_metrics():
    x, y = torch.randn(200, 32), torch.arange(200) % 20
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            scores = metrics.retrieval_metrics(x, y)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert scores == pytest.approx(brute_force(x, y, (1, 2, 4, 8)), abs=1e-12)


@pytest.mark.parametrize("device", ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_device_and_block_size_gives_the_same_scores(kind, device, small_blocks):
    x = embeddings_of(kind, 600, 32, torch.Generator().manual_seed(3))
    y = torch.arange(600) % 60
    expected = metrics.retrieval_metrics(x, y, (1, 8, 500))
    small_blocks(133, 3000)
    assert metrics.retrieval_metrics(x.to(device), y.to(device), (1, 8, 500)) == pytest.approx(expected)


@pytest.mark.parametrize("k", [0, -1, 10])
def test_k_out_of_range_is_one_clear_error(k):
    with pytest.raises(DMLTeachError, match="choose K from 1 to 9"):
        metrics.recall_at_k(torch.randn(10, 2), torch.arange(10) % 2, [1, k])


@pytest.mark.parametrize(
    "args, message",
    [
        ((torch.randn(10, 2), torch.arange(9)), "one label per row"),
        ((torch.randn(10), torch.arange(10)), "one label per row"),
        ((torch.full((4, 2), torch.nan), torch.zeros(4)), "not finite"),
        ((torch.randn(4, 2), torch.arange(4), (1,)), "no query has another item"),
        ((torch.randn(4, 2), torch.zeros(4), (1,), torch.randn(4, 3), torch.zeros(4)), "dimensions"),
        ((torch.randn(4, 2), torch.zeros(4), (1,), torch.randn(4, 2)), "together, or neither"),
    ],
)
def test_bad_input_is_one_clear_error(args, message):
    with pytest.raises(DMLTeachError, match=message):
        metrics.retrieval_metrics(*args)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40))
def test_nmi_of_assignments_is_that_of_scikit_learn(pairs):
    labels, clusters = torch.tensor(pairs).T
    for average in ("arithmetic", "geometric"):
        expected = normalized_mutual_info_score(labels, clusters, average_method=average)
        actual = metrics.nmi_from_assignments(labels, clusters, average)
        assert actual == pytest.approx(expected, abs=1e-9)


def test_nmi_is_one_for_separate_classes_and_small_for_noise():
    y = torch.arange(200) % 5
    blobs = torch.eye(5)[y] * 10 + torch.randn(200, 5, generator=torch.Generator().manual_seed(0)) * 0.1
    assert metrics.nmi(blobs, y, restarts=10) == pytest.approx(1)
    assert metrics.nmi(torch.randn(200, 5, generator=torch.Generator().manual_seed(0)), y) < 0.2


def test_nmi_takes_the_tightest_of_its_restarts(monkeypatch):
    y = torch.tensor([0, 0, 1, 1])
    x = torch.tensor([[0.0], [0.1], [5.0], [5.1]])
    good, bad = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])

    def fake_kmeans(x, k, seed, iterations, start):
        clusters = good if start[0] == 1 else bad
        return torch.stack([x[clusters == c].mean(0) for c in range(k)]), clusters

    def fake_rows(x, k, starts, seed):
        return torch.arange(starts)[:, None].expand(starts, k)

    monkeypatch.setattr(clustering, "kmeans", fake_kmeans)
    monkeypatch.setattr(clustering, "spread_rows", fake_rows)
    assert metrics.nmi(x, y, restarts=3, seed=0) == pytest.approx(1)
    assert metrics.nmi(x, y, restarts=1, seed=0) == pytest.approx(0)


def overlapping(num_classes=20, per_class=30, noise=0.8, dim=12):
    random = torch.Generator().manual_seed(0)
    y = torch.arange(num_classes * per_class) % num_classes
    centers = torch.randn(num_classes, dim, generator=random)
    return centers[y] + noise * torch.randn(len(y), dim, generator=random), y


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(-2, 3), st.integers(0, 4)), min_size=1, max_size=40))
def test_f1_is_that_of_the_pairs_counted_one_by_one(items):
    labels, clusters = torch.tensor(items).T
    (_, false_positive), (false_negative, true_positive) = pair_confusion_matrix(labels, clusters)
    wrong = false_positive + false_negative
    expected = 2 * true_positive / (2 * true_positive + wrong) if true_positive + wrong else 1
    assert metrics.pairwise_f1(labels, clusters) == pytest.approx(expected)


def test_nmi_and_f1_of_ten_starts_are_those_of_scikit_learns_k_means():
    """Its k-means++ with ten starts, an implementation of others; the clusters agree but for single rows."""
    x, y = overlapping()
    found = metrics.clustering_metrics(x, y)
    theirs = torch.from_numpy(KMeans(20, n_init=10, random_state=0).fit_predict(x.numpy()))
    assert found["nmi_starts"] == 10
    assert found["nmi"] == pytest.approx(normalized_mutual_info_score(y, theirs), abs=0.02)
    assert found["f1"] == pytest.approx(metrics.pairwise_f1(y, theirs), abs=0.04)
    assert found["f1"] < 0.98  # else any clustering would do


def test_equal_seeds_give_equal_clusters_whatever_the_global_seed():
    x, y = overlapping(noise=2.0)
    first = metrics.clustering_metrics(x, y, restarts=2, seed=5)
    torch.manual_seed(99)
    assert metrics.clustering_metrics(x, y, restarts=2, seed=5) == first
    assert metrics.clustering_metrics(x, y, restarts=2, seed=6) != first


def test_of_more_than_ten_thousand_embeddings_there_are_fewer_starts_and_the_result_says_how_many():
    starts = {size: metrics.number_of_starts(size) for size in (1, 10_000, 10_001, 20_000, 60_502, 10**6)}
    assert starts == {1: 10, 10_000: 10, 10_001: 9, 20_000: 5, 60_502: 1, 10**6: 1}
    x, y = overlapping(3, 5)
    assert metrics.clustering_metrics(x, y, restarts=4)["nmi_starts"] == 4


AS_USERS_HAVE_THEM = {
    "a list": lambda y: y.tolist(),
    "NumPy": lambda y: y.numpy(),
    "a column of a table": lambda y: pd.Series(y.numpy(), index=range(5, 5 + len(y))),
    "a column that could miss values": lambda y: pd.Series(y.numpy()).astype("Int64"),
    "whole floats": lambda y: y.numpy().astype(float),
    "uint8": lambda y: y.to(torch.uint8),
    "int16 of the other byte order": lambda y: y.numpy().astype(">i2"),
    "labels from 101 on": lambda y: y + 101,
}


@pytest.mark.parametrize("labels_of", AS_USERS_HAVE_THEM.values(), ids=AS_USERS_HAVE_THEM)
def test_arrays_lists_and_columns_are_taken_as_they_are(labels_of):
    x, y = overlapping(4, 8)
    given = labels_of(y)
    assert metrics.retrieval_metrics(x.numpy(), given) == metrics.retrieval_metrics(x, y)
    gallery = metrics.recall_at_k(x, given, (1,), x.numpy(), given)
    assert gallery == metrics.recall_at_k(x, y, (1,), x, y)
    assert metrics.clustering_metrics(x.tolist(), given, restarts=1) == metrics.clustering_metrics(
        x, y, restarts=1
    )
    assert metrics.nmi_from_assignments(given, given) == metrics.pairwise_f1(given, given) == 1


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["fern", "moss", "fern", "moss"], "not 'fern'; words become numbers by numpy.unique"),
        (np.array(["fern", "moss", "fern", "moss"]), "words become numbers"),
        (pd.Series(["fern", "moss", "fern", "moss"], dtype="category"), "words become numbers"),
        ([0, 1, None, 1], "not None"),
        (np.array([1, 0.5, 0, 1]), "not 0.5"),
        (torch.tensor([0, torch.nan, 0, 1]), "not fractions or NaN"),
        ([[0, 1], [0]], "one for each row"),
        ([2**70, 1, 2, 2], "more than 64 bits"),
    ],
)
def test_labels_that_are_no_numbers_are_one_sentence(labels, message):
    x = torch.randn(4, 3)
    for call in (metrics.retrieval_metrics, metrics.nmi):
        with pytest.raises(DMLTeachError, match=message):
            call(x, labels)
    with pytest.raises(DMLTeachError, match=message):
        metrics.nmi_from_assignments(labels, torch.arange(4))


def test_embeddings_that_are_no_table_of_numbers_are_one_sentence():
    for wrong in (["a", "b"], torch.zeros(2, 3, dtype=torch.complex64), np.zeros(2), None):
        with pytest.raises(DMLTeachError, match="must be numbers"):
            metrics.retrieval_metrics(wrong, [0, 0])


@pytest.mark.parametrize("ks", [1, (1.5,), 2.0])
def test_ks_that_are_no_whole_numbers_are_one_sentence(ks):
    with pytest.raises(DMLTeachError, match="whole numbers"):
        metrics.retrieval_metrics(torch.randn(4, 3), [0, 0, 1, 1], ks)


def test_it_is_said_how_many_rows_are_not_finite():
    x = torch.randn(40, 3)
    x[[3, 8, 9, 30], 1] = torch.nan
    with pytest.raises(DMLTeachError, match=r"4 of 40 embeddings are not finite .* row 3, 8, 9, …"):
        metrics.retrieval_metrics(x, torch.arange(40) % 4)
    with pytest.raises(DMLTeachError, match="1 of 1 gallery_embeddings are not finite"):
        metrics.recall_at_k(x[:2], [0, 0], (1,), torch.full((1, 3), torch.inf), [0])


def test_nmi_refuses_what_it_cannot_do():
    with pytest.raises(DMLTeachError, match="restarts"):
        metrics.nmi(torch.randn(4, 2), torch.arange(4), restarts=0)
    with pytest.raises(DMLTeachError, match="unknown average 'geometrical'"):
        metrics.nmi_from_assignments(torch.zeros(3), torch.zeros(3), "geometrical")
    with pytest.raises(DMLTeachError, match="3 labels with 2 clusters"):
        metrics.nmi_from_assignments(torch.zeros(3), torch.zeros(2))


@pytest.mark.parametrize("gallery", [False, True])
def test_places_of_first_matches_are_those_of_sorted_distances_in_the_order_of_the_queries(gallery):
    generator = torch.Generator().manual_seed(7)
    z, labels = torch.randn(60, 4, generator=generator), torch.randint(0, 9, (60,), generator=generator)
    labels[-1] = 20  # alone: nothing to find
    g, g_labels = (z[:40] + 0.3, labels[:40]) if gallery else (z, labels)
    expected = []
    for i in range(60):
        order = (z[i] - g).square().sum(1).argsort().tolist()
        others = [j for j in order if gallery or j != i]
        places = [place for place, j in enumerate(others, 1) if g_labels[j] == labels[i]]
        expected.append(places[0] if places else 0)
    found = metrics.first_match_ranks(z, labels, *((g, g_labels) if gallery else ()))
    assert found.tolist() == expected
    assert found[-1] == 0 and (found > 1).any()


def test_recall_is_the_share_of_places_up_to_k():
    z, labels = torch.randn(200, 3, generator=torch.Generator().manual_seed(1)), torch.arange(200) // 5
    places = metrics.first_match_ranks(z, labels)
    for k, recall in metrics.recall_at_k(z, labels, (1, 2, 8, 50)).items():
        assert recall == (places <= k).double().mean().item()
