"""A Chromium for the tests; where there is none they skip and say why."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock  # comes with torch

from dmlteach.course.exercises import in_page
from dmlteach.course.widgets.explorable import Explorable
from tests.browser import small_course

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


COLOURS = (  # of the site
    ":root { color-scheme: light dark; --color-brand-primary: #0a4bff }"
    "body { max-width: 44em; margin: auto }"
    "@media (prefers-color-scheme: dark) { body { background: #131416; color: #cfd0d0 }"
    ":root { --color-brand-primary: #3d94ff } }"
)


@pytest.fixture(scope="session")
def browser() -> Iterator:
    """One Chromium for all tests of a process."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(names)} is on the PATH")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=FLAGS, headless=True)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """The course, rendered once in a run of tests: the folder of the site."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # one for all processes of the run
    checkout = folder / "site"
    rendered = checkout / "build" / "course"  # appears whole or not at all
    with FileLock(f"{checkout}.lock"):
        if not rendered.exists():
            shutil.rmtree(checkout, ignore_errors=True)  # of a process that failed
            small_course.build(checkout)
    return rendered


@pytest.fixture
def page(browser) -> Iterator:
    """A fresh page; an uncaught error in its scripts fails the test."""
    errors: list[str] = []
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()
    assert not errors


@pytest.fixture
def from_disk(browser, tmp_path) -> Iterator:
    """Opens the HTML that a figure leaves in an executed notebook, from disk and with the network off.

    Nothing may be requested and no script may fail, which the fixture asserts at the end of the test.
    """
    contexts, requests, errors = [], [], []

    def open_figure(figure: Explorable, dark: bool = False, size=(1200, 900), **context):
        body = figure._repr_mimebundle_()[0]["text/html"]
        style = "background:#111;color:#eee" if dark else "background:#fff;color:#111"
        path = tmp_path / f"figure{len(contexts)}.html"
        path.write_text(
            '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            f'<body style="{style}">{body}</body>',
            encoding="utf-8",
        )
        viewport = dict(zip(("width", "height"), size, strict=True))
        contexts.append(browser.new_context(offline=True, viewport=viewport, **context))
        page = contexts[-1].new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(path.as_uri())
        page.wait_for_selector(f".dml-{figure.name} .dml-stage > *")
        return page

    yield open_figure
    for context in contexts:
        context.close()
    assert errors == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []


@pytest.fixture(scope="module")
def write_chapter(tmp_path_factory) -> Callable[..., str]:
    """Writes a page with the scripts of exercises to the disk; returns its address."""

    def write(body: str, style: str = "") -> str:
        folder = tmp_path_factory.mktemp("site")
        for kind, text in in_page.files().items():
            (folder / f"exercises.{kind}").write_text(text, encoding="utf-8")
        page = folder / "chapter.html"
        page.write_text(
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>a chapter</title>'
            '<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="exercises.css">'
            f"<style>{COLOURS}{style}</style><script src=exercises.js></script>"
            f"<body><main><h1>A chapter</h1>{body}{in_page.overview()}</main></body></html>",
            encoding="utf-8",
        )
        return page.as_uri()

    return write


@pytest.fixture
def reader(browser, chapter) -> Iterator:
    """Opens the address `chapter`, which a module of tests gives, in a browser of its own without a network.

    No script may fail and nothing may be requested from elsewhere, which it asserts at the end of the test.
    """
    contexts, errors = [], []

    def open_chapter(**options):
        contexts.append(browser.new_context(offline=True, **options))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        local = ("file:", "data:", "blob:")
        page.on(
            "request", lambda request: None if request.url.startswith(local) else errors.append(request.url)
        )
        page.goto(chapter)
        return page

    yield open_chapter
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def fits(from_disk) -> Callable[[Callable[[], Any], str], None]:
    """An explorable is at most 700 pixels high in the column of the site, and no wider than a phone."""

    def check(figure: Callable[[], Any], root: str) -> None:
        page = from_disk(
            figure(), size=(752, 800)
        )  # as wide as that column from the start: nothing is redrawn
        page.wait_for_selector(f"{root} svg")
        assert page.evaluate(f"document.querySelector('{root}').getBoundingClientRect().height") <= 700
        page = from_disk(figure(), size=(390, 780), has_touch=True, is_mobile=True)
        page.wait_for_selector(f"{root} svg")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390

    return check
