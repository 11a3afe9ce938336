"""What the chapter on densely-anchored sampling, its explorer and its exercises claim."""

import re

import numpy as np
import pytest
import torch
from scipy import stats

from dmlteach.course import measured, statements
from dmlteach.course.exercises import weighted_training
from dmlteach.course.recordings import das_by_rate
from dmlteach.course.recordings.das_by_rate import RATES, RECORDED, SEEDS
from dmlteach.course.widgets import NewPointsExplorer
from dmlteach.course.widgets.new_points_explorer.widget import RANGES, STATES

OF_BENCHMARK = ("benchmark", "benchmark-read")


@pytest.fixture(scope="module")
def space(run_cells):
    """Names of the chapter, once its numbers are computed; its short trainings are left out."""
    return run_cells(
        "filling_the_space", "imports", *OF_BENCHMARK, "real", "forces", "rates", "rates-read", "directions"
    )


@pytest.fixture(scope="module")
def said(space, said_by):
    """What a cell says, by its id."""
    return lambda id: said_by("filling_the_space", id, space)


# --- the benchmark


def told_by_a_t_test(one: dict[int, float], other: dict[int, float]) -> int:
    """1, −1 or 0, by scipy's own paired test, of values by seed."""
    seeds = sorted(one.keys() & other.keys())
    x, y = ([side[seed] for seed in seeds] for side in (one, other))
    if len(seeds) < 2 or stats.ttest_rel(x, y).pvalue >= 0.05:
        return 0
    return 1 if np.mean(x) > np.mean(y) else -1


VARIANTS = ("with DAS", "with DAS, detached")


def check(table: str, read: str) -> set[str]:
    """Compare what the two cells show with the rows of the benchmark; the signs that the table has."""
    signs = set()
    finals = {(run.method, run.variant) for run in measured.runs()}
    lines = re.findall(r"^\| `(\w+)` \| (with DAS.*?) \|.*\| (.*?) \|$", table, re.MULTILINE)
    shown = {(method, variant): sign for method, variant, sign in lines}
    for method in ("multi_similarity", "margin", "contrastive", "semihard", "triplet"):
        on_sphere = measured.tuned(method, "on the sphere") is not None
        without = "on the sphere" if on_sphere else measured.RECIPE
        for variant in VARIANTS:
            known = {(method, variant), (method, without)} <= finals
            assert ((method, variant) in shown) == known
            missing = re.search(rf"Not yet measured:.*`{method}` {variant}[;.]", read) is not None
            assert missing != known
            if known:
                sides = [measured.of(method, about).recalls() for about in (variant, without)]
                shared = len(sides[0].keys() & sides[1].keys())
                told = {1: "**+**", -1: "**−**", 0: "0, cannot be told"}[told_by_a_t_test(*sides)]
                wanted = f"{told} ({shared} seeds)" if shared > 1 else f"not yet told by {shared} seed"
                assert shown[method, variant] == wanted
                signs.add(wanted.split(" (")[0])
    return signs


def test_the_table_says_of_each_loss_what_a_paired_t_test_finds_in_the_committed_rows(said):
    check(said("benchmark"), said("benchmark-read"))


def test_beside_each_gain_stands_what_is_left_of_it_at_one_rate(said):
    one, other = (
        measured.of("multi_similarity", about).recalls() for about in ("with DAS", measured.AT_ITS_RATE)
    )
    mean = np.mean([one[seed] - other[seed] for seed in one.keys() & other.keys()])
    assert (
        f"ends {100 * abs(mean):.1f} ± "
        in said("benchmark-read").split("Both at the rate chosen with DAS")[1]
    )


@pytest.fixture
def invented(monkeypatch):
    """Rows as if four of the losses had finals with DAS: above, below, either way, and with one seed."""
    first = {m: measured.runs(m, "")[0] for m in ("multi_similarity", "margin", "contrastive", "semihard")}
    known = [run for run in measured._read() if "DAS" not in run.variant]
    with_das = []
    for (method, run), gains in zip(
        first.items(), ((0.02, 0.03, 0.025), (-0.02, -0.03, -0.025), (0.02, -0.02, 0.01), (0.1,)), strict=True
    ):
        base = measured.of(method).recalls()
        for seed, gain in enumerate(gains):
            with_das.append(run._replace(variant="with DAS", seed=seed, recall=base[seed] + gain))
    monkeypatch.setattr(measured, "_read", lambda: tuple([*known, *with_das]))


def test_with_rows_it_shows_plus_minus_zero_and_what_is_missing(invented, run_cells, said_by):
    space = run_cells("filling_the_space", "imports", *OF_BENCHMARK)
    told = said_by("filling_the_space", "benchmark-read", space)
    signs = check(said_by("filling_the_space", "benchmark", space), told)
    assert signs == {"**+**", "**−**", "0, cannot be told", "not yet told by 1 seed"}
    assert "**1** went up (`multi_similarity` with DAS)" in told
    assert "**1** went down (`margin` with DAS)" in told
    assert "; `triplet` with DAS; `triplet` with DAS, detached." in told


def test_the_explanation_of_the_paper_is_the_one_that_the_statements_give():
    assert "gains for the losses they tried, with both sides at one rate" in statements._DAS


# --- which points keep their label


def test_the_narrow_range_makes_copies_and_the_wide_one_leaves_the_class():
    birds, products = (NewPointsExplorer(**STATES[label]) for label in ("as for birds", "as for products"))
    assert birds.inside == len(birds.made) and birds.reach < 0.1
    assert 0.3 < products.inside / len(products.made) < 0.8 and products.reach > 2


@pytest.mark.parametrize("at", [(1.9, 0.95), (1.7, 1.0), (2.1, 0.9), (1.8, 1.2)])
def test_wider_ranges_keep_fewer_and_the_farther_from_the_origin_the_farther_a_scale_moves(at):
    shares = []
    for low, high in RANGES:
        near, far = (NewPointsExplorer(low, high, 0.0, scene=scene, at=at) for scene in ("near", "far"))
        shares.append(near.inside / len(near.made))
        if high > low:
            assert far.reach > 3 * near.reach
            assert far.inside <= near.inside
    assert shares == sorted(shares, reverse=True) and shares[-1] < 1


@pytest.mark.parametrize("at", [(1.9, 0.95), (1.7, 1.0), (2.0, 0.9), (1.8, 1.1)])
def test_shifts_by_whole_differences_stay_nearly_all_in_this_class_though_they_go_far(at):
    explorer = NewPointsExplorer(1.0, 1.0, 1.0, at=at)
    assert explorer.inside >= 0.85 * len(explorer.made) and explorer.reach > 1
    shown = NewPointsExplorer(**STATES["whole differences"])
    assert shown.inside == len(shown.made)


@pytest.mark.parametrize("seed", range(3))
def test_in_a_recorded_network_the_published_ranges_keep_the_class_and_add_little(run_cells, seed):
    found = run_cells("filling_the_space", "imports", "real", seed=seed)
    keeps, way = found["keeps"], found["way"]
    assert keeps["birds"] == 1 and way["birds"] < 0.03
    assert keeps["products"] > 0.99 and 0.3 < way["products"] < 0.9
    assert all(share > 0.99 for name, share in keeps.items() if way[name] < 1)
    assert keeps["double differences"] < 0.97 and keeps["0.1 to 10"] < 0.95  # farther than a classmate


# --- forces


@pytest.mark.parametrize("seed", range(3))
def test_detached_copies_leave_a_remainder_where_the_loss_chooses_its_tuples(run_cells, seed):
    left = run_cells("filling_the_space", "imports", "forces", seed=seed)["left_over"]
    for loss in ("contrastive", "triplet"):
        assert left[loss, "without DAS"] < 1e-5 and left[loss, "with DAS"] < 0.002
    assert left["contrastive", "with DAS, detached"] < 0.01
    assert left["triplet", "with DAS, detached"] > 0.03


@pytest.mark.anew
def test_with_detached_copies_the_mean_embedding_runs_away(run_cells, cell):
    """Means over two seeds; in brackets those over four, and the lowest or highest of the four.

    The mean embedding ends at (5.6, 6.5) without DAS, at (6.2, 6.5) with it, and at (23, 19) detached; the
    spread stays below (0.9).
    """
    ends = []
    for seed in (0, 1):
        space = run_cells("filling_the_space", "imports", seed=seed)
        exec(cell("filling_the_space", "drift").partition("\n\n\ndrifts")[0], space)
        sides = ("without DAS", "with DAS", "with DAS, detached")
        ends.append([space["watch"](side)[:, -5:].mean(1) for side in sides])
    (without, _), (with_das, _), (detached, _) = np.mean(ends, 0)
    assert detached > 2 * without and with_das < 1.5 * without
    assert np.array(ends)[..., 1].max() < 0.1 * detached


# --- a learning rate in disguise


def test_the_recording_is_complete_and_of_one_protocol():
    rows = das_by_rate.rows()
    assert {(r.side, r.rate, r.seed) for r in rows} == {
        (side, rate, seed) for side in RECORDED for rate in RATES for seed in SEEDS
    }
    assert len(rows) == len(RECORDED) * len(RATES) * len(SEEDS) and len(SEEDS) >= 3
    assert {r.num_classes for r in rows} == {weighted_training.classes("val")}


def verdict(one: tuple[str, float], other: tuple[str, float]) -> int:
    return told_by_a_t_test(das_by_rate.recalls(*one), das_by_rate.recalls(*other))


def test_at_a_small_rate_das_and_exact_copies_gain_alike_and_a_larger_rate_gains_more():
    low = 3e-4
    assert verdict(("with DAS", low), ("without DAS", low)) == 1
    assert verdict(("exact copies", low), ("without DAS", low)) == 1
    assert verdict(("with DAS", low), ("exact copies", low)) == 0
    assert verdict(("without DAS", 1e-3), ("with DAS", low)) == 1
    assert {das_by_rate.best_rate(side) for side in RECORDED} == {1e-3}  # inside of the rates tried


def test_the_gain_shrinks_towards_the_best_rate():
    gain = {rate: das_by_rate.minus(("with DAS", rate), ("without DAS", rate))[0] for rate in RATES}
    assert gain[1e-3] < min(gain[1e-4], gain[3e-4])


def test_each_sentence_about_rates_is_what_a_paired_t_test_finds(space, said):
    lines = [line for line in said("rates-read").splitlines() if line.startswith("- ")]
    assert len(lines) == len(space["asked"]) == 6
    for line, (one, other) in zip(lines, space["asked"].values(), strict=True):
        words = {1: " above ", -1: " below ", 0: "cannot be told apart"}[verdict(one, other)]
        assert words in line, line


@pytest.mark.anew
def test_a_recorded_training_is_made_again_by_the_program_that_made_it():
    """Processors differ in the last digit, and a training in what follows: as far as another seed does."""
    again = das_by_rate.measure("exact copies", 3e-4, 0)
    recorded = das_by_rate.recalls("exact copies", 3e-4)[0]
    assert again.recall == pytest.approx(recorded, abs=0.06)


@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_with_das_is_that_of_exact_copies_and_not_that_without(run_cells, seed):
    cosine = run_cells("filling_the_space", "imports", "forces", "directions", seed=seed)["cosine"]
    with_copies, without = cosine["with DAS", "exact copies"], cosine["exact copies", "without DAS"]
    assert 1 - with_copies < 0.002 and 1 - without > 0.01


def test_exact_copies_are_the_embeddings_themselves():
    z, labels = torch.randn(8, weighted_training.DIM), torch.arange(8) // 4
    from dmlteach.objective import DAS

    made, _ = DAS(2, weighted_training.DIM, **das_by_rate.SIDES["exact copies"])(z, labels)
    torch.testing.assert_close(made, z.repeat(4, 1), rtol=0, atol=0)
