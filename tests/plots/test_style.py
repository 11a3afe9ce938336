import matplotlib
import numpy as np
import pytest
import torch

from dmlteach.plots.style import CYCLE, Picture, context, mark, page, place, save


def one_line() -> Picture:
    with context():
        figure = Picture(3, 2, alt="A rising line.")
        figure.subplots().plot([0, 1], [0, 1], label="line")
    return figure


def test_drawing_leaves_matplotlib_settings_alone():
    before = dict(matplotlib.rcParams)
    one_line()
    assert dict(matplotlib.rcParams) == before


def test_the_same_figure_is_saved_as_the_same_bytes(tmp_path):
    first = save(one_line(), tmp_path / "first")
    second = save(one_line(), tmp_path / "second")
    assert [f.name for f in first] == ["first.png", "first.svg", "first.alt.txt"]
    assert [f.read_bytes() for f in first] == [f.read_bytes() for f in second]
    assert first[2].read_text() == "A rising line.\n"


def test_a_picture_shows_itself_with_its_alt_text(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    figure = one_line()
    figure.alt = 'a "quoted" < text'
    figure._ipython_display_()
    assert 'alt="a &quot;quoted&quot; &lt; text"' in shown[0]["text/html"]
    assert shown[0]["text/plain"] == '[figure: a "quoted" < text]'


@pytest.mark.parametrize("correct, strokes", [(True, 1), (False, 2)])
def test_marks_differ_in_shape_not_only_in_colour(correct, strokes):
    axes = Picture(1, 1).subplots()
    mark(axes, correct, 0.5, 0.5, 0.2)
    assert len(axes.lines) == strokes


def test_palette_colours_differ():
    assert len(set(CYCLE)) == len(CYCLE) == 8


def test_a_wide_photo_shows_its_central_square_undistorted():
    photo = torch.arange(4 * 10).reshape(1, 4, 10).expand(3, 4, 10).to(torch.uint8)
    _, axes = page(2, 2)
    place(axes, photo, 0.5, 0.5, side=1)
    (image,) = axes.images
    assert image.get_extent() == [0.5, 1.5, 0.5, 1.5]
    np.testing.assert_array_equal(image.get_array(), photo.permute(1, 2, 0)[:, 3:7])
