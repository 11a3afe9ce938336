"""The page of a report: on a phone, on paper, and for those who do not see it."""

import base64

import nbformat
import pytest

from dmlteach.course.reports import to_html
from dmlteach.plots.style import Picture

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is missing")

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
TABLE = "| network | " + " | ".join(f"Recall@{k}" for k in range(1, 15)) + " |\n|" + "---|" * 15
TABLE += "\n| a network with a long name | " + " | ".join(["79.4 %"] * 14) + " |"
COMMAND = "`dmlteach report --root /" + "a-very-long-folder-name" * 8 + "`"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report with a wide table, a wide figure and a long command, as the notebook leaves it."""
    png = Picture(13, 4, "A wide figure").png()

    image = f'<img alt="A wide figure" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
    outputs = [{"text/markdown": TABLE}, {"text/html": image}, {"text/markdown": COMMAND}]
    cells = [nbformat.v4.new_markdown_cell("# sst on omniglot: Recall@1 79.4 %\n\nIts first lines.")]
    for data in outputs:
        shown = nbformat.v4.new_output("display_data", data)
        cells.append(nbformat.v4.new_markdown_cell("## A section"))
        cells.append(nbformat.v4.new_code_cell("secret = 1", outputs=[shown]))
    folder = tmp_path_factory.mktemp("report")
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "report.ipynb")
    (folder / "report.html").write_text(to_html(folder / "report.ipynb"), encoding="utf-8")
    return folder / "report.html"


@pytest.mark.parametrize(("width", "media"), [(1200, "screen"), (360, "screen"), (794, "print")])
def test_nothing_runs_out_of_the_page(browser, report, width, media):
    context = browser.new_context(offline=True, viewport={"width": width, "height": 800})
    page = context.new_page()
    page.emulate_media(media=media)
    page.goto(report.as_uri())
    assert page.title() == "sst on omniglot: Recall@1 79.4 %"
    assert page.locator("h1").count() == 1 and "secret" not in page.locator("body").inner_text()
    assert page.locator("img").bounding_box()["width"] <= width
    if media == "screen":
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


@pytest.mark.parametrize("width", [1200, 360])
def test_axe_finds_nothing_serious_in_a_report(browser, report, width):
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(report.as_uri())
    found = axe.Axe().run(page, options={"runOnly": {"type": "tag", "values": RULES}}).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"][:80]) for one in found] == []
    page.close()


def test_a_report_is_printed_whole(browser, report):
    page = browser.new_page()
    page.goto(report.as_uri())
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.close()
