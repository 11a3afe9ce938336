"""The lab's losses and gradients, written by hand in the page, equal autograd of the library's losses."""

import pytest
import torch

from dmlteach.course.widgets.embedding_lab.widget import training_source
from dmlteach.losses import (
    contrastive_loss,
    multi_similarity_loss,
    proxy_anchor_loss,
    softmax_loss,
    sst_loss,
    triplet_all_loss,
    triplet_hard_loss,
)

EVALUATE = """([source, loss, states]) => {
    const { compute } = new Function(source + "; return LOSSES")()[loss];
    return states.map(({ z, labels, options }) => {
        const batch = { z: z.flat(), labels, size: z.length, width: z[0].length };
        if (options.vectors) options.vectors.weight = options.vectors.weight.flat();
        const { loss: value, active, gradient, vectors = {} } = compute(batch, options);
        const lists = Object.entries(vectors).map(([name, numbers]) => [name, [...numbers]]);
        return { loss: value, active, gradient: [...gradient], vectors: Object.fromEntries(lists) };
    });
}"""
STATES, CLASSES = 200, 6
# Name in the page, its options, and the library's function of (embeddings, labels, margin, weight, bias).
CASES = {
    "contrastive": ("contrastive", {}, lambda z, y, m, w, b: contrastive_loss(z, y, margin=m)),
    "triplet, all": (
        "triplet",
        {"negatives": "all"},
        lambda z, y, m, w, b: triplet_all_loss(z, y, margin=m, reduction="all"),
    ),
    "triplet, hardest": (
        "triplet",
        {"negatives": "hardest"},
        lambda z, y, m, w, b: triplet_hard_loss(z, y, margin=m),
    ),
    "sst": ("sst", {}, lambda z, y, m, w, b: sst_loss(z, y)),
    "multi_similarity": ("multi_similarity", {}, lambda z, y, m, w, b: multi_similarity_loss(z, y, base=0.5)),
    "proxy_anchor": ("proxy_anchor", {}, lambda z, y, m, w, b: proxy_anchor_loss(z, y, w)),
    "softmax": ("softmax", {}, lambda z, y, m, w, b: softmax_loss(z, y, w, b)),
}


def random_states() -> list[dict]:
    """Batches of several sizes, widths and spreads: from all in one place to far beyond every margin."""
    generator = torch.Generator().manual_seed(16)

    def numbers(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    states = []
    for i in range(STATES):
        size, width = (6, 11, 24)[i % 3], (2, 16)[i % 2]
        z = numbers(size, width) * 10 ** float(2.5 * torch.rand((), generator=generator) - 2)
        labels = torch.randint(CLASSES, (size,), generator=generator)
        margin = float(2 * torch.rand((), generator=generator))
        weight, bias = numbers(CLASSES, width), numbers(CLASSES)
        states.append({"z": z, "labels": labels, "margin": margin, "weight": weight, "bias": bias})
    return states


def degenerate_states() -> list[dict]:
    """No two of a class; one class only; all in one place; all at 0; two rows that are equal."""
    *_, state = random_states()
    z, labels = state["z"][:6], torch.arange(6)
    pairs = torch.tensor([0, 0, 1, 1, 2, 2])
    twins = z.clone()
    twins[1] = twins[0]
    given = [
        (z, labels),
        (z, 0 * labels),
        (z[:1].expand(6, -1).clone(), pairs),
        (torch.zeros_like(z), pairs),
        (twins, pairs),
        (twins, labels),
    ]
    return [{**state, "z": points, "labels": classes} for points, classes in given]


def in_the_page(page, name: str, options: dict, states: list[dict]) -> list[dict]:
    given = [
        {
            "z": state["z"].tolist(),
            "labels": state["labels"].tolist(),
            "options": {
                **options,
                "margin": state["margin"],
                "classes": CLASSES,
                "vectors": {"weight": state["weight"].tolist(), "bias": state["bias"].tolist()},
            },
        }
        for state in states
    ]
    return page.evaluate(EVALUATE, [training_source(), name, given])


def assert_equal_to_autograd(function, state: dict, ours: dict) -> None:
    leaves = {name: state[name].clone().requires_grad_() for name in ("z", "weight", "bias")}
    value = function(leaves["z"], state["labels"], state["margin"], leaves["weight"], leaves["bias"])
    value.backward()
    assert ours["loss"] == pytest.approx(value.item(), rel=1e-9, abs=1e-9)
    for name, numbers in {"z": ours["gradient"], **ours["vectors"]}.items():
        expected = leaves[name].grad if leaves[name].grad is not None else torch.zeros_like(leaves[name])
        given = torch.tensor(numbers, dtype=torch.float64).view_as(expected)
        scale = max(1.0, float(expected.abs().max()))
        torch.testing.assert_close(given, expected, rtol=1e-7, atol=1e-9 * scale)


@pytest.mark.parametrize("case", CASES)
def test_value_and_gradients_are_those_of_autograd(page, case):
    name, options, function = CASES[case]
    states = random_states()
    for state, ours in zip(states, in_the_page(page, name, options, states), strict=True):
        assert_equal_to_autograd(function, state, ours)


@pytest.mark.parametrize("case", CASES)
def test_a_degenerate_batch_has_the_librarys_value_and_gradients(page, case):
    name, options, function = CASES[case]
    states = degenerate_states()
    for state, ours in zip(states, in_the_page(page, name, options, states), strict=True):
        assert_equal_to_autograd(function, state, ours)
