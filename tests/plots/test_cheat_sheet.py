"""The page to print: nothing over anything else, every loss on it, and readable without colors."""

import itertools

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from dmlteach import losses, methods
from dmlteach.course import measured
from dmlteach.course.plots.cheat_sheet import A4, SIGNS, cheat_sheet, rate_first
from dmlteach.course.plots.weights import has_weight_curve, weight_curve


@pytest.fixture(scope="module")
def sheet():
    figure = cheat_sheet()
    figure.draw_without_rendering()
    return figure


def texts(figure) -> dict[str, object]:
    """Where each piece of text lies, in pixels."""
    shown = [t for t in figure.findobj(Text) if t.get_text().strip() and t.get_visible()]
    return {f"{i} {t.get_text()[:30]}": t.get_window_extent() for i, t in enumerate(shown)}


def test_it_is_one_page_and_nothing_lies_beyond_its_margin(sheet):
    assert tuple(sheet.get_size_inches()) == A4
    width, height = sheet.bbox.width, sheet.bbox.height
    margin = 0.02 * width
    for words, box in texts(sheet).items():
        assert margin <= box.x0 and box.x1 <= width - margin, words
        assert margin / 2 <= box.y0 and box.y1 <= height, words


def test_no_text_lies_over_another(sheet):
    for (one, box), (other, second) in itertools.combinations(texts(sheet).items(), 2):
        assert not box.padded(-1).overlaps(second.padded(-1)), (one, other)


def test_no_text_is_too_small_to_print(sheet):
    assert min(t.get_fontsize() for t in sheet.findobj(Text) if t.get_text().strip()) >= 6


def test_every_loss_has_a_panel_with_its_curves(sheet):
    panels = {axes.get_title(loc="left"): axes for axes in sheet.axes if axes.get_title(loc="left")}
    assert list(panels) == [name for name in losses.LOSSES if has_weight_curve(name)]
    for name, axes in panels.items():
        _, pull, push = axes.get_lines()
        curve = weight_curve(name)
        highest = max(np.abs(curve.positive).max(), np.abs(curve.negative).max())
        assert np.allclose(pull.get_ydata() * highest, curve.positive)
        assert np.allclose(push.get_ydata() * highest, curve.negative)
        low, high = axes.get_ylim()
        assert low <= min(pull.get_ydata().min(), push.get_ydata().min())
        assert high >= 1


def test_it_has_no_color(tmp_path, sheet):
    sheet.savefig(tmp_path / "sheet.png", dpi=60)
    pixels = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB")).astype(int)
    assert np.abs(pixels - pixels.mean(2, keepdims=True)).max() <= 1


def test_the_signs_are_told_to_those_who_cannot_see_it(sheet):
    assert all(sign.seen in sheet.alt and sign.cure in sheet.alt for sign in SIGNS)


def test_in_how_many_methods_the_rate_comes_first_is_counted_from_the_runs():
    first = counted = 0
    for name in methods.names():
        tried = measured.runs(name, "", "tuning") if measured.tuned(name) else []
        values = [run.value for run in tried]
        if not tried or values[0] is None:
            continue
        usual = max(values, key=values.count)
        rates = [run.recall for run in tried if run.value == usual]
        rate_of_options = next(r.learning_rate for r in tried if r.value != usual)
        options = [run.recall for run in tried if run.learning_rate == rate_of_options]
        counted += 1
        first += max(rates) - min(rates) >= max(options) - min(options)
    assert rate_first() == f"{first} of {counted}"
