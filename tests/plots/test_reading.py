"""Figures as pages show them, measured by what Matplotlib draws."""

import html.parser
import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.lines import Line2D
from PIL import Image

from dmlteach.course import widgets
from dmlteach.course.plots import ternary, weights
from dmlteach.metrics.pair_distances import PairDistances
from dmlteach.plots import comparison, curves, distances, retrieval, tsne
from dmlteach.plots.letters import folded, width_of
from dmlteach.plots.reading import COLUMN, NARROW, PHONE, STYLE
from dmlteach.plots.style import Picture, context
from tests.seen import PER_INCH, WINDOWS, faults, letters

GENERATOR = np.random.default_rng(0)
LABELS = torch.arange(300) // 10
DRAWINGS = torch.as_tensor(GENERATOR.integers(0, 255, (300, 12, 12)), dtype=torch.uint8)
POINTS = GENERATOR.normal(size=(300, 2))
QUERIES = torch.arange(0, 60, 10)
FOUR, EIGHT = (torch.as_tensor(GENERATOR.integers(0, 300, (6, k))) for k in (4, 8))
SAMPLERS = ("random", "class_balanced", "local", "local_classes", "smart", "hierarchical")
TABLE = {
    (loss, sampler): [0.4, 0.5, 0.62]
    for loss in ("sst", "triplet", "multi_similarity")
    for sampler in SAMPLERS
}
CURVE = curves.Curve([1, 2, 3], [0.9, 0.5, 0.4], [0.5, 0.6, 0.7], [0.1, 0.2, 0.3])
FAR = PairDistances(torch.rand(500), 1 + torch.rand(500))


def grid(neighbours, **options) -> Picture:
    return retrieval.retrieval_grid(DRAWINGS, LABELS, QUERIES, neighbours, **options)


FIGURES = {
    "training curves": lambda: curves.training_curves({"sst": CURVE, "triplet": CURVE}, untrained=0.3),
    "curves over seeds": lambda: curves.curves_over_seeds({"sst": [CURVE, CURVE]}, "30 val characters"),
    "comparison": lambda: comparison.comparison(TABLE),
    "ranking": lambda: comparison.ranking(
        {"normalized_softmax": [0.5, 0.6], "sst": [0.7]}, lines={"untrained": 0.3}
    ),
    "heat map": lambda: comparison.heat_map(TABLE, "Recall@1 among 659 classes", untrained=0.3),
    "distances": lambda: distances.distance_histogram({"sst": FAR, "the untrained network": FAR, "x": FAR}),
    "one list": lambda: grid(EIGHT),
    "four lists": lambda: grid({name: FOUR for name in ("untrained", "softmax", "triplet", "sst")}),
    "named queries": lambda: grid(
        {"what it finds": FOUR, "what it should find": FOUR},
        names=[f"first right:\nrank {i}" for i in range(100, 106)],
    ),
    "hubs": lambda: grid(
        {"untrained: some that found it": FOUR}, names=["found 27 times"] * 6, heading="hub"
    ),
    "occurrences": lambda: retrieval.occurrence_histogram({"untrained": torch.arange(40) % 9}),
    "map of drawings": lambda: tsne.tsne_map(POINTS, LABELS, DRAWINGS, range(8), title="A map"),
    "map with names": lambda: tsne.tsne_map(
        POINTS, LABELS, None, range(8), names=["a name that is long"] * 30
    ),
    "map without key": lambda: tsne.tsne_map(POINTS, LABELS),
    "maps": lambda: tsne.tsne_panels(
        {f"perplexity 30, random start {i}\nkept 65%, on the map 0.91": POINTS for i in range(6)}, LABELS
    ),
    "ternary maps": lambda: ternary.ternary_gradients("triplet", 61, margin=0.2),
    "from axes to triangle": lambda: ternary.difference_plane("triplet", resolution=61),
    "weights": lambda: weights.weights_against_distance("proxy_anchor"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_letters_can_be_read_and_stand_alone_in_the_column_and_on_a_phone(name):
    figure = FIGURES[name]()
    for width, room in ((COLUMN, WINDOWS["column"]), (PHONE, WINDOWS["phone"])):
        with context():
            shown = letters(figure.for_page(width))
        assert shown["lines"] or name == "map without key"
        assert shown["size"][0] <= room + 1
        assert faults(shown, room) == []


def two_panels() -> Picture:
    with context():
        figure = Picture(10, 3, alt="Two lines")
        for i, axes in enumerate(figure.subplots(1, 2)):
            axes.plot([0, 1])
            axes.set(title=f"panel {i}", xlabel="time", ylabel="height")
    return figure


def test_the_measure_finds_letters_that_are_small_cut_or_on_each_other():
    figure = two_panels()
    assert any("pixels high" in fault for fault in faults(letters(figure), WINDOWS["phone"]))
    figure.text(0.99, 0.5, "cut")
    figure.text(0.3, 0.5, "one")
    figure.text(0.3, 0.51, "other")
    found = faults(letters(figure), 960)
    assert sorted(found) == ["'cut' reaches out of the figure", "'one' and 'other' overlap"]


def test_panels_stand_below_each_other_on_a_phone_in_the_order_in_which_they_are_read():
    with context():
        boxes = {axes.get_title(): axes.get_position() for axes in two_panels().for_page(PHONE).axes}
    assert boxes["panel 0"].y0 > boxes["panel 1"].y1
    assert boxes["panel 0"].x0 == pytest.approx(boxes["panel 1"].x0)


def test_panels_with_one_scale_tell_its_numbers_below_each_other_too():
    with context():
        figure = Picture(7, 2, "two panels")
        for axes in figure.subplots(1, 2, sharey=True):
            axes.plot([0, 1], [2, 5])
    for width, told in ((COLUMN, [True, False]), (PHONE, [True, True])):
        shown = figure.for_page(width)
        shown.draw_without_rendering()
        beside = [any(text.get_visible() for text in axes.get_yticklabels()) for axes in shown.axes]
        assert beside == told


def test_a_legend_outside_the_panels_has_fewer_columns_on_a_phone_and_keeps_its_samples():
    names = [f"a method with a long name, {i}" for i in range(4)]
    with context():
        figure = Picture(7, 3, "four lines")
        axes = figure.subplots()
        for i, name in enumerate(names):
            axes.errorbar([0, 1], [i, i], [0.1, 0.1], marker="o", label=name)
        figure.legend(loc="outside lower center", ncols=2)
        phone = figure.for_page(PHONE)
    assert not faults(letters(phone), WINDOWS["phone"])
    assert [len(one.legends) for one in (figure, phone)] == [1, 1]
    (legend,) = phone.legends
    assert [text.get_text() for text in legend.get_texts()] == names
    left = {round(text.get_window_extent().x0) for text in legend.get_texts()}
    assert len(left) == 1  # one column
    assert legend.get_window_extent().y1 <= phone.axes[0].get_tightbbox().y0
    assert [line.get_marker() for line in legend.findobj(Line2D)].count("o") == 4


def test_a_figure_that_fits_is_shown_as_it_is_and_one_that_does_not_stays_as_it_was():
    figure = two_panels()
    before = figure.png()
    assert figure.for_page(12) is figure
    assert figure.for_page(COLUMN).get_figwidth() == COLUMN
    assert figure.png() == before


def test_a_figure_that_cannot_be_copied_is_still_shown():
    figure = two_panels()
    figure.axes[0].xaxis.set_major_formatter(lambda x, _: f"{x:.1f} s")
    assert figure.for_page(PHONE) is figure


class Tags(html.parser.HTMLParser):
    def __init__(self, page: str):
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def shown(figure: Picture, monkeypatch) -> list[tuple[str, dict]]:
    given = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: given.append(data["text/html"]))
    figure._ipython_display_()
    return Tags(given[0]).found


def pixels(address: str) -> Image.Image:
    import base64

    return Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))


def test_where_rules_and_choices_are_taken_away_one_image_on_white_is_left(monkeypatch):
    tags = shown(two_panels(), monkeypatch)
    assert [tag for tag, _ in tags] == ["style", "picture", "source", "img"]
    source, image = tags[2][1], tags[3][1]
    assert image["alt"] == "Two lines" and source["media"] == NARROW
    assert pixels(image["src"]).convert("RGBA").getpixel((0, 0)) == (255, 255, 255, 255)
    for given, address in ((image, image["src"]), (source, source["srcset"])):
        assert pixels(address).width == 2 * int(given["width"])
    assert (int(image["width"]), int(source["width"])) == (736, 354)
    assert len(shown(Picture(3, 2), monkeypatch)) == 3  # one drawing serves both


def test_photographs_keep_their_colors_on_a_dark_page_and_drawings_do_not(monkeypatch):
    photographs = GENERATOR.integers(0, 255, (300, 3, 12, 12)).astype(np.uint8)
    of = {True: torch.as_tensor(photographs), False: DRAWINGS}
    for in_color, images in of.items():
        for figure in (
            retrieval.retrieval_grid(images, LABELS, QUERIES, FOUR),
            tsne.tsne_map(POINTS, LABELS, images),
        ):
            (image,) = [given for tag, given in shown(figure, monkeypatch) if tag == "img"]
            assert ("dml-figure-ink" in image["class"].split()) is not in_color


def test_no_class_of_a_figure_is_a_class_of_an_explorable(monkeypatch):
    tags = shown(two_panels(), monkeypatch)
    of_figures = {name for _, given in tags for name in given.get("class", "").split()}
    of_figures |= set(re.findall(r"\.(dml-[\w-]+)", STYLE))
    assert of_figures == {"dml-figure", "dml-figure-ink"}
    for file in [*Path(widgets.__file__).parent.rglob("*.css"), *Path(widgets.__file__).parent.rglob("*.js")]:
        assert not of_figures & set(re.findall(r"dml-[\w-]+", file.read_text("utf-8"))), file


def test_256_colors_are_enough_for_a_scale_of_colors(monkeypatch):
    figure = FIGURES["from axes to triangle"]()
    (image,) = [given for tag, given in shown(figure, monkeypatch) if tag == "img"]
    with context():
        whole = io.BytesIO()
        figure.for_page(COLUMN).savefig(whole, dpi=2 * PER_INCH)
    exact = np.asarray(Image.open(whole).convert("RGB"), float)
    assert np.abs(np.asarray(pixels(image["src"]).convert("RGB"), float) - exact).mean() < 2


@pytest.mark.parametrize("text", ["how often an image is among the neighbours of others", "one\ntwo three"])
def test_folding_keeps_every_word_and_the_lines_within_the_width(text):
    lines = folded(text, 1.5, 10).split("\n")
    assert " ".join(lines).split() == text.split()
    assert all(width_of(line, 10) <= 1.5 for line in lines)
    assert all(len(re.findall(r"\S+", line)) for line in lines)


def test_a_formula_and_a_word_that_is_too_long_stay_whole():
    assert folded("$a$ b c", 0.1, 10) == "$a$ b c"
    assert folded("unbreakable", 0.1, 10) == "unbreakable"
