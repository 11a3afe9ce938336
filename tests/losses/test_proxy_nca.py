"""Proxy-NCA, in the paper's form and in the softmax form of public code."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlteach.errors import DMLTeachError
from dmlteach.losses.proxy_nca import ProxyNCA, proxy_nca_loss
from tests.losses import brute_force
from tests.losses.test_definitions import TIGHT, batches, value_and_gradient


def of_length(x, length):
    return length * x / (x.square().sum() + 1e-12).sqrt()


def definition(z, labels, proxies, scale, proxy_scale, variant, smoothing):
    terms = []
    for i, own in enumerate(labels):
        x = of_length(z[i], scale)
        d2 = [brute_force.d2(x, of_length(p, proxy_scale)) for p in proxies]
        others = [c for c in range(len(proxies)) if c != own]
        if variant == "paper":
            terms.append(d2[own] + torch.log(sum(torch.exp(-d2[c]) for c in others)))
            continue
        log_p = [-d - torch.log(sum(torch.exp(-e) for e in d2)) for d in d2]
        term = -(1 - smoothing) * log_p[own]
        for c in others:
            term = term - smoothing / len(others) * log_p[c]
        terms.append(term)
    return brute_force.mean(terms, z)


def proxies_of(num_classes, dim):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(num_classes, dim, generator=generator, dtype=torch.float64) * 2


OPTIONS = [
    (1.0, 1.0, "paper", 0.0),
    (3.0, 3.0, "paper", 0.0),
    (2.0, 0.5, "paper", 0.0),
    (1.0, 3.0, "softmax", 0.1),
    (3.0, 3.0, "softmax", 0.0),
]


@settings(max_examples=15, deadline=None)
@given(batches(), st.sampled_from(OPTIONS))
def test_proxy_nca_is_its_definition_in_embeddings_and_proxies(batch, options):
    z, y = batch
    proxies = proxies_of(5, z.shape[1])
    for argument in (z, proxies):

        def ours(x, argument=argument):
            return proxy_nca_loss(*((x, y, proxies) if argument is z else (z, y, x)), *options)

        def truth(x, argument=argument):
            return definition(*((x, y.tolist(), proxies) if argument is z else (z, y.tolist(), x)), *options)

        torch.testing.assert_close(
            value_and_gradient(ours, argument), value_and_gradient(truth, argument), rtol=1e-9, atol=1e-9
        )


@pytest.mark.parametrize("which", ["A", "B"])
@pytest.mark.parametrize("kind", ["raw", "normalised"])
@pytest.mark.parametrize(
    ("key", "options"),
    [
        ("proxy_nca_paper_s1", {}),
        ("proxy_nca_paper_s3(++classic)", {"scale": 3.0}),
        (
            "proxy_nca_dichotomies_x1_p3_sm0.1(class default)",
            {"scale": 1.0, "proxy_scale": 3.0, "variant": "softmax", "smoothing": 0.1},
        ),
        (
            "proxy_nca_dichotomies_x3_p3_sm0.1(cub recipe)",
            {"scale": 3.0, "variant": "softmax", "smoothing": 0.1},
        ),
        ("proxy_nca_pp_prob_s3", {"scale": 3.0, "variant": "softmax"}),
    ],
)
def test_proxy_nca_equals_the_gold_values(shared, which, kind, key, options):
    gold = json.loads((shared / "gold" / "losses.json").read_text())[which]
    z, y = torch.tensor(gold[kind], dtype=torch.float64), torch.tensor(gold["labels"])
    proxies = torch.tensor(gold["proxies"], dtype=torch.float64)
    loss = ProxyNCA(len(proxies), proxies.shape[1], **options).double()
    loss.proxies.data = proxies
    assert loss(z, y).item() == pytest.approx(gold[key], abs=1e-9)


def test_scale_three_with_softmax_is_pytorch_metric_learnings_proxy_nca_with_scale_nine():
    from pytorch_metric_learning.losses import ProxyNCALoss

    theirs = ProxyNCALoss(num_classes=5, embedding_size=4, softmax_scale=9).double()
    theirs.proxies.data = proxies_of(5, 4)
    z, y = proxies_of(12, 4) + 0.3, torch.arange(12) % 5
    ours = proxy_nca_loss(z, y, theirs.proxies, 3.0, variant="softmax")
    torch.testing.assert_close(ours, theirs(z, y), rtol=1e-7, atol=1e-7)


def test_an_image_on_its_proxy_far_from_the_others_has_a_negative_loss():
    proxies = torch.eye(3, dtype=torch.float64)
    expected = -4.0 + math.log(2)  # own distance 0, the two others at squared distance 2 · 1.41…²
    x = torch.tensor([[1.0, 0, 0]], dtype=torch.float64)
    value = proxy_nca_loss(x, torch.tensor([0]), proxies, scale=2**0.5)
    torch.testing.assert_close(value, torch.tensor(expected, dtype=torch.float64), **TIGHT)


def test_without_another_class_the_loss_is_a_zero_that_can_be_differentiated():
    z = torch.randn(4, 3, requires_grad=True)
    value = proxy_nca_loss(z, torch.zeros(4).long(), torch.randn(1, 3))
    value.backward()
    assert value.item() == 0
    assert z.grad.eq(0).all()


def test_active_tuples_are_the_images_nearer_to_another_proxy():
    loss = ProxyNCA(3, 3)
    loss.proxies.data = torch.eye(3)
    z = torch.tensor([[1.0, 0.1, 0], [0.1, 1.0, 0], [1.0, 0.1, 0], [0, 0, 5.0]])
    assert loss.active_tuples(z, torch.tensor([0, 1, 2, 2])).item() == 0.25


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 0.0}, "scale must be positive, not 0.0"),
        ({"proxy_scale": -1.0}, "proxy_scale must be positive"),
        ({"variant": "sofmax"}, "did you mean 'softmax'?"),
        ({"smoothing": 0.9, "variant": "softmax"}, "smoothing must be from 0 to 0.75"),
        ({"smoothing": 0.1}, "smoothing 0.1 needs variant='softmax'"),
    ],
)
def test_a_mistake_is_one_clear_error(options, message):
    with pytest.raises(DMLTeachError) as error:
        ProxyNCA(4, 8, **options)
    assert message in str(error.value)


def test_the_function_knows_no_other_variant_either():
    z, y = torch.randn(6, 4), torch.arange(6) % 3
    with pytest.raises(DMLTeachError, match="did you mean 'softmax'"):
        proxy_nca_loss(z, y, torch.randn(3, 4), variant="Softmax")
