"""Waiting for what a page shows, where a fixed time would be too short on a slow machine."""

from collections.abc import Callable


def painted(page) -> None:
    """All changes so far are painted: a figure paints them in the browser's next frame."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def until(page, reached: Callable[[], bool], every: int = 20) -> None:
    """Messages of the page are handled until `reached()`, asked every so many ms, holds; at most a minute."""
    for _ in range(60_000 // every):
        if reached():
            return
        page.wait_for_timeout(every)
    assert reached()
