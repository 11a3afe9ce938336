"""The weight explorer on a page without a kernel: opened from a file, with the network off."""

import numpy as np
import pytest

from dmlteach.course.widgets import WeightExplorer
from dmlteach.course.widgets.weight_explorer import curves
from dmlteach.course.widgets.weight_explorer.widget import RIDDLES, STATES, TELLTALES
from tests.browser.told import status

ROOT = ".dml-weight_explorer"


def heights(page, kind: str) -> np.ndarray:
    """Of the drawn bars, as shares of the highest."""
    found = np.array(
        page.eval_on_selector_all(
            f"{ROOT} rect.{kind}", "all => all.map(e => Number(e.getAttribute('height')))"
        )
    )
    return found / found.max()


def test_each_riddle_is_solved_by_its_loss_and_says_how_to_tell(from_disk):
    page = from_disk(WeightExplorer())
    for number, shown in enumerate(RIDDLES, 1):
        page.get_by_role("button", name=f"riddle {number}").click()
        status(page, f"Riddle {number}")
        label = curves.FAMILIES[shown["family"]].label
        assert label not in page.inner_text(".dml-status") and page.locator("[data-key=family]").is_hidden()
        page.select_option("[data-key=guess]", shown["family"])
        status(page, f"Right: it is {label}")
        status(page, TELLTALES[shown["family"]])
        assert page.locator("path.dml-guessed").count() == 0


def test_a_wrong_guess_is_drawn_beside_the_right_one(from_disk):
    page = from_disk(WeightExplorer())
    page.select_option("[data-key=guess]", "sst")
    status(page, "Not SST (dashed, with its usual option): it is contrastive, margin 0.6")
    page.wait_for_selector("path.dml-guessed", state="attached")
    assert page.locator("[data-key=family]").is_visible()


@pytest.mark.parametrize("label", STATES)
def test_a_named_state_draws_the_recorded_numbers(from_disk, label):
    page = from_disk(WeightExplorer())
    page.get_by_role("button", name=label).click()
    page.wait_for_selector(f"button[aria-pressed=true]:text-is('{label}')")
    family, value, embedding = STATES[label].values()
    record = curves.load()
    number, curve = record.negatives[embedding], record.curves[family, value, embedding]
    push = np.nan_to_num(curve.negative) * number
    assert heights(page, "dml-pairs") == pytest.approx(number / number.max(), abs=1e-3)
    assert heights(page, "dml-push") == pytest.approx(push / push.max(), abs=0.01)
    assert page.inner_text("[data-of=half]") == f"{curve.half:.2f}"


def test_loss_option_and_embedding_are_changed_by_mouse_and_by_keyboard(from_disk):
    page = from_disk(WeightExplorer("contrastive", 0.6, "untrained"))
    page.select_option("[data-key=family]", "sst")
    status(page, "SST, length 4, untrained network")
    page.focus("[data-key=value]")
    page.keyboard.press("ArrowRight")
    status(page, "SST, length 8, untrained network")
    page.focus("[data-embedding=trained]")
    page.keyboard.press("Enter")
    status(page, "SST, length 8, trained network")
    page.get_by_role("button", name="Reset").click()
    status(page, "contrastive, margin 0.6, untrained network")


@pytest.mark.parametrize("state", [{}, {"guess": "triplet"}, {"family": "margin", "embedding": "uniform"}])
def test_it_fits_a_screen_and_a_phone(fits, state):
    fits(lambda: WeightExplorer(**state), ROOT)
