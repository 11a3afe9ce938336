"""What the chapter on gradients and the playground claim about the pushes of the triplet loss and of SST."""

from itertools import pairwise

import pytest
import torch

from dmlteach import losses, pretrained
from dmlteach.course.exercises.sst_gradients import broken_sst_loss
from dmlteach.course.plots.ternary import triplet_gradients
from dmlteach.losses import sst_loss, triplet_loss

SEEDS = range(3)
MARGIN = losses.options("triplet")["margin"].default
LABELS, ONLY_ROW_0 = torch.tensor([0, 0, 1]), torch.tensor([[1], [-1], [-1]])
every_seed = pytest.mark.parametrize("seed", SEEDS)


def draw(seed: int, count: int = 2000, dimension: int = 2) -> torch.Tensor:
    """Random triplets (T, 3, D)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, dimension, generator=generator, dtype=torch.float64)


def active(triplets: torch.Tensor) -> torch.Tensor:
    a, p, n = triplets.unbind(1)
    return MARGIN + (a - p).square().sum(1) > (a - n).square().sum(1)


def on_a_line(*positions: float) -> torch.Tensor:
    return torch.tensor(positions, dtype=torch.float64)[None, :, None]  # (1, 3, 1)


def push_on_n(name: str, *positions: float) -> float:
    return triplet_gradients(name, on_a_line(*positions))[0, 2, 0].item()


def follow(name: str, triplets: torch.Tensor, steps: int, held: tuple[int, ...] = ()) -> torch.Tensor:
    """The points follow a loss, but for those that are held; their places after each step (S, T, 3, D)."""
    places = [triplets]
    for _ in range(steps):
        pushes = triplet_gradients(name, places[-1])
        pushes[:, list(held)] = 0
        places.append(places[-1] + 0.1 * pushes)
    return torch.stack(places)


@every_seed
def test_the_triplet_losss_anchor_gradient_ignores_the_anchor_and_that_of_the_negative_the_positive(seed):
    triplets = draw(seed)
    for ignored, point in ((0, 0), (1, 2)):
        moved = triplets.clone()
        moved[:, ignored] += 0.3 * draw(seed + 100)[:, 0]
        both = active(triplets) & active(moved)
        before, after = (triplet_gradients("triplet", t)[both, point] for t in (triplets, moved))
        assert both.sum() > 500 and torch.allclose(before, after)
        before, after = (triplet_gradients("sst", t)[both, point] for t in (triplets, moved))
        assert ((before - after).norm(dim=1) > 1e-6).all()  # SST looks at all three


@every_seed
def test_exchanging_a_and_p_exchanges_the_pushes_of_sst_and_not_those_of_the_triplet_loss(seed):
    triplets = draw(seed)
    for name, mirrored in (("sst", True), ("triplet", False)):
        pushes = triplet_gradients(name, triplets)
        swapped = triplet_gradients(name, triplets[:, [1, 0, 2]])[:, [1, 0, 2]]
        assert torch.allclose(pushes, swapped, atol=1e-9) == mirrored


@pytest.mark.parametrize("pair", [0.3, 1.0, 2.0])
def test_at_the_margin_the_triplet_loss_stops_dead_and_sst_fades_and_never_quite_stops(pair):
    edge = (MARGIN + pair**2) ** 0.5
    inside, outside = (push_on_n("triplet", 0, pair, edge + step) for step in (-1e-3, 1e-3))
    assert inside == pytest.approx(2 * edge, rel=0.01) and outside == 0
    inside, outside = (push_on_n("sst", 0, pair, edge + step) for step in (-1e-3, 1e-3))
    assert outside == pytest.approx(inside, rel=0.01)
    far = [push_on_n("sst", 0, pair, edge + step) for step in (1, 2, 3, 4)]
    assert all(0 < farther < nearer for nearer, farther in pairwise(far))


@pytest.mark.parametrize("pair", [0.3, 1.0, 2.0])
def test_n_is_left_alone_at_the_anchor_by_the_triplet_loss_and_at_the_midpoint_by_sst(pair):
    assert push_on_n("triplet", 0, pair, 0) == pytest.approx(0, abs=1e-12) != push_on_n("sst", 0, pair, 0)
    assert push_on_n("sst", 0, pair, pair / 2) == pytest.approx(0, abs=1e-12)
    for n in (-0.1, 0.1, pair / 4, pair / 2):  # a straight line through zero at the anchor
        assert push_on_n("triplet", 0, pair, n) == pytest.approx(2 * n)


@every_seed
def test_the_place_where_sst_leaves_n_alone_is_not_stable(seed):
    triplets = draw(seed, 200)
    middle = triplets[:, :2].mean(1)
    triplets[:, 2] = middle + 1e-3 * draw(seed + 100, 200)[:, 0]  # a hair beside it
    before = triplets[:, 2] - middle
    last = follow("sst", triplets, 15)[-1]
    after = last[:, 2] - last[:, :2].mean(1)
    assert (after.norm(dim=1) > 1.2 * before.norm(dim=1)).all()
    assert torch.nn.functional.cosine_similarity(before, after).min() > 0.999  # on the side it is on


@every_seed
def test_on_a_line_the_pushes_on_n_are_opposed_exactly_between_a_and_the_midpoint(seed):
    triplets = draw(seed, dimension=1)
    a, p, n = triplets[:, :, 0].unbind(1)
    between = (n - a) * (n - (a + p) / 2) < 0
    product = (triplet_gradients("triplet", triplets) * triplet_gradients("sst", triplets))[:, 2, 0]
    assert between.sum() > 100 and torch.equal(product < 0, between)
    assert active(triplets)[between].all()


@every_seed
def test_in_the_plane_they_are_opposed_inside_the_circle_on_the_segment_from_a_to_the_midpoint(seed):
    triplets = draw(seed)
    a, p, n = triplets.unbind(1)
    middle = (a + p) / 2
    inside = (n - (a + middle) / 2).norm(dim=1) < (a - middle).norm(dim=1) / 2
    product = (triplet_gradients("triplet", triplets) * triplet_gradients("sst", triplets)).sum(2)[:, 2]
    assert inside.sum() > 20 and torch.equal(product < 0, inside)
    assert active(triplets)[inside].all()


@every_seed
def test_with_a_and_p_held_the_triplet_loss_drives_n_past_p_and_sst_lets_it_leave_on_its_side(seed):
    generator = torch.Generator().manual_seed(seed)
    pair = 0.5 + 1.5 * torch.rand(30, generator=generator, dtype=torch.float64)
    n = pair * (0.05 + 0.4 * torch.rand(30, generator=generator, dtype=torch.float64))
    start = torch.stack([torch.zeros(30), pair, n], 1)[:, :, None]  # n between a and the midpoint
    walk = follow("triplet", start, 60, held=(0, 1))[..., 0]
    assert (walk[-1, :, 2] > pair).all() and (walk[1:, :, 2] >= walk[:-1, :, 2]).all()
    for held in ((), (0, 1)):
        walk = follow("sst", start, 60, held)[..., 0]
        assert (walk[..., 2] < walk[..., :2].mean(2)).all()
        assert (walk[-1, :, 2] < walk[-1, :, :2].amin(1)).all()


@every_seed
def test_they_rarely_fight_about_a_or_p_and_about_n_the_more_often_the_fewer_dimensions(seed):
    against = {}
    for dimension in (1, 2, 16):
        triplets = draw(seed, 4000, dimension)
        triplets = triplets[active(triplets)]
        product = (triplet_gradients("triplet", triplets) * triplet_gradients("sst", triplets)).sum(2)
        against[dimension] = (product < 0).double().mean(0).tolist()
    assert all(max(share[:2]) < 0.1 for share in against.values())
    assert against[1][2] > 1.5 * against[2][2] > 0.1 and against[2][2] > 5 * against[16][2]
    assert all(share[2] > 2 * max(share[:2]) for dimension, share in against.items() if dimension < 16)


@every_seed
def test_an_active_triplet_moves_the_anchor_against_sst_only_where_n_is_near_p(seed):
    triplets = draw(seed, 20_000)
    triplets[:, 2] = triplets[:, 1] + 0.3 * draw(seed + 100, 20_000)[:, 0]
    product = (triplet_gradients("triplet", triplets) * triplet_gradients("sst", triplets)).sum(2)[:, 0]
    opposed = triplets[product < 0]
    assert len(opposed) > 50
    assert (opposed[:, 1] - opposed[:, 2]).square().sum(1).max() < MARGIN / 3


@every_seed
def test_under_sst_each_class_member_is_drawn_to_the_other_and_pushed_by_the_impostor(seed):
    triplets = draw(seed)
    a, p, n = triplets.unbind(1)
    pushes = triplet_gradients("sst", triplets)
    strength = torch.sigmoid((a - p).square().sum(1) - ((a - n) ** 2 + (p - n) ** 2).sum(1) / 2)[:, None]
    assert torch.allclose(pushes[:, 0], strength * (2 * (p - a) + (a - n)))
    assert torch.allclose(pushes[:, 1], strength * (2 * (a - p) + (p - n)))


@every_seed
def test_a_batch_of_easy_triplets_gives_no_gradient_under_the_triplet_loss_and_a_small_one_under_sst(seed):
    labels = torch.arange(4).repeat_interleave(4)
    centres = 3 * torch.eye(4, dtype=torch.float64)[labels]
    z = centres + 0.05 * torch.randn(
        16, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    sizes = {}
    for loss in (triplet_loss, sst_loss):
        points = z.clone().requires_grad_()
        sizes[loss] = torch.autograd.grad(loss(points, labels), points)[0].abs().max().item()
    assert sizes[triplet_loss] == 0 < sizes[sst_loss] < 1e-4


@every_seed
def test_sst_depends_on_the_scale_of_the_embedding_and_has_one_hyper_parameter_fewer(seed):
    triplets = draw(seed, 1000)
    triplets = triplets[(triplets[:, 0] - triplets[:, 2]).norm(dim=1) > 0.5]
    share = []
    for scale in (0.1, 3.0):  # of the strengths: does a tenth of the triplets do nearly all the work?
        strength = triplet_gradients("sst", scale * triplets).norm(dim=(1, 2)) / scale
        strength = strength.sort(descending=True).values
        share.append((strength[: len(strength) // 10].sum() / strength.sum()).item())
    assert share[1] > 1.2 * share[0]
    assert set(losses.options("triplet")) - set(losses.options("sst")) == {"margin"}


@every_seed
def test_the_broken_loss_looks_plausible_its_gradients_sum_to_zero_and_its_symmetry_is_gone(seed):
    z = draw(seed, 1)[0].requires_grad_()
    (gradient,) = torch.autograd.grad(broken_sst_loss(z, LABELS, targets=ONLY_ROW_0), z)
    assert gradient.abs().max() > 1e-6 and gradient.sum(0).abs().max() < 1e-12
    z = z.detach()
    swapped = broken_sst_loss(z[[1, 0, 2]], LABELS, targets=ONLY_ROW_0)
    assert (broken_sst_loss(z, LABELS, targets=ONLY_ROW_0) - swapped).abs() > 1e-6


# --- on recordings, the same bytes on every machine


@pytest.fixture(scope="module")
def recorded(run_cells) -> dict:
    """Names of the cell that draws triplets from the recorded embeddings and compares the two losses."""
    return run_cells(
        "triplet_versus_sst_gradients", "recorded", torch=torch, triplet_gradients=triplet_gradients
    )


def test_in_recorded_embeddings_of_128_dimensions_the_pushes_are_opposed_practically_never(recorded):
    assert recorded["drawn"].shape[2] == 128
    assert max(opposed for opposed, *_ in recorded["found"].values()) < 0.0005
    assert all(20 < angle < 60 for *_, angle in recorded["found"].values())


def test_of_recorded_triplets_few_negatives_are_less_than_half_as_far_as_the_positive(recorded):
    for name in ("triplet", "sst"):
        record = recorded["pretrained"].recordings(name)
        for moment in (0, 4, 12):
            z = record.embeddings[moment].double()
            a, p, n = recorded["drawn_from"](z, record.labels, 5).unbind(1)  # the nearest negatives
            share = ((a - n).norm(dim=1) < (a - p).norm(dim=1) / 2).double().mean()
            assert share < (0.06 if moment == 0 else 0.005)


def test_what_differs_in_recorded_embeddings_is_who_still_gets_a_push(recorded):
    found = recorded["found"]
    assert max(found["triplet", 12, "random"][1:3]) < 0.05
    apart = {  # by network: before and after training
        name: [
            torch.pdist(pretrained.recordings(name).embeddings[moment]).square().mean().item()
            for moment in (0, 12)
        ]
        for name in ("triplet", "sst")
    }
    scale = pretrained.card("sst")["recipe"]["head_options"]["feature_scale"]
    assert apart["sst"][0] == pytest.approx(scale**2 * apart["triplet"][0], rel=0.02)  # the same network
    assert min(apart["triplet"]) > 40 > 30 > apart["sst"][1]
    assert all(pushed > active for (name, *_), (_, active, pushed, _) in found.items() if name == "sst")
    _, active, pushed, _ = found["sst", 12, "near"]
    assert pushed > 2 * active > 0.2
    assert found["sst", 12, "random"][2] < 0.05  # where SST trained, it fades as well


def test_inside_the_ball_of_opposed_pushes_the_negative_is_less_than_half_as_far_as_the_positive():
    triplets = draw(0, 20_000, 3)
    product = (triplet_gradients("triplet", triplets) * triplet_gradients("sst", triplets)).sum(2)[:, 2]
    a, p, n = triplets[product < 0].unbind(1)
    assert len(a) > 100 and ((a - n).norm(dim=1) < (a - p).norm(dim=1) / 2).all()
