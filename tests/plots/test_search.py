"""The picture of a search: every thumbnail on the page, whole, with names that fit."""

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.patches import Circle, Rectangle
from PIL import Image

from dmlteach.data import pictures
from dmlteach.errors import DMLTeachError
from dmlteach.plots.letters import shortened
from dmlteach.plots.search import MOST_LINES, PER_LINE, check, save, search_picture
from dmlteach.plots.style import CORRECT, INCORRECT
from dmlteach.search import Found

LONG = "a $very$ long_{name} of a picture that nobody would have chosen by hand.png"


def found(folder, neighbours: int, queries: int = 2, classes: bool = True) -> Found:
    """The first query is of class 0 (where there are classes), others of none known; rows are 1, 2, …"""
    for i in range(neighbours + 1):
        path = folder / (f"class {int(i > 1)}" if classes else "") / f"{i:04} {LONG}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 10), "blue").save(path)
    gallery = pictures.load(folder)
    rows, scores = torch.arange(1, neighbours + 1), torch.linspace(0.9, 0.1, neighbours)
    asked = pictures.named([pictures.files_of(gallery)[0].path] * queries)
    known = [0 if classes else -1] + [-1] * (queries - 1)
    return Found(asked, gallery, known, [rows] * queries, [scores] * queries, "cosine")


@pytest.mark.parametrize("neighbours", [1, PER_LINE, 2 * PER_LINE + 1])
def test_everything_lies_on_the_page_and_nothing_overlaps(tmp_path, neighbours):
    figure = search_picture(found(tmp_path, neighbours))
    (axes,) = figure.axes
    width, height = figure.get_size_inches()
    boxes = [image.get_extent() for image in axes.images]
    assert len(boxes) == 2 * (neighbours + 1)
    renderer = FigureCanvasAgg(figure).get_renderer()
    for text in axes.texts:
        box = text.get_window_extent(renderer).transformed(axes.transData.inverted())
        boxes.append((box.x0, box.x1, box.y0, box.y1))
    for i, (l1, r1, b1, t1) in enumerate(boxes):
        assert l1 >= 0 and r1 <= width and b1 >= 0 and t1 <= height
        for l2, r2, b2, t2 in boxes[:i]:
            assert r1 <= l2 + 1e-6 or r2 <= l1 + 1e-6 or t1 <= b2 + 1e-6 or t2 <= b1 + 1e-6


def test_marks_stand_only_where_the_class_is_known(tmp_path):
    (axes,) = search_picture(found(tmp_path / "classes", 3)).axes
    discs = [p.get_facecolor() for p in axes.patches if isinstance(p, Circle)]
    # neighbours of classes 0, 1 and 1 for a query of class 0; nothing for the other query
    assert discs == [to_rgba(CORRECT), to_rgba(INCORRECT), to_rgba(INCORRECT)]
    frames = [p for p in axes.patches if isinstance(p, Rectangle) and p.get_edgecolor() == discs[1]]
    assert len(frames) == 2 and all(p.get_linestyle() != "-" for p in frames)
    figure = search_picture(found(tmp_path / "flat", 3, classes=False))
    assert not any(isinstance(p, Circle) for p in figure.axes[0].patches)
    assert "tick" not in figure.alt


def test_thumbnails_show_the_whole_picture_on_white(tmp_path):
    (axes,) = search_picture(found(tmp_path, 1)).axes
    pixels = np.asarray(axes.images[0].get_array())
    assert pixels.shape[0] == pixels.shape[1]
    blue = (pixels == [0, 0, 255]).all(2)
    assert blue.any(0).all()  # all of its width
    assert blue.any(1).mean() == pytest.approx(1 / 4, abs=0.01)  # and height
    assert pixels[0, 0].tolist() == [255, 255, 255]


def test_captions_say_score_class_and_file(tmp_path):
    (axes,) = search_picture(found(tmp_path, 2)).axes
    texts = [text.get_text() for text in axes.texts]
    assert texts[:2] == ["query", "nearest first, by cosine"]
    assert "1.  0.900" in texts and "class 1" in texts
    assert sum(text.startswith("0001 a $") and text.endswith("d.png") for text in texts) == 2


def test_a_name_is_shortened_in_the_middle_and_only_where_it_must():
    assert shortened("owl.jpg", 1.0, 7) == "owl.jpg"
    short = shortened(LONG, 1.0, 7)
    start, dots, end = short.partition("…")
    assert dots and LONG.startswith(start) and LONG.endswith(end) and len(short) > 12
    assert len(shortened("W" * 40, 1.0, 7)) < len(shortened("i" * 40, 1.0, 7))
    assert shortened("日本.png", 1.0, 7) == "??.png"  # the font has no such letters


def test_the_file_is_a_png_with_its_alt_text(tmp_path):
    figure = search_picture(found(tmp_path / "pictures", 2))
    save(figure, tmp_path / "new" / "search.png")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["search.png"]
    with Image.open(tmp_path / "new" / "search.png") as image:
        assert image.text["Description"] == figure.alt
    assert "0001 a $very$" in figure.alt
    with pytest.raises(DMLTeachError, match="search.jpg"):
        check("search.jpg")


def test_a_picture_too_tall_is_one_error(tmp_path):
    with pytest.raises(DMLTeachError, match=f"at most {MOST_LINES}"):
        search_picture(found(tmp_path, 1, queries=MOST_LINES + 1))
