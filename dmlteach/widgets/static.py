"""The front-end of an explorable, and the picture it brings to life on a page without a kernel."""

import base64
import html
import json
from pathlib import Path

FOLDER = Path(__file__).parent


def front_end(name: str) -> tuple[str, str]:
    """ES module and style sheet of an explorable: what all share, followed by its own."""
    module, style = (
        "\n".join((FOLDER / f"{part}.{kind}").read_text("utf-8") for part in ("explorable", name))
        for kind in ("js", "css")
    )
    return module, style


def inline_html(name: str, module: str, style: str, state: dict, picture: str, alt: str) -> str:
    """HTML that shows `picture` and, where scripts run, replaces it by the live figure; it loads nothing.

    Args:
        name: of the explorable; the module's `mountAll` looks for it.
        module: source of the ES module, which must export `mountAll`.
        style: its style sheet.
        state: what the module's model holds, as JSON.
        picture: SVG document for readers without scripts.
        alt: what the picture shows.

    Returns:
        A fragment that works in any page, also one opened from a file.
    """
    assert "</script" not in module, "the module would end its own script element"
    source = base64.b64encode(picture.encode()).decode()
    return (
        f'<div data-dmlteach="{name}" data-state="{html.escape(json.dumps(state))}">'
        f'<img alt="{html.escape(alt)}" style="max-width:100%" src="data:image/svg+xml;base64,{source}">'
        f'</div>\n<style>\n{style}</style>\n<script type="module">\n{module}\nmountAll();\n</script>'
    )
