"""The temperature explorer in the kernel: its shares are those of the losses, bad states are refused."""

import html
import json
import re

import pytest
import torch

from dmlteach.course.pair_weights import pair_weights
from dmlteach.course.widgets import TemperatureExplorer
from dmlteach.course.widgets.temperature_explorer import shares
from dmlteach.course.widgets.temperature_explorer.widget import STATES, packed
from dmlteach.course.widgets.weight_explorer import curves
from dmlteach.errors import DMLTeachError


@pytest.mark.parametrize("embedding", shares.EMBEDDINGS)
@pytest.mark.parametrize("temperature", [0.05, 0.5])
@pytest.mark.parametrize("member", ["nca", "supcon"])
def test_the_weights_of_all_anchors_together_are_those_of_the_losss_gradient(member, temperature, embedding):
    z, labels = curves.load().points[embedding][shares.BATCH], curves.labels_of_batch()
    cosine, same = z @ z.T, labels[:, None] == labels
    whole = torch.zeros(64, 64, dtype=torch.float64)
    for a in range(64):
        others = torch.arange(64) != a
        row = shares.Row(cosine[a, others], same[a, others], torch.zeros(63, dtype=torch.bool))
        whole[a, others] = shares.weights_of(member, temperature, row) / 64
    by_gradient = pair_weights(shares.loss_of(member, temperature), z, labels)
    torch.testing.assert_close(whole + whole.T, by_gradient, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("anchor", [0, 7, 15])
def test_the_weights_of_a_pair_are_those_of_n_pairs_gradient(anchor):
    z, labels = curves.load().points["trained"][shares.BATCH], curves.labels_of_batch()
    by_gradient = pair_weights(shares.loss_of("n_pair", 0.1), z, labels)[4 * anchor]  # an anchor, no positive
    row = shares.row_of("trained", anchor)
    expected = torch.cat([row.cosine[:, None], shares.weights_of("n_pair", 0.1, row)[:, None] / 32], dim=1)
    found = torch.stack([z @ z[4 * anchor], by_gradient], dim=1)
    found = found[torch.arange(64) != 4 * anchor]
    for cosine, weight in expected:
        nearest = (found[:, 0] - cosine).abs().argmin()
        assert found[nearest, 1] == pytest.approx(float(weight), abs=1e-9)
    assert (row.is_paired & row.is_positive).sum() == 1 and (row.is_paired & ~row.is_positive).sum() == 30


def test_an_effective_number_counts_equal_shares_and_is_one_for_a_single():
    assert shares.effective_number(torch.full((20,), 1 / 20)) == pytest.approx(20)
    assert shares.effective_number(torch.tensor([0.5, 0.5, 0.0, 0.0])) == pytest.approx(2)
    assert shares.effective_number(torch.tensor([1.0, 0.0])) == 1


def test_named_states_show_what_they_are_named_for():
    assert all(state["temperature"] in shares.TEMPERATURES for state in STATES.values())
    hardest, pushed, higher = (TemperatureExplorer(**state) for state in STATES.values())
    assert hardest.effective_number < 3
    assert (pushed.weights[:3] > 0).any()
    place = shares.TEMPERATURES.index(higher.temperature)
    assert shares.losses_of("supcon", "trained")[place] > min(shares.losses_of("supcon", "untrained"))


@pytest.mark.parametrize("embedding", shares.EMBEDDINGS)
def test_the_picture_and_the_state_agree(embedding):
    figure = TemperatureExplorer("supcon", 0.05, embedding)
    svg, alt = figure.picture()
    assert svg.count("<rect") == 64 and f"as if {figure.effective_number:.0f} of 60" in alt
    pushed = int((figure.weights[:3] > 0).sum())
    assert (f"{pushed or 'none'} {'are' if pushed > 1 else 'is'} pushed away") in alt


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"member": "supcn"}, "did you mean 'supcon'"),
        ({"temperature": 0.11}, "temperature 0.11 is no place of the slider; choose one of 0.01,"),
        ({"embedding": "trainde"}, "did you mean 'trained'"),
        ({"anchor": 16}, "a class of the batch, 0 to 15, not 16"),
    ],
)
def test_a_state_that_cannot_be_is_refused_by_name(given, message):
    with pytest.raises(DMLTeachError, match=message):
        TemperatureExplorer(**given)


def test_output_holds_the_widget_and_html_that_loads_nothing_and_is_small():
    page = TemperatureExplorer("nca", 0.1)._repr_mimebundle_()[0]
    assert "application/vnd.jupyter.widget-view+json" in page
    text = page["text/html"]
    assert not re.search(r"""(src|href)=["'](?!data:)|url\(["']?http|\bimport\b""", text)
    state = json.loads(html.unescape(re.search(r'data-state="([^"]+)"', text)[1]))
    assert state["member"] == "nca" and state["recorded"] == json.loads(json.dumps(packed(0)))
    assert len(TemperatureExplorer._esm.encode()) <= 40_000 and len(json.dumps(packed(0))) <= 20_000
