import re

import pytest
import torch

from dmlteach.plots.browser import RetrievalBrowser

LABELS = torch.tensor([0, 0, 1, 1])
QUERIES = torch.tensor([0, 2])
FOUND = {"one": torch.tensor([[1, 2], [0, 3]]), "<two>": torch.tensor([[2, 3], [3, 0]])}


@pytest.fixture(scope="module")
def page():
    images = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8)
    return RetrievalBrowser(images, LABELS, QUERIES, FOUND)._repr_html_()


def test_every_network_and_query_has_a_row_and_a_rule_that_shows_it(page):
    for network in range(2):
        for query in range(2):
            assert f'class="row row-{network}-{query}"' in page
            assert re.search(rf":has\(.network-{network}:checked\):has\(.query-{query}:checked\)", page)


def test_rows_mark_right_and_wrong_in_words_and_in_alt_text(page):
    rows = re.findall(r'class="row row-(\d)-(\d)">(.*?)</div>', page)
    kinds = {(int(m), int(q)): re.findall(r'figure class="(right|wrong)"', row) for m, q, row in rows}
    assert kinds == {
        (0, 0): ["right", "wrong"],
        (0, 1): ["wrong", "right"],
        (1, 0): ["wrong", "wrong"],
        (1, 1): ["right", "wrong"],
    }
    assert page.count("✓ right") == 3 == page.count(", right") and page.count("✗ wrong") == 5


def test_it_needs_no_script_and_no_network(page):
    assert "<script" not in page and "http" not in page
    assert all(source.startswith("data:image/png") for source in re.findall(r'src="([^"]*)', page))


def test_one_network_and_one_query_are_chosen_at_first_and_names_are_escaped(page):
    assert page.count(" checked>") == 2 and "&lt;two&gt;" in page


def test_pages_with_other_content_do_not_share_buttons():
    images = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
    one = RetrievalBrowser(images, LABELS, QUERIES, FOUND)._repr_html_()
    other = RetrievalBrowser(images, LABELS, QUERIES[:1], {"one": FOUND["one"][:1]})._repr_html_()
    assert re.search('id="([^"]*)', one).group(1) != re.search('id="([^"]*)', other).group(1)
