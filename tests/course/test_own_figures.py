"""Figures of own networks: images that may not be passed on come into the site only where it is asked for."""

import re
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from dmlteach import data
from dmlteach.course import CHECKOUT, own_figures
from dmlteach.errors import DMLTeachError
from dmlteach.plots.style import Picture


class Images:
    """What is asked of a data set here."""

    def __init__(self, shareable: bool):
        self.shareable = shareable


def drawn(words: str) -> Figure:
    figure = Picture(2, 1, words)
    figure.subplots().plot([0, 1])
    return figure


@pytest.fixture
def folder(tmp_path) -> Path:
    own_figures.write(drawn("Five drawings."), tmp_path, "retrieval", "omniglot", Images(True))
    own_figures.write(drawn("Five birds."), tmp_path, "retrieval", "cub200", Images(False))
    own_figures.write(drawn("A map of birds."), tmp_path, "tsne", "cub200", Images(False), "mine")
    return tmp_path


def text_of(pages: dict) -> str:
    return pages[f"{own_figures.PAGE}.md"].decode()


def test_what_may_be_passed_on_is_shown_and_the_rest_is_counted(folder):
    pages = own_figures.pages(folder, restricted=False)
    assert [name for name in pages if name.endswith(".png")] == ["figures/own/retrieval_omniglot.png"]
    assert "Five drawings." in text_of(pages) and "birds" not in text_of(pages)
    assert "2 figures are left out" in text_of(pages) and own_figures.INCLUDE in text_of(pages)


def test_where_it_is_asked_for_all_are_shown_with_their_terms(folder):
    pages = own_figures.pages(folder, restricted=True)
    names = {"retrieval_omniglot", "retrieval_cub200", "tsne_cub200_mine"}
    assert {Path(name).stem for name in pages if name.endswith(".png")} == names
    assert all(re.search(rf"own/{name}\.png", text_of(pages)) for name in names)
    assert text_of(pages).count(data.terms("cub200")) == 2 and "left out" not in text_of(pages)
    said: list[str] = []
    own_figures.say_terms(folder, said.append)
    assert said[0] == f"the site shows images of cub200: {data.terms('cub200')}"
    assert len(said) == 2 and "Keep this site to yourself" in said[1]


def test_a_figure_without_a_note_of_whose_images_it_shows_is_not_shown(folder):
    (folder / f"retrieval_omniglot{own_figures._SHOWS}").unlink()
    assert not [name for name in own_figures.pages(folder, restricted=False) if name.endswith(".png")]


def test_a_damaged_note_is_one_sentence_with_its_cure(folder):
    (folder / f"retrieval_cub200{own_figures._SHOWS}").write_text('{"dataset": "cub200"}')
    with pytest.raises(DMLTeachError, match=r"retrieval_cub200\.shows\.json.*draw the figure again"):
        own_figures.pages(folder, restricted=False)


def test_where_nothing_is_drawn_the_page_says_how(tmp_path):
    for empty in (tmp_path, tmp_path / "nowhere"):
        pages = own_figures.pages(empty, restricted=True)
        assert list(pages) == [f"{own_figures.PAGE}.md"]
        assert "Nothing has been drawn there yet" in text_of(pages)
    said: list[str] = []
    own_figures.say_terms(tmp_path, said.append)
    assert said == [f"{tmp_path} holds no figure with images that may not be passed on."]


def test_terms_are_those_that_third_party_tells():
    rows = re.findall(
        r"^\| (.+?) \| (.+?) \| .+? \|$", (CHECKOUT / "THIRD_PARTY.md").read_text("utf-8"), re.M
    )
    told = {terms for _, terms in rows}
    own = [name for name in data.names() if name not in ("omniglot", "folder")]
    assert len(own) == 5
    assert {data.terms(name) for name in own} <= told
