"""The ensemble explorer on a page without a kernel: opened from a file, with the network off."""

import base64

import pytest
import torch

from dmlteach.course.widgets import EnsembleExplorer
from dmlteach.course.widgets.ensemble_explorer.handing import FAMILIES, handed_on
from dmlteach.course.widgets.ensemble_explorer.widget import STATES, packed
from tests.browser.test_touch import PHONE, swipe
from tests.browser.told import status
from tests.course.widgets.test_ensemble_explorer import pairs_of, random_batch

ROOT = ".dml-ensemble_explorer"
EVALUATE = """async ([source, given, states]) => {
    const module = await import("data:text/javascript;base64," + source);
    return states.map(([cosines, positive]) => module.handedOn(given, cosines, positive));
}"""


@pytest.mark.parametrize("family", FAMILIES)
def test_value_weights_and_gradients_equal_autograd_of_the_library(page, family):
    batches = [random_batch(seed) for seed in range(200)]
    states = [pairs_of(*batch) for batch in batches]
    source = base64.b64encode(EnsembleExplorer._esm.encode()).decode()
    given = {**packed(), **packed()["families"][family]}
    ours = page.evaluate(EVALUATE, [source, given, [[c.tolist(), p.tolist()] for c, p in states]])
    for (z, labels, dims), (cosines, is_positive), found in zip(batches, states, ours, strict=True):
        z = z.clone().requires_grad_()
        value = FAMILIES[family].library(z, labels, dims)
        (expected,) = torch.autograd.grad(value, z)
        assert found["value"] == pytest.approx(value.item(), rel=1e-9, abs=1e-9)
        gradients = torch.tensor(found["gradients"], dtype=torch.float64)
        (through,) = torch.autograd.grad(pairs_of(z, labels, dims)[0], z, gradients)
        torch.testing.assert_close(through, expected, rtol=1e-8, atol=1e-9)
        kernel = handed_on(family, cosines, is_positive)
        assert torch.tensor(found["weights"], dtype=torch.float64).allclose(kernel.weights)
        assert torch.tensor(found["learns"]).bool().equal(kernel.learns)


def weights(page) -> list[float]:
    return [
        float(weight)
        for weight in page.eval_on_selector_all(f"{ROOT} .dml-band", "all => all.map(e => e.dataset.weight)")
    ]


@pytest.mark.parametrize("label", STATES)
def test_a_named_state_draws_the_numbers_of_the_kernel(from_disk, label):
    page = from_disk(EnsembleExplorer("hdc_own", "other"))
    page.get_by_role("button", name=label, exact=True).click()
    page.wait_for_selector(f"button[aria-pressed=true]:text-is('{label}')")
    explorer = EnsembleExplorer(**STATES[label])
    assert weights(page) == pytest.approx(explorer.weights[1:].tolist(), abs=1e-9)
    assert page.inner_text("[data-of=count]") == f"{explorer.learning} of 3"
    shares = page.eval_on_selector_all("td[data-of=share]", "all => all.map(e => Number(e.dataset.value))")
    assert shares == pytest.approx(explorer.shares.tolist(), abs=1e-9)


def test_the_answer_to_the_question_is_two_actions_away(from_disk):
    page = from_disk(EnsembleExplorer())
    assert "so that learner 3 learns from it" in page.inner_text(".dml-question")
    status(page, "1 of 3 learners learn from it")
    page.focus("[data-key=learner0]")
    page.keyboard.press("Home")
    status(page, "2 of 3 learners learn from it")
    page.focus("[data-key=learner1]")
    page.keyboard.press("Home")
    status(page, "3 of 3 learners learn from it")
    page.get_by_role("button", name="Reset").click()
    status(page, "1 of 3 learners learn from it")


def test_the_pair_is_moved_by_keyboard_and_the_table_follows(from_disk):
    page = from_disk(EnsembleExplorer("bier", numbers=True))
    page.focus("[data-key=learner0]")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowLeft")
    page.wait_for_selector("[data-key=learner0][aria-valuenow='0.89']")
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")  # no farther than 1
    page.wait_for_selector("[data-key=learner0][aria-valuenow='1']")
    explorer = EnsembleExplorer("bier", cosines=[1, 0.4, -0.6])
    told = page.eval_on_selector_all("td[data-of=gradient]", "all => all.map(e => Number(e.dataset.value))")
    assert told == pytest.approx(explorer.handed.gradients[:, 0].tolist(), abs=1e-9)


def test_ensemble_and_kind_of_pair_are_chosen_by_menus(from_disk):
    page = from_disk(EnsembleExplorer())
    page.select_option("[data-key=family]", "hdc_own")
    status(page, "3 of 3 learners learn from it")
    page.select_option("[data-key=family]", "bier_25")
    page.select_option("[data-key=kind]", "other")
    status(page, "BIER, negative cost 25: this pair of two classes")
    assert "entirely right, at −1" in page.inner_text(".dml-question")


def centre(page, m: int) -> tuple[float, float]:
    box = page.locator(f"[data-key=learner{m}] .dml-hit").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def value(page, m: int) -> float:
    return float(page.get_attribute(f"[data-key=learner{m}]", "aria-valuenow"))


def test_a_mouse_drags_the_pair_and_a_click_on_a_line_places_it(from_disk):
    page = from_disk(EnsembleExplorer())
    x, y = centre(page, 0)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(centre(page, 2)[0], y, steps=6)
    page.mouse.up()
    page.wait_for_function(
        "document.querySelector('[data-key=learner0]').getAttribute('aria-valuenow') < -0.55"
    )
    assert abs(value(page, 0) - value(page, 2)) <= 0.01
    page.mouse.click(*[a + b for a, b in zip(centre(page, 1), (-60, 4), strict=True)])
    page.wait_for_function(
        "document.querySelector('[data-key=learner1]').getAttribute('aria-valuenow') < 0.3"
    )
    assert value(page, 2) == -0.6


def test_a_finger_drags_the_pair_and_does_not_scroll(from_disk):
    page = from_disk(EnsembleExplorer(), **PHONE)
    page.locator("[data-key=learner0]").scroll_into_view_if_needed()
    scrolled, before = page.evaluate("scrollY"), value(page, 0)
    swipe(page, centre(page, 0), (-70, 40))
    assert value(page, 0) < before
    assert page.evaluate("scrollY") == scrolled
    box = page.locator("[data-key=learner0] .dml-hit").bounding_box()
    assert min(box["width"], box["height"]) >= 44


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_it_fits_a_screen_and_a_phone(fits, state):
    fits(lambda: EnsembleExplorer(**state), ROOT)
