"""The temperature explorer without a kernel, its shares beside autograd of the library's losses."""

import base64

import numpy as np
import pytest
import torch

from dmlteach.course.widgets import TemperatureExplorer
from dmlteach.course.widgets.temperature_explorer import shares
from dmlteach.course.widgets.temperature_explorer.widget import STATES
from dmlteach.distances import normalize
from dmlteach.losses import nca_loss, supcon_loss
from dmlteach.losses.n_pair import n_pair_terms
from tests.browser.told import status

ROOT = ".dml-temperature_explorer"
EVALUATE = """async ([source, states, members]) => {
    const module = await import("data:text/javascript;base64," + source);
    return states.map(({ row, temperature, member }) => module.weightsOf(row, temperature, members[member]));
}"""


def anchor_and_others(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """An anchor with 1 to 4 positives, and negatives that are more or less like it, in 40 dimensions."""
    generator = torch.Generator().manual_seed(seed)
    number = 8 + seed % 20
    spread = 10 ** float(2 * torch.rand((), generator=generator) - 1.5)
    centre = torch.randn(1, 40, generator=generator, dtype=torch.float64)
    z = normalize(centre + spread * torch.randn(number, 40, generator=generator, dtype=torch.float64))
    is_positive = torch.arange(1, number) <= 1 + seed % 4
    return z, is_positive


def gradient_in_the_anchor(member: str, z, is_positive, temperature: float) -> torch.Tensor:
    """Of the library's loss with this anchor alone, on the sphere."""
    anchor, others = z[:1].clone().requires_grad_(), z[1:]
    labels = (~is_positive).long() * torch.arange(1, len(z))  # of the positives: 0, the anchor's
    own = torch.zeros(1, dtype=torch.long)
    if member == "supcon":
        value = supcon_loss(anchor, own, temperature, reference=(others, labels))
    elif member == "nca":
        value = nca_loss(anchor, own, log=True, scale=1 / (2 * temperature), reference=(others, labels))
    else:
        paired = torch.cat([others[:1], others[~is_positive]]) / temperature**0.5  # the first positive
        scaled = anchor / temperature**0.5
        batch = torch.stack([torch.cat([scaled, paired[1:]]), paired], dim=1).flatten(
            0, 1
        )  # each pair a class
        value = n_pair_terms(batch, torch.arange(len(paired)).repeat_interleave(2))[0][0]
    value.sum().backward()
    gradient = anchor.grad[0]
    return gradient - (gradient @ z[0]) * z[0]


@pytest.mark.parametrize("member", shares.MEMBERS)
def test_the_pages_weights_are_those_of_autograd(page, member):
    states, cases = [], []
    for seed in range(200):
        z, is_positive = anchor_and_others(seed)
        temperature = float(10 ** (2.5 * torch.rand((), generator=torch.Generator().manual_seed(seed)) - 2))
        is_paired = ~is_positive | (torch.arange(len(is_positive)) == 0)
        row = {
            "cosine": (z[1:] @ z[0]).tolist(), "positive": is_positive.tolist(), "paired": is_paired.tolist(),
        }  # fmt: skip
        states.append({"row": row, "temperature": temperature, "member": member})
        cases.append((z, is_positive, temperature))
    source = base64.b64encode(TemperatureExplorer._esm.encode()).decode()
    members = {name: of._asdict() for name, of in shares.MEMBERS.items()}
    for (z, is_positive, temperature), given in zip(
        cases, page.evaluate(EVALUATE, [source, states, members]), strict=True
    ):
        weights = torch.tensor(given, dtype=torch.float64)
        tangents = z[1:] - (z[1:] @ z[0])[:, None] * z[0]
        expected = gradient_in_the_anchor(member, z, is_positive, temperature)
        torch.testing.assert_close(weights @ tangents, expected, rtol=1e-7, atol=1e-9 / temperature)


@pytest.mark.parametrize("member", shares.MEMBERS)
def test_the_pages_weights_are_the_kernels(page, member):
    places = [(e, a, t) for e in shares.EMBEDDINGS for a in (0, 9) for t in shares.TEMPERATURES]
    states = []
    for embedding, anchor, temperature in places:
        row = shares.row_of(embedding, anchor)
        parts = {"cosine": row.cosine, "positive": row.is_positive, "paired": row.is_paired}
        as_lists = {name: part.tolist() for name, part in parts.items()}
        states.append({"row": as_lists, "temperature": temperature, "member": member})
    source = base64.b64encode(TemperatureExplorer._esm.encode()).decode()
    members = {name: of._asdict() for name, of in shares.MEMBERS.items()}
    found = page.evaluate(EVALUATE, [source, states, members])
    for (embedding, anchor, temperature), given in zip(places, found, strict=True):
        expected = shares.weights_of(member, temperature, shares.row_of(embedding, anchor))
        np.testing.assert_allclose(given, expected.numpy(), rtol=1e-9, atol=1e-12)


def test_the_prediction_is_answered_by_two_actions(from_disk):
    page = from_disk(TemperatureExplorer())
    page.fill("[data-key=temperature]", str(shares.TEMPERATURES.index(0.1)))
    status(page, f"as if {TemperatureExplorer('supcon', 0.1).effective_number:.0f} of 60")
    page.click("[data-embedding=trained]")
    status(page, f"as if {TemperatureExplorer('supcon', 0.1, 'trained').effective_number:.0f} of 60")
    assert page.get_attribute("[data-embedding=trained]", "aria-pressed") == "true"


@pytest.mark.parametrize("label", STATES)
def test_a_named_state_draws_the_kernels_numbers(from_disk, label):
    page = from_disk(TemperatureExplorer())
    page.get_by_role("button", name=label).click()
    page.wait_for_selector(f"button[aria-pressed=true]:text-is('{label}')")
    state = STATES[label]
    figure = TemperatureExplorer(**state)
    status(page, f"at {state['temperature']:g}, trained network: as if {figure.effective_number:.0f} of 60")
    assert page.inner_text("[data-of=effective]") == f"{figure.effective_number:.1f}"
    drawn = page.eval_on_selector_all(f"{ROOT} rect", "all => all.map(e => Number(e.getAttribute('height')))")
    row = shares.row_of("trained", 0)
    of_negatives = shares.shares_of(figure.weights, row)
    largest = float(of_negatives.max())
    assert np.array(drawn[3:]) / max(drawn[3:]) == pytest.approx(of_negatives.numpy() / largest, abs=1e-3)
    here = shares.losses_of("supcon", "trained")[shares.TEMPERATURES.index(state["temperature"])]
    assert page.inner_text("[data-of=loss]") == f"{here:.2f}"


def test_a_positive_that_is_pushed_and_a_higher_loss_are_said(from_disk):
    page = from_disk(TemperatureExplorer())
    page.get_by_role("button", name="a positive is pushed away").click()
    pushed = int((TemperatureExplorer("supcon", 0.05, "trained").weights[:3] > 0).sum())
    status(page, f"{pushed} of 3 positives {'are' if pushed > 1 else 'is'} pushed away")
    page.get_by_role("button", name="the better network, the higher loss").click()
    loss = {name: shares.losses_of("supcon", name)[1] for name in ("trained", "untrained")}
    status(page, f"The loss is {loss['trained']:.2f}, and {loss['untrained']:.2f} in the untrained network.")


def test_loss_and_temperature_are_changed_by_keyboard_and_reset(from_disk):
    page = from_disk(TemperatureExplorer("supcon", 0.1, "trained"))
    page.select_option("[data-key=member]", "nca")
    status(page, "NCA, sum inside the log, at 0.1")
    page.focus("[data-key=temperature]")
    page.keyboard.press("ArrowRight")
    status(page, "at 0.125")
    page.focus("[data-embedding=untrained]")
    page.keyboard.press("Enter")
    status(page, "NCA, sum inside the log, at 0.125, untrained network")
    page.get_by_role("button", name="Reset").click()
    status(page, "SupCon, sum outside the log, at 0.1, trained network")


@pytest.mark.parametrize("state", [{}, *STATES.values()])
def test_it_fits_a_screen_and_a_phone(fits, state):
    fits(lambda: TemperatureExplorer(**state), ROOT)


@pytest.mark.parametrize("label", STATES)
def test_what_is_shown_asks_a_question_of_its_own(from_disk, label):
    page = from_disk(TemperatureExplorer())
    general = page.inner_text(f"{ROOT} .dml-question")
    page.get_by_role("button", name=label).click()
    page.wait_for_function(
        "([root, text]) => document.querySelector(`${root} .dml-question`).innerText !== text",
        arg=[ROOT, general],
    )
    asked = page.inner_text(f"{ROOT} .dml-question")
    assert asked.startswith("Predict first") and asked.endswith((" choose it.", " choose that loss."))
    page.get_by_role("button", name="Reset").click()
    page.wait_for_function(
        "([root, text]) => document.querySelector(`${root} .dml-question`).innerText === text",
        arg=[ROOT, general],
    )
