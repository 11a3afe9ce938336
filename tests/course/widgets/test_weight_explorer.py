"""The weight explorer in the kernel: its curves are those of the losses, bad states are refused."""

import html
import json
import re

import numpy as np
import pytest

from dmlteach.course.widgets import WeightExplorer
from dmlteach.course.widgets.weight_explorer import curves
from dmlteach.course.widgets.weight_explorer.record import curve
from dmlteach.course.widgets.weight_explorer.widget import RIDDLES, STATES, TELLTALES, packed
from dmlteach.errors import DMLTeachError

SOME = [("contrastive", 0.6, "trained"), ("margin", 0.2, "uniform"), ("sst", 4.0, "untrained")]


@pytest.mark.parametrize("key", SOME, ids=lambda key: key[0])
def test_a_recorded_curve_is_what_the_loss_gives_today(key):
    family, value, embedding = key
    recorded, today = curves.load().curves[key], curve(family, value, curves.load().points[embedding])
    for name in ("negative", "positive"):
        np.testing.assert_allclose(getattr(recorded, name), getattr(today, name), rtol=1e-3, atol=1e-7)
    assert recorded.active == pytest.approx(today.active, abs=1e-3)
    assert recorded.half == pytest.approx(today.half, abs=1e-3)


def test_every_pair_lies_in_a_bin_and_a_bin_with_few_has_no_mean():
    record = curves.load()
    pairs = curves.BATCHES * 64 * 63
    for name in curves.EMBEDDINGS:
        assert record.negatives[name].sum() + record.positives[name].sum() == pairs
    for (_, _, embedding), of in record.curves.items():
        few = record.negatives[embedding] < curves.FEWEST
        assert np.array_equal(np.isnan(of.negative), few)


def test_each_family_has_words_and_what_is_shown_is_recorded():
    assert TELLTALES.keys() == curves.FAMILIES.keys()
    for shown in (*RIDDLES, *STATES.values()):
        assert tuple(shown.values()) in curves.load().curves
    assert len({shown["family"] for shown in RIDDLES}) == len(RIDDLES)


def test_the_curve_is_that_of_the_riddle_or_of_the_state():
    record = curves.load().curves
    assert WeightExplorer().curve is record[tuple(RIDDLES[0].values())]
    shown = WeightExplorer("multi_similarity", 0.7, "trained")
    assert shown.riddle == 0 and shown.curve is record["multi_similarity", 0.7, "trained"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"family": "contrastiv"}, "did you mean 'contrastive'"),
        (
            {"family": "contrastive", "value": 0.61},
            "margin 0.61 of contrastive is not recorded; choose one of 0.4,",
        ),
        ({"embedding": "trainde"}, "did you mean 'trained'"),
        ({"riddle": 9}, "riddle must be 0 to 5, not 9"),
        ({"guess": "sts"}, "did you mean 'sst'"),
    ],
)
def test_a_state_that_cannot_be_is_refused_by_name(given, message):
    with pytest.raises(DMLTeachError, match=message):
        WeightExplorer(**given)


def test_output_holds_the_widget_and_html_that_loads_nothing_and_is_small():
    page = WeightExplorer(riddle=2)._repr_mimebundle_()[0]
    assert "application/vnd.jupyter.widget-view+json" in page
    text = page["text/html"]
    assert not re.search(r"""(src|href)=["'](?!data:)|url\(["']?http|\bimport\b""", text)
    state = json.loads(html.unescape(re.search(r'data-state="([^"]+)"', text)[1]))
    assert state["riddle"] == 2 and state["recorded"] == packed()
    assert len(WeightExplorer._esm.encode()) <= 40_000 and len(json.dumps(packed())) <= 120_000


def test_the_picture_hides_the_name_until_there_is_a_guess():
    assert "contrastive" not in WeightExplorer().picture()[1]
    svg, alt = WeightExplorer(guess="sst").picture()
    assert "contrastive, margin 0.6" in alt and svg.count("<rect") > 10
    assert re.search(r"among 659 test characters is \d+\.\d%, that of the untrained network \d+\.\d%", alt)
