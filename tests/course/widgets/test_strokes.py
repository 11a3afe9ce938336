"""Strokes in the kernel: a pen that is Omniglot's, and the same smaller picture as the trainer's."""

import math

import numpy as np
import torch

from dmlteach import data
from dmlteach.course.widgets.draw_character.traced import traced
from dmlteach.course.widgets.strokes import PEN, draw_strokes, shrink
from dmlteach.data.cache import resize

STROKES = [[[20.3, 30.1], [81.6, 44.9], [60.0, 90.0]], [[50.0, 12.5]]]


def distance_to_line(x, y, start, end):
    """From a point to a line between two points, by the angle's cosine."""
    (ax, ay), (bx, by) = start, end
    length = math.hypot(bx - ax, by - ay)
    if length == 0:
        return math.hypot(x - ax, y - ay)
    along = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length
    nearest = min(max(along, 0), length) / length
    return math.hypot(x - ax - nearest * (bx - ax), y - ay - nearest * (by - ay))


def test_a_pixel_is_ink_where_it_is_at_most_half_a_pen_from_a_line():
    drawing = draw_strokes(STROKES)[0] > 0
    for y in range(105):
        for x in range(105):
            found = [
                distance_to_line(x, y, a, b)
                for stroke in STROKES
                for a, b in zip(stroke, stroke[1:] or stroke, strict=False)
            ]
            away = min(found) - PEN / 2
            if abs(away) > 0.05:  # points are rounded to a sixteenth
                assert drawing[y, x] == (away < 0), (x, y, away)


def test_a_drawing_made_smaller_is_the_trainers_in_every_bit():
    drawings = torch.cat(data.load("omniglot", "test").source.read(torch.arange(0, 13180, 7)))
    assert shrink(drawings).equal(resize(drawings, 28, "square"))
    drawn = torch.stack([draw_strokes(one.strokes) for one in traced()])
    assert shrink(drawn).equal(resize(drawn, 28, "square"))


def test_redrawn_drawings_have_the_ink_of_those_they_were_traced_from():
    source = data.load("omniglot", "test").source
    rows = torch.tensor([one.character * 20 + one.drawer for one in traced()])
    theirs = torch.cat(source.read(rows))
    ours = torch.stack([draw_strokes(one.strokes) for one in traced()])
    shares = [(x > 0).double().mean((1, 2, 3)) for x in (ours, theirs)]
    assert abs(shares[0].mean() / shares[1].mean() - 1) < 0.05
    both = ((ours > 0) & (theirs > 0)).sum() / ((ours > 0) | (theirs > 0)).sum()
    assert both > 0.85  # of the ink of both together
    small = [shrink(x).double() / 255 for x in (ours, theirs)]
    for level in (0.25, 0.5, 0.75):  # as many pixels are as grey
        counts = [(x > level).double().mean().item() for x in small]
        assert np.isclose(*counts, rtol=0.1), (level, counts)
