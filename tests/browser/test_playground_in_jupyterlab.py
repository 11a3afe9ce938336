"""The playground in a real JupyterLab: it answers with autograd, and no cell is lost to a key."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from dmlteach.losses import sst_loss, triplet_loss
from tests.browser.jupyter import jupyter, run_all, save, scroll_to, sources
from tests.browser.waiting import painted

pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")

NOTEBOOK = "triplet_versus_sst_gradients.ipynb"
LINE = "[aria-label='the three points on a line']"
STEP = 0.25  # an arrow is STEP × the negative gradient


@pytest.fixture(scope="module")
def lab(tmp_path_factory, checkout) -> Iterator[tuple[str, Path]]:
    """Address of a JupyterLab, and its copy of the notebook."""
    home = tmp_path_factory.mktemp("lab")
    with jupyter("lab", home, [checkout / "notebooks" / NOTEBOOK]) as address:
        yield address, home / "work" / NOTEBOOK


@pytest.fixture
def executed(page, lab):
    """The notebook, opened and run to its end in JupyterLab; the first playground in view."""
    address, _ = lab
    run_all(page, f"{address}/doc/tree/{NOTEBOOK}")
    scroll_to(page, f"{LINE} [data-key=n]")
    return page


def negative_gradients(loss, points: list[float]) -> torch.Tensor:
    """By autograd of the library, in this process: (3,) for a, p, n."""
    z = torch.tensor(points, dtype=torch.float64)[:, None].requires_grad_()
    loss(z, torch.tensor([0, 0, 1]), targets=torch.tensor([[1], [-1], [-1]])).backward()
    return -z.grad.squeeze(1)


def positions(playground) -> list[float]:
    return [float(playground.locator(f"[data-key={key}]").get_attribute("aria-valuenow")) for key in "apn"]


def numbers(playground, loss: str) -> torch.Tensor:
    cells = [playground.locator(f"td[data-loss={loss}][data-of={key}]") for key in "apn"]
    return torch.tensor(
        [json.loads(cell.get_attribute("data-value"))[0] for cell in cells], dtype=torch.float64
    )


def arrows(playground, loss: str) -> torch.Tensor:
    """Negative gradients read off the drawn arrows: from the start of the shaft to the tip of the head."""
    unit = (playground.locator(LINE).evaluate("svg => svg.clientWidth") - 44) / 5  # pixels per unit
    lengths = []
    for key in "apn":
        arrow = playground.locator(f"{LINE} .dml-arrow[data-loss={loss}][data-of={key}] path")
        start, tip = (re.match(r"M(-?[\d.]+)", arrow.nth(i).get_attribute("d") or "") for i in (0, 1))
        lengths.append((float(tip[1]) - float(start[1])) / unit / STEP if start else 0.0)
    return torch.tensor(lengths, dtype=torch.float64)


def assert_shows_autograd(page, playground) -> None:
    """The kernel has answered, and numbers and arrows are what autograd gives here for these positions."""
    playground.locator(".dml-table[data-source=autograd]").wait_for(state="attached", timeout=300_000)
    points = positions(playground)
    for name, loss in (("triplet", triplet_loss), ("sst", sst_loss)):
        expected = negative_gradients(loss, points)
        torch.testing.assert_close(numbers(playground, name), expected, atol=1e-6, rtol=0)
        torch.testing.assert_close(arrows(playground, name), expected, atol=1e-6, rtol=0)


def test_moving_points_by_key_and_mouse_shows_autograd_and_leaves_the_cells_alone(executed, lab):
    page, (_, notebook) = executed, lab
    before = sources(notebook)
    playground = page.locator(".dml-playground", has=page.locator(LINE))
    playground.get_by_text("Show numbers").click()
    assert_shows_autograd(page, playground)
    first = arrows(playground, "sst")

    playground.locator("[data-key=n]").focus()
    for key in (*["ArrowLeft"] * 4, "ArrowDown", "Shift+ArrowRight"):
        page.keyboard.press(key)
    playground.locator("[data-key=n][aria-label='negative, x −0.09']").wait_for()
    assert_shows_autograd(page, playground)
    assert not torch.allclose(arrows(playground, "sst"), first)

    # Keys that add, delete, cut, move or run cells where JupyterLab gets them.
    for key in (
        "a",
        "b",
        "x",
        "d",
        "d",
        "z",
        "y",
        "m",
        "Enter",
        "Shift+Enter",
        "ArrowDown",
        "Backspace",
        "Escape",
    ):
        page.keyboard.press(key)
    playground.locator("[data-key=n][aria-label='negative, x −0.19']").wait_for()

    moved = drag(page, playground, "p", 70)
    assert moved > 0.8
    assert_shows_autograd(page, playground)

    saved = save(page, notebook)
    assert sources(notebook) == before
    outputs = [output for cell in saved["cells"] for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output["output_type"] == "error"]


def drag(page, playground, key: str, pixels: int) -> float:
    """Drag a point sideways with the mouse; returns where it ends."""
    playground.locator(f"[data-key={key}]").scroll_into_view_if_needed()
    box = playground.locator(f"[data-key={key}] .dml-shape").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    before = playground.locator(f"[data-key={key}]").get_attribute("aria-valuenow")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + pixels, y, steps=5)
    page.mouse.up()
    playground.locator(f"[data-key={key}]:not([aria-valuenow='{before}'])").wait_for()
    painted(page)
    return float(playground.locator(f"[data-key={key}]").get_attribute("aria-valuenow"))
