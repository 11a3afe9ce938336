"""Every explorable in JupyterLab and in Notebook 7 comes to life, and no key pressed in it reaches a cell."""

import json
from collections.abc import Iterator

import nbformat
import pytest

from tests.browser.jupyter import jupyter

pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")
pytest.importorskip("notebook", reason="Notebook 7 is not installed")

# CSS class → the cell that makes the figure
FIGURES = {
    "dml-playground": "from dmlteach.widgets import TripletPlayground\nTripletPlayground()",
    "dml-batch_explorer": "from dmlteach.widgets import BatchExplorer\nBatchExplorer()",
    "dml-training_replay": "from dmlteach.widgets import TrainingReplay\nTrainingReplay()",
    "dml-tsne_grid": "from dmlteach.widgets import TSNEGrid\nTSNEGrid()",
}
TREE = {"lab": "doc/tree", "notebook": "notebooks"}
# Keys that add, delete, cut, move or run cells where Jupyter gets them.
KEYS = ("a", "b", "x", "d", "d", "z", "y", "m", "Enter", "Shift+Enter", "Backspace")
FOCUSABLE = ":is([tabindex='0'], button, input, select, summary)"


@pytest.fixture(scope="module", params=TREE)
def server(request, tmp_path_factory) -> Iterator[tuple[str, str]]:
    """Which application, and the address of the notebook with all figures."""
    home = tmp_path_factory.mktemp(request.param)
    cells = [nbformat.v4.new_code_cell(source) for source in FIGURES.values()]
    source = tmp_path_factory.mktemp("source") / "figures.ipynb"
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), source)
    with jupyter(request.param, home, [source]) as address:
        yield request.param, f"{address}/{TREE[request.param]}/{source.name}"


@pytest.fixture
def page(browser) -> Iterator:
    """A fresh page; an uncaught error in a figure's module fails the test, Jupyter's own errors do not."""
    errors: list[str] = []
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.on("pageerror", lambda error: errors.append(error.stack or str(error)))
    yield page
    page.close()
    assert not [error for error in errors if "blob:" in error]  # from where anywidget loads modules


def cells(page) -> list[str]:
    """The source of every cell, as the page shows it."""
    read = "all => all.map(cell => cell.innerText.trim())"
    return page.eval_on_selector_all(".jp-Cell .cm-content", read)


def test_figures_are_alive_and_keep_their_keys(page, server):
    app, address = server
    page.goto(address)
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
    if app == "lab":
        page.get_by_text("(ipykernel) | Idle").wait_for(timeout=60_000)  # else "Run All" asks for a kernel
    else:
        # Before it connects the kernel is called idle too; the word "connecting" has come and gone.
        connected = page.locator(".jp-NotebookKernelStatus-fade:empty")
        connected.wait_for(state="attached", timeout=60_000)
        page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=60_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    for name in FIGURES:
        page.locator(f".{name} .dml-status").wait_for(state="attached", timeout=90_000)
    before = cells(page)
    assert len(before) == len(FIGURES)
    for name in FIGURES:
        figure = page.locator(f".{name}")
        figure.scroll_into_view_if_needed()
        for i in range(min(figure.locator(FOCUSABLE).count(), 8)):
            control = figure.locator(FOCUSABLE).nth(i)
            if not control.is_visible():
                continue
            control.focus()
            for key in KEYS:
                page.keyboard.press(key)
        assert cells(page) == before, f"keys in {name} changed the cells: {json.dumps(cells(page))}"
    assert page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
