"""What every explorable is: a widget in a notebook, and beside it HTML that is alive without a kernel."""

import html
import json
from pathlib import Path
from typing import Any, ClassVar

import anywidget

from dmlteach.plots.inline import image_tag

FOLDER = Path(__file__).parent


def front_end(name: str, *scripts: str) -> tuple[str, str]:
    """ES module and style sheet of an explorable: what all share, followed by its own.

    Args:
        name: of the explorable's folder.
        scripts: that some share, e.g. "marks"; they stand before its own.
    """
    module, style = (
        "\n".join(
            (FOLDER / f"{part}.{kind}").read_text("utf-8") for part in ("explorable", *more, f"{name}/widget")
        )
        for kind, more in (("js", scripts), ("css", ()))
    )
    return module, style


class Explorable(anywidget.AnyWidget):
    """A figure to explore: live in a notebook, and in the same output for a page without a kernel.

    A subclass gives its `name`, `_esm, _css = front_end(name)`, `saved` and `picture`.

    Attributes:
        name: of its folder here, which holds its module and style sheet.
        saved: traits that the figure starts from on a page without a kernel.
    """

    name: ClassVar[str]
    saved: ClassVar[tuple[str, ...]]

    @property
    def state(self) -> dict[str, Any]:
        """The saved traits, by name."""
        return {trait: getattr(self, trait) for trait in self.saved}

    def picture(self) -> tuple[str, str]:
        """The figure as it stands: an SVG document, and what it shows in words."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict]:
        """The widget, which notebooks prefer, and what other hosts take."""
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        picture, alt = self.picture()
        data["text/plain"] = f"[figure: {alt}]"
        data["text/html"] = inline_html(self.name, self._esm, self._css, self.state, picture, alt)
        return data, metadata


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
    return (
        f'<div data-dmlteach="{name}" data-state="{html.escape(json.dumps(state))}">'
        f"{image_tag(picture.encode(), alt, 'svg+xml')}"
        f'</div>\n<style>\n{style}</style>\n<script type="module">\n{module}\nmountAll();\n</script>'
    )
