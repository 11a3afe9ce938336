"""axe-core on every explorable: nothing serious against WCAG 2.2 AA, light, dark and in forced colours."""

from collections.abc import Callable

import pytest

from dmlteach import data
from dmlteach.course.widgets import (
    BatchExplorer,
    DrawCharacter,
    EmbeddingLab,
    EnsembleExplorer,
    NewPointsExplorer,
    ProxyExplorer,
    ResultsExplorer,
    RetrievalBrowser,
    TemperatureExplorer,
    TrainingReplay,
    TripletPlayground,
    TSNEGrid,
    WeightExplorer,
)
from dmlteach.course.widgets.draw_character import packing
from dmlteach.course.widgets.draw_character.traced import traced
from dmlteach.course.widgets.page import lab_page, playground_page
from tests.browser.test_training_replay import WithKernel

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is missing")

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
OF_COLOURS = ["color-contrast", "link-in-text-block"]


def page_of(widget) -> str:
    body = widget._repr_mimebundle_()[0]["text/html"]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>a figure</title><style>'
        ":root { color-scheme: light dark } @media (prefers-color-scheme: dark) "
        "{ body { background: #16181c; color: #e8e8e8 } }</style>"
        f"<body><main><h1>A figure</h1>{body}</main></body></html>"
    )


def _retrieval_browser(view: str) -> RetrievalBrowser:
    gallery = data.load("omniglot", "test", classes=10)
    return RetrievalBrowser(gallery, ("untrained", "sst"), queries=6, view=view, numbers=True)


PAGES: dict[str, Callable[[], str]] = {
    "playground on a line": lambda: page_of(TripletPlayground(numbers=True)),
    "playground in the plane": lambda: page_of(
        TripletPlayground(view="plane", contrastive=True, numbers=True)
    ),
    "batch explorer": lambda: page_of(BatchExplorer(numbers=True)),
    "training replay": lambda: page_of(TrainingReplay(numbers=True)),
    "training replay with a kernel": lambda: page_of(WithKernel(revealed=True)),
    "results explorer": lambda: page_of(
        ResultsExplorer("tuning", {"rate": 0.001}, a="sst", b="triplet", numbers=True)
    ),
    "retrieval browser": lambda: page_of(_retrieval_browser(view="pick")),
    "drawing pad": lambda: page_of(_retrieval_browser(view="draw")),
    "draw a character": lambda: page_of(
        DrawCharacter(traced()[0].strokes, numbers=True, script=packing.SCRIPT)
    ),
    "weight explorer": lambda: page_of(WeightExplorer(guess="sst", numbers=True)),
    "temperature explorer": lambda: page_of(TemperatureExplorer("supcon", 0.05, "trained", numbers=True)),
    "proxy explorer": lambda: page_of(ProxyExplorer("arcface", numbers=True)),
    "new-points explorer": lambda: page_of(NewPointsExplorer(0.5, 2.0, 0.1, numbers=True)),
    "ensemble explorer": lambda: page_of(EnsembleExplorer("bier", numbers=True)),
    "t-SNE panels": lambda: page_of(TSNEGrid(numbers=True)),
    "embedding lab": lambda: page_of(EmbeddingLab(beside="still", numbers=True)),
    "playground.html": playground_page,
    "embedding-lab.html": lab_page,
}


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_serious(browser, tmp_path, name):
    path = tmp_path / "page.html"
    path.write_text(PAGES[name](), encoding="utf-8")
    (tmp_path / packing.SCRIPT).write_text(packing.script(), encoding="utf-8")
    page = browser.new_page(color_scheme="light", reduced_motion="reduce")
    page.goto(path.as_uri())
    page.wait_for_selector(".dml-explorable summary")
    page.wait_for_timeout(600)  # the sentence is written 500 ms after the last change
    serious = serious_faults(page)
    page.emulate_media(color_scheme="dark")
    serious += [f"dark: {fault}" for fault in serious_faults(page, of_colours=True)]
    page.emulate_media(color_scheme="light", forced_colors="active")
    serious += [f"forced: {fault}" for fault in serious_faults(page, of_colours=True)]
    page.close()
    assert not serious, "\n".join(serious)


def serious_faults(page, of_colours: bool = False) -> list[str]:
    """What axe finds on a page that shuts somebody out, by all rules or by those that look at colours."""
    only = {"type": "rule", "values": OF_COLOURS} if of_colours else {"type": "tag", "values": RULES}
    found = axe.Axe().run(page, options={"runOnly": only}).response["violations"]
    return [
        f"{v['id']} ({v['impact']}): {v['help']}: {[node['html'][:120] for node in v['nodes'][:3]]}"
        for v in found
        if v["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize(("width", "colours"), [(1300, "light"), (400, "dark")])
def test_axe_finds_nothing_serious_on_the_first_page(site, browser, width, colours):
    page = browser.new_page(color_scheme=colours, viewport={"width": width, "height": 900})
    page.goto((site / "index.html").as_uri())
    page.locator(".dml-prepared input").first.check()
    page.wait_for_selector(".dml-right")
    page.wait_for_timeout(600)
    serious = serious_faults(page)
    page.close()
    assert not serious, "\n".join(serious)


# Each page by all rules narrow and wide, light and dark; all four together on the shortest.
@pytest.mark.parametrize(
    ("name", "width", "colours"),
    [
        (name, *look)
        for name in ("api", "api/losses", "api/losses/triplet", "api/losses/bier", "api/samplers",
                     "api/methods", "conventions")
        for look in ((1300, "light"), (400, "dark"))
    ] + [("api", 1300, "dark"), ("api", 400, "light")],
)  # fmt: skip
def test_axe_finds_nothing_serious_on_the_pages_of_the_reference(site, browser, name, width, colours):
    page = browser.new_page(color_scheme=colours, viewport={"width": width, "height": 900})
    page.goto((site / "docs" / f"{name}.html").as_uri())
    serious = serious_faults(page)
    page.close()
    assert not serious, "\n".join(serious)


def test_axe_would_find_a_button_without_a_name(page):
    page.set_content('<html lang="en"><title>t</title><main><button></button></main></html>')
    assert "button-name" in {v["id"] for v in axe.Axe().run(page).response["violations"]}


def test_the_rules_of_colours_would_find_pale_words_only_where_they_are_pale(page):
    style = "p { color: #666 } @media (prefers-color-scheme: dark) { body { background: #555 } }"
    page.set_content(
        f'<html lang="en"><title>t</title><style>{style}</style><main><p>words</p></main></html>'
    )
    page.emulate_media(color_scheme="light")
    found = len(serious_faults(page, of_colours=True))
    page.emulate_media(color_scheme="dark")
    assert len(serious_faults(page, of_colours=True)) == found + 1
