"""Smart Mining: triplets from neighbour lists over the whole training set, and a κ that adapts."""

import itertools

import numpy as np
import pytest
import torch

from benchmarks.definitions import naive_lists
from dmlteach.errors import DMLTeachError
from dmlteach.interfaces import Space
from dmlteach.losses.triplet_all import TripletAll
from dmlteach.samplers.smart import Smart, mine, next_kappa


def space_of(n=240, num_classes=12, dim=5, spread=0.8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % num_classes
    centers = torch.randn(num_classes, dim, generator=generator)
    z = centers[labels] + spread * torch.randn(n, dim, generator=generator)
    return Space(torch.nn.functional.normalize(z), labels)


def mined(space, kappa, num_neighbours=None, anchors=None, seed=0):
    n = len(space.labels)
    anchors = torch.arange(n) if anchors is None else anchors
    return mine(space, anchors, kappa, num_neighbours or n - 1, np.random.default_rng(seed))


def d2_of(space):
    z = space.embeddings.double()
    return torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist").square()


# ── mining ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kappa", [0.0, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("num_neighbours", [3, 30, 239])
def test_mined_negatives_are_those_of_the_naive_definition(kappa, num_neighbours):
    space = space_of()
    found, expected = mined(space, kappa, num_neighbours), naive_lists(space, kappa, num_neighbours)
    assert np.array_equal(found.is_random.numpy(), expected == -1)
    assert np.array_equal(found.negatives.numpy()[expected >= 0], expected[expected >= 0])
    if num_neighbours == 3:
        assert 0 < found.is_random.float().mean() < 1


@pytest.mark.parametrize("kappa", [0.3, 1.0, 2.0])
def test_a_mined_negative_is_farther_than_kappa_times_the_nearest_positive(kappa):
    space = space_of()
    d2, found, anchors = d2_of(space), mined(space, kappa, 40), torch.arange(240)
    same = space.labels[:, None] == space.labels[None, :]
    yardstick = d2.masked_fill(~same, torch.inf).fill_diagonal_(torch.inf).amin(1)
    assert (space.labels[found.negatives] != space.labels).all()
    is_mined = ~found.is_random
    d2_an = d2[anchors, found.negatives]
    assert is_mined.sum() > 0
    assert (d2_an[is_mined] > kappa * yardstick[is_mined] - 1e-6).all()


def test_without_kappa_the_negative_is_the_nearest_image_of_another_class():
    space = space_of()
    same = space.labels[:, None] == space.labels[None, :]
    nearest = d2_of(space).masked_fill(same, torch.inf).argmin(1)
    found = mined(space, 0.0)
    assert torch.equal(found.negatives, nearest)
    assert not found.is_random.any()


def test_an_unreachable_kappa_makes_every_negative_random():
    space = space_of()
    found, other = mined(space, 1e9, seed=0), mined(space, 1e9, seed=1)
    assert found.is_random.all()
    assert (space.labels[found.negatives] != space.labels).all()
    assert not torch.equal(found.negatives, other.negatives)
    assert torch.bincount(space.labels[found.negatives], minlength=12).min() > 5  # of all classes


def test_a_larger_kappa_never_gives_a_nearer_negative():
    space, d2, anchors = space_of(), d2_of(space_of()), torch.arange(240)
    by_kappa = [mined(space, kappa) for kappa in (0.0, 0.5, 1.0, 2.0, 5.0)]
    for one, other in itertools.pairwise(by_kappa):
        both = ~one.is_random & ~other.is_random
        assert both.sum() > 50
        assert (d2[anchors, one.negatives][both] <= d2[anchors, other.negatives][both]).all()


def test_positives_are_of_the_class_and_not_the_anchor_itself():
    space = space_of(n=40, num_classes=4)
    positives = torch.stack([mined(space, 1.0, seed=seed).positives for seed in range(80)])
    assert (space.labels[positives] == space.labels).all()
    assert (positives != torch.arange(40)).all()
    assert len(positives[:, 0].unique()) == 40 // 4 - 1  # every other image of the class is drawn


def test_a_positive_that_coincides_with_its_anchor_is_not_used():
    space = space_of(n=24, num_classes=4)
    space.embeddings[4] = space.embeddings[0]  # of one class
    positives = torch.stack([mined(space, 1.0, seed=seed).positives for seed in range(60)])
    assert (positives[:, 0] != 4).all() and (positives[:, 4] != 0).all()
    expected = naive_lists(space, 1.0, 23)
    assert mined(space, 1.0).negatives[0] == expected[0] != -1


def test_where_all_images_of_a_class_coincide_any_of_them_is_the_positive():
    space = Space(torch.eye(2).repeat_interleave(4, 0), torch.arange(8) // 4)
    found = mined(space, 1.0)
    assert (found.positives != torch.arange(8)).all()
    assert (space.labels[found.positives] == space.labels).all()
    assert not found.is_random.any()


# ── the controller ────────────────────────────────────────────────────────────────────────────────


def test_a_loss_of_zero_moves_kappa_down_to_its_bound():
    trace = [(1.0, 0.0)]
    for _ in range(30):
        kappa, rule = next_kappa(trace)
        assert rule == "zero loss"
        assert kappa < trace[-1][0] or kappa == 0.1
        trace.append((kappa, 0.0))
    assert kappa == 0.1


def test_kappa_stays_within_its_bounds_and_moves_at_most_a_fifth():
    rng = np.random.default_rng(0)
    for _ in range(50):
        trace = [(1.0, 1.0)]
        for _ in range(40):
            kappa, _ = next_kappa(trace)
            assert 0.1 <= kappa <= 4.0
            assert 0.8 - 1e-9 <= kappa / trace[-1][0] <= 1.2 + 1e-9
            trace.append((kappa, float(rng.exponential())))


def test_a_loss_that_jumps_moves_kappa_up():
    assert next_kappa([(1.0, 0.5), (0.9, 0.6)]) == (pytest.approx(1.08), "rise")


def test_a_kappa_that_stood_still_is_moved_to_learn_what_it_does():
    assert next_kappa([(1.0, 0.5)]) == (pytest.approx(0.9), "probe")
    assert next_kappa([(1.0, 0.5)] * 7) == (pytest.approx(0.9), "probe")


def test_a_loss_that_does_not_follow_kappa_leaves_it():
    trace = [(1.0, 0.5), (0.9, 0.49), (0.95, 0.48), (0.9, 0.47)]
    assert next_kappa(trace) == (0.9, "flat")


def test_a_linear_loss_is_brought_to_fall_by_the_wanted_share():
    a, b = -0.04, -0.2  # of the change of the loss: it falls by itself, and more so with a larger κ
    trace = [(1.0, 1.0)]
    for step in (-0.1, 0.05, 0.08):
        trace.append((trace[-1][0] + step, trace[-1][1] + a + b * step))
    kappa, rule = next_kappa(trace)
    before, loss = trace[-1]
    assert rule == "linear"
    assert a + b * (kappa - before) == pytest.approx(-0.05 * loss)


def test_a_step_of_the_linear_rule_is_cut_at_a_fifth():
    trace = [(1.0, 1.0), (0.9, 1.03), (0.95, 1.025), (0.92, 1.038)]  # rises whatever κ does
    assert next_kappa(trace) == (pytest.approx(0.92 * 1.2), "linear")


# ── the sampler ───────────────────────────────────────────────────────────────────────────────────


def planned(space, batch_size=30, epoch=0, last_loss=None, **options):
    sampler = Smart(space.labels, batch_size, **options)
    return sampler, sampler.plan(epoch, space, last_loss)


@pytest.mark.parametrize("batch_size", [30, 32, 3])
def test_a_batch_is_anchors_positives_and_negatives_and_says_so(batch_size):
    space = space_of()
    sampler, report = planned(space, batch_size)
    assert report["batches"] == len(sampler) == 240 // batch_size
    for batch in sampler:
        triplets = batch.tuples.triplets
        assert triplets.shape == (batch_size // 3, 3)
        assert sorted(triplets.ravel().tolist()) == list(range(len(batch)))
        a, p, n = (torch.tensor(batch)[rows] for rows in triplets.T)
        assert (space.labels[a] == space.labels[p]).all() and (a != p).all()
        assert (space.labels[a] != space.labels[n]).all()


def test_the_triplets_are_those_that_mining_gives():
    space = space_of()
    sampler, report = planned(space, 30, kappa=0.0, num_neighbours=239)
    same = space.labels[:, None] == space.labels[None, :]
    nearest = d2_of(space).masked_fill(same, torch.inf).argmin(1)
    anchors = []
    for batch in sampler:
        a, _, n = (torch.tensor(batch)[rows] for rows in batch.tuples.triplets.T)
        assert torch.equal(n, nearest[a])
        anchors += a.tolist()
    assert len(set(anchors)) == len(anchors) == 80
    assert report["random_negatives"] == 0


def test_any_loss_sees_a_labelled_batch():
    space = space_of()
    sampler, _ = planned(space)
    batch = next(iter(sampler))
    assert TripletAll()(space.embeddings[batch], space.labels[batch]).item() > 0


def test_images_alone_in_their_class_are_never_anchors():
    labels = torch.cat([torch.arange(40) % 4, torch.arange(4, 24)])
    space = Space(torch.randn(60, 3, generator=torch.Generator().manual_seed(0)), labels)
    sampler, _ = planned(space, 12)
    for batch in sampler:
        anchors, negatives = (torch.tensor(batch)[batch.tuples.triplets[:, i]] for i in (0, 2))
        assert (anchors < 40).all()
        assert (labels[negatives] != labels[anchors]).all()


def test_a_batch_larger_than_the_anchors_is_cut():
    labels = torch.cat([torch.zeros(2).long(), torch.arange(1, 29)])
    space = Space(torch.randn(30, 3, generator=torch.Generator().manual_seed(0)), labels)
    sampler, _ = planned(space, 30)
    assert [len(batch) for batch in sampler] == [6]


def test_kappa_follows_the_loss_and_its_trace_is_in_the_report():
    space = space_of()
    sampler, report = planned(space)
    assert (report["kappa"], report["kappa_rule"], report["kappa_trace"]) == (1.0, "start", [])
    report = sampler.plan(1, space, last_loss=0.5)
    assert (report["kappa"], report["kappa_rule"]) == (pytest.approx(0.9), "probe")
    report = sampler.plan(2, space, last_loss=0.0)
    assert report["kappa_rule"] == "zero loss"
    assert report["kappa_trace"] == [[1.0, 0.5], [pytest.approx(0.9), 0.0]]
    fixed, _ = planned(space, kappa=2.0, adapt=False)
    assert fixed.plan(1, space, last_loss=0.0)["kappa"] == 2.0


def test_a_resumed_run_continues_exactly():
    losses = [None, 0.8, 0.7, 0.75, 0.5, 0.6]
    space = space_of()
    whole = Smart(space.labels, 30, seed=4)
    expected = []
    for epoch, loss in enumerate(losses):
        whole.plan(epoch, space, loss)
        expected.append((whole.kappa, list(whole), [b.tuples.triplets.tolist() for b in whole]))
    first = Smart(space.labels, 30, seed=4)
    for epoch in range(3):
        first.plan(epoch, space, losses[epoch])
    second = Smart(space.labels, 30, seed=4)
    second.load_state_dict(first.state_dict())
    assert (second.kappa, list(second)) == expected[2][:2]
    for epoch in range(3, 6):
        second.plan(epoch, space, losses[epoch])
        triplets = [b.tuples.triplets.tolist() for b in second]
        assert (second.kappa, list(second), triplets) == expected[epoch]


def test_its_state_can_be_saved_and_loaded_safely(tmp_path):
    space = space_of()
    sampler, _ = planned(space)
    sampler.plan(1, space, last_loss=0.5)
    torch.save(sampler.state_dict(), tmp_path / "state.pt")
    other = Smart(space.labels, 30)
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert (other.kappa, other.trace, list(other)) == (sampler.kappa, sampler.trace, list(sampler))


def test_a_network_that_diverged_is_one_clear_error():
    space = space_of()
    space.embeddings[7, 2] = torch.nan
    with pytest.raises(DMLTeachError, match="training has diverged"):
        planned(space)


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (torch.arange(20) % 4, {"batch_size": 2}, "batch_size must be at least 3"),
        (torch.arange(20) % 4, {"kappa": -1.0}, "kappa must be at least 0, not -1.0"),
        (torch.arange(20) % 4, {"kappa": float("nan")}, "kappa must be a finite number, not nan"),
        (torch.arange(20) % 4, {"num_neighbours": 0}, "num_neighbours must be at least 1, not 0"),
        (torch.zeros(20).long(), {}, "20 images of 1 classes"),
        (torch.arange(20), {}, "20 images of 20 classes"),
    ],
)
def test_a_mistake_is_one_clear_error(labels, options, message):
    with pytest.raises(DMLTeachError, match=message):
        Smart(labels, **{"batch_size": 6, **options})


def test_any_index_may_stand_in_for_the_exact_search():
    space = space_of()
    asked = []

    def backwards(z, rows, k):
        """The k farthest, as a very bad index would."""
        asked.append((len(rows), k))
        d2 = torch.cdist(z[rows], z).square()
        found = d2.topk(k, dim=1)
        return found.values.flip(1), found.indices.flip(1)

    sampler = Smart(space.labels, 30, kappa=0.0, num_neighbours=10, search=backwards)
    sampler.plan(0, space)
    (triplets,) = {batch.tuples.triplets.shape for batch in sampler}
    assert triplets == (10, 3)
    assert asked == [(80, 10)]
    d2 = d2_of(space)
    for batch in sampler:
        a, n = batch[0], batch[20]
        others = d2[a][space.labels != space.labels[a]]
        assert d2[a, n] > others.median()  # among the farthest, as it was told


def test_a_search_that_is_no_function_is_one_clear_error():
    with pytest.raises(DMLTeachError, match="search must be a function"):
        Smart(space_of().labels, 30, search="faiss")
