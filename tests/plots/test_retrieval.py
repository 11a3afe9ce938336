import pytest
import torch
from matplotlib.patches import Circle, Rectangle

from dmlteach.errors import DMLTeachError
from dmlteach.plots.retrieval import (
    occurrence_histogram,
    occurrences,
    pick_queries,
    retrieval_grid,
    top_neighbours,
)
from dmlteach.plots.style import CORRECT, INCORRECT

LABELS = torch.tensor([0, 0, 1, 1, 2, 2])
LINE = torch.tensor([[0.0], [1.0], [1.5], [10.0], [20.0], [21.0]])


def test_neighbours_of_a_line_are_those_one_sees():
    assert top_neighbours(LINE, torch.tensor([0, 2]), k=2).tolist() == [[1, 2], [1, 0]]


def test_a_query_never_finds_itself_even_among_duplicates():
    same = torch.zeros(50, 3)
    queries = torch.arange(50)
    found = top_neighbours(same, queries, k=4)
    assert found.shape == (50, 4) and not (found == queries[:, None]).any()


def test_queries_have_different_classes_and_follow_the_seed():
    labels = torch.arange(30).repeat_interleave(3)
    first, again, other = (pick_queries(labels, 10, seed) for seed in (0, 0, 1))
    assert len(labels[first].unique()) == 10
    assert first.tolist() == again.tolist() != other.tolist()


def test_a_class_with_one_image_is_never_a_query():
    assert pick_queries(torch.tensor([0, 1, 1, 2]), 1).item() in (1, 2)
    with pytest.raises(DMLTeachError, match="choose 1 to 1"):
        pick_queries(torch.tensor([0, 1, 1, 2]), 2)


def grid():
    images = torch.zeros(6, 1, 8, 8, dtype=torch.uint8)
    neighbours = {"one": torch.tensor([[1, 2], [3, 0]]), "two": torch.tensor([[2, 1], [3, 1]])}
    return retrieval_grid(images, LABELS, torch.tensor([0, 2]), neighbours)


def test_every_neighbour_is_marked_right_or_wrong_by_shape_line_and_colour():
    axes = grid().axes[0]
    discs = [p for p in axes.patches if isinstance(p, Circle)]
    colours = [tuple(p.get_facecolor()) for p in discs]
    from matplotlib.colors import to_rgba

    # Rows of "one": right wrong, right wrong; rows of "two": wrong right, right wrong.
    expected = [1, 0, 1, 0, 0, 1, 1, 0]
    assert colours == [to_rgba(CORRECT if right else INCORRECT) for right in expected]
    assert len(axes.lines) == sum(1 if right else 2 for right in expected)  # one stroke a tick, two a cross
    frames = [p for p in axes.patches if isinstance(p, Rectangle) and p.get_edgecolor() == to_rgba(INCORRECT)]
    assert len(frames) == expected.count(0) and all(p.get_linestyle() != "-" for p in frames)


def test_titles_and_alt_text_count_the_right_ones():
    figure = grid()
    texts = [t.get_text() for t in figure.axes[0].texts]
    assert texts == ["query", "one\n2 of 4 right", "two\n2 of 4 right"]
    assert "Right: 2 of 4 under one, 2 of 4 under two." in figure.alt


def test_thumbnails_do_not_overlap():
    boxes = [image.get_extent() for image in grid().axes[0].images]
    for i, (l1, r1, b1, t1) in enumerate(boxes):
        for l2, r2, b2, t2 in boxes[:i]:
            assert r1 <= l2 or r2 <= l1 or t1 <= b2 or t2 <= b1


def test_occurrences_count_how_often_each_image_is_found():
    assert occurrences(torch.tensor([[1, 2], [2, 0], [2, 1]]), size=5).tolist() == [1, 2, 3, 0, 0]


def test_the_histogram_shows_each_count_that_occurs():
    figure = occurrence_histogram({"sst": torch.tensor([0, 0, 2, 5])})
    line = figure.axes[0].lines[0]
    assert line.get_xdata().tolist() == [0, 2, 5] and line.get_ydata().tolist() == [2, 1, 1]
    assert "sst: 2 of 4 images are never found, one is found 5 times" in figure.alt
