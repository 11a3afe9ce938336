"""Sphinx extension: what Sphinx's pages lack for readers who use the keyboard alone, or listen."""

import re
from typing import Any

from sphinx.application import Sphinx

_SIGNATURE = re.compile(r'<dt class="sig .*?</dt>', re.DOTALL)
_LINES = (
    ("<dl>", '<span class="sig-lines">'),
    ("</dl>", "</span>"),
    ("<dd>", '<span class="sig-line">'),
    ("</dd>", "</span>"),
)


def signature_lines(match: re.Match) -> str:
    """Arguments with a line each, which Sphinx writes as a list of definitions that lacks the terms."""
    text = match[0]
    for old, new in _LINES:
        text = text.replace(old, new)
    return text


def mend(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Give captions of the navigation their level, let the keyboard scroll wide tables, mend signatures."""
    if tree := context.get("furo_navigation_tree"):
        context["furo_navigation_tree"] = tree.replace('role="heading"', 'role="heading" aria-level="2"')
    if body := context.get("body"):
        body = body.replace('<div class="table-wrapper', '<div tabindex="0" class="table-wrapper')
        # Sphinx marks the words of a search inside this, or else everywhere, and fails at titles of icons.
        context["body"] = f'<div class="body">{_SIGNATURE.sub(signature_lines, body)}</div>'


def setup(app: Sphinx) -> dict:
    app.connect("html-page-context", mend, priority=900)  # after the theme has made its navigation
    return {"parallel_read_safe": True, "parallel_write_safe": True}
