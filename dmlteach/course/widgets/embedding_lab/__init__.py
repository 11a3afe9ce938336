"""An embedding that is trained in the page."""

from pathlib import Path

LOSSES_SOURCE, TRAINER_SOURCE = (
    (Path(__file__).parent / f"{name}.js").read_text("utf-8") for name in ("losses", "trainer")
)
