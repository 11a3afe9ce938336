import pytest
import torch

from dmlteach.course.plots.overview import (
    NEIGHBOURHOODS,
    TARGETS,
    _points,
    negative_gradient,
    overview,
    train,
)
from dmlteach.losses import sst_loss
from tests.seen import WINDOWS, faults, letters

IMAGES = torch.zeros(4, 1, 28, 28, dtype=torch.uint8)


@pytest.fixture(scope="module")
def figure():
    return overview(IMAGES)


def test_five_steps_in_order(figure):
    assert [axes.get_title()[0] for axes in figure.axes[1:]] == list("12345")


@pytest.mark.parametrize("images", [IMAGES, None], ids=["with images", "without"])
@pytest.mark.parametrize("window", ["column", "phone"])
def test_its_letters_can_be_read_in_the_window_it_is_drawn_for(window, images):
    figure = overview(images, for_phone=window == "phone")
    shown = letters(figure)
    assert not faults(shown, WINDOWS[window])
    words = " ".join(line["words"] for line in shown["lines"])
    assert all(step in words for step in ("Embed", "Group", "Choose", "Pull", "Move", "next epoch"))


def test_the_points_move_to_where_neighbours_share_their_class(figure):
    before, after = (int(part.split("%")[0].split()[-1]) for part in figure.alt.split(": ")[-1].split(","))
    assert after >= before + 20


def test_arrows_are_the_negative_gradient_of_sst():
    z, labels = _points(0)
    z, labels, step = z.double(), labels, 1e-6
    moved = torch.zeros_like(z)
    for i in range(len(z)):
        for j in range(2):
            nudge = torch.zeros_like(z)
            nudge[i, j] = step
            up, down = (sst_loss(z + s * nudge, labels, TARGETS) for s in (1, -1))
            moved[i, j] = -(up - down) / (2 * step)
    torch.testing.assert_close(negative_gradient(z, labels), moved, atol=1e-7, rtol=1e-4)


def test_training_lowers_the_loss_inside_every_neighbourhood():
    z, labels = _points(2)
    assert NEIGHBOURHOODS > 1
    assert sst_loss(train(z, labels, 40), labels, TARGETS) < 0.5 * sst_loss(z, labels, TARGETS)
