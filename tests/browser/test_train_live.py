"""Training live in a real JupyterLab: by keyboard, with the page and the notebook at work meanwhile."""

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from dmlteach.course.widgets.training_replay.widget import curves
from tests.browser.jupyter import jupyter, run_all, save, scroll_to, sources

pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")

ROOT = ".dml-training_replay"
FIGURE = "from dmlteach.course.widgets import TrainingReplay\nreplay = TrainingReplay()\nreplay"
# Once a live run is on its way, this cell keeps the kernel busy until two more epochs are over.
BUSY = """import time

def epochs():
    return len(replay.runs.get("live", {}).get("loss", []))

begun, end = epochs(), time.monotonic() + 300
while begun and epochs() < begun + 2 and time.monotonic() < end:
    time.sleep(0.1)
print("epochs meanwhile:", epochs() - begun)"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[tuple[str, Path]]:
    """Address of a notebook with the figure and a second cell, and its file."""
    source = tmp_path_factory.mktemp("source") / "live.ipynb"
    cells = [nbformat.v4.new_code_cell(cell) for cell in (FIGURE, BUSY)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), source)
    home = tmp_path_factory.mktemp("lab")
    with jupyter("lab", home, [source]) as address:
        yield f"{address}/doc/tree/{source.name}", home / "work" / source.name


def says(page, selector: str, words: str, seconds: float = 300) -> None:
    page.wait_for_function(
        "([selector, words]) => document.querySelector(selector)?.textContent.includes(words)",
        arg=[f"{ROOT} {selector}", words],
        timeout=1000 * seconds,
    )


def test_a_run_is_trained_and_stopped_by_keyboard_while_the_notebook_works(page, lab):
    address, notebook = lab
    before = sources(notebook)
    run_all(page, address)
    scroll_to(page, f"{ROOT} .dml-status")
    page.get_by_text("epochs meanwhile: 0").wait_for(timeout=300_000)
    figure = page.locator(ROOT)
    figure.locator(".dml-live label:has-text('loss') select").focus()
    page.keyboard.press("ArrowDown")  # the hardest triplet of each anchor
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Train live"
    page.keyboard.press("Enter")
    says(page, ".dml-words", "epoch 1 of 24")
    says(page, ".dml-status", "described here once it has ended")

    page.locator(".jp-Cell").nth(1).locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    page.get_by_text("[*]:").wait_for()
    words = figure.locator(".dml-words").inner_text()
    page.wait_for_function(  # the figure goes on while the cell runs
        """([selector, words]) => document.querySelector(selector).textContent !== words
            && document.body.textContent.includes("[*]:")""",
        arg=[f"{ROOT} .dml-words", words],
        timeout=300_000,
    )
    page.get_by_text("epochs meanwhile: 2").wait_for(timeout=300_000)

    figure.get_by_role("button", name="Stop", exact=True).focus()
    page.keyboard.press("Enter")
    says(page, ".dml-status", "Live run: stopped after")
    says(page, ".dml-column:last-child .dml-run", "hardest triplet")
    figure.get_by_text("Show numbers").click()
    for key in ("loss", "distance"):
        cells = figure.locator(f"td[data-of=right][data-key={key}]")
        shown = cells.evaluate_all("cells => cells.map((cell) => cell.dataset.value)")
        known = [float(value) for value in shown if value is not None]
        recorded = [value for value in curves()["hardest"][key] if value is not None]
        assert known[:3] == pytest.approx(recorded[:3], rel=0.05)  # further on they part, by processor

    saved = save(page, notebook)
    assert sources(notebook) == before
    outputs = [output for cell in saved["cells"] for output in cell["outputs"]]
    assert [output["output_type"] for output in outputs] == ["execute_result", "stream"]
    assert "".join(outputs[1]["text"]) == "epochs meanwhile: 2\n"
