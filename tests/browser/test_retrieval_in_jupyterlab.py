"""The retrieval browser in a real JupyterLab: the kernel answers what is drawn, no cell is lost."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dmlteach import data, models
from dmlteach.course.widgets import RetrievalBrowser
from dmlteach.embeddings import embed
from tests.browser.jupyter import jupyter, run_all, save, scroll_to, sources
from tests.browser.waiting import painted, until

pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")

CHAPTER = "start_here.ipynb"
NEEDED = ("parameters", "first-load", "measure", "side")  # the cells up to the figure that it needs
NETWORKS = ("untrained", "softmax", "sst")
ROOT = ".dml-retrieval_browser"


@pytest.fixture(scope="module")
def lab(tmp_path_factory, checkout) -> Iterator[tuple[str, Path]]:
    """Address of a JupyterLab, and a notebook of the chapter's needed cells."""
    chapter = json.loads((checkout / "notebooks" / CHAPTER).read_text("utf-8"))
    chapter["cells"] = [cell for cell in chapter["cells"] if cell["id"] in NEEDED]
    assert len(chapter["cells"]) == len(NEEDED)
    source = tmp_path_factory.mktemp("source") / CHAPTER
    source.write_text(json.dumps(chapter), "utf-8")
    home = tmp_path_factory.mktemp("lab")
    with jupyter("lab", home, [source]) as address:
        yield address, home / "work" / CHAPTER


@pytest.fixture
def figure(page, lab):
    """The browser, after "Run All" in JupyterLab."""
    address, _ = lab
    run_all(page, f"{address}/doc/tree/{CHAPTER}")
    scroll_to(page, ROOT, seconds=300)
    return page.locator(ROOT)


def rows(figure, network: str) -> list[int]:
    items = figure.locator(f".dml-network[data-network={network}] li").all()
    return [int(item.get_attribute("data-row") or -1) for item in items]  # -1: not answered yet


def test_drawing_by_mouse_and_keys_is_answered_by_the_kernel_and_leaves_the_cells_alone(page, figure, lab):
    _, notebook = lab
    before = sources(notebook)
    figure.get_by_role("checkbox", name="softmax").check()
    figure.get_by_role("checkbox", name="SST").check()
    figure.get_by_role("button", name="Draw a character").click()
    pad = figure.locator(".dml-pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 230, box["y"] + 240, steps=6)
    page.mouse.up()
    figure.get_by_text("answered by the kernel").wait_for(timeout=300_000)
    pad.focus()
    # Space, arrows and letters run, move, add or delete cells where JupyterLab gets them.
    for key in ("Space", "ArrowUp", "ArrowUp", "ArrowUp", "a", "b", "x", "d", "d", "Shift+Enter"):
        page.keyboard.press(key)
    figure.locator(".dml-pad[aria-label*='2 strokes']").wait_for()
    painted(page)
    ink = pad.locator(".dml-ink").get_attribute("d")
    strokes = [[[float(v) for v in z.split()] for z in stroke.split("L")] for stroke in ink.split("M")[1:]]
    gallery = data.load("omniglot", "test", classes=100)
    embeddings = {name: embed(models.pretrained(name), gallery, "cpu") for name in NETWORKS}
    same = RetrievalBrowser(gallery, NETWORKS, embeddings, view="draw", strokes=strokes)
    expected = {name: same.neighbours[name]["rows"] for name in NETWORKS}
    until(page, lambda: {name: rows(figure, name) for name in NETWORKS} == expected)
    assert figure.get_by_text("answered by the kernel").is_visible()
    assert figure.locator(".dml-network[data-network=sst] img[src]").first.is_visible()

    saved = save(page, notebook)
    assert sources(notebook) == before
    outputs = [output for cell in saved["cells"] for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output["output_type"] == "error"]
