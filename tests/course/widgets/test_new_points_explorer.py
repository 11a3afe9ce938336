"""The new-points explorer in the kernel: its points are those that the library's DAS can make."""

import html
import json
import re

import pytest
import torch

from dmlteach.course.widgets import NewPointsExplorer
from dmlteach.course.widgets.new_points_explorer.making import (
    STEPS,
    differences,
    most_frequent,
    nearest,
    new_points,
    scales,
)
from dmlteach.course.widgets.new_points_explorer.picture import SIZE, cell, place
from dmlteach.course.widgets.new_points_explorer.widget import (
    CLASSMATES,
    LABELS,
    RANGES,
    SCENES,
    SHIFTS,
    STATES,
    packed,
)
from dmlteach.errors import DMLTeachError
from dmlteach.objective import DAS

every_seed = pytest.mark.parametrize("seed", range(8))


def random_class(seed: int) -> torch.Tensor:
    """Points of a class, in more dimensions than are scaled."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3 + seed % 4, 4, generator=generator, dtype=torch.float64) + 1


@every_seed
@pytest.mark.parametrize("channels", [1, 2])
def test_every_point_that_the_library_makes_is_a_scale_in_the_range_and_a_shift_of_the_list(seed, channels):
    points, low, high, shift = random_class(seed), 0.7, 1.4, 0.3
    das = DAS(1, 4, channels=channels, bank_size=50, scale_range=(low, high), shift=shift).double()
    made, _ = das(points, torch.zeros(len(points), dtype=torch.long), torch.Generator().manual_seed(seed))
    most = das.frequency[0].topk(channels)
    ours = das.frequency[0][most_frequent(points, channels)]
    assert torch.equal(ours, most.values)  # of equally frequent channels either may be taken
    scaled = torch.zeros(4, dtype=torch.bool)
    scaled[most.indices] = True
    shifts = shift * differences(points)
    for row, new in enumerate(made[len(points) :]):
        v = points[row % len(points)]
        s = (new - shifts) / v  # (M, D): the scales, if this were the shift
        fits = ((s - 1).abs()[:, ~scaled] < 1e-6).all(1)
        fits &= ((s >= low - 1e-6) & (s <= high + 1e-6))[:, scaled].all(1)
        assert fits.any()


@every_seed
def test_the_differences_are_those_in_the_librarys_bank(seed):
    points = random_class(seed)
    das = DAS(1, 4, bank_size=len(points) * (len(points) - 1)).double()
    das.remember(points, torch.zeros(len(points), dtype=torch.long))
    torch.testing.assert_close(differences(points), das.bank[0].double(), rtol=0, atol=1e-6)


def test_scales_of_one_without_shift_leave_the_anchor_where_it_is():
    points = random_class(0)
    for channels in STEPS:
        assert torch.equal(new_points(points, 1, channels, 1.0, 1.0, 0.0), points[1:2])


def test_the_grid_of_scales_has_both_ends_and_leaves_other_channels_alone():
    s = scales(3, torch.tensor([2, 0]), 0.5, 2.0)
    assert len(s) == 25 and s[:, 1].eq(1).all()
    assert {tuple(row) for row in s[:, [0, 2]].tolist()} >= {(0.5, 0.5), (0.5, 2.0), (2.0, 0.5), (2.0, 2.0)}


@every_seed
def test_a_point_lies_in_the_drawn_region_of_the_real_point_that_it_is_nearest_to(seed):
    explorer = NewPointsExplorer(0.67, 1.5, 0.5, 2)
    generator = torch.Generator().manual_seed(seed)
    points = [tuple(p) for p in (SIZE * torch.rand(6, 2, generator=generator, dtype=torch.float64)).tolist()]
    z = SIZE * torch.rand(50, 2, generator=generator, dtype=torch.float64)
    owner = nearest(z, torch.tensor(points, dtype=torch.float64))
    for i in range(6):
        corners = torch.tensor(cell(points, i), dtype=torch.float64)
        edges = corners.roll(-1, 0) - corners
        to = z[:, None] - corners
        side = edges[:, 0] * to[..., 1] - edges[:, 1] * to[..., 0]
        inside = (side >= 0).all(1) | (side <= 0).all(1)
        assert torch.equal(inside, owner == i)
    assert int((explorer.nearest < 5).sum()) == explorer.inside


@pytest.mark.parametrize("shift", SHIFTS)
def test_an_anchor_on_a_classmate_counts_as_one_a_hundredth_beside_it(shift):
    on_it = NewPointsExplorer(1.0, 1.0, shift, at=CLASSMATES[3])
    farthest = (on_it.made - on_it.points[0]).norm(dim=1).max()
    assert on_it.reach == pytest.approx(100 * float(farthest))
    assert "inf%" not in on_it.picture()[1] and "nan%" not in on_it.picture()[1]


def test_where_things_lie_in_the_picture():
    assert place((0, 0), (0, 0)) == (0, SIZE) and place((6, 0), (6, 0)) == (0, SIZE)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"low": 0.3, "high": 3.0}, r"choose low and high from \(1, 1\), \(0.99, 1.01\)"),
        ({"low": 0.5, "high": 1.01}, "choose low and high"),
        ({"shift": 0.2}, "shift is 0.2; choose one of 0, 0.01, 0.1"),
        ({"channels": 3}, "channels is 3; it is 1 or 2"),
        ({"scene": "nar"}, "did you mean 'near'"),
        ({"at": [1]}, "give the anchor's x and y"),
        ({"at": "ab"}, "give the anchor's x and y"),
        ({"at": [1, float("nan")]}, "give the anchor's x and y"),
    ],
)
def test_a_state_that_cannot_be_is_refused_by_name(given, message):
    with pytest.raises(DMLTeachError, match=message):
        NewPointsExplorer(**given)


def test_output_holds_the_widget_and_html_that_loads_nothing_and_is_small():
    page = NewPointsExplorer(0.5, 2.0)._repr_mimebundle_()[0]
    assert "application/vnd.jupyter.widget-view+json" in page
    text = page["text/html"]
    assert not re.search(r"""(src|href)=["'](?!data:)|url\(["']?http|\bimport\b""", text)
    state = json.loads(html.unescape(re.search(r'data-state="([^"]+)"', text)[1]))
    assert state["high"] == 2 and state["recorded"] == json.loads(json.dumps(packed()))
    assert len(NewPointsExplorer._esm.encode()) <= 40_000 and len(json.dumps(packed())) <= 10_000


@pytest.mark.parametrize("label", STATES)
def test_the_picture_has_every_real_point_and_every_new_one_that_it_has_room_for(label):
    explorer = NewPointsExplorer(**STATES[label])
    svg, alt = explorer.picture()
    assert svg.count("translate(") == len(LABELS) - 1 and svg.count("<circle") == 1  # the anchor is a ring
    origin = SCENES[explorer.scene].origin
    visible = [all(0 <= x <= SIZE for x in place(z, origin)) for z in explorer.made.tolist()]
    assert svg.count("a1.8 1.8 0 1 0 3.6 0") + svg.count("l4.8 4.8m0") == sum(visible)
    assert f"{explorer.inside} of {len(explorer.made)} new points" in alt


def test_named_states_are_values_of_the_sliders():
    for state in STATES.values():
        assert (state["low"], state["high"]) in RANGES and state["shift"] in SHIFTS
