"""Sphinx extension: equations become MathML when the site is built, so no script is needed to read them."""

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)
NORM = "<mo>&#x02016;</mo>"  # browsers stretch a norm's bar; before an exponent it would hang too low


def to_mathml(node: nodes.Element, display: str) -> str:
    """MathML of one equation; LaTeX that cannot be converted is a warning, which fails the build."""
    latex = node.astext()
    try:
        return convert(latex, display=display).replace(NORM, NORM.replace("<mo>", '<mo stretchy="false">'))
    except Exception as error:
        logger.warning("equation not understood: %s (%s)", latex, error, location=node)
        return f"<code>{latex}</code>"


def visit_inline(self, node: nodes.Element) -> None:
    self.body.append(to_mathml(node, "inline"))
    raise nodes.SkipNode


def visit_display(self, node: nodes.Element) -> None:
    # A wide equation scrolls inside its own box, which the keyboard can reach.
    self.body.append(self.starttag(node, "div", CLASS="equation", tabindex="0"))
    self.body.append(to_mathml(node, "block") + "</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict:
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
