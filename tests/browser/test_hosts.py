"""Every explorable in JupyterLab and in Notebook 7 comes to life, and no key pressed in it reaches a cell."""

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from dmlteach.course.widgets.draw_character.search import Search
from dmlteach.course.widgets.draw_character.traced import traced
from tests.browser.jupyter import jupyter, run_all, save, scroll_to, sources

pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")
pytest.importorskip("notebook", reason="Notebook 7 is not installed")

# CSS class → the cell that makes the figure
FIGURES = {
    "dml-playground": "from dmlteach.course.widgets import TripletPlayground\nTripletPlayground()",
    "dml-batch_explorer": "from dmlteach.course.widgets import BatchExplorer\nBatchExplorer()",
    "dml-training_replay": "from dmlteach.course.widgets import TrainingReplay\nTrainingReplay()",
    "dml-tsne_grid": "from dmlteach.course.widgets import TSNEGrid\nTSNEGrid()",
    "dml-embedding_lab": "from dmlteach.course.widgets import EmbeddingLab\nEmbeddingLab()",
    "dml-draw_character": "from dmlteach.course.widgets import DrawCharacter\nDrawCharacter()",
    "dml-results_explorer": "from dmlteach.course.widgets import ResultsExplorer\nResultsExplorer()",
    "dml-proxy_explorer": "from dmlteach.course.widgets import ProxyExplorer\nProxyExplorer()",
    "dml-new_points_explorer": ("from dmlteach.course.widgets import NewPointsExplorer\nNewPointsExplorer()"),
    "dml-ensemble_explorer": "from dmlteach.course.widgets import EnsembleExplorer\nEnsembleExplorer()",
    "dml-weight_explorer": "from dmlteach.course.widgets import WeightExplorer\nWeightExplorer('sst')",
    "dml-temperature_explorer": (
        "from dmlteach.course.widgets import TemperatureExplorer\nTemperatureExplorer()"
    ),
    "dml-retrieval_browser": (
        "from dmlteach import data\nfrom dmlteach.course.widgets import RetrievalBrowser\n"
        "RetrievalBrowser(data.load('omniglot', 'test', classes=10), ('untrained', 'sst'), queries=6)"
    ),
}
# CSS class → a control, and the key that makes the figure say something else
CONTROLS = {
    "dml-playground": ("[data-key=n]", "ArrowLeft"),
    "dml-batch_explorer": ("input[type=range]", "ArrowRight"),
    "dml-training_replay": ("input[type=range]", "ArrowRight"),
    "dml-tsne_grid": ("input[type=range]", "ArrowRight"),
    "dml-embedding_lab": (".dml-controls button:nth-child(2)", "Enter"),  # Step
    "dml-draw_character": ("input[type=radio]", "Space"),
    "dml-results_explorer": ("[data-view=tuning]", "Enter"),
    "dml-proxy_explorer": ("input[type=range]", "ArrowRight"),
    "dml-new_points_explorer": ("input[type=range]", "ArrowRight"),
    "dml-ensemble_explorer": ("[data-key=learner0]", "ArrowLeft"),
    "dml-weight_explorer": ("input[type=range]", "ArrowRight"),
    "dml-temperature_explorer": ("input[type=range]", "ArrowRight"),
    "dml-retrieval_browser": ("input[type=checkbox]", "Space"),
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


def walk_to(page, condition: str, limit: int = 80) -> bool:
    """Press Tab until the focused element fulfils a condition in JavaScript, `e` being the element."""
    for _ in range(limit):
        if page.evaluate(f"(e => {condition})(document.activeElement)"):
            return True
        page.keyboard.press("Tab")
    return False


def reach_the_takeaway(page, name: str) -> None:
    """By keyboard alone: change something with a control, read what the figure says, open the takeaway."""
    control, key = CONTROLS[name]
    figure = page.locator(f".{name}")
    said_by = figure.locator(".dml-status")
    said_by.filter(has_text=".").wait_for()
    said = said_by.inner_text()
    figure.evaluate("e => e.closest('.jp-Cell').focus()")  # where Jupyter leaves the focus: on a cell
    assert walk_to(page, f"e.matches('.{name} {control}')"), f"{name}: {control} is not reached by Tab"
    page.keyboard.press(key)
    page.wait_for_function(
        "([name, said]) => document.querySelector(`.${name} .dml-status`).textContent !== said",
        arg=[name, said],
    )
    assert walk_to(page, f"e.matches('.{name} summary') && e.textContent === 'Takeaway'"), name
    page.keyboard.press("Enter")
    assert figure.locator("details[open] > summary").last.inner_text() == "Takeaway"
    page.keyboard.press("Escape")
    assert page.evaluate(f"document.activeElement.matches('.{name}')")


def press_every_key(page, name: str) -> None:
    """In each control, the keys that would change the cells."""
    controls = page.locator(f".{name}").locator(FOCUSABLE)
    for i in range(min(controls.count(), 8)):
        if controls.nth(i).is_visible():
            controls.nth(i).focus()
            for key in KEYS:
                page.keyboard.press(key)


def test_each_takeaway_is_reached_by_keyboard_alone_and_no_key_pressed_reaches_a_cell(page, server):
    address, notebook = server
    before = sources(notebook)
    run_all(page, address)
    for use in (reach_the_takeaway, press_every_key):
        for name in FIGURES:
            scroll_to(page, f".{name} .dml-status")
            use(page, name)
            assert page.locator(".jp-Cell").count() == len(FIGURES), f"keys in {name} changed the cells"
    saved = save(page, notebook)
    assert sources(notebook) == before
    outputs = [output for cell in saved["cells"] for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} <= {"display_data", "execute_result"}


def test_the_kernel_brings_the_network_when_a_character_is_drawn(page, server):
    run_all(page, server[0])
    scroll_to(page, ".dml-draw_character .dml-status")
    page.locator(".dml-draw_character .dml-prepared input").nth(4).check()
    answer = page.locator(".dml-draw_character .dml-status", has_text="the nearest is")
    answer.wait_for()
    nearest = Search().nearest(traced()[4].strokes)[0]
    assert f"the nearest is character {nearest.character + 1}," in answer.inner_text()
