"""The retrieval browser of chapter 09, on a page without kernel, network and script."""

import pytest
import torch

from dmlteach.plots.browser import RetrievalBrowser

pytestmark = pytest.mark.browser


@pytest.fixture
def opened(page, tmp_path):
    images = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8)
    found = {"one": torch.tensor([[1, 2], [0, 3]]), "two": torch.tensor([[2, 3], [3, 0]])}
    shown = RetrievalBrowser(images, torch.tensor([0, 0, 1, 1]), torch.tensor([0, 2]), found)
    file = tmp_path / "page.html"
    file.write_text(f"<!doctype html><meta charset=utf-8>{shown._repr_html_()}", encoding="utf-8")
    page.goto(file.as_uri())
    return page


def visible_row(page) -> str:
    (row,) = page.locator(".row:visible").all()
    return row.get_attribute("class")


def test_one_row_is_shown_at_first(opened):
    assert visible_row(opened) == "row row-0-0"


def test_the_mouse_chooses_network_and_query(opened):
    opened.get_by_text("two", exact=True).click()
    assert visible_row(opened) == "row row-1-0"
    opened.locator("label", has=opened.get_by_alt_text("query 2")).click()
    assert visible_row(opened) == "row row-1-1"


def test_tab_and_arrow_keys_do_the_same(opened):
    opened.keyboard.press("Tab")
    opened.keyboard.press("ArrowRight")
    opened.keyboard.press("Tab")
    opened.keyboard.press("ArrowRight")
    assert visible_row(opened) == "row row-1-1"
