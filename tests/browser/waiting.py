"""Waiting for what a page shows, where a fixed time would be too short on a slow machine."""

from collections.abc import Callable


def painted(page) -> None:
    """All changes so far are painted: a figure paints them in the browser's next frame."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def until(page, reached: Callable[[], bool]) -> None:
    """Messages of the page are handled until `reached()` holds; it fails where that never happens."""
    for _ in range(3000):
        if reached():
            return
        page.wait_for_timeout(20)
    assert reached()
