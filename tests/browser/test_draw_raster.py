"""Strokes become the same pixels in the page as in the kernel, to the last bit."""

import base64
from pathlib import Path

import numpy as np
import pytest
import torch

from dmlteach.course import widgets
from dmlteach.course.widgets.strokes import FINE, RADIUS, SIDE, draw_strokes, shrink, shrinking_weights

SOURCE = (Path(widgets.__file__).parent / "strokes.js").read_text("utf-8")
DRAW = """([source, sets]) => {
    const { drawStrokes, shrink } = new Function(source + "; return { drawStrokes, shrink }")();
    return sets.map((strokes) => {
        const drawing = drawStrokes(strokes);
        return [drawing, shrink(drawing)].map((pixels) => btoa(String.fromCharCode(...pixels)));
    });
}"""
EDGES = [
    [],
    [[[0, 0]]],
    [[[104, 104]]],
    [[[0, 0], [104, 104]], [[104, 0], [0, 104]]],
    [[[52, 52], [52, 52]]],  # a line without length
    [[[0, 52], [104, 52]]],
    [[[52.03125, 0], [52.03125, 104]]],  # half a step: it decides how a half is rounded
    [[[10.96875, 7.28125], [90.53125, 97.71875], [10.96875, 7.28125]]],
    [[[0, 0], [0.0625, 0]], [[3, 3]], [[103.999, 0.001]]],
    [[[x % 105, (x * 37) % 105] for x in range(5000)]],  # as many points as there may be
]


def random_strokes(seed: int) -> list:
    """A few strokes: wandering ones, far jumps, points on and between pixels."""
    generator = np.random.default_rng(seed)
    strokes = []
    for _ in range(generator.integers(1, 6)):
        points = generator.uniform(0, SIDE - 1, (generator.integers(1, 30), 2))
        if seed % 2:
            points = np.clip(points[0] + generator.normal(0, 4, points.shape).cumsum(0), 0, SIDE - 1)
        strokes.append((points.round() if seed % 3 == 0 else points).tolist())
    return strokes


def test_300_random_drawings_and_those_at_the_edges_are_equal_bit_for_bit(page):
    sets = [random_strokes(seed) for seed in range(300)] + EDGES
    found = page.evaluate(DRAW, [SOURCE, sets])
    for strokes, (drawing, small) in zip(sets, found, strict=True):
        ours = draw_strokes(strokes)
        assert base64.b64decode(drawing) == ours.numpy().tobytes(), str(strokes)[:200]
        assert base64.b64decode(small) == shrink(ours[None]).numpy().tobytes()
    inked = [np.frombuffer(base64.b64decode(drawing), np.uint8).any() for drawing, _ in found]
    assert inked.count(False) == 1  # nothing drawn


def test_the_page_knows_the_kernels_numbers(page):
    numbers = page.evaluate(
        "source => new Function(source + '; return [DRAWN_SIDE, FINE, RADIUS, shrinkingWeights]')()", SOURCE
    )
    assert numbers[:3] == [SIDE, FINE, RADIUS]
    table = torch.zeros(28, SIDE, dtype=torch.int64)
    for new, shares in enumerate(numbers[3]):
        for old, share in shares:
            table[new, old] = share
    assert table.tolist() == shrinking_weights().tolist()


@pytest.mark.parametrize(
    "change", [("RADIUS = 44", "RADIUS = 45"), ("FINE + 0.5", "FINE"), ("SHARES / 2", "0")]
)
def test_the_comparison_would_see_another_pen_or_another_rounding(page, change):
    (found,) = page.evaluate(DRAW, [SOURCE.replace(*change), [random_strokes(1)]])
    ours = draw_strokes(random_strokes(1))
    same = [base64.b64decode(found[0]) == ours.numpy().tobytes()]
    same.append(base64.b64decode(found[1]) == shrink(ours[None]).numpy().tobytes())
    assert change[0] in SOURCE and not all(same)
