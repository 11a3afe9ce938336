"""The ensemble explorer in the kernel: what is handed on is what the library's losses hand on."""

import html
import json
import re

import pytest
import torch

from dmlteach.course.widgets import EnsembleExplorer
from dmlteach.course.widgets.ensemble_explorer.handing import FAMILIES, handed_on
from dmlteach.course.widgets.ensemble_explorer.widget import OTHERS, STATES, TELLTALES, packed
from dmlteach.distances import pairwise_cosine
from dmlteach.errors import DMLTeachError
from dmlteach.losses.bier import boosting_weights, pair_logits

every_family = pytest.mark.parametrize("family", FAMILIES)


def random_batch(seed: int):
    """Embeddings of three learners in which most pairs are near each other, and labels."""
    generator = torch.Generator().manual_seed(seed)
    n, dims = 4 + seed % 6, (4, 5, 6)
    z = torch.randn(n, sum(dims), generator=generator, dtype=torch.float64) + 0.8 * (seed % 3)
    return z, torch.randint(3, (n,), generator=generator), dims


def pairs_of(z, labels, dims):
    """Cosine of each unordered pair in each learner, and whether it is of one class."""
    i, j = torch.triu_indices(len(labels), len(labels), 1)
    return torch.stack([pairwise_cosine(part)[i, j] for part in z.split(dims, 1)]), labels[i] == labels[j]


@every_family
@pytest.mark.parametrize("seed", range(20))
def test_value_and_gradients_are_those_of_the_librarys_loss(family, seed):
    z, labels, dims = random_batch(seed)
    z.requires_grad_()
    value = FAMILIES[family].library(z, labels, dims)
    (expected,) = torch.autograd.grad(value, z)
    cosines, is_positive = pairs_of(z, labels, dims)
    handed = handed_on(family, cosines, is_positive)
    torch.testing.assert_close(handed.value, value.detach(), rtol=1e-9, atol=1e-9)
    (given,) = torch.autograd.grad(cosines, z, handed.gradients)  # through the cosines of the embeddings
    torch.testing.assert_close(given, expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_the_weights_of_bier_are_those_of_the_librarys_boosting(seed):
    z, labels, dims = random_batch(seed)
    i, j = torch.triu_indices(len(labels), len(labels), 1)
    expected = boosting_weights(pair_logits(z, labels, dims, 2.0, 0.5, 25.0), labels)
    handed = handed_on("bier_25", *pairs_of(z, labels, dims))
    torch.testing.assert_close(handed.weights, torch.stack([w[i, j] for w in expected]))


def test_a_pair_reaches_the_third_learner_only_if_it_is_hard_for_the_two_before():
    def learning(first, second, third):
        return EnsembleExplorer("hdc", "same", [first, second, third]).learning

    assert learning(0.8, 0.4, -0.6) == 1 and learning(-0.4, 0.4, -0.6) == 2
    assert learning(0.8, 0.0, -0.6) == 1 and learning(-0.4, 0.0, -0.6) == 3
    assert learning(-0.4, 0.0, 0.9) == 3  # its own opinion does not count
    assert EnsembleExplorer("hdc_own", "same", [0.8, 0.4, -0.6]).learning == 3  # there it does


def test_boosting_leaves_a_right_pair_of_one_class_much_of_its_weight_and_one_of_two_classes_none():
    right, wrong = (float(EnsembleExplorer("bier", "same", [c, 0, 0]).weights[1]) for c in (1, -1))
    assert right == pytest.approx(1 / (1 + 2.718281828**1)) and wrong == pytest.approx(
        1 / (1 + 2.718281828**-3)
    )
    assert float(EnsembleExplorer("bier_25", "other", [-1, 0, 0]).weights[1]) < 1e-20


def test_what_counts_in_boosting_is_the_ensemble_so_far_and_not_the_learner_before():
    settled, together = (EnsembleExplorer(**STATES[name]).weights for name in ("settled", "wrong together"))
    assert float(settled[1]) == float(together[1]) < 1e-6 and float(settled[2]) < 1e-6 < 0.99 < float(
        together[2]
    )


def test_each_family_has_words_and_each_kind_nine_other_pairs():
    assert TELLTALES.keys() == FAMILIES.keys()
    assert {len(of) for of in OTHERS.values()} == {9}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"family": "hdcc"}, "did you mean 'hdc'"),
        ({"kind": "sam"}, "did you mean 'same'"),
        ({"cosines": [0, 1]}, "give three numbers"),
        ({"cosines": [0, 1, 1.2]}, "from −1 to 1"),
        ({"cosines": "abc"}, "give three numbers"),
    ],
)
def test_a_state_that_cannot_be_is_refused_by_name(given, message):
    with pytest.raises(DMLTeachError, match=message):
        EnsembleExplorer(**given)


def test_output_holds_the_widget_and_html_that_loads_nothing_and_is_small():
    page = EnsembleExplorer("bier")._repr_mimebundle_()[0]
    assert "application/vnd.jupyter.widget-view+json" in page
    text = page["text/html"]
    assert not re.search(r"""(src|href)=["'](?!data:)|url\(["']?http|\bimport\b""", text)
    state = json.loads(html.unescape(re.search(r'data-state="([^"]+)"', text)[1]))
    assert state["family"] == "bier" and state["recorded"] == json.loads(json.dumps(packed()))
    assert len(EnsembleExplorer._esm.encode()) <= 40_000 and len(json.dumps(packed())) <= 10_000


def test_the_picture_has_every_pair_in_every_learner_and_says_who_learns():
    svg, alt = EnsembleExplorer().picture()
    assert svg.count("<circle") == 3 * 9 and svg.count('stroke-dasharray="2 5"') == 2
    assert "1 of 3 learners" in alt and "1.00, 0.00, 0.00" in alt
    assert EnsembleExplorer(kind="other").picture()[0].count("<rect") == 1 + 3 * 9
