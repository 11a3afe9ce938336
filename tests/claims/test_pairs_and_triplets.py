"""What the chapter, its replay and its exercises claim about pairs, triplets and collapse."""

import math
import tempfile
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from dmlteach import data, losses, models, samplers
from dmlteach.course.exercises import collapse
from dmlteach.course.exercises.pairs_and_triplets import BOUND, TRAINED_WITH, active_share, drawn_share
from dmlteach.course.recordings import recordings
from dmlteach.distances import pairwise_squared_distances
from dmlteach.train import TrainConfig, fit

MARGIN = 0.2


# --- pairs, and points in the plane


def test_a_positive_is_pulled_harder_the_farther_it_is_and_a_negative_pushed_only_inside_the_margin():
    def force(label: int, distance: float) -> float:
        z = torch.tensor([[0.0, 0.0], [distance, 0.0]], dtype=torch.float64).requires_grad_()
        loss = losses.contrastive_loss(z, torch.tensor([0, label]), 1.0)
        return -torch.autograd.grad(loss, z)[0][0, 0].item()

    distances = [0.01, 0.2, 0.5, 0.99, 1.01, 1.5, 2.0]
    assert [force(0, d) for d in distances] == pytest.approx(distances)
    assert [-force(1, d) for d in distances] == pytest.approx([max(0, 1 - d) for d in distances])


@pytest.mark.parametrize("seed", [0, 1, 2])  # points in the plane, and no network: the same everywhere
def test_a_class_shrinks_to_a_point_under_the_contrastive_loss_and_not_under_the_triplet_loss(
    seed, run_cells
):
    space = run_cells("pairs_and_triplets", "imports") | {"generator": torch.Generator().manual_seed(seed)}
    space = run_cells("pairs_and_triplets", "plane", "plane-measure", **space)
    spread = {name: space["spread"](points) for name, points in space["walks"].items()}
    assert spread["contrastive, m = 1"] < 0.001
    assert 0.1 < spread["triplet, m = 2"] < spread["triplet, m = 0.2"]
    for margin in (0.2, 2.0):  # it has stopped, every positive nearer than every negative by the margin
        points = space["walks"][f"triplet, m = {margin:g}"]
        hinges, exists = losses.triplet.triplet_hinges(points, space["labels"], margin)
        assert not (hinges[exists] > 0).any()


# --- most triplets are useless


@pytest.fixture
def shares(run_cells):
    """The chapter's own cell: per moment, the share of active triplets drawn in its three ways."""

    def of(embeddings, labels, seed=0, margin=TRAINED_WITH):
        record = SimpleNamespace(embeddings=embeddings, labels=labels)
        of_training = {"recipe": {"loss_options": {"margin": margin}}}
        space = run_cells("pairs_and_triplets", "imports") | {
            "pretrained": SimpleNamespace(recordings=lambda name: record, card=lambda name: of_training),
            "generator": torch.Generator().manual_seed(seed),
        }
        return run_cells("pairs_and_triplets", "useless", **space)["shares"]

    return of


def test_of_the_recorded_training_ever_fewer_random_triplets_are_active(shares):
    record = recordings("triplet")
    random, nearest, hardest = zip(*shares(record.embeddings, record.labels), strict=True)
    assert 0.7 > random[0] > random[4] > random[8] > random[12] and random[12] < 0.03
    assert max(nearest[1:]) < 0.05 < nearest[0] < random[0]
    assert min(hardest) > 0.8
    assert [active_share(moment) for moment in (0, 12)] == pytest.approx([random[0], random[12]], abs=0.02)


def test_the_exercise_knows_the_share_that_the_chapter_draws(run_cells):
    before = ("imports", "pairs-check", "triplet-check", "plane")
    shares = run_cells("pairs_and_triplets", *before, "useless")["shares"]
    assert drawn_share() == pytest.approx(shares[-1][0])


def test_in_the_first_steps_of_a_training_anew_too_the_hardest_triplets_are_active_and_others_far_less(
    mean_over_seeds, trained, shares
):
    """That ever fewer are active is said of the recording: in the first sixty steps they become more."""

    def measure(seed):
        run = trained("triplet", seed)
        random, nearest, hardest = zip(*shares(run.moments, run.labels, seed, MARGIN), strict=True)
        return {"random": max(random), "nearest": max(nearest), "hardest": min(hardest)}

    mean = mean_over_seeds(measure)
    assert mean["random"] < 0.6  # 0.450 ± 0.048, 20 seeds
    assert mean["nearest"] < 0.35  # 0.223 ± 0.044
    assert mean["hardest"] > 0.95  # 0.999 ± 0.001


# --- collapse


def test_an_untrained_network_starts_far_above_the_margin_under_the_hardest_triplets_alone(mean_over_seeds):
    def measure(seed):
        first = {name: [step.loss for step in short(seed, loss=name)[:10]] for name in ("hardest", "all")}
        return {
            "start, hardest": first["hardest"][0] / MARGIN,
            "lowest of ten, hardest": min(first["hardest"]) / MARGIN,
            "lowest of ten, all": min(first["all"]) / MARGIN,
        }

    mean = mean_over_seeds(measure)
    assert mean["start, hardest"] > 10  # 44 ± 8, 20 seeds
    assert mean["lowest of ten, hardest"] > 0.9  # 1.18 ± 0.10
    assert mean["lowest of ten, all"] < 1  # 0.52 ± 0.09


def test_with_the_hardest_triplets_the_loss_sticks_at_the_margin_and_every_drawing_lands_in_one_place(
    mean_over_seeds,
):
    mean = mean_over_seeds(lambda seed: ends(short(seed)))
    assert mean["loss"] == pytest.approx(MARGIN, rel=0.1)  # 0.2060 ± 0.0018, 20 seeds
    assert mean["shrunk to"] < 0.005  # 0.00058 ± 0.00012
    assert mean["separation"] < 0.9 * BOUND  # 1.36 ± 0.09


def test_the_mean_over_all_triplets_cures_it_and_so_does_sst_with_larger_distances(mean_over_seeds):
    def measure(seed):
        of_all, sst = short(seed, loss="all"), short(seed, loss="sst")
        return {
            "separation, all": collapse.separation(of_all),
            "separation, sst": collapse.separation(sst),
            "collapsed ÷ cured": short(seed)[-1].d2_negative / of_all[-1].d2_negative,
            "loss, all": of_all[-1].loss,
            "sst wider than all": sst[-1].d2_negative / of_all[-1].d2_negative,
        }

    mean = mean_over_seeds(measure)
    assert mean["separation, all"] > 0.9 * BOUND  # 2.57 ± 0.25, 20 seeds
    assert mean["separation, sst"] > 0.9 * BOUND  # 2.91 ± 0.32
    assert mean["collapsed ÷ cured"] < 0.05  # 0.019 ± 0.006
    assert mean["loss, all"] < 0.75 * MARGIN  # 0.069 ± 0.022
    assert mean["sst wider than all"] > 3  # 10.1 ± 1.7


def test_a_larger_margin_sticks_at_the_larger_margin(mean_over_seeds):
    mean = mean_over_seeds(lambda seed: ends(short(seed, margin=1.0, steps=30)))
    assert mean["loss"] == pytest.approx(1.0, rel=0.05)  # 1.011 ± 0.003, 20 seeds
    assert mean["shrunk to"] < 0.005  # 0.00083 ± 0.00017


def test_a_smaller_learning_rate_goes_the_same_way_more_slowly(mean_over_seeds):
    def measure(seed):
        slow, fast = short(seed, learning_rate=3e-4), short(seed)
        fallen = {"loss fallen to": slow[-1].loss / slow[0].loss}
        return ends(slow) | fallen | {"fast ÷ slow": fast[-1].d2_negative / slow[-1].d2_negative}

    mean = mean_over_seeds(measure)
    assert mean["fast ÷ slow"] < 1  # 0.027 ± 0.005, 20 seeds
    assert mean["shrunk to"] < 0.1  # 0.022 ± 0.004
    assert mean["loss"] > MARGIN  # 0.303 ± 0.032
    assert mean["loss fallen to"] < 0.1  # 0.035 ± 0.007
    assert mean["separation"] < 0.9 * BOUND  # 1.38 ± 0.06


def test_a_network_that_separates_starts_far_above_the_margin_as_well_and_shrinks(mean_over_seeds):
    def measure(seed):
        history = short(seed, start="triplet", steps=30)
        return ends(history) | {"first": history[0].loss / MARGIN}

    mean = mean_over_seeds(measure)
    assert mean["first"] > 2  # 10.7 ± 6.7, 20 seeds
    assert mean["loss"] == pytest.approx(MARGIN, rel=0.2)  # 0.219 ± 0.006
    assert mean["shrunk to"] < 0.02  # 0.0009 ± 0.0003


def test_most_triplets_of_an_untrained_network_are_not_hard_and_no_negative_outweighs_the_others_in_sst(
    mean_over_seeds,
):
    def measure(seed):
        z, labels = untrained_batch(seed)
        d2, same = pairwise_squared_distances(z), labels[:, None] == labels
        positive = same.clone().fill_diagonal_(False)
        triplets = positive[:, :, None] & ~same[:, None, :]
        weights = torch.sigmoid(d2[:, :, None] - (d2[:, None, :] + d2[None]) / 2) * triplets
        return {
            "hard": (d2[:, :, None] > d2[:, None, :])[triplets].double().mean(),
            "largest weight": (weights.amax(2) / weights.sum(2))[positive].mean(),  # of a pair's impostors
        }

    mean = mean_over_seeds(measure)
    assert mean["hard"] < 0.42  # 0.284 ± 0.052, 20 seeds
    assert mean["largest weight"] < 0.45  # 0.25 ± 0.05


@pytest.mark.parametrize("name", ["triplet", "sst"])
def test_a_collapsed_batch_has_the_margin_as_loss_no_gradient_and_only_active_triplets(name):
    z, labels = torch.ones(16, 8, requires_grad=True), torch.arange(4).repeat_interleave(4)
    loss = losses.create(name)
    value = loss(z, labels)
    assert torch.autograd.grad(value, z)[0].abs().max() == 0
    if name == "triplet":
        assert value.item() == pytest.approx(MARGIN)
        assert loss.stats(z, labels)["active_tuples"] == 1


def test_torchs_relu_leaves_a_triplet_at_the_margin_alone():
    at_zero = torch.zeros(1, requires_grad=True)
    assert torch.autograd.grad(at_zero.relu().sum(), at_zero)[0] == 0


# --- a loss of one's own


def own_loss(seed: int, folder: Path, source: str, training: str) -> dict:
    """The chapter's own cells, its file written as the notebook does."""
    (folder / "rounded.py").write_text(source.partition("\n")[2], encoding="utf-8")
    space = {"folder": SimpleNamespace(name=str(folder)), "tempfile": tempfile, "TrainConfig": TrainConfig}
    space |= {"fit": fit, "dataset": "omniglot", "seed": seed, "device": "cpu"}
    exec(compile(training, "pairs_and_triplets, cell own-loss-train", "exec"), space)
    return space["result"].metrics


def test_the_loss_that_the_chapter_writes_is_its_formula_and_keeps_a_gradient_where_a_hinge_has_none(
    tmp_path, cell
):
    (tmp_path / "rounded.py").write_text(
        cell("pairs_and_triplets", "own-loss-file").partition("\n")[2], encoding="utf-8"
    )
    loss = losses.create(f"{tmp_path}/rounded.py:rounded")
    z = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = [0, 0, 0, 1, 1, 2]
    d = [[math.dist(a, b) for b in z.tolist()] for a in z.tolist()]
    found = [
        math.log1p(math.exp(d[a][p] - d[a][n]))
        for a in range(6)
        for p in range(6)
        for n in range(6)
        if p != a and y[p] == y[a] != y[n]
    ]
    assert loss(z, torch.tensor(y)).item() == pytest.approx(sum(found) / len(found))
    apart = torch.tensor([[0.0], [0.1], [2.0], [2.1]], requires_grad=True)  # in order by far more than 0.2
    labels = torch.tensor([0, 0, 1, 1])
    smooth, hinge = (
        torch.autograd.grad(one(apart, labels), apart)[0] for one in (loss, losses.create("triplet"))
    )
    assert smooth.abs().min() > 0 == hinge.abs().max()


def test_with_the_loss_that_the_chapter_writes_the_network_finds_more_than_untrained(
    mean_over_seeds, tmp_path, cell
):
    source, training = (
        cell("pairs_and_triplets", "own-loss-file"),
        cell("pairs_and_triplets", "own-loss-train"),
    )

    def measure(seed):
        metrics = own_loss(seed, tmp_path, source, training)
        assert metrics["untrained"]["num_classes"] == metrics["final"]["num_classes"]
        return {"gain": metrics["final"]["recall@1"] - metrics["untrained"]["recall@1"]}

    assert mean_over_seeds(measure)["gain"] > 0.05  # 0.121 ± 0.022, 20 seeds


# --- on recordings, the same bytes on every machine


def test_active_means_two_things_before_a_training_nearly_all_count_under_sst_and_few_under_the_triplet_loss(
    run_cells,
):
    space = run_cells("pairs_and_triplets", "imports", "pairs-check", "useless", "two-meanings")
    start, end, in_one_place = space["counted"].values()
    assert end[0] < 0.01 < start[0] < 0.1  # under the triplet loss
    assert end[1] < 0.01 and 0.9 < start[1] < 1  # under SST
    apart = [torch.pdist(space["of_sst"].embeddings[moment]).square().mean() for moment in (0, -1)]
    assert apart[0] < apart[1] / 4  # a fraction of what they become
    assert end[2] > 0.95 > start[2] + 0.2 and start[2] > 0.5  # and it retrieves far better
    assert in_one_place == [1, 1, 0]


def test_the_positives_that_the_short_training_prints_are_no_distances_of_anchors_to_themselves(
    run_cells, cell
):
    space = run_cells("pairs_and_triplets", "imports", dataset="omniglot")
    exec(cell("pairs_and_triplets", "collapse-train").replace("steps=40", "steps=1"), space)
    seen = []

    def loss_of(z, labels, margin):
        seen.append((z.detach().double(), labels.tolist()))
        return losses.triplet_loss(z, labels, margin)

    ((_, d2_positive, d2_negative),) = space["train_briefly"](loss_of, steps=1)
    ((z, labels),) = seen[:1]
    pairs = [(i, j) for i in range(len(z)) for j in range(i)]
    far = {
        same: [float((z[i] - z[j]).square().sum()) for i, j in pairs if (labels[i] == labels[j]) == same]
        for same in (True, False)
    }
    assert d2_positive == pytest.approx(sum(far[True]) / len(far[True]), rel=1e-4)
    assert d2_negative == pytest.approx(sum(far[False]) / len(far[False]), rel=1e-4)


def test_what_the_runs_become_stays_folded_until_the_reader_has_predicted(cell):
    for id in ("plane-measure", "collapse-replay-read"):
        assert "covered(" in cell("pairs_and_triplets", id)


@cache
def short(seed: int, **changes) -> list[collapse.Step]:
    return collapse.train_briefly(seed=seed, **changes)


def ends(history: list[collapse.Step]) -> dict[str, float]:
    """How a short training ends."""
    return {
        "loss": history[-1].loss,
        "shrunk to": history[-1].d2_negative / history[0].d2_negative,
        "separation": collapse.separation(history),
    }


def untrained_batch(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings (32, D) of four drawings of each of eight characters, and their labels."""
    train = data.load("omniglot", "train", classes=60)
    pixels = data.cached(train, size=28, progress=False)
    network = models.create("omniglot_cnn", 64, seed=seed).train()
    rows = next(iter(samplers.create("class_balanced", train.labels, 32, seed=seed, images_per_class=4)))
    with torch.no_grad():
        z = network((pixels.gather(rows) / 255 - network.spec.mean[0]) / network.spec.std[0])
    return z, train.labels[list(rows)]
