"""What the lab on evaluation in the chapter on looking claims: ways to fool oneself with a number."""

import pytest
import torch

from dmlteach.course.exercises import five_questions

SEEDS = (0, 1, 2)


@pytest.fixture(scope="module", params=SEEDS, ids="seed {}".format)
def loaded(request, run_cells) -> dict:
    """Names of the chapter after it has embedded its drawings: 100 characters, other ones for each seed."""
    return run_cells("looking_at_an_embedding", "load", seed=request.param)


def test_a_layer_fitted_to_half_of_the_characters_looks_like_progress_on_a_mixed_test(loaded, run_cells):
    changes = run_cells("looking_at_an_embedding", "trap-seen", "trap-seen-said", **loaded)["changes"]
    fitted, others, mixed = (changes[name] for name in changes)
    assert fitted[1] > fitted[0] + 0.2
    assert others[1] < others[0] - 0.05
    assert mixed[1] > mixed[0] + 0.03
    assert abs(fitted[0] - others[0]) < 0.07  # before, the halves are about equally hard


def test_the_query_in_its_own_list_adds_a_little_map_at_r_and_most_to_the_worst_network(loaded, run_cells):
    names = run_cells("looking_at_an_embedding", "trap-self", **loaded)
    honest, leaky = names["honest"], names["leaky"]
    added = {name: leaky[name]["map@r"] - honest[name]["map@r"] for name in honest}
    assert all(scores["recall@1"] == 1 for scores in leaky.values())
    assert all(0 < gain < 0.1 for gain in added.values())
    assert min(honest, key=lambda name: honest[name]["map@r"]) == max(added, key=added.get) == "untrained"


def test_drawings_stored_twice_help_every_network_and_shrink_the_lead(loaded, run_cells):
    names = run_cells("looking_at_an_embedding", "trap-self", "trap-twins", **loaded)
    assert all(names["doubled"][name] > names["honest"][name]["recall@1"] for name in names["doubled"])
    assert names["lead"]["after"] < names["lead"]["before"] - 2
    drawings, stored = names["drawings"], names["stored"]
    assert names["copies"](drawings[stored]) == len(names["again"]) + names["copies"](drawings)


def test_with_right_ones_first_in_ties_a_coarser_embedding_scores_higher(loaded, run_cells):
    names = run_cells("looking_at_an_embedding", "trap-ties", "trap-ties-said", **loaded)
    kind = {name: first for name, (_, first, _) in names["ties"].items()}
    library = {name: last for name, (_, _, last) in names["ties"].items()}
    assert kind["as it is"] == pytest.approx(library["as it is"])
    assert kind["16 signs"] < kind["8 signs"] < kind["4 signs"] < kind["all in one place"] == 1
    assert library["16 signs"] > library["8 signs"] > library["4 signs"] == library["all in one place"] == 0
    assert kind["4 signs"] > 0.8


def test_an_untrained_network_is_ahead_of_sst_where_its_test_is_smaller(loaded, run_cells):
    names = run_cells("looking_at_an_embedding", "trap-size", **loaded)
    untrained, sst = zip(*names["by_size"].values(), strict=True)
    assert list(names["by_size"]) == [5, 20, 50, 100, 659]
    for column in (untrained, sst):
        assert list(column) == sorted(column, reverse=True)
    assert all(a < b for a, b in zip(untrained, sst, strict=True))
    assert untrained[0] > sst[-1] + 0.02


@pytest.mark.parametrize("seed", (0, 1, 2, 3))
def test_each_metric_names_another_winner_among_the_sets_made_by_hand(seed, run_cells, cell):
    names = run_cells("looking_at_an_embedding", "trap-metrics", seed=seed, torch=torch)
    cut = cell("looking_at_an_embedding", "trap-metrics-table").partition("by_network")[0]
    exec("from dmlteach import metrics\n" + cut, names)
    scores = names["by_hand"]
    winners = [names["ranking"](scores, i) for i in range(3)]
    assert [order[0] for order in winners] == ["pairs", "rows", "groups"]
    assert all(scores[order[0]][i] > scores[order[1]][i] for i, order in enumerate(winners))  # not by a tie


def test_the_question_that_closes_the_course_quotes_the_table_it_sends_its_reader_to(run_cells):
    untrained = {
        size: one
        for size, (one, _) in run_cells("looking_at_an_embedding", "load", "trap-size")["by_size"].items()
    }
    said = five_questions.another_test()
    assert f"{untrained[5]:.0%} among 5 characters and of {untrained[659]:.0%} among 659" in said
