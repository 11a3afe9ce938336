"""Proxy-Anchor: proxies are the anchors, the batch their positives and negatives."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlteach.errors import DMLTeachError
from dmlteach.losses.proxy_anchor import ProxyAnchor, proxy_anchor_loss
from tests.losses.test_definitions import batches, value_and_gradient
from tests.losses.test_proxy_nca import of_length, proxies_of


def definition(z, labels, proxies, alpha, margin):
    s = [[(of_length(x, 1) * of_length(p, 1)).sum() for p in proxies] for x in z]
    pull, push = [], []
    for c in range(len(proxies)):
        own = [i for i in range(len(z)) if labels[i] == c]
        if own:
            pull.append(torch.log(1 + sum(torch.exp(-alpha * (s[i][c] - margin)) for i in own)))
        others = [torch.exp(alpha * (s[i][c] + margin)) for i in range(len(z)) if i not in own]
        push.append(torch.log(1 + sum(others)) if others else z.sum() * 0)
    return sum(pull) / len(pull) + sum(push) / len(push)


@settings(max_examples=25, deadline=None)
@given(batches(), st.sampled_from([(32.0, 0.1), (4.0, 0.3)]))
def test_proxy_anchor_is_its_definition_in_embeddings_and_proxies(batch, options):
    z, y = batch
    proxies = proxies_of(5, z.shape[1])
    for ours, truth, argument in (
        (
            lambda x: proxy_anchor_loss(x, y, proxies, *options),
            lambda x: definition(x, y.tolist(), proxies, *options),
            z,
        ),
        (
            lambda p: proxy_anchor_loss(z, y, p, *options),
            lambda p: definition(z, y.tolist(), p, *options),
            proxies,
        ),
    ):
        torch.testing.assert_close(
            value_and_gradient(ours, argument), value_and_gradient(truth, argument), rtol=1e-9, atol=1e-9
        )


@pytest.mark.parametrize("which", ["A", "B"])
@pytest.mark.parametrize("kind", ["raw", "normalised"])
def test_proxy_anchor_equals_the_gold_values(shared, which, kind):
    inputs = json.loads((shared / "gold" / "losses.json").read_text())[which]
    gold = inputs["proxy_anchor_a32_m0.1"]
    z, y = torch.tensor(inputs[kind], dtype=torch.float64), torch.tensor(inputs["labels"])
    proxies = torch.tensor(inputs["proxies"], dtype=torch.float64)
    assert proxy_anchor_loss(z, y, proxies).item() == pytest.approx(gold["loss"], abs=1e-9)


def test_proxy_anchor_is_that_of_pytorch_metric_learning():
    from pytorch_metric_learning.losses import ProxyAnchorLoss

    theirs = ProxyAnchorLoss(num_classes=5, embedding_size=4).double()
    theirs.proxies.data = proxies_of(5, 4)
    z, y = proxies_of(12, 4) + 0.3, torch.arange(12) % 3  # two proxies without an image
    torch.testing.assert_close(proxy_anchor_loss(z, y, theirs.proxies), theirs(z, y), rtol=1e-7, atol=1e-7)


def test_a_proxy_without_images_only_pushes():
    z, proxies = proxies_of(4, 3), proxies_of(3, 3)
    proxies.requires_grad_()
    gradient = torch.autograd.grad(proxy_anchor_loss(z, torch.zeros(4).long(), proxies), proxies)[0]
    nearer = proxies - 0.01 * gradient
    before, after = ((of_length(z[0], 1) * of_length(p[2], 1)).sum() for p in (proxies, nearer))
    assert after < before


def test_large_exponents_stay_finite_in_fp32():
    proxies = torch.eye(3)
    z = -torch.eye(3)[:2] * 1e4
    z.requires_grad_()
    value = proxy_anchor_loss(z, torch.tensor([0, 1]), proxies, alpha=500.0)
    value.backward()
    assert value.item() == pytest.approx(550 + 50 + math.log(2) / 3, abs=1e-2)
    assert torch.isfinite(z.grad).all()


def test_active_tuples_are_the_images_nearer_to_another_proxy():
    loss = ProxyAnchor(2, 2)
    loss.proxies.data = torch.eye(2)
    z = torch.tensor([[1.0, 0.1], [1.0, 0.1]])
    assert loss.active_tuples(z, torch.tensor([0, 1])).item() == 0.5


def test_alpha_must_be_positive():
    with pytest.raises(DMLTeachError, match="alpha must be positive, not 0"):
        ProxyAnchor(3, 4, alpha=0)
