import numpy as np
import pytest
import torch

from dmlteach.course.plots.ternary import (
    CORNERS,
    difference_plane,
    from_triangle,
    ternary_gradients,
    ternary_values,
    to_triangle,
    triplet_gradients,
)
from dmlteach.errors import DMLTeachError


def sst_formula(a, p, n):
    """Negative gradients as the paper's formulas give them."""
    s = 1 / (1 + np.exp(((a - n) ** 2 + (p - n) ** 2) / 2 - (a - p) ** 2))
    return -np.stack([s * (a - 2 * p + n), s * (p - 2 * a + n), s * (a + p - 2 * n)], -1)


def triplet_formula(a, p, n, margin=0.2):
    active = margin + (a - p) ** 2 > (a - n) ** 2
    return active[..., None] * -np.stack([2 * (n - p), 2 * (p - a), 2 * (a - n)], -1)


@pytest.mark.parametrize("loss, formula", [("sst", sst_formula), ("triplet", triplet_formula)])
def test_the_maps_from_autograd_equal_the_papers_formulas(loss, formula):
    triplets, values = ternary_values(loss, resolution=81)
    a, p, n = np.moveaxis(triplets, -1, 0)
    expected = formula(a, p, n)
    inside = np.isfinite(values).all(-1)
    far_from_hinge = np.abs(0.2 + (a - p) ** 2 - (a - n) ** 2) > 1e-9
    compared = inside & far_from_hinge
    assert compared.sum() > 2000
    np.testing.assert_allclose(values[compared], expected[compared], atol=1e-6)


def test_gradients_of_the_three_points_sum_to_zero():
    moved = triplet_gradients("sst", torch.randn(50, 3, 7, dtype=torch.float64))
    assert moved.sum(1).abs().max() < 1e-12 < moved.abs().max()


def test_options_reach_the_loss():
    easy = torch.tensor([[[0.0], [0.0], [1.5]]], dtype=torch.float64)  # satisfied at margin 0.2, not at 3
    assert triplet_gradients("triplet", easy).abs().max() == 0
    assert triplet_gradients("triplet", easy, margin=3.0).abs().max() == 3


@pytest.mark.parametrize(
    "corner, triplet", [(0, (4, 0, 2)), (1, (2, 4, 0)), (2, (0, 2, 4))], ids=["right", "top", "left"]
)
def test_corners_are_where_one_difference_is_4_and_the_others_minus_2(corner, triplet):
    np.testing.assert_allclose(to_triangle(np.array(triplet)), CORNERS[corner], atol=1e-12)


def test_positions_on_the_page_give_the_triplet_back_up_to_translation():
    triplets = np.random.default_rng(0).normal(size=(20, 3))
    back = from_triangle(to_triangle(triplets + 5))
    np.testing.assert_allclose(back, triplets - triplets[:, :1], atol=1e-12)


def test_the_triangle_is_equilateral():
    sides = np.linalg.norm(CORNERS - np.roll(CORNERS, 1, 0), axis=1)
    np.testing.assert_allclose(sides, 6)


def test_colours_are_clipped_at_4_and_the_scale_says_so():
    figure = ternary_gradients("sst", resolution=61)
    maps, bar = figure.axes[:3], figure.axes[3]
    assert [axes.images[0].get_clim() for axes in maps] == [(-4, 4)] * 3
    assert "±6.0" in bar.get_xlabel() and bar._colorbar.extend == "both"
    assert "reach plus and minus 6.0" in figure.alt


def test_difference_plane_draws_three_panels_and_names_its_points():
    figure = difference_plane("triplet", "n", resolution=31)
    assert len(figure.axes) == 4 and "negative" in figure.alt
    with pytest.raises(DMLTeachError, match="a \\(anchor\\)"):
        difference_plane("sst", "q")


def test_an_unknown_loss_is_refused_with_the_likely_name():
    with pytest.raises(DMLTeachError, match="did you mean 'triplet'"):
        ternary_gradients("tripplet")
