"""Every explorable in JupyterLab and in Notebook 7 comes to life, and no key pressed in it reaches a cell."""

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from tests.browser.jupyter import jupyter, run_all, save, scroll_to, sources

pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")
pytest.importorskip("notebook", reason="Notebook 7 is not installed")

# CSS class → the cell that makes the figure
FIGURES = {
    "dml-playground": "from dmlteach.widgets import TripletPlayground\nTripletPlayground()",
    "dml-batch_explorer": "from dmlteach.widgets import BatchExplorer\nBatchExplorer()",
    "dml-training_replay": "from dmlteach.widgets import TrainingReplay\nTrainingReplay()",
    "dml-tsne_grid": "from dmlteach.widgets import TSNEGrid\nTSNEGrid()",
    "dml-retrieval_browser": (
        "from dmlteach import data\nfrom dmlteach.widgets import RetrievalBrowser\n"
        "RetrievalBrowser(data.load('omniglot', 'test', classes=10), ('untrained', 'sst'), queries=6)"
    ),
}
TREE = {"lab": "doc/tree", "notebook": "notebooks"}
# Keys that add, delete, cut, move or run cells where Jupyter gets them.
KEYS = ("a", "b", "x", "d", "d", "z", "y", "m", "Enter", "Shift+Enter", "Backspace")
FOCUSABLE = ":is([tabindex='0'], button, input, select, summary)"


@pytest.fixture(scope="module", params=TREE)
def server(request, tmp_path_factory) -> Iterator[tuple[str, Path]]:
    """Address of a notebook with all figures, in each application, and its file."""
    home = tmp_path_factory.mktemp(request.param)
    cells = [nbformat.v4.new_code_cell(source) for source in FIGURES.values()]
    source = tmp_path_factory.mktemp("source") / "figures.ipynb"
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), source)
    with jupyter(request.param, home, [source]) as address:
        yield f"{address}/{TREE[request.param]}/{source.name}", home / "work" / source.name


@pytest.fixture
def page(browser) -> Iterator:
    """A fresh page; an uncaught error in a figure's module fails the test, Jupyter's own errors do not."""
    errors: list[str] = []
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.on("pageerror", lambda error: errors.append(error.stack or str(error)))
    yield page
    page.close()
    assert not [error for error in errors if "blob:" in error]  # from where anywidget loads modules


def test_figures_are_alive_and_keep_their_keys(page, server):
    address, notebook = server
    before = sources(notebook)
    run_all(page, address)
    for name in FIGURES:
        scroll_to(page, f".{name} .dml-status")
        figure = page.locator(f".{name}")
        figure.get_by_text("Takeaway", exact=True).click()
        controls = figure.locator(FOCUSABLE)
        for i in range(min(controls.count(), 8)):
            if controls.nth(i).is_visible():
                controls.nth(i).focus()
                for key in KEYS:
                    page.keyboard.press(key)
        assert page.locator(".jp-Cell").count() == len(FIGURES), f"keys in {name} changed the cells"
    saved = save(page, notebook)
    assert sources(notebook) == before
    outputs = [output for cell in saved["cells"] for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} <= {"display_data", "execute_result"}
